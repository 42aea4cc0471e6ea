"""The configuration file, its location, and the environment."""

import sys
from pathlib import Path
from typing import NoReturn

import pytest

from pacifica.dispatcher.applications.command_template import CommandTemplate
from pacifica.dispatcher.config import load
from pacifica.dispatcher.errors import SettingsError
from tests.unit.config.reading import SECRET, application, read, refused


class TestFile:
    """Syntax of the file."""

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            pytest.param(
                "[server]\nport = 1\nport = 2\n", "line 3 server port", id="a duplicate key"
            ),
            pytest.param(
                "[server]\n[celery]\n[server]\n", "line 3 server", id="a duplicate section"
            ),
            pytest.param("[server]\nport\n", "line 2", id="no value"),
            pytest.param("[server]\nport : 1\n", "line 2", id="a colon"),
            pytest.param("[server]\n= 1\n", "line 2", id="no key"),
            pytest.param("port = 1\n", "line 1 section", id="no section"),
            pytest.param("[server\nport = 1\n", "line 1 section", id="an unclosed bracket"),
            pytest.param("[]\nport = 1\n", "line 1 section", id="a section without a name"),
        ],
    )
    def test_syntax_errors_are_rejected_with_their_location(self, text: str, words: str) -> None:
        problems = refused(text)
        [(where, what)] = problems.items()
        for word in words.split():
            assert word in f"{where} {what}"

    @pytest.mark.parametrize("body", [b"[server]\n; \xff\n", "[server]".encode("utf-16")])
    def test_a_file_that_is_not_utf_8_is_rejected(self, body: bytes) -> None:
        Path("a.ini").write_bytes(body)
        with pytest.raises(SettingsError, match=r"^a\.ini: is not valid UTF-8 at byte \d+$"):
            load(Path("a.ini"), {})

    @pytest.mark.parametrize(
        "body",
        [
            pytest.param(b"[server]\r\nport = 1\r\n", id="Windows line endings"),
            pytest.param(b"\xef\xbb\xbf[server]\nport = 1\n", id="byte order mark"),
            pytest.param(b"[server]\nport = 1", id="no final line ending"),
            pytest.param(b" [server]\n port = 1\n", id="indented"),
            pytest.param(b"[server] ; a comment\nport=1 ; another\n", id="trailing comments"),
            pytest.param(b"; a\n# b\n[server]\n  ; c\nport = 1\n# d\n", id="comment lines"),
        ],
    )
    def test_equivalent_notations(self, body: bytes) -> None:
        Path("a.ini").write_bytes(body)
        assert load(Path("a.ini"), {}).server.port == 1

    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("a ; b", "a"),
            ("a;b", "a;b"),
            ("a # b", "a # b"),
            ("100%", "100%"),
            ("%(x)s ${x}", "%(x)s ${x}"),
            ('"a"', '"a"'),
            ("a = b", "a = b"),
            ("a: b", "a: b"),
        ],
    )
    def test_a_value_ends_at_a_comment_and_is_literal(self, text: str, value: str) -> None:
        assert application(f"command = true\nenv.A = {text}").environment == {"A": value}

    def test_a_command_may_have_several_lines(self) -> None:
        target = application("command = echo a\n  {id}\ntimeout = 1s").target
        assert target == CommandTemplate.parse("echo a {id}")


class TestLocation:
    """Location of the file."""

    def test_the_search_order(self, folder: Path, tmp_path: Path) -> None:
        paths = [
            folder / "explicit.ini",
            folder / "named.ini",
            folder / "config.ini",
            tmp_path / "home" / ".pacifica-dispatcher" / "config.ini",
        ]
        paths[-1].parent.mkdir(parents=True)
        for number, path in enumerate(paths, start=1):
            path.write_text(f"[server]\nport = {number}\n", encoding="utf-8")
        named = {"DISPATCHER_CONFIG": "named.ini"}
        assert load(Path("explicit.ini"), named).server.port == 1
        assert load(None, named).server.port == 2
        assert load(None, {"DISPATCHER_CONFIG": ""}).server.port == 3
        paths[2].unlink()
        assert load(None, {}).server.port == 4
        paths[3].unlink()
        assert load(None, {}).server.port == 8069

    def test_the_defaults_apply_without_a_file(self, folder: Path) -> None:
        settings = load(None, {})
        assert settings.file is None
        assert settings.home == folder

    @pytest.mark.skipif(sys.platform == "win32", reason="users are looked up in another way")
    def test_no_home_directory_is_needed(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def unknown(_: int) -> NoReturn:
            raise KeyError

        monkeypatch.delenv("HOME")
        monkeypatch.setattr("pwd.getpwuid", unknown)
        assert load(None, {}).home == folder

    @pytest.mark.parametrize("name", ["missing.ini", "."])
    def test_an_explicit_file_must_be_readable(self, name: str) -> None:
        Path("config.ini").write_text("", encoding="utf-8")
        for file, environment in ((Path(name), {}), (None, {"DISPATCHER_CONFIG": name})):
            with pytest.raises(SettingsError) as caught:
                load(file, environment)
            [problem] = caught.value.problems
            assert problem.where == name
            assert problem.what.startswith("cannot be read: ")

    @pytest.mark.parametrize(
        ("program", "found"),
        [
            ("./run.sh", "conf/run.sh"),
            ("bin/run.sh", "conf/bin/run.sh"),
            ("../run.sh", "conf/../run.sh"),
            ("run.sh", None),
            ("/bin/run.sh", "/bin/run.sh"),
        ],
    )
    @pytest.mark.parametrize("absolute", [True, False], ids=["absolute", "relative"])
    def test_a_relative_program_refers_to_the_directory_of_the_configuration(
        self, folder: Path, program: str, found: str | None, *, absolute: bool
    ) -> None:
        file = Path("conf", "a.ini")
        file.parent.mkdir()
        file.write_text(f"[application:one]\ncommand = {program} ./a\n", encoding="utf-8")
        settings = load(file.absolute() if absolute else file, {})
        assert settings.home == folder / "conf"
        target = settings.applications["one"].target
        assert isinstance(target, CommandTemplate)
        assert target.program == (str(folder / found) if found else program)
        assert target.arguments == CommandTemplate.parse("x ./a").arguments


class TestEnvironment:
    """BROKER_URL and PEEWEE_URL."""

    FILE = "[database]\npeewee_url = sqlite:///file.db\n[celery]\nbroker_url = redis://file\n"

    def test_the_environment_overrides_the_file(self) -> None:
        environment = {"PEEWEE_URL": "sqliteext:///env.db", "BROKER_URL": "redis://env"}
        settings = read(self.FILE, environment)
        assert settings.database.peewee_url == "sqlite:///env.db"
        assert settings.celery.broker_url == "redis://env"

    @pytest.mark.parametrize("environment", [{}, {"PEEWEE_URL": "", "BROKER_URL": ""}])
    def test_empty_variables_override_nothing(self, environment: dict[str, str]) -> None:
        settings = read(self.FILE, environment)
        assert settings.database.peewee_url == "sqlite:///file.db"
        assert settings.celery.broker_url == "redis://file"

    def test_other_keys_of_the_section_are_kept(self) -> None:
        text = "[database]\nconnect_attempts = 3\n[celery]\nqueue = a\n"
        settings = read(text, {"PEEWEE_URL": "sqlite:///env.db", "BROKER_URL": "redis://env"})
        assert (settings.database.connect_attempts, settings.celery.queue) == (3, "a")


@pytest.mark.parametrize(
    ("text", "environment"),
    [
        pytest.param(f"[celery]\nbroker_url = http://a:{SECRET}@h\n", {}, id="scheme"),
        pytest.param(f"[database]\npeewee_url = a:{SECRET}@h/d\n", {}, id="no scheme"),
        pytest.param(f"[database]\npeewee_url = mysql://a:{SECRET}@[h/d\n", {}, id="bracket"),
        pytest.param(f"[database]\npeewee_url = mysql://a:{SECRET}\u2100@h/d\n", {}, id="NFKC"),
        pytest.param("", {"BROKER_URL": f"http://a:{SECRET}@h"}, id="BROKER_URL"),
        pytest.param("", {"PEEWEE_URL": f"a:{SECRET}@h"}, id="PEEWEE_URL"),
        pytest.param(f"[celery]\nbroker_url redis://a:{SECRET}@h\n", {}, id="no ="),
        pytest.param(f"[celery]\nbroker_url: redis://a:{SECRET}@h\n", {}, id="colon"),
        pytest.param(
            f"[database]\npeewee_url: mysql://a:{SECRET}@h/d?x=1\n", {}, id="colon before ="
        ),
        pytest.param(f"broker_url = redis://a:{SECRET}@h\n", {}, id="no section"),
        pytest.param(
            f"[celery]\nbroker_url = redis://h\nbroker_url = redis://a:{SECRET}@h\n",
            {},
            id="duplicate",
        ),
        pytest.param(
            f"[celery]\nqueue = a\n  broker_url = redis://a:{SECRET}@h\n", {}, id="indented"
        ),
    ],
)
def test_no_message_contains_a_password(text: str, environment: dict[str, str]) -> None:
    with pytest.raises(SettingsError) as caught:
        read(text, environment)
    assert SECRET not in str(caught.value)
