"""Defaults, and valid values of each key."""

from dataclasses import fields
from pathlib import Path

import certifi
import pytest

from pacifica.dispatcher.applications import BUILT_IN, Application, Handler, Keep, Rate, Retry
from pacifica.dispatcher.applications.command_template import Argument, CommandTemplate, Placeholder
from pacifica.dispatcher.config import (
    APPLICATION_KEYS,
    CelerySettings,
    DatabaseSettings,
    ServerSettings,
    WebhookSettings,
    WorkerSettings,
)
from pacifica.dispatcher.rules import All, Any, Exact, JsonPath, Not, Prefix, Sql, Suffix
from tests.unit.config.reading import SECTIONS, application, read

CA_BUNDLE = certifi.where()


class TestDefaults:
    """Defaults."""

    @pytest.mark.parametrize("text", ["", "\n", "; a comment\n# another\n", "[server]\n"])
    def test_an_empty_file_yields_the_defaults(self, text: str) -> None:
        settings = read(text)
        assert settings.database == DatabaseSettings("sqlite:///db.sqlite3", 10, 20.0)
        assert settings.celery == CelerySettings("pyamqp://guest:guest@127.0.0.1:5672//", "default")
        assert settings.server == ServerSettings("127.0.0.1", 8069, 10, 50, 1024**2)
        assert settings.worker == WorkerSettings(Path("runs"), 30.0, 15.0)
        assert settings.webhook == WebhookSettings(frozenset(), "*", frozenset())

    def test_the_built_in_applications_are_present(self) -> None:
        assert read("").applications == {each.name: each for each in BUILT_IN}

    def test_an_application_has_defaults(self) -> None:
        assert application("command = true") == Application(
            name="one",
            target=CommandTemplate("true", ()),
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
    ("celery", "ca_bundle", CA_BUNDLE, Path(CA_BUNDLE)),
    ("celery", "verify", "no", False),
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
    ("server", "head_timeout", "500ms", 0.5),
    ("server", "min_rate", "1", 1),
    ("server", "keep_alive", "0", 0.0),
    ("server", "connections_per_address", "0", 0),
    ("server", "path", "/", ""),
    ("server", "path", "/dispatcher/", "/dispatcher"),
    ("server", "path", "/lab/.well-known/x", "/lab/.well-known/x"),
    ("worker", "directory", "/var/runs", Path("/var/runs")),
    ("worker", "directory", "a b", Path("a b")),
    ("worker", "stop_grace", "0", 0.0),
    ("worker", "stop_grace", "10m", 600.0),
    ("worker", "lease", "5", 5.0),
    ("worker", "kill_helper", "sudo -n kill", ("sudo", "-n", "kill")),
    ("worker", "kill_helper", "'/opt/a b' -n", ("/opt/a b", "-n")),
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
    """Valid values of each key."""

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

    def test_every_key_of_an_application_is_tested(self) -> None:
        tables = [*APPLICATION_VALUES, *RETRY_VALUES, *RULE_VALUES]
        tested = {key for key, *_ in tables} | {"command", "handler"}
        assert tested == {*APPLICATION_KEYS}

    def test_every_key_is_tested(self) -> None:
        keys = {(name, each.name) for name, kind in SECTIONS.items() for each in fields(kind)}
        assert {(section, key) for section, key, *_ in VALUES} == keys

    def test_a_command(self) -> None:
        target = application("command = sha256sum -- '{data.path}'").target
        assert target == CommandTemplate.parse("sha256sum -- {data.path}")

    @pytest.mark.parametrize("text", ["module:name", "package.inner_2.module:Name", "ä:Ö"])
    def test_a_handler(self, text: str) -> None:
        module, _, name = text.partition(":")
        assert application(f"handler = {text}").target == Handler(module, name)

    def test_dotted_keys_form_a_rule(self) -> None:
        lines = "exact.type = a = b\nprefix.source = http://x/\nsuffix.subject = .raw\nexact.x1 = 1"
        assert application(f"command = true\n{lines}").rule == (
            Exact("type", "a = b"),
            Prefix("source", "http://x/"),
            Suffix("subject", ".raw"),
            Exact("x1", "1"),
        )

    def test_filters_are_sorted_by_cost(self) -> None:
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
        assert applications["add"].target == CommandTemplate("true", ())
        assert [*applications] == ["add", "mul"]
