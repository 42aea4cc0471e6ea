"""The INI file and the environment: what is read, and what is said of what cannot be."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

import pytest

from pacifica.dispatcher.adapters import KINDS, Templates, adapter
from pacifica.dispatcher.adapters.templates import templates
from pacifica.dispatcher.applications import BUILT_IN, Application, Handler, Keep, Rate, Retry
from pacifica.dispatcher.command import Argument, Command, Placeholder
from pacifica.dispatcher.config import (
    ADAPTER_KEYS,
    APPLICATION_KEYS,
    CelerySettings,
    DatabaseSettings,
    ServerSettings,
    Settings,
    WebhookSettings,
    WorkerSettings,
    load,
)
from pacifica.dispatcher.errors import ConfigError
from pacifica.dispatcher.filters import All, Any, Exact, JsonPath, Not, Prefix, Sql, Suffix

SECTIONS = {
    "database": DatabaseSettings,
    "celery": CelerySettings,
    "server": ServerSettings,
    "worker": WorkerSettings,
    "webhook": WebhookSettings,
}
APPLICATION = "[application:one]\ncommand = true\n"
SECRET = "s3cr-t"  # noqa: S105 - it is none, and must never be shown


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, and an empty home."""
    folder = tmp_path / "folder"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(tmp_path / "home"))
    return folder


def read(text: str, environment: Mapping[str, str] | None = None) -> Settings:
    """The settings of a file a.ini with this text."""
    Path("a.ini").write_text(text, encoding="utf-8")
    return load(Path("a.ini"), environment or {})


def application(text: str) -> Application:
    """The application `one`, with this text in its section."""
    return read(f"[application:one]\n{text}\n").applications["one"]


def refused(text: str, environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """What is wrong with a file: sentences by places."""
    with pytest.raises(ConfigError) as caught:
        read(text, environment)
    assert str(caught.value) == "\n".join(map(str, caught.value.problems))
    return {each.where: each.what for each in caught.value.problems}


class TestDefaults:
    """Nothing is configured."""

    @pytest.mark.parametrize("text", ["", "\n", "; a comment\n# another\n", "[server]\n"])
    def test_an_empty_file_is_fine(self, text: str) -> None:
        settings = read(text)
        assert settings.database == DatabaseSettings("sqlite:///db.sqlite3", 10, 20.0)
        assert settings.celery == CelerySettings("pyamqp://guest:guest@127.0.0.1:5672//", "default")
        assert settings.server == ServerSettings("127.0.0.1", 8069, 10, 50, 1024**2)
        assert settings.worker == WorkerSettings(Path("runs"), 30.0, 15.0)
        assert settings.webhook == WebhookSettings(frozenset(), "*", frozenset())

    def test_the_built_in_applications_are_there(self) -> None:
        assert read("").applications == {each.name: each for each in BUILT_IN}

    def test_an_application_has_defaults(self) -> None:
        assert application("command = true") == Application(
            name="one",
            way=Command("true", ()),
            rule=(),
            dispatch=False,
            environment={},
            timeout=None,
            kill_after=10.0,
            keep=Keep.FAILED,
            max_output=1024**2,
            retry=Retry(retries=0, delay=10.0, delay_max=3600.0, exit_codes=frozenset()),
            max_crashes=3,
            concurrency=None,
            concurrency_key=None,
            rate=None,
            priority=5,
            queue="",
        )


VALUES = [
    ("database", "peewee_url", "sqlite:///a.db", "sqlite:///a.db"),
    ("database", "peewee_url", "sqliteext:///a.db", "sqlite:///a.db"),
    ("database", "peewee_url", "postgresql://a:b%2F@h:1/d", "postgresql://a:b%2F@h:1/d"),
    ("database", "peewee_url", "mysql://a@h/d", "mysql://a@h/d"),
    ("database", "connect_attempts", "1", 1),
    ("database", "connect_attempts", "007", 7),
    ("database", "connect_wait", "0", 0.0),
    ("database", "connect_wait", "20", 20.0),
    ("database", "connect_wait", "500ms", 0.5),
    ("database", "connect_wait", "1.5 s", 1.5),
    ("database", "connect_wait", "5m", 300.0),
    ("database", "connect_wait", "1 h", 3600.0),
    ("database", "connect_wait", "2d", 172800.0),
    ("celery", "broker_url", "amqp://a:b@h:1//", "amqp://a:b@h:1//"),
    ("celery", "broker_url", "redis://:b@h:6379/0", "redis://:b@h:6379/0"),
    ("celery", "broker_url", "rediss://h", "rediss://h"),
    ("celery", "broker_url", "redis+socket:///run/redis.sock", "redis+socket:///run/redis.sock"),
    ("celery", "broker_url", "filesystem:///broker", "filesystem:///broker"),
    ("celery", "broker_url", "filesystem://localhost/a/b", "filesystem://localhost/a/b"),
    ("celery", "queue", "gpu-host_1.x", "gpu-host_1.x"),
    ("server", "address", "0.0.0.0", "0.0.0.0"),  # noqa: S104 - read, not listened on
    ("server", "address", "::1", "::1"),
    ("server", "port", "65535", 65535),
    ("server", "threads", "1", 1),
    ("server", "threads", "1000", 1000),
    ("server", "streams", "0", 0),
    ("server", "streams", "1000", 1000),
    ("server", "max_event_size", "65536", 64 * 1024),
    ("server", "max_event_size", "64 KiB", 64 * 1024),
    ("server", "max_event_size", "100000B", 100_000),
    ("server", "max_event_size", "1.5MiB", 3 * 512 * 1024),
    ("server", "max_event_size", "100 KB", 100_000),
    ("server", "max_event_size", "2 MB", 2_000_000),
    ("server", "max_event_size", "2 GB", 2_000_000_000),
    ("server", "max_event_size", "1 TiB", 1024**4),
    ("worker", "directory", "/var/runs", Path("/var/runs")),
    ("worker", "directory", "a b", Path("a b")),
    ("worker", "stop_grace", "0", 0.0),
    ("worker", "stop_grace", "10m", 600.0),
    ("worker", "lease", "5", 5.0),
    ("worker", "lease", "1m", 60.0),
    ("worker", "lease", "10m", 600.0),
    ("webhook", "allowed_origins", "*", frozenset("*")),
    ("webhook", "allowed_origins", "a.org B.org, c", frozenset({"a.org", "B.org", "c"})),
    ("webhook", "rate", "*", "*"),
    ("webhook", "rate", "0120", "120"),
    ("webhook", "callback_hosts", "A.org:443, b-1.org", frozenset({"a.org", "b-1.org"})),
    ("webhook", "callback_hosts", "a.org:553", frozenset({"a.org:553"})),
]

APPLICATION_VALUES = [
    ("dispatch", "yes", True),
    ("dispatch", "No", False),
    ("dispatch", "true", True),
    ("dispatch", "off", False),
    ("timeout", "1h", 3600.0),
    ("timeout", "1ms", 0.001),
    ("kill_after", "0", 0.0),
    ("kill_after", "1.5s", 1.5),
    ("keep", "failed", Keep.FAILED),
    ("keep", "always", Keep.ALWAYS),
    ("keep", "never", Keep.NEVER),
    ("max_output", "1 KiB", 1024),
    ("max_output", "10 MiB", 10 * 1024**2),
    ("max_crashes", "1", 1),
    ("max_crashes", "1000000", 1_000_000),
    ("concurrency", "1", 1),
    ("concurrency", "1000000", 1_000_000),
    ("concurrency_key", "{source}", Argument((Placeholder("source"),))),
    ("concurrency_key", "a {data.b.0}", Argument(("a ", Placeholder("data.b.0")))),
    ("concurrency_key", "{{}}", Argument(("{", "}"))),
    ("rate", "10/s", Rate(10, 1.0)),
    ("rate", "1 / m", Rate(1, 60.0)),
    ("rate", "999999/h", Rate(999_999, 3600.0)),
    ("rate", "2/d", Rate(2, 86400.0)),
    ("priority", "0", 0),
    ("priority", "9", 9),
    ("queue", "gpu-host_1.x", "gpu-host_1.x"),
]

RETRY_VALUES = [
    ("retries", "0", Retry(retries=0)),
    ("retries", "1000000", Retry(retries=1_000_000)),
    ("retry_delay", "0", Retry(delay=0.0)),
    ("retry_delay", "500ms", Retry(delay=0.5)),
    ("retry_delay_max", "1d", Retry(delay_max=86400.0)),
    ("retry_exit_codes", "75", Retry(exit_codes=frozenset({75}))),
    ("retry_exit_codes", "1 255", Retry(exit_codes=frozenset({1, 255}))),
    ("retry_exit_codes", "1, 2,3", Retry(exit_codes=frozenset({1, 2, 3}))),
    ("retry_exit_codes", "7 7", Retry(exit_codes=frozenset({7}))),
]

RULE_VALUES = [
    ("sql", "type = 'a' AND EXISTS b", (Sql.parse("type = 'a' AND EXISTS b"),)),
    ("sql", "type = 'a'\n  OR type = 'b'", (Sql.parse("type = 'a'\nOR type = 'b'"),)),
    ("jsonpath", "$.data[?@.a == 'b']", (JsonPath.parse("$.data[?@.a == 'b']"),)),
    ("jsonpath", "$.data\n  .a", (JsonPath.parse("$.data\n.a"),)),
    ("filters", "[]", ()),
    ("filters", '[{"exact": {"type": "a"}}]', (Exact("type", "a"),)),
    (
        "filters",
        '[{"any": [\n  {"prefix": {"a": "1"}}, {"not": {"cesql": "TRUE"}}\n  ]}]',
        (Any((Prefix("a", "1"), Not(Sql.parse("TRUE")))),),
    ),
    (
        "filters",
        '[{"all": [{"exact": {"a": "1", "b": "2"}}]}]',
        (All((All((Exact("a", "1"), Exact("b", "2"))),)),),
    ),
]


class TestValues:
    """What each key takes."""

    @pytest.mark.parametrize(("section", "key", "text", "value"), VALUES)
    def test_of_a_section(self, section: str, key: str, text: str, value: object) -> None:
        found = getattr(getattr(read(f"[{section}]\n{key} = {text}\n"), section), key)
        assert (type(found), found) == (type(value), value)

    @pytest.mark.parametrize(("key", "text", "value"), APPLICATION_VALUES)
    def test_of_an_application(self, key: str, text: str, value: object) -> None:
        found = getattr(application(f"command = true\n{key} = {text}"), key)
        assert (type(found), found) == (type(value), value)

    @pytest.mark.parametrize(("key", "text", "rule"), RULE_VALUES)
    def test_of_a_rule(self, key: str, text: str, rule: tuple[object, ...]) -> None:
        assert application(f"command = true\n{key} = {text}").rule == rule

    @pytest.mark.parametrize(("key", "text", "retry"), RETRY_VALUES)
    def test_of_retries(self, key: str, text: str, retry: Retry) -> None:
        assert application(f"command = true\n{key} = {text}").retry == retry

    def test_retries_have_all_their_settings(self) -> None:
        text = "retries = 3\nretry_delay = 1s\nretry_delay_max = 1m\nretry_exit_codes = 75"
        retry = application(f"command = true\n{text}").retry
        assert retry == Retry(3, 1.0, 60.0, frozenset({75}))

    @pytest.mark.parametrize(
        ("text", "concurrency"),
        [
            pytest.param("", None, id="neither"),
            pytest.param("concurrency = 3", 3, id="concurrency alone"),
            pytest.param("concurrency_key = {source}", 1, id="a key alone"),
            pytest.param("concurrency_key = {source}\nconcurrency = 3", 3, id="both"),
            pytest.param("concurrency = 3\nconcurrency_key = {source}", 3, id="both, reversed"),
        ],
    )
    def test_a_concurrency_key_alone_means_one_at_a_time(
        self, text: str, concurrency: int | None
    ) -> None:
        assert application(f"command = true\n{text}").concurrency == concurrency

    def test_every_key_of_an_application_is_tried(self) -> None:
        tables = [*APPLICATION_VALUES, *RETRY_VALUES, *RULE_VALUES]
        tried = {key for key, *_ in tables} | {"command", "handler"}
        assert tried == {*APPLICATION_KEYS}
        assert {key for key, *_ in BAD_APPLICATION_VALUES} >= {*APPLICATION_KEYS}

    def test_every_key_is_tried(self) -> None:
        keys = {(name, each.name) for name, kind in SECTIONS.items() for each in fields(kind)}
        assert {(section, key) for section, key, *_ in VALUES} == keys
        assert {(section, key) for section, key, *_ in BAD_VALUES} == keys

    def test_a_command(self) -> None:
        way = application("command = sha256sum -- '{data.path}'").way
        assert way == Command.parse("sha256sum -- {data.path}")

    @pytest.mark.parametrize("text", ["module:name", "package.inner_2.module:Name", "ä:Ö"])
    def test_a_handler(self, text: str) -> None:
        module, _, name = text.partition(":")
        assert application(f"handler = {text}").way == Handler(module, name)

    def test_a_rule_has_every_line(self) -> None:
        lines = "exact.type = a = b\nprefix.source = http://x/\nsuffix.subject = .raw\nexact.x1 = 1"
        assert application(f"command = true\n{lines}").rule == (
            Exact("type", "a = b"),
            Prefix("source", "http://x/"),
            Suffix("subject", ".raw"),
            Exact("x1", "1"),
        )

    def test_the_lines_of_a_rule_are_tried_from_the_cheapest_on(self) -> None:
        lines = [
            'filters = [{"any": [{"exact": {"a": "1"}}, {"exact": {"a": "2"}}]}]',
            "jsonpath = $.data",
            "sql = TRUE",
            "suffix.type = a",
        ]
        text = "\n".join(["command = true", *lines])
        names = [type(each).__name__ for each in application(text).rule]
        assert names == ["Suffix", "Any", "Sql", "JsonPath"]

    def test_variables(self) -> None:
        lines = "env.PATH = /bin:/usr/bin\nenv._a1 =\nenv.Ce_x = 100%"
        environment = {"PATH": "/bin:/usr/bin", "_a1": "", "Ce_x": "100%"}
        assert application(f"command = true\n{lines}").environment == environment

    @pytest.mark.parametrize("name", ["a", "A-b_c.9", "a" * 100])
    def test_an_applications_name(self, name: str) -> None:
        applications = read(f"[application:{name}]\ncommand = true\n").applications
        assert [*applications] == ["add", "mul", name]

    def test_applications_keep_their_order(self) -> None:
        text = "".join(f"[application:{name}]\ncommand = true\n" for name in ("z", "a", "A"))
        assert [*read(text).applications] == ["add", "mul", "z", "a", "A"]

    def test_a_section_replaces_a_built_in_application(self) -> None:
        applications = read("[application:add]\ncommand = true\n").applications
        assert applications["add"].way == Command("true", ())
        assert [*applications] == ["add", "mul"]


WHOLE_NUMBER = "must be a whole number from "
DURATION = "must be a duration such as 500ms, 10s, 5m, 1h or 2d, not "
SIZE = "must be a size such as 512 KiB, 1 MiB or 2 GB, not "
ENDLESS = "9" * 400

BAD_VALUES = [
    ("database", "peewee_url", "", "must be a URL such as"),
    ("database", "peewee_url", "db.sqlite3", "must be a URL such as"),
    ("database", "peewee_url", "sqlite:db.sqlite3", "must be a URL such as"),
    ("database", "peewee_url", "postgresql://[::1/d", "is no URL"),
    ("database", "peewee_url", "postgersql://a@h/d", "must be a URL"),
    ("database", "peewee_url", "sqlite:///a.db\n  connect_wait = 1", "in the next line"),
    ("database", "connect_attempts", "0", f"{WHOLE_NUMBER}1 to 1000000, not '0'"),
    ("database", "connect_attempts", "", WHOLE_NUMBER),
    ("database", "connect_attempts", "1.5", WHOLE_NUMBER),
    ("database", "connect_attempts", "ten", WHOLE_NUMBER),
    ("database", "connect_attempts", "9" * 5000, WHOLE_NUMBER),
    ("database", "connect_wait", "", DURATION),
    ("database", "connect_wait", "-1s", f"{DURATION}'-1s'"),
    ("database", "connect_wait", "1H", DURATION),
    ("database", "connect_wait", "1w", DURATION),
    ("database", "connect_wait", "1e3", DURATION),
    ("database", "connect_wait", "1h 5m", DURATION),
    ("database", "connect_wait", ".5s", DURATION),
    ("database", "connect_wait", "nan", DURATION),
    ("database", "connect_wait", "\u0661s", DURATION),
    ("database", "connect_wait", ENDLESS, "must be"),
    ("celery", "broker_url", "", "must be a URL that begins with one of amqp, "),
    ("celery", "broker_url", "redis", "must be a URL that begins with"),
    ("celery", "broker_url", "redis:h", "must be a URL that begins with"),
    ("celery", "broker_url", "http://h", "must be a URL that begins with"),
    ("celery", "broker_url", "memory://", "must be a URL that begins with"),
    ("celery", "broker_url", "redis://[::1", "is no URL"),
    ("celery", "broker_url", "filesystem://", "names no folder; write filesystem:///folder"),
    ("celery", "broker_url", "filesystem:///", "names no folder; write filesystem:///folder"),
    ("celery", "broker_url", "redis://h\n  queue = a", "in the next line"),
    ("celery", "queue", "", "must be 1 to 100 letters, digits, "),
    ("celery", "queue", "a b", "not 'a b'"),
    ("celery", "queue", "a" * 101, "must be 1 to 100 letters"),
    ("server", "address", "", "must not be empty"),
    ("server", "port", "", WHOLE_NUMBER),
    ("server", "port", "-1", f"{WHOLE_NUMBER}1 to 65535, not '-1'"),
    ("server", "port", "65536", WHOLE_NUMBER),
    ("server", "port", "\uff18\uff10", WHOLE_NUMBER),
    ("server", "port", "8069;x", WHOLE_NUMBER),
    ("server", "threads", "0", f"{WHOLE_NUMBER}1 to 1000, not '0'"),
    ("server", "threads", "1001", WHOLE_NUMBER),
    ("server", "streams", "1001", WHOLE_NUMBER),
    ("server", "max_event_size", "", SIZE),
    ("server", "max_event_size", "63 KiB", "must be at least 64 KiB"),
    ("server", "max_event_size", "1mib", f"{SIZE}'1mib'"),
    ("server", "max_event_size", "1 M", SIZE),
    ("server", "max_event_size", "-1 MiB", SIZE),
    ("server", "max_event_size", "1 MiB each", SIZE),
    ("server", "max_event_size", ENDLESS, "must be"),
    ("worker", "directory", "", "must not be empty"),
    ("worker", "stop_grace", "soon", f"{DURATION}'soon'"),
    ("worker", "stop_grace", ENDLESS, "must be"),
    ("worker", "lease", "", DURATION),
    ("worker", "lease", "4999ms", "must be from 5 s to 10 minutes"),
    ("worker", "lease", "0", "must be from 5 s to 10 minutes"),
    ("worker", "lease", "601", "must be from 5 s to 10 minutes"),
    ("worker", "lease", "1h", "must be from 5 s to 10 minutes"),
    ("worker", "lease", "-5", DURATION),
    ("webhook", "allowed_origins", "", "must not be empty"),
    ("webhook", "allowed_origins", "caf\u00e9.org", "must be names"),
    ("webhook", "rate", "", WHOLE_NUMBER),
    ("webhook", "rate", "0", f"{WHOLE_NUMBER}1 to 999999999"),
    ("webhook", "rate", "10/m", WHOLE_NUMBER),
    ("webhook", "callback_hosts", "", "must not be empty"),
    ("webhook", "callback_hosts", "*", "must be hosts"),
    ("webhook", "callback_hosts", "https://a.org", "must be hosts"),
    ("webhook", "callback_hosts", "user@a.org", "must be hosts"),
    ("worker", "directory", "~nobody-here/a", "begins with '~nobody-here', and there is no such"),
]

BAD_APPLICATION_VALUES = [
    ("command", "", "is no command: it names no program"),
    ("command", "~nobody-here/a", "begins with '~nobody-here', and there is no such home"),
    ("command", "echo 'a", "is no command: No closing quotation (a ; after a space begins a "),
    ("command", "echo 'a ; b'", "(a ; after a space begins a comment)"),
    ("command", "{id} a", "is no command: the program itself may not come from the event"),
    ("command", "echo {Id}", "is no command: {Id} names no attribute"),
    ("command", "echo {", "is no command: a brace stands alone"),
    ("handler", "", "must be package.module:Name, not ''"),
    ("handler", "module", "must be package.module:Name, not 'module'"),
    ("handler", "module:a.b", "must be package.module:Name"),
    ("handler", "a-b:c", "must be package.module:Name"),
    ("handler", ".module:c", "must be package.module:Name"),
    ("handler", "folder/module.py:c", "must be package.module:Name"),
    ("dispatch", "maybe", "must be yes or no, not 'maybe'"),
    ("dispatch", "", "must be yes or no, not ''"),
    ("timeout", "0", "must be longer than nothing"),
    ("timeout", "", DURATION),
    ("timeout", ENDLESS, "must be"),
    ("kill_after", "-1s", DURATION),
    ("keep", "Always", "must be failed, always or never, not 'Always'"),
    ("keep", "", "must be failed, always or never, not ''"),
    ("max_output", "much", f"{SIZE}'much'"),
    ("max_output", ENDLESS, "must be"),
    ("retries", "", WHOLE_NUMBER),
    ("retries", "-1", f"{WHOLE_NUMBER}0 to 1000000, not '-1'"),
    ("retries", "1000001", WHOLE_NUMBER),
    ("retry_delay", "", DURATION),
    ("retry_delay", "-1s", DURATION),
    ("retry_delay", ENDLESS, "must be"),
    ("retry_delay_max", "for ever", f"{DURATION}'for ever'"),
    ("retry_exit_codes", "0", f"{WHOLE_NUMBER}1 to 255, not '0'"),
    ("retry_exit_codes", "1 256", f"{WHOLE_NUMBER}1 to 255, not '256'"),
    ("retry_exit_codes", "1-3", f"{WHOLE_NUMBER}1 to 255, not '1-3'"),
    ("retry_exit_codes", "-1", WHOLE_NUMBER),
    ("retry_exit_codes", "SIGKILL", WHOLE_NUMBER),
    ("max_crashes", "0", f"{WHOLE_NUMBER}1 to 1000000, not '0'"),
    ("max_crashes", "", WHOLE_NUMBER),
    ("concurrency", "0", f"{WHOLE_NUMBER}1 to 1000000, not '0'"),
    ("concurrency", "many", WHOLE_NUMBER),
    ("concurrency_key", "", "must not be empty"),
    ("concurrency_key", "{", "cannot be used: a brace stands alone at 1"),
    ("concurrency_key", "{Id}", "cannot be used: {Id} names no attribute"),
    ("concurrency_key", "{data.}", "cannot be used: {data.} names no attribute"),
    ("rate", "", "must be a number for each s, m, h or d, such as 10/m, not ''"),
    ("rate", "10", "must be a number for each"),
    ("rate", "0/s", "must be a number for each"),
    ("rate", "-1/s", "must be a number for each"),
    ("rate", "1.5/s", "must be a number for each"),
    ("rate", "1/w", "must be a number for each"),
    ("rate", "1/10s", "must be a number for each"),
    ("rate", "1000000/s", "must be a number for each"),
    ("rate", "\u0661/s", "must be a number for each"),
    ("rate", "9" * 5000 + "/s", "must be a number for each"),
    ("priority", "", WHOLE_NUMBER),
    ("priority", "10", f"{WHOLE_NUMBER}0 to 9, not '10'"),
    ("priority", "-1", WHOLE_NUMBER),
    ("priority", "high", WHOLE_NUMBER),
    ("queue", "", "must be 1 to 100 letters, digits, "),
    ("queue", "a b", "not 'a b'"),
    ("sql", "", "must not be empty"),
    ("sql", "type =", "is no CESQL expression: at character 7 must be a value"),
    ("sql", "NOSUCH(type)", "is no CESQL expression: NOSUCH is no function; there are INT, "),
    ("sql", "type = 'a ; b'", "is not closed (a ; after a space begins a comment)"),
    ("jsonpath", "", "must not be empty"),
    ("jsonpath", "data", "is no JSONPath by RFC 9535: expected '$', found 'd'"),
    ("jsonpath", '$[?(@["eventType"] = "a")]', 'write instead: $[?$.type == "a"]'),
    ("filters", "", "is not JSON"),
    ("filters", "{}", 'must be a list such as [{"exact": {"type": "…"}}]'),
    ("exact.type", "", "must not be empty"),
    ("exact.Type", "a", "an attribute's name has only lower-case letters and digits"),
    ("prefix.", "a", "an attribute's name has only lower-case letters and digits"),
    ("suffix.a.b", "a", "an attribute's name has only lower-case letters and digits"),
    ("exact.data", "a", "attribute"),
    ("env.", "a", "a variable's name has letters, digits and underscores"),
    ("env.1A", "a", "a variable's name has letters, digits and underscores"),
    ("env.A-B", "a", "a variable's name has letters, digits and underscores"),
    ("env.CE_ID", "a", "names that begin with CE_ or DISPATCHER_ are the dispatcher's"),
    ("env.DISPATCHER_RUN", "a", "names that begin with CE_ or DISPATCHER_ are the dispatcher's"),
    ("env.A", "a\0b", "NUL"),
]


class TestBadValues:
    """What each key refuses, and that the message names the place."""

    @pytest.mark.parametrize(
        ("section", "key", "text", "message"), BAD_VALUES, ids=lambda text: text[:30]
    )
    def test_of_a_section(self, section: str, key: str, text: str, message: str) -> None:
        problems = refused(f"[{section}]\n{key} = {text}\n")
        assert [*problems] == [f"a.ini: [{section}] {key}"]
        assert message in problems[f"a.ini: [{section}] {key}"]

    @pytest.mark.parametrize(
        ("key", "text", "message"), BAD_APPLICATION_VALUES, ids=lambda text: text[:30]
    )
    def test_of_an_application(self, key: str, text: str, message: str) -> None:
        way = "" if key in {"command", "handler"} else "command = true\n"
        problems = refused(f"[application:one]\n{way}{key} = {text}\n")
        assert [*problems] == [f"a.ini: [application:one] {key}"]
        assert message in problems[f"a.ini: [application:one] {key}"]

    @pytest.mark.parametrize(
        "text",
        ["", "exact.type = a\n", "command = true\nhandler = a:b\n"],
        ids=["neither", "a rule only", "both"],
    )
    def test_an_application_has_a_command_or_a_handler(self, text: str) -> None:
        problems = refused(f"[application:one]\n{text}")
        assert problems == {
            "a.ini: [application:one]": "needs a command or a handler, and not both"
        }

    @pytest.mark.parametrize("name", ["", "a b", "a/b", " a", "ä", "a" * 101, ".", ".."])
    def test_an_applications_name_can_stand_in_an_address(self, name: str) -> None:
        problems = refused(f"[application:{name}]\ncommand = true\n")
        assert [*problems] == [f"a.ini: [application:{name}]"]
        assert "must be 1 to 100 letters" in problems[f"a.ini: [application:{name}]"]

    @pytest.mark.parametrize(
        ("section", "key", "nearest"),
        [
            ("database", "peewee_ur", "peewee_url"),
            ("celery", "broker", "broker_url"),
            ("server", "Port", "port"),
            ("server", "prot", "port"),
            ("server", "maxeventsize", "max_event_size"),
            ("worker", "dir", "directory"),
            ("application:one", "comand", "command"),
            ("application:one", "time_out", "timeout"),
            ("application:one", "exat.type", "exact.NAME"),
            ("application:one", "envPATH", "env.NAME"),
            ("application:one", "retry_exit_code", "retry_exit_codes"),
            ("application:one", "max_crash", "max_crashes"),
            ("worker", "leases", "lease"),
            ("adapter:one", "secrets", "secret"),
            ("adapter:one", "tipe", "type"),
            ("application:one", "exact", "exact.NAME"),
            ("application:one", "perfix.type", "prefix.NAME"),
            ("application:one", "not_a.dialect", "exact.NAME"),
            ("worker", "lease.length", "lease"),
        ],
    )
    def test_an_unknown_key_is_told_the_nearest(self, section: str, key: str, nearest: str) -> None:
        needed = {
            "application:one": "command = true\n",
            "adapter:one": "kind = s3\nsecret = none\n",
        }
        problems = refused(f"[{section}]\n{needed.get(section, '')}{key} = 1\n")
        assert problems == {f"a.ini: [{section}] {key}": f"is not known; did you mean {nearest}?"}

    @pytest.mark.parametrize("key", ["all", "any", "not", "not.type"])
    def test_a_dialect_of_filters_stands_in_json_only(self, key: str) -> None:
        problems = refused(f"[application:one]\ncommand = true\n{key} = a\n")
        what = f'stands in JSON only: filters = [{{"{key.removesuffix(".type")}": …}}]'
        assert problems == {f"a.ini: [application:one] {key}": what}

    @pytest.mark.parametrize(
        ("section", "nearest"),
        [
            ("srever", "server"),
            ("Database", "database"),
            (" celery ", "celery"),
            ("workers", "worker"),
            ("Application:a", "application:"),
            ("application", "application:"),
            ("adapters:a", "adapter:"),
        ],
    )
    def test_an_unknown_section_is_told_the_nearest(self, section: str, nearest: str) -> None:
        problems = refused(f"[{section}]\nport = 1\n")
        assert problems == {f"a.ini: [{section}]": f"is not known; did you mean {nearest}?"}

    def test_a_line_has_less_than_a_thousand_blanks_in_a_row(self) -> None:
        text = f"[server]\nport ={' ' * 999}1\n\naddress{chr(9) * 1000}= a\n"
        assert refused(text) == {"a.ini: line 4": "has a thousand blanks in a row"}

    def test_there_is_no_section_for_defaults(self) -> None:
        assert [*refused("[DEFAULT]\nport = 1\n")] == ["a.ini: [DEFAULT]"]

    def test_every_problem_in_filters_is_named_with_its_place(self) -> None:
        text = '[{"exact": {"type": ""}}, {"any": [{"sql": "("}, {"nosuch": "a"}]}]'
        problems = refused(f"[application:one]\ncommand = true\nfilters = {text}\n")
        assert [*problems] == [
            "a.ini: [application:one] filters /0/exact/type",
            "a.ini: [application:one] filters /1/any/0/sql",
            "a.ini: [application:one] filters /1/any/1/nosuch",
        ]

    def test_all_problems_are_named_at_once(self) -> None:
        text = """
            [server]
            port = high
            prot = 1
            [databse]
            [application:one]
            command = {id}
            timeout = 0
            [application:two]
            exact.type =
        """
        environment = {"BROKER_URL": "http://h", "PEEWEE_URL": "x"}
        assert set(refused(text, environment)) == {
            "a.ini: [server] port",
            "a.ini: [server] prot",
            "a.ini: [databse]",
            "a.ini: [application:one] command",
            "a.ini: [application:one] timeout",
            "a.ini: [application:two]",
            "a.ini: [application:two] exact.type",
            "environment: BROKER_URL",
            "environment: PEEWEE_URL",
        }


GENERIC = "kind = generic\nsecret = none\n"
TEMPLATES = "id = {data.id}\nsource = /a\ntype = t\n"


class TestAdapters:
    """Sections [adapter:NAME]."""

    @pytest.mark.parametrize("kind", [each for each in KINDS if each != "generic"])
    def test_a_kind_that_knows_its_sender(self, kind: str) -> None:
        adapters = read(f"[adapter:one]\nkind = {kind}\nsecret = {SECRET}\n").adapters
        assert adapters == {"one": adapter("one", kind, KINDS[kind](SECRET), None)}
        assert SECRET not in repr(adapters)

    def test_a_generic_one(self) -> None:
        text = f"{GENERIC}{TEMPLATES}subject = {{xname}}\ntime = {{data.at}}\n"
        found = read(f"[adapter:one]\n{text}").adapters["one"]
        expected = Templates(*map(templates, ("{data.id}", "/a", "t", "{xname}", "{data.at}")))
        assert (found.kind, found.scheme) == ("generic", None)
        assert getattr(found.read, "__self__", None) == expected

    @pytest.mark.parametrize("held", [SECRET, f" {SECRET}\n", f"{SECRET}\r\n"])
    def test_a_secret_in_a_file_beside_the_configuration(self, folder: Path, held: str) -> None:
        (folder / "secrets").mkdir()
        (folder / "secrets" / "one").write_text(held)
        adapters = read("[adapter:one]\nkind = s3\nsecret_file = secrets/one\n").adapters
        assert adapters["one"].scheme == KINDS["s3"](SECRET)

    def test_no_proof_is_wanted_only_where_that_is_said(self) -> None:
        assert read("[adapter:one]\nkind = s3\nsecret = none\n").adapters["one"].scheme is None
        Path("none").write_text("none")
        found = read("[adapter:one]\nkind = s3\nsecret_file = none\n").adapters["one"]
        assert found.scheme == KINDS["s3"]("none")

    @pytest.mark.parametrize(
        "text", ["", f"secret = {SECRET}\nsecret_file = a\n"], ids=["neither", "both"]
    )
    def test_there_is_one_secret(self, text: str) -> None:
        [(where, what)] = refused(f"[adapter:one]\nkind = s3\n{text}").items()
        assert where == "a.ini: [adapter:one]"
        assert "needs a secret or a secret_file, and not both; secret = none takes" in what

    @pytest.mark.parametrize(
        ("text", "key", "message"),
        [
            ("kind = ftp\nsecret = none\n", "kind", "must be one of github, gitlab, stripe, s3"),
            ("kind = s3\nsecret =\n", "secret", "must not be empty"),
            ("kind = gitlab\nsecret = whsec_?\n", "secret", "is no signing token"),
            ("kind = s3\nsecret_file =\n", "secret_file", "must not be empty"),
            ("kind = s3\nsecret_file = no\n", "secret_file", "cannot be read: No such file"),
            ("kind = s3\nsecret_file = .\n", "secret_file", "cannot be read: Is a directory"),
            ("kind = s3\nsecret_file = empty\n", "secret_file", "must not be empty"),
            ("kind = s3\nsecret_file = latin\n", "secret_file", "is not UTF-8"),
            ("kind = s3\nsecret = none\nid = {data.id}\n", "id", "is for kind = generic only"),
            (f"{GENERIC}{TEMPLATES}time =\n", "time", "cannot be used: must not be empty"),
            (f"{GENERIC}{TEMPLATES}time = noon\n", "time", "cannot be used: a time is an RFC"),
            (f"{GENERIC}{TEMPLATES}subject = {{\n", "subject", "a brace stands alone at 1"),
            (f"{GENERIC}{TEMPLATES}subject = {{X-A}}\n", "subject", "names no attribute"),
            (f"{GENERIC}id = 1\nsource = /\ntype = t\n", "id", "must be different for each"),
            (f"{GENERIC}id = {{data}}\nsource = a b\ntype = t\n", "source", "URI-reference"),
            (f"{GENERIC}id = {{data}}\nsource = /\ntype = {{a.b}}\n", "type", "names no attri"),
        ],
    )
    def test_a_bad_value_is_named_with_its_place(self, text: str, key: str, message: str) -> None:
        Path("empty").write_text(" \n")
        Path("latin").write_bytes(b"\xff")
        problems = refused(f"[adapter:one]\n{text}")
        assert [*problems] == [f"a.ini: [adapter:one] {key}"]
        assert message in problems[f"a.ini: [adapter:one] {key}"]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("secret = none\n", "needs a kind: one of github, "),
            (GENERIC, "needs id, source, type too"),
            (f"{GENERIC}id = {{data.id}}\ntype = t\n", "needs source too"),
        ],
    )
    def test_what_is_missing_is_named(self, text: str, message: str) -> None:
        [(where, what)] = refused(f"[adapter:one]\n{text}").items()
        assert where == "a.ini: [adapter:one]"
        assert message in what

    def test_a_name_can_stand_in_an_address(self) -> None:
        problems = refused("[adapter:a/b]\nkind = s3\nsecret = none\n")
        assert [*problems] == ["a.ini: [adapter:a/b]"]

    def test_no_message_has_the_secret(self) -> None:
        text = f"kind = gitlab\nsecret = whsec_{SECRET}\nsecret_file = a\nid = {{\n"
        assert SECRET not in str(refused(f"[adapter:one]\n{text}"))
        assert SECRET not in str(
            refused(f"[adapter:one]\nkind = gitlab\nsecret = whsec_{SECRET}\n")
        )

    def test_every_key_is_one_of_these(self) -> None:
        assert {*ADAPTER_KEYS} == {"kind", "secret", "secret_file", *TEMPLATE_KEYS}


TEMPLATE_KEYS = ("id", "source", "type", "subject", "time")


class TestFile:
    """How the file is written."""

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            pytest.param("[server]\nport = 1\nport = 2\n", "line 3 server port", id="a key twice"),
            pytest.param("[server]\n[celery]\n[server]\n", "line 3 server", id="a section twice"),
            pytest.param("[server]\nport\n", "line 2", id="no value"),
            pytest.param("[server]\nport : 1\n", "line 2", id="a colon"),
            pytest.param("[server]\n= 1\n", "line 2", id="no key"),
            pytest.param("port = 1\n", "line 1 section", id="no section"),
            pytest.param("[server\nport = 1\n", "line 1 section", id="an open bracket"),
            pytest.param("[]\nport = 1\n", "line 1 section", id="a section without a name"),
        ],
    )
    def test_what_is_no_ini_file_is_refused_with_its_place(self, text: str, words: str) -> None:
        problems = refused(text)
        [(where, what)] = problems.items()
        for word in words.split():
            assert word in f"{where} {what}"

    @pytest.mark.parametrize("body", [b"[server]\n; \xff\n", "[server]".encode("utf-16")])
    def test_a_file_that_is_not_utf_8_is_refused(self, body: bytes) -> None:
        Path("a.ini").write_bytes(body)
        with pytest.raises(ConfigError, match=r"^a\.ini: is not UTF-8 at byte \d+$"):
            load(Path("a.ini"), {})

    @pytest.mark.parametrize(
        "body",
        [
            pytest.param(b"[server]\r\nport = 1\r\n", id="lines of Windows"),
            pytest.param(b"\xef\xbb\xbf[server]\nport = 1\n", id="byte order mark of Windows"),
            pytest.param(b"[server]\nport = 1", id="no line end"),
            pytest.param(b" [server]\n port = 1\n", id="indented"),
            pytest.param(b"[server] ; a comment\nport=1 ; another\n", id="comments behind"),
            pytest.param(b"; a\n# b\n[server]\n  ; c\nport = 1\n# d\n", id="lines of comment"),
        ],
    )
    def test_ways_to_write_the_same(self, body: bytes) -> None:
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
    def test_a_value_is_taken_up_to_a_comment_and_not_interpreted(
        self, text: str, value: str
    ) -> None:
        assert application(f"command = true\nenv.A = {text}").environment == {"A": value}

    def test_a_command_may_have_several_lines(self) -> None:
        way = application("command = echo a\n  {id}\ntimeout = 1s").way
        assert way == Command.parse("echo a {id}")


class TestPlace:
    """Where the configuration comes from."""

    def test_the_order_of_the_search(self, folder: Path, tmp_path: Path) -> None:
        places = [
            folder / "explicit.ini",
            folder / "named.ini",
            folder / "config.ini",
            tmp_path / "home" / ".pacifica-dispatcher" / "config.ini",
        ]
        places[-1].parent.mkdir(parents=True)
        for number, place in enumerate(places, start=1):
            place.write_text(f"[server]\nport = {number}\n", encoding="utf-8")
        named = {"DISPATCHER_CONFIG": "named.ini"}
        assert load(Path("explicit.ini"), named).server.port == 1
        assert load(None, named).server.port == 2
        assert load(None, {"DISPATCHER_CONFIG": ""}).server.port == 3
        places[2].unlink()
        assert load(None, {}).server.port == 4
        places[3].unlink()
        assert load(None, {}).server.port == 8069

    def test_without_a_file_there_are_the_defaults(self, folder: Path) -> None:
        settings = load(None, {})
        assert settings.file is None
        assert settings.home == folder

    @pytest.mark.parametrize("name", ["lacking.ini", "."])
    def test_a_file_that_was_asked_for_must_be_readable(self, name: str) -> None:
        Path("config.ini").write_text("", encoding="utf-8")
        for file, environment in ((Path(name), {}), (None, {"DISPATCHER_CONFIG": name})):
            with pytest.raises(ConfigError) as caught:
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
    def test_a_relative_program_is_beside_the_configuration(
        self, folder: Path, program: str, found: str | None, *, absolute: bool
    ) -> None:
        file = Path("conf", "a.ini")
        file.parent.mkdir()
        file.write_text(f"[application:one]\ncommand = {program} ./a\n", encoding="utf-8")
        settings = load(file.absolute() if absolute else file, {})
        assert settings.home == folder / "conf"
        way = settings.applications["one"].way
        assert isinstance(way, Command)
        assert way.program == (str(folder / found) if found else program)
        assert way.arguments == Command.parse("x ./a").arguments


class TestEnvironment:
    """BROKER_URL and PEEWEE_URL."""

    FILE = "[database]\npeewee_url = sqlite:///file.db\n[celery]\nbroker_url = redis://file\n"

    def test_it_overrides_the_file(self) -> None:
        environment = {"PEEWEE_URL": "sqliteext:///env.db", "BROKER_URL": "redis://env"}
        settings = read(self.FILE, environment)
        assert settings.database.peewee_url == "sqlite:///env.db"
        assert settings.celery.broker_url == "redis://env"

    @pytest.mark.parametrize("environment", [{}, {"PEEWEE_URL": "", "BROKER_URL": ""}])
    def test_nothing_in_it_overrides_nothing(self, environment: dict[str, str]) -> None:
        settings = read(self.FILE, environment)
        assert settings.database.peewee_url == "sqlite:///file.db"
        assert settings.celery.broker_url == "redis://file"

    def test_the_rest_of_a_section_stays(self) -> None:
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
            id="twice",
        ),
        pytest.param(
            f"[celery]\nqueue = a\n  broker_url = redis://a:{SECRET}@h\n", {}, id="indented"
        ),
    ],
)
def test_no_message_shows_a_password(text: str, environment: dict[str, str]) -> None:
    with pytest.raises(ConfigError) as caught:
        read(text, environment)
    assert SECRET not in str(caught.value)
