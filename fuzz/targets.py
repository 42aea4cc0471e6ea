"""What is fuzzed: one function for each reader; each raises what the reader must never raise."""

import io
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any, Final, cast
from wsgiref.util import setup_testing_defaults

from pacifica.dispatcher import config, events, orm, rest
from pacifica.dispatcher.adapters import GENERIC, KINDS, Template, Templates, adapter
from pacifica.dispatcher.applications import Application, explain, matching
from pacifica.dispatcher.command import Argument, Command
from pacifica.dispatcher.errors import ConfigError, DispatcherError, EventError, RuleError
from pacifica.dispatcher.events import Event, strict_json
from pacifica.dispatcher.filters import Filter, JsonPath, Sql, contradiction, parse_filters
from pacifica.dispatcher.page import Terminal
from pacifica.dispatcher.publisher import Publisher

PATIENCE: Final = 1.0
"""Seconds of processor time that one input may take, when nothing else is said."""

_PUMPED: Final = 64 * 1024
_PUMPED_BY_OPERATORS: Final = 16 * 1024
_OPERATORS: Final = frozenset({"command", "ini"})
_MARK: Final = b"~"
_EVENT: Final = events.parse(
    json.dumps(
        {
            "specversion": "1.0",
            "id": "1",
            "source": "/fuzz",
            "type": "org.example",
            "subject": "scans/a.raw",
            "count": 5,
            "flag": True,
            "text": "a" * 4096,
            "data": {"a": [{"b": 1, "c": "x" * 64}, None, 2.5], "path": "-rf", "n": 10**30},
        }
    )
)


class SlowError(Exception):
    """An input took too long: what it does grows faster than the input."""


class WrongError(Exception):
    """What was read is not what it should be."""


def try_input(name: str, data: bytes, patience: float = PATIENCE) -> None:
    """Feed one input to a target.

    In an input with two marks `~`, what stands between them is repeated until it has 64 KiB, or
    16 KiB where only operators write: so small seeds lead to what is slow with long texts only.

    Args:
        name: the target's.
        data: the input.
        patience: seconds of processor time that it may take.

    Raises:
        SlowError: it took longer.
        Exception: anything else that is not an error of ours, and so a finding.
    """
    began = time.process_time()
    TARGETS[name](_pumped(data, _PUMPED_BY_OPERATORS if name in _OPERATORS else _PUMPED))
    took = time.process_time() - began
    if took > patience:
        raise SlowError(f"{took:.1f} s")


def _pumped(data: bytes, size: int) -> bytes:
    match data.split(_MARK):
        case [head, pump, tail] if pump:
            return head + pump * max(1, (size - len(head) - len(tail)) // len(pump)) + tail
        case _:
            return data


def _http(data: bytes) -> None:
    """Headers and a body, as a request has them, to events."""
    head, _, body = data.partition(b"\n\n")
    headers = _headers(head)
    content_type = dict(headers).get("content-type", "")
    try:
        received = events.receive(content_type, body, headers)
    except DispatcherError as exc:
        str(exc).encode()
        return
    for event in received.events:
        _same(event, events.parse(event.sent))
        _same(event, events.parse(event.to_json()))
        event.expired(0.0)


def _headers(head: bytes) -> list[tuple[str, str]]:
    lines = (line.decode("latin-1").partition(":") for line in head.split(b"\n"))
    return [(name.strip().lower(), value.strip()) for name, _, value in lines]


def _rest(data: bytes) -> None:
    """A request to the web tier, whose first line is its method and address."""
    head, _, body = data.partition(b"\n\n")
    first, _, rest_of_head = head.partition(b"\n")
    method, _, address = first.decode("latin-1").partition(" ")
    path, _, query = address.partition("?")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method or "GET",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
    }
    for name, value in _headers(rest_of_head):
        key = name.upper().replace("-", "_")
        environ[key if key == "CONTENT_TYPE" else f"HTTP_{key}"] = value
    setup_testing_defaults(environ)
    statuses: list[str] = []

    def start_response(status: str, *_: object) -> None:
        statuses.append(status)

    answered = b"".join(_web_tier()(environ, start_response))
    if not statuses or statuses[-1].startswith("5"):
        raise WrongError(f"{statuses}: {answered[:200]!r}")


@cache
def _web_tier() -> Callable[..., Any]:
    """A web tier on a database of its own, which nobody takes the runs of."""
    folder = _kept(TemporaryDirectory(prefix="fuzz-"))
    database = orm.Database(f"sqlite:///{folder}/db.sqlite3")
    database.prepare(attempts=1, wait=0)
    applications = {each.name: each for each in _applications()}
    publisher = Publisher(database, cast("Any", None), applications)  # it is never started
    intake, webhook = orm.Intake(database), rest.Webhook(config.WebhookSettings())
    service = rest.Service(
        database,
        applications,
        publisher,
        max_event_size=1024**2,
        intake=intake,
        webhook=webhook,
        default_queue="default",
        streams=rest.Streams(4),
        directory=Path(folder) / "runs",
        adapters={},
    )
    return cast("Callable[..., Any]", rest.application(service))


_folders: list["TemporaryDirectory[str]"] = []


def _kept(folder: "TemporaryDirectory[str]") -> str:
    """A folder that goes with the process."""
    _folders.append(folder)
    return folder.name


def _applications() -> list[Application]:
    rules: tuple[tuple[Filter, ...], ...] = (
        (),
        parse_filters('[{"any": [{"exact": {"type": "a"}}, {"not": {"suffix": {"id": "1"}}}]}]'),
        (Sql.parse("EXISTS subject AND UPPER(subject) LIKE '%A%_.RAW' AND INT(count) / 2 = 1"),),
        (JsonPath.parse("$..[?@.a == $.id || match(@.b, '(a|aa)+b')]"),),
    )
    return [Application(f"a{n}", Command("true", ()), rule) for n, rule in enumerate(rules)]


def _adapters(data: bytes) -> None:
    """A delivery, to be proved and not: its sender's kind in the first line, headers, a body."""
    first, _, delivery = data.partition(b"\n")
    head, _, body = delivery.partition(b"\n\n")
    headers = _headers(head)
    kind = first.decode("latin-1")
    if kind not in KINDS:
        return
    content_type = dict(headers).get("content-type", "application/json")
    for scheme in (KINDS[kind]("whsec_c2VjcmV0"), None):
        chosen = adapter("a", kind, scheme, _TEMPLATES if kind == GENERIC else None)
        with suppress(DispatcherError):
            for event in chosen.receive(content_type, body, headers, 0.0).events:
                _same(event, events.parse(event.sent))


_TEMPLATES: Final = Templates(
    id=(Template.parse("{data.id}-{xid}"),),
    source=(Template.parse("/any/{data.place.0}"),),
    type=(Template.parse("{data.type}", until="."), Template.parse("t")),
    time=(Template.parse("{data.time}"),),
)


def _json(data: bytes) -> None:
    """A JSON text, and an array of them."""
    text = data.decode("utf-8", "surrogateescape")
    with suppress(EventError):
        strict_json.check(data)
        _equal(strict_json.loads(text), json.loads(text))
    with suppress(EventError):
        _equal([value for value, _ in strict_json.array_elements(text)], json.loads(text))
        for value, part in strict_json.array_elements(text):
            _equal(value, json.loads(part))


def _cesql(data: bytes) -> None:
    """A CESQL expression, on an event."""
    with _refusals():
        _evaluate(Sql.parse(_text(data)))


def _jsonpath(data: bytes) -> None:
    """A JSONPath query in the first line, and the data of an event in the others."""
    query, event = _with_event(data)
    with _refusals():
        _evaluate(JsonPath.parse(query), event)


def _filters(data: bytes) -> None:
    """Filters in JSON, on an event."""
    with suppress(RuleError):
        rule = parse_filters(_text(data))
        contradiction(rule)
        for each in rule:
            _evaluate(each)
        application = Application("a", Command("true", ()), rule)
        [explained] = explain([application], _EVENT)
        _equal(explained.matched, bool(matching([application], _EVENT)))


def _command(data: bytes) -> None:
    """A command in the first line, and the data of an event in the others."""
    template, event = _with_event(data)
    with _refusals(), suppress(DispatcherError):
        for each in Command.parse(template).fill(event):
            each.encode()
            if "\0" in each:
                raise WrongError("an argument with a NUL")
    with _refusals(), suppress(DispatcherError):
        Argument.parse(template).text(event)


def _ini(data: bytes) -> None:
    """A configuration file."""
    file = Path(_ini_folder()) / "config.ini"
    file.write_bytes(data)
    try:
        settings = config.load(file, {})
    except ConfigError as exc:
        if not exc.problems or "\n" in "".join(map(str, exc.problems)):
            raise WrongError(f"problems: {exc.problems}") from exc
    else:
        matching(settings.applications.values(), _EVENT)


@cache
def _ini_folder() -> str:
    return _kept(TemporaryDirectory(prefix="fuzz-"))


def _terminal(data: bytes) -> None:
    """What an application prints, in one piece and in two, as HTML."""
    text = data.decode("utf-8", "replace")
    whole, torn = Terminal(), Terminal()
    found = whole.html("stdout", text)
    torn.html("stdout", text[: len(text) // 2])
    torn.html("stdout", text[len(text) // 2 :])
    if re.search(r"<(?!span class=\"[a-z0-9 ]+\">|/span>)|[\x00-\x08\x0b-\x1f\x7f-\x9f]", found):
        raise WrongError(f"{found[:200]!r}")


def _evaluate(rule: Filter, event: Event = _EVENT) -> None:
    explained = rule.explain(event)
    _equal(explained.held, rule.matches(event))
    json.dumps(explained.document(), allow_nan=False)
    json.dumps(rule.document(), allow_nan=False)


def _with_event(data: bytes) -> tuple[str, Event]:
    """The first line, and an event whose data the others are, if they are any."""
    first, _, rest_of_text = data.decode("utf-8", "replace").partition("\n")
    with suppress(EventError):
        payload = strict_json.loads(rest_of_text)
        return first, Event(_EVENT.attributes, payload, "")
    return first, _EVENT


@contextmanager
def _refusals() -> Iterator[None]:
    """Let a plain ValueError pass, which says what is wrong with a text that somebody wrote."""
    try:
        yield
    except ValueError as exc:
        if type(exc) is not ValueError:
            raise


def _text(data: bytes) -> str:
    """Any bytes as text; what is not UTF-8 becomes lone surrogates."""
    return data.decode("utf-8", "surrogateescape")


def _same(one: Event, other: Event) -> None:
    _equal(one.attributes, other.attributes)
    _equal(one.data, other.data)


def _equal(one: object, other: object) -> None:
    if one != other:
        raise WrongError(f"{str(one)[:200]} is not {str(other)[:200]}")


TARGETS: Final[Mapping[str, Callable[[bytes], None]]] = MappingProxyType(
    {
        "http": _http,
        "rest": _rest,
        "adapters": _adapters,
        "json": _json,
        "cesql": _cesql,
        "jsonpath": _jsonpath,
        "filters": _filters,
        "command": _command,
        "ini": _ini,
        "terminal": _terminal,
    }
)
"""All targets by their names."""
