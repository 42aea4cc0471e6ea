"""Commands that use the INI file: check, explain and the servers."""

import json
import os
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pacifica.dispatcher import orm
from pacifica.dispatcher.cli import main
from tests.factories import accept_runs, app, change, registration

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
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Use a working directory and a home without a configuration."""
    for name in ("DISPATCHER_CONFIG", "PEEWEE_URL", "BROKER_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, prog_name="pacifica-dispatcher")


def write(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_valid_configuration(tmp_path: Path) -> None:
    file = write(tmp_path / "some.ini", _GOOD)
    result = invoke("check", "-c", file)
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        f"{file}: OK",
        "  application add",
        "  application mul",
        "  application hello",
    ]


def test_a_likely_mistake_is_a_warning(tmp_path: Path) -> None:
    text = "command = true\nexact.type = a\nprefix.type = b\n"
    file = write(tmp_path / "some.ini", f"[application:one]\n{text}[application:two]\n{text}")
    result = invoke("check", "-c", file)
    assert result.exit_code == 0
    reason = "no event can match: type is 'a' contradicts type begins"
    lines = result.stderr.splitlines()
    assert lines[0].startswith(f"warning: {file}: [application:one]: {reason}")
    assert lines[1].startswith(f"warning: {file}: [application:two]: {reason}")
    assert lines[2:] == [
        f"warning: {file}: [application:two]: duplicates one: same target, same events"
    ]


def test_without_a_file_the_defaults_are_valid() -> None:
    result = invoke("check")
    assert (result.exit_code, result.stdout.splitlines()[0]) == (0, "defaults: OK")


def test_the_file_in_the_working_directory_is_found(tmp_path: Path) -> None:
    write(tmp_path / "config.ini", _GOOD)
    assert invoke("check").stdout.startswith("config.ini: OK\n")


def test_the_environment_overrides_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "config.ini", _BAD)
    file = write(tmp_path / "other.ini", _GOOD)
    monkeypatch.setenv("DISPATCHER_CONFIG", file)
    assert invoke("check").stdout.startswith(f"{file}: OK\n")


def test_the_option_overrides_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISPATCHER_CONFIG", write(tmp_path / "bad.ini", _BAD))
    file = write(tmp_path / "good.ini", _GOOD)
    assert invoke("check", "--config", file).exit_code == 0


@pytest.mark.parametrize("command", [["check"], ["serve"], ["standalone"], []])
def test_every_problem_is_listed(tmp_path: Path, command: list[str]) -> None:
    file = write(tmp_path / "config.ini", _BAD)
    result = invoke(*command, "-c", file)
    assert (result.exit_code, result.stdout) == (2, "")
    for section in (
        "[server] port:",
        "[server] prot:",
        "[application:hello] timeout:",
        "[databse]:",
    ):
        assert f"{file}: {section}" in result.stderr
    assert "did you mean port?" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_url_in_the_environment_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKER_URL", "nosuch://broker")
    result = invoke("check")
    assert result.exit_code == 2
    assert result.stderr.startswith("environment: BROKER_URL: must be a URL")


@pytest.mark.parametrize("content", [b"\xff\xfe", b"no section = 1\n", b"[a]\n[a]\n"])
def test_an_invalid_ini_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.ini").write_bytes(content)
    result = invoke("check", "-c", "bad.ini")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("bad.ini: ")


def test_a_missing_file_in_the_environment_is_named(
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
def test_wrong_usage_exits_with_2(arguments: list[str]) -> None:
    result = invoke(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Error: " in result.stderr


@pytest.mark.parametrize("command", ["serve", "standalone"])
def test_an_unavailable_database_exits_with_1(tmp_path: Path, command: str) -> None:
    file = write(
        tmp_path / "config.ini",
        "[database]\npeewee_url = sqlite:///missing/db.sqlite3\nconnect_attempts = 1\n",
    )
    result = invoke(command, "-c", file)
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"Database sqlite:///{tmp_path}/missing/db.sqlite3 unavailable: " in result.stderr


@pytest.mark.parametrize("command", ["check", "serve", "standalone"])
@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("sqlite:///folder", "folder is a directory"),
        ("sqlite://db.sqlite3", "it names no file; expected sqlite:///FILE"),
        ("sqlite:///:memory:", "it names no file"),
        ("sqlite:///db.sqlite3?mode=ro", "a file has no options"),
        ("sqlite:///text", "file is not a database"),
        ("sqlite:////dev/null", "is not a regular file"),
        ("mysql://user@127.0.0.1:1/name?nosuch=1", "nosuch"),
        ("postgresql://user@127.0.0.1:1/name?nosuch=1", "nosuch"),
    ],
)
def test_a_database_that_cannot_work_exits_with_2(
    tmp_path: Path, command: str, url: str, reason: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "text").write_text("This is a text, not a database.\n" * 100)
    file = write(tmp_path / "config.ini", f"[database]\npeewee_url = {url}\n")
    result = invoke(command, "-c", file)
    assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)
    assert reason in result.stderr


def test_check_warns_of_a_database_that_is_not_available(tmp_path: Path) -> None:
    url = "postgresql://user@127.0.0.1:1/name"
    file = write(tmp_path / "config.ini", f"[database]\npeewee_url = {url}\n")
    result = invoke("check", "-c", file)
    assert result.exit_code == 0
    assert result.stderr.startswith(f"warning: Database {url} unavailable: ")


def test_check_creates_no_database(tmp_path: Path) -> None:
    assert invoke("check").exit_code == 0
    assert list(tmp_path.iterdir()) == []


def test_check_finds_a_damaged_page(tmp_path: Path, database: orm.Database) -> None:
    database.close()
    with (tmp_path / "db.sqlite3").open("r+b") as file:
        file.seek(-4096, os.SEEK_END)
        file.write(b"\xff" * 4096)
    for command in (["check"], ["database", "check"], ["serve"]):
        result = invoke(*command)
        assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
        assert "is damaged: " in result.stderr


def test_check_refuses_tables_that_are_too_new(database: orm.Database) -> None:
    change(database, "INSERT INTO schema_migration (name, applied) VALUES ('9999_later', '')")
    assert invoke("check").exit_code == 0
    change(database, "UPDATE compatibility SET migration = 9999")
    result = invoke("check")
    assert result.exit_code == 2
    assert "was migrated by a later version of the dispatcher (9999)" in result.stderr


def test_check_warns_of_runs_that_no_worker_will_take(
    tmp_path: Path, database: orm.Database
) -> None:
    accept_runs(database, app(), "1", "2")
    change(database, "UPDATE run SET queued = queued - 60")
    result = invoke("check")
    assert result.exit_code == 0
    assert result.stderr == (
        f"warning: 2 runs wait in sqlite:///{tmp_path}/db.sqlite3, which no worker uses; "
        "start a worker with the same peewee_url\n"
        "warning: 2 runs wait for application app: not configured; add it, or cancel its runs and "
        "replay their events\n"
    )
    orm.register(database, "worker", registration("host", "lock"))
    assert invoke("check").stderr == ""


def test_check_warns_of_events_that_the_database_does_not_take(
    tmp_path: Path, server_url: str
) -> None:
    with closing(orm.Database(server_url)) as database:
        database.prepare(attempts=1, wait=0)
    text = f"[database]\npeewee_url = {server_url}\n[server]\nmax_event_size = 1 GiB\n"
    result = invoke("check", "-c", write(tmp_path / "config.ini", text))
    assert result.exit_code == 0
    assert "[server] max_event_size is 1073741824 bytes, but " in result.stderr


@pytest.mark.parametrize("command", [[], ["serve"], ["standalone"]])
def test_the_servers_take_the_same_options(command: list[str]) -> None:
    result = invoke(*command, "--help")
    assert result.exit_code == 0
    for option in ("-c, --config", "--cp-config", "-p, --port", "-a, --address"):
        assert option in result.stdout


def test_the_version_is_printed() -> None:
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
    """Explain an event from standard input."""
    file = write(tmp_path / "some.ini", _EXPLAINED)
    arguments = ["explain", "-c", file, *options, "-"]
    return CliRunner().invoke(main, arguments, input=event.encode())


def test_an_event_is_explained_clause_by_clause(tmp_path: Path) -> None:
    event = '{"specversion": "1.0", "id": "1", "source": "/a", "type": "org.example"}'
    result = explained(tmp_path, event)
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "add: not matched (runs only by GET /dispatch)",
        "mul: not matched (runs only by GET /dispatch)",
        "one: not matched",
        "  yes  type is 'org.example': found \"org.example\"",
        "  no   source begins with '/b': found \"/a\"",
        "two: matched",
        "  yes  any of these matches",
        "    no   type is 'x': found \"org.example\"",
        "    yes  this does not match",
        (
            "      no   the expression nope = 'x' is true: "
            "missingAttribute error: the event has no attribute 'nope'"
        ),
    ]


def test_an_event_is_explained_as_json(tmp_path: Path) -> None:
    event = '{"specversion": "1.0", "id": "1", "source": "/b", "type": "org.example"}'
    found = json.loads(explained(tmp_path, event, "--json").stdout)["applications"]
    assert {each["application"]: each["matched"] for each in found} == {
        "add": False,
        "mul": False,
        "one": True,
        "two": True,
    }


def test_an_unmatched_event_exits_with_3(tmp_path: Path) -> None:
    file = write(
        tmp_path / "event.json", '{"specversion": "1.0", "id": "1", "source": "/a", "type": "x"}'
    )
    config = write(tmp_path / "some.ini", _GOOD)
    assert invoke("explain", "-c", config, file).exit_code == 3


def test_an_expired_event_matches_nothing(tmp_path: Path) -> None:
    event = (
        '{"specversion": "1.0", "id": "1", "source": "/b", "type": "org.example",'
        ' "expirytime": "2020-01-01T00:00:00Z"}'
    )
    result = explained(tmp_path, event)
    assert result.exit_code == 3
    note = "the event has expired (expirytime): no application receives it"
    assert f"one: not matched ({note})" in result.stdout
    assert "  yes  source begins with '/b': found \"/b\"" in result.stdout


def test_the_problems_of_an_event_are_listed(tmp_path: Path) -> None:
    result = explained(tmp_path, '{"specversion": "1.0", "id": "1", "source": ""}')
    assert result.exit_code == 2
    assert "/source" in result.stderr
    assert "/type" in result.stderr
