"""The command line: what `check` says, how errors end, which options there are."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pacifica.dispatcher.cli import main

_GOOD = """
[application:hello]
exact.type = org.example.hello
command = echo hello
"""
_BAD = """
[server]
port = eighty
prot = 80

[application:hello]
timeout = soon

[databse]
"""


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder and a home without a configuration."""
    for name in ("DISPATCHER_CONFIG", "PEEWEE_URL", "BROKER_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, prog_name="pacifica-dispatcher")


def written(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_configuration_that_is_fine(tmp_path: Path) -> None:
    file = written(tmp_path / "some.ini", _GOOD)
    result = invoke("check", "-c", file)
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        f"{file}: fine",
        "  application add",
        "  application mul",
        "  application hello",
    ]


def test_what_is_likely_a_mistake_is_a_warning(tmp_path: Path) -> None:
    text = "command = true\nexact.type = a\nprefix.type = b\n"
    file = written(tmp_path / "some.ini", f"[application:one]\n{text}[application:two]\n{text}")
    result = invoke("check", "-c", file)
    assert result.exit_code == 0
    reason = "no event can match: it would need an event whose type is 'a' and whose type begins"
    lines = result.stderr.splitlines()
    assert lines[0].startswith(f"warning: {file}: [application:one]: {reason}")
    assert lines[1].startswith(f"warning: {file}: [application:two]: {reason}")
    assert lines[2:] == [
        f"warning: {file}: [application:two]: does the same for the same events as one"
    ]


def test_without_a_file_the_defaults_are_fine() -> None:
    result = invoke("check")
    assert (result.exit_code, result.stdout.splitlines()[0]) == (0, "defaults: fine")


def test_the_file_in_the_working_directory_is_found(tmp_path: Path) -> None:
    written(tmp_path / "config.ini", _GOOD)
    assert invoke("check").stdout.startswith("config.ini: fine\n")


def test_the_file_of_the_environment_goes_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path / "config.ini", _BAD)
    file = written(tmp_path / "other.ini", _GOOD)
    monkeypatch.setenv("DISPATCHER_CONFIG", file)
    assert invoke("check").stdout.startswith(f"{file}: fine\n")


def test_the_file_of_the_option_goes_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISPATCHER_CONFIG", written(tmp_path / "bad.ini", _BAD))
    file = written(tmp_path / "good.ini", _GOOD)
    assert invoke("check", "--config", file).exit_code == 0


@pytest.mark.parametrize("command", [["check"], ["serve"], ["standalone"], []])
def test_every_problem_is_named_at_once(tmp_path: Path, command: list[str]) -> None:
    file = written(tmp_path / "config.ini", _BAD)
    result = invoke(*command, "-c", file)
    assert (result.exit_code, result.stdout) == (2, "")
    for place in ("[server] port:", "[server] prot:", "[application:hello] timeout:", "[databse]:"):
        assert f"{file}: {place}" in result.stderr
    assert "did you mean port?" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_url_of_the_environment_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKER_URL", "nosuch://broker")
    result = invoke("check")
    assert result.exit_code == 2
    assert result.stderr.startswith("environment: BROKER_URL: must be a URL")


@pytest.mark.parametrize("content", [b"\xff\xfe", b"no section = 1\n", b"[a]\n[a]\n"])
def test_a_file_that_is_no_ini_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.ini").write_bytes(content)
    result = invoke("check", "-c", "bad.ini")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("bad.ini: ")


def test_a_file_of_the_environment_that_is_missing_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DISPATCHER_CONFIG", "missing.ini")
    result = invoke("check")
    assert result.exit_code == 2
    assert result.stderr.startswith("missing.ini: cannot be read")


@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "-c", "missing.ini"],
        ["check", "-c", "."],
        ["serve", "-p", "65536"],
        ["serve", "-p", "eighty"],
        ["serve", "--cp-config", "missing.conf"],
        ["no-such-command"],
        ["check", "--no-such-option"],
        ["check", "unexpected"],
    ],
)
def test_wrong_use_ends_with_2(arguments: list[str]) -> None:
    result = invoke(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Error: " in result.stderr


@pytest.mark.parametrize("command", ["serve", "standalone"])
def test_a_database_that_cannot_be_reached_ends_with_1(tmp_path: Path, command: str) -> None:
    file = written(
        tmp_path / "config.ini",
        "[database]\npeewee_url = sqlite:///missing/db.sqlite3\nconnect_attempts = 1\n",
    )
    result = invoke(command, "-c", file)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "the database sqlite:///missing/db.sqlite3 cannot be used" in result.stderr


@pytest.mark.parametrize("command", [[], ["serve"], ["standalone"]])
def test_the_servers_take_the_same_options(command: list[str]) -> None:
    result = invoke(*command, "--help")
    assert result.exit_code == 0
    for option in ("-c, --config", "--cp-config", "-p, --port", "-a, --address"):
        assert option in result.stdout


def test_the_version_is_told() -> None:
    result = invoke("--version")
    assert (result.exit_code, result.stdout[:20]) == (0, "pacifica-dispatcher,")


_EXPLAINED = """
[application:one]
exact.type = org.example
prefix.source = /b
command = true

[application:two]
filters = [{"any": [{"exact": {"type": "x"}}, {"not": {"sql": "nope = 'x'"}}]}]
command = true
"""


def explained(tmp_path: Path, event: str, *options: str) -> Result:
    """Explain an event that comes on standard input."""
    file = written(tmp_path / "some.ini", _EXPLAINED)
    arguments = ["explain", "-c", file, *options, "-"]
    return CliRunner().invoke(main, arguments, input=event.encode())


def test_an_event_is_explained_clause_by_clause(tmp_path: Path) -> None:
    event = '{"specversion": "1.0", "id": "1", "source": "/a", "type": "org.example"}'
    result = explained(tmp_path, event)
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "add: not matched (only GET /dispatch runs it)",
        "mul: not matched (only GET /dispatch runs it)",
        "one: not matched",
        "  yes  type is 'org.example': found \"org.example\"",
        "  no   source begins with '/b': found \"/a\"",
        "two: matched",
        "  yes  one of these holds",
        "    no   type is 'x': found \"org.example\"",
        "    yes  this does not hold",
        (
            "      no   the expression nope = 'x' is true: "
            "missingAttribute error: the event has no attribute nope"
        ),
    ]


def test_an_event_is_explained_to_programs(tmp_path: Path) -> None:
    event = '{"specversion": "1.0", "id": "1", "source": "/b", "type": "org.example"}'
    found = json.loads(explained(tmp_path, event, "--json").stdout)["applications"]
    assert {each["application"]: each["matched"] for each in found} == {
        "add": False,
        "mul": False,
        "one": True,
        "two": True,
    }


def test_an_event_that_no_application_gets_has_an_exit_code_of_its_own(tmp_path: Path) -> None:
    file = written(
        tmp_path / "event.json", '{"specversion": "1.0", "id": "1", "source": "/a", "type": "x"}'
    )
    config = written(tmp_path / "some.ini", _GOOD)
    assert invoke("explain", "-c", config, file).exit_code == 3


def test_an_event_that_has_expired_is_for_no_application(tmp_path: Path) -> None:
    event = (
        '{"specversion": "1.0", "id": "1", "source": "/b", "type": "org.example",'
        ' "expirytime": "2020-01-01T00:00:00Z"}'
    )
    result = explained(tmp_path, event)
    assert result.exit_code == 3
    why = "the event's expirytime is past: no application gets it"
    assert f"one: not matched ({why})" in result.stdout
    assert "  yes  source begins with '/b': found \"/b\"" in result.stdout


def test_what_is_wrong_with_an_event_is_said(tmp_path: Path) -> None:
    result = explained(tmp_path, '{"specversion": "1.0", "id": "1", "source": ""}')
    assert result.exit_code == 2
    assert "/source" in result.stderr
    assert "/type" in result.stderr
