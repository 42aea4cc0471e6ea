"""Invalid values, keys and sections."""

from dataclasses import fields
from pathlib import Path

import pytest

from pacifica.dispatcher.config import APPLICATION_KEYS
from tests.unit.config.reading import SECTIONS, refused

WHOLE_NUMBER = "must be a whole number from "
DURATION = "must be a duration such as 500ms, 10s, 5m, 1h or 2d, not "
SIZE = "must be a size such as 512 KiB, 1 MiB or 2 GB, not "
HUGE = "9" * 400

BAD_VALUES = [
    ("database", "peewee_url", "", "must be a URL such as"),
    ("database", "peewee_url", "db.sqlite3", "must be a URL such as"),
    ("database", "peewee_url", "sqlite:db.sqlite3", "must be a URL such as"),
    ("database", "peewee_url", "postgresql://[::1/d", "is not a valid URL"),
    ("database", "peewee_url", "postgersql://a@h/d", "must be a URL"),
    ("database", "peewee_url", "sqlite:///a.db\n  connect_wait = 1", "must be a single line"),
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
    ("database", "connect_wait", HUGE, "must be"),
    (
        "celery",
        "broker_url",
        "",
        "must be a URL such as redis://host; supported schemes are amqp, ",
    ),
    ("celery", "broker_url", "redis", "must be a URL such as redis://host"),
    ("celery", "broker_url", "redis:h", "must be a URL such as redis://host"),
    ("celery", "broker_url", "http://h", "must be a URL such as redis://host"),
    ("celery", "broker_url", "memory://", "must be a URL such as redis://host"),
    (
        "celery",
        "broker_url",
        "redis://h/0?password=x",
        "must have user and password before its host",
    ),
    ("celery", "broker_url", "amqp://h//?a=1&userid=x", "must have user and password before"),
    ("celery", "broker_url", "redis://[::1", "is not a valid URL"),
    (
        "celery",
        "broker_url",
        "filesystem://",
        "must name a directory, such as filesystem:///directory",
    ),
    (
        "celery",
        "broker_url",
        "filesystem:///",
        "must name a directory, such as filesystem:///directory",
    ),
    ("celery", "broker_url", "redis://h\n  queue = a", "must be a single line"),
    ("celery", "broker_url", "sentinel://h", "must name the Redis server itself: Sentinel is not"),
    ("celery", "broker_url", "rediss://h?ssl_cert_reqs=none", "must not contain options for TLS"),
    ("celery", "ca_bundle", "", "must not be empty"),
    ("celery", "ca_bundle", "no-such.pem", "is not a file of certificates in PEM format: "),
    ("celery", "ca_bundle", "a.ini", "is not a file of certificates in PEM format: "),
    ("celery", "verify", "maybe", "must be yes or no, not 'maybe'"),
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
    ("server", "max_event_size", HUGE, "must be"),
    ("server", "head_timeout", "0", "must be longer than zero"),
    ("server", "head_timeout", "soon", f"{DURATION}'soon'"),
    ("server", "min_rate", "0", f"{WHOLE_NUMBER}1 to 1073741824, not '0'"),
    ("server", "keep_alive", "-1s", DURATION),
    ("server", "connections_per_address", "-1", f"{WHOLE_NUMBER}0 to 1000000, not '-1'"),
    *(
        ("server", "path", each, "must be a path such as /dispatcher, not ")
        for each in ("", "dispatcher", "//evil", "/a//b", "/a/../b", "/a?b", "/a b", "/é")
    ),
    ("server", "path", f"/{'a' * 200}", "must be a path"),
    ("worker", "directory", "", "must not be empty"),
    ("worker", "stop_grace", "soon", f"{DURATION}'soon'"),
    ("worker", "stop_grace", HUGE, "must be"),
    ("worker", "lease", "", DURATION),
    ("worker", "kill_helper", "", "must not be empty"),
    ("worker", "kill_helper", "sudo 'kill", "must be a program with its arguments: No closing"),
    ("worker", "lease", "4999ms", "must be from 5s to 10m, not"),
    ("worker", "lease", "0", "must be from 5s to 10m, not"),
    ("worker", "lease", "601", "must be from 5s to 10m, not"),
    ("worker", "lease", "1h", "must be from 5s to 10m, not"),
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
    (
        "worker",
        "directory",
        "~nobody-here/a",
        "cannot be expanded: no home directory for '~nobody-here'",
    ),
]

BAD_APPLICATION_VALUES = [
    ("command", "", "is not a valid command: no program given"),
    ("command", "~nobody-here/a", "cannot be expanded: no home directory for '~nobody-here'"),
    (
        "command",
        "echo 'a",
        "is not a valid command: No closing quotation (a ; after a space begins a ",
    ),
    ("command", "echo 'a ; b'", "(a ; after a space begins a comment)"),
    ("command", "{id} a", "is not a valid command: the program must not contain placeholders"),
    ("command", "echo {Id}", "is not a valid command: {Id} is not a valid placeholder"),
    ("command", "echo {", "is not a valid command: unmatched brace"),
    ("handler", "", "must be package.module:Name, not ''"),
    ("handler", "module", "must be package.module:Name, not 'module'"),
    ("handler", "module:a.b", "must be package.module:Name"),
    ("handler", "a-b:c", "must be package.module:Name"),
    ("handler", ".module:c", "must be package.module:Name"),
    ("handler", "folder/module.py:c", "must be package.module:Name"),
    ("dispatch", "maybe", "must be yes or no, not 'maybe'"),
    ("dispatch", "", "must be yes or no, not ''"),
    ("timeout", "0", "must be longer than zero, not '0'"),
    ("timeout", "", DURATION),
    ("timeout", HUGE, "must be"),
    ("kill_after", "-1s", DURATION),
    ("keep", "Always", "must be failed, always or never, not 'Always'"),
    ("keep", "", "must be failed, always or never, not ''"),
    ("max_output", "much", f"{SIZE}'much'"),
    ("max_output", HUGE, "must be"),
    ("retries", "", WHOLE_NUMBER),
    ("retries", "-1", f"{WHOLE_NUMBER}0 to 1000000, not '-1'"),
    ("retries", "1000001", WHOLE_NUMBER),
    ("retry_delay", "", DURATION),
    ("retry_delay", "-1s", DURATION),
    ("retry_delay", HUGE, "must be"),
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
    ("concurrency_key", "{", "is not a valid template: unmatched brace at character 1"),
    ("concurrency_key", "{Id}", "is not a valid template: {Id} is not a valid placeholder"),
    ("concurrency_key", "{data.}", "is not a valid template: {data.} is not a valid placeholder"),
    ("rate", "", "must be a number per s, m, h or d such as 10/m, not ''"),
    ("rate", "10", "must be a number per"),
    ("rate", "0/s", "must be a number per"),
    ("rate", "-1/s", "must be a number per"),
    ("rate", "1.5/s", "must be a number per"),
    ("rate", "1/w", "must be a number per"),
    ("rate", "1/10s", "must be a number per"),
    ("rate", "1000000/s", "must be a number per"),
    ("rate", "\u0661/s", "must be a number per"),
    ("rate", "9" * 5000 + "/s", "must be a number per"),
    ("priority", "", WHOLE_NUMBER),
    ("priority", "10", f"{WHOLE_NUMBER}0 to 9, not '10'"),
    ("priority", "-1", WHOLE_NUMBER),
    ("priority", "high", WHOLE_NUMBER),
    ("queue", "", "must be 1 to 100 letters, digits, "),
    ("queue", "a b", "not 'a b'"),
    ("sql", "", "must not be empty"),
    ("sql", "type =", "is not a valid CESQL expression: character 7: expected a value"),
    (
        "sql",
        "NOSUCH(type)",
        "is not a valid CESQL expression: NOSUCH is not a function; functions are INT, ",
    ),
    (
        "sql",
        "type = 'a ; b'",
        "character 8: unterminated string (a ; after a space begins a comment)",
    ),
    ("jsonpath", "", "must not be empty"),
    ("jsonpath", "data", "is not a valid JSONPath query (RFC 9535): expected '$', found 'd'"),
    ("jsonpath", '$[?(@["eventType"] = "a")]', 'use instead: $[?$.type == "a"]'),
    ("filters", "", "Invalid JSON"),
    ("filters", "{}", 'must be a JSON array such as [{"exact": {"type": "…"}}]'),
    ("exact.type", "", "must not be empty"),
    ("exact.Type", "a", "is not a valid attribute name; use "),
    ("prefix.", "a", "is not a valid attribute name; use "),
    ("suffix.a.b", "a", "is not a valid attribute name; use "),
    ("exact.data", "a", "attribute"),
    ("env.", "a", "must name a variable of letters, digits and underscores"),
    ("env.1A", "a", "must name a variable of letters, digits and underscores"),
    ("env.A-B", "a", "must name a variable of letters, digits and underscores"),
    ("env.CE_ID", "a", "must not name a variable with the reserved prefix CE_ or DISPATCHER_"),
    (
        "env.DISPATCHER_RUN",
        "a",
        "must not name a variable with the reserved prefix CE_ or DISPATCHER_",
    ),
    ("env.A", "a\0b", "NUL"),
]


class TestBadValues:
    """Invalid values of each key, and the place that the message names."""

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
        target = "" if key in {"command", "handler"} else "command = true\n"
        problems = refused(f"[application:one]\n{target}{key} = {text}\n")
        assert [*problems] == [f"a.ini: [application:one] {key}"]
        assert message in problems[f"a.ini: [application:one] {key}"]

    def test_of_a_handler_in_a_file_that_python_would_not_take(self, folder: Path) -> None:
        (folder / "queue.py").touch()
        problems = refused("[application:one]\nhandler = queue:handle\n")
        [(where, what)] = problems.items()
        assert where == "a.ini: [application:one] handler"
        assert what.startswith("must not name ")
        assert what.endswith("queue.py: Python has a module of that name; rename the file")

    @pytest.mark.parametrize(
        "text",
        ["", "exact.type = a\n", "command = true\nhandler = a:b\n"],
        ids=["neither", "a rule only", "both"],
    )
    def test_an_application_must_have_either_a_command_or_a_handler(self, text: str) -> None:
        problems = refused(f"[application:one]\n{text}")
        assert problems == {
            "a.ini: [application:one]": "must have either a command or a handler, not both"
        }

    @pytest.mark.parametrize("name", ["", "a b", "a/b", " a", "ä", "a" * 101, ".", ".."])
    def test_an_applications_name_must_be_usable_in_a_url(self, name: str) -> None:
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
    def test_the_nearest_key_is_suggested(self, section: str, key: str, nearest: str) -> None:
        needed = {
            "application:one": "command = true\n",
            "adapter:one": "kind = s3\nsecret = none\n",
        }
        problems = refused(f"[{section}]\n{needed.get(section, '')}{key} = 1\n")
        assert problems == {f"a.ini: [{section}] {key}": f"is unknown; did you mean {nearest}?"}

    @pytest.mark.parametrize("key", ["all", "any", "not", "not.type"])
    def test_composite_dialects_are_only_supported_in_json(self, key: str) -> None:
        problems = refused(f"[application:one]\ncommand = true\n{key} = a\n")
        what = f'is only supported in filters = [{{"{key.removesuffix(".type")}": …}}]'
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
    def test_the_nearest_section_is_suggested(self, section: str, nearest: str) -> None:
        problems = refused(f"[{section}]\nport = 1\n")
        assert problems == {f"a.ini: [{section}]": f"is unknown; did you mean {nearest}?"}

    def test_too_many_consecutive_spaces_are_rejected(self) -> None:
        text = f"[server]\nport ={' ' * 999}1\n\naddress{chr(9) * 1000}= a\n"
        assert refused(text) == {"a.ini: line 4": "must not contain 1000 consecutive spaces"}

    def test_there_is_no_defaults_section(self) -> None:
        assert [*refused("[DEFAULT]\nport = 1\n")] == ["a.ini: [DEFAULT]"]

    def test_problems_in_filters_are_reported_with_their_place(self) -> None:
        text = '[{"exact": {"type": ""}}, {"any": [{"sql": "("}, {"nosuch": "a"}]}]'
        problems = refused(f"[application:one]\ncommand = true\nfilters = {text}\n")
        assert [*problems] == [
            "a.ini: [application:one] filters /0/exact/type",
            "a.ini: [application:one] filters /1/any/0/sql",
            "a.ini: [application:one] filters /1/any/1/nosuch",
        ]

    def test_all_problems_are_reported_at_once(self) -> None:
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

    def test_every_key_is_tested(self) -> None:
        keys = {(name, each.name) for name, kind in SECTIONS.items() for each in fields(kind)}
        assert {(section, key) for section, key, *_ in BAD_VALUES} == keys
        assert {key for key, *_ in BAD_APPLICATION_VALUES} >= {*APPLICATION_KEYS}
