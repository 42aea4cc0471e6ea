"""The fuzz targets, one for each parser; every exception that a target raises is a finding."""

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

from fuzz.server import find_fault
from pacifica.dispatcher import config, events, orm, rest
from pacifica.dispatcher.adapters import GENERIC, KINDS, Template, Templates, make_adapter
from pacifica.dispatcher.applications import Application, explain, matching
from pacifica.dispatcher.applications.command_template import Argument, CommandTemplate
from pacifica.dispatcher.errors import DispatcherError, EventError, RuleError, SettingsError
from pacifica.dispatcher.events import Event, strict_json
from pacifica.dispatcher.intake.group_commit import GroupCommit
from pacifica.dispatcher.intake.receiver import Receiver
from pacifica.dispatcher.page import Terminal
from pacifica.dispatcher.rules import Filter, JsonPath, Sql, find_contradiction, parse_filters

CPU_LIMIT: Final = 1.0
"""The default limit of CPU seconds per input."""

_SIZE: Final = 64 * 1024
_SIZES: Final = MappingProxyType(
    {
        "command": 16 * 1024,  # operators write it
        "ini": 16 * 1024,
        "server": 8 * 1024,  # several hundred requests, each of which does some work
    }
)
_MARK: Final = b"~"
_EVENT: Final = events.parse_event(
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
    """The input took too long, presumably because the time grows faster than its length."""


class WrongError(Exception):
    """The result is wrong."""


def try_input(name: str, data: bytes, cpu_limit: float = CPU_LIMIT) -> None:
    """Feed one input to a target.

    The part between two `~` is repeated until the input has 64 KiB, less for some targets, so that
    small seeds find code that is slow only for long texts.

    Args:
        name: the target's name.
        data: the input.
        cpu_limit: the maximum number of CPU seconds.

    Raises:
        SlowError: the limit was exceeded.
        Exception: any other finding.
    """
    began = time.process_time()
    TARGETS[name](_repeat_marked(data, _SIZES.get(name, _SIZE)))
    seconds = time.process_time() - began
    if seconds > cpu_limit:
        raise SlowError(f"took {seconds:.1f} s of CPU time (limit {cpu_limit:g} s)")


def _repeat_marked(data: bytes, size: int) -> bytes:
    match data.split(_MARK):
        case [head, pump, tail] if pump:
            return head + pump * max(1, (size - len(head) - len(tail)) // len(pump)) + tail
        case _:
            return data


def _http(data: bytes) -> None:
    """Parse the headers and body of a request into events."""
    head, _, body = data.partition(b"\n\n")
    headers = _headers(head)
    content_type = dict(headers).get("content-type", "")
    try:
        received = events.parse_request(content_type, body, headers)
    except DispatcherError as exc:
        str(exc).encode()
        return
    for event in received.events:
        _same(event, events.parse_event(event.sent))
        _same(event, events.parse_event(event.to_json()))
        event.expired(0.0)


def _headers(head: bytes) -> list[tuple[str, str]]:
    lines = (line.decode("latin-1").partition(":") for line in head.split(b"\n"))
    return [(name.strip().lower(), value.strip()) for name, _, value in lines]


def _rest(data: bytes) -> None:
    """Send a request to the web tier; its first line is the method and the URL."""
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

    response = b"".join(_web_tier()(environ, start_response))
    if not statuses or statuses[-1].startswith("5"):
        raise WrongError(f"{statuses}: {response[:200]!r}")


@cache
def _web_tier() -> Callable[..., Any]:
    """Return a web tier with its own database, without workers."""
    folder = _kept(TemporaryDirectory(prefix="fuzz-"))
    database = orm.Database(f"sqlite:///{folder}/db.sqlite3")
    database.prepare(attempts=1, wait=0)
    applications = {each.name: each for each in _applications()}
    context = rest.Context(
        receiver=Receiver(database, applications, GroupCommit(database), lambda: None),
        max_event_size=1024**2,
        handshake=rest.Handshake(config.WebhookSettings()),
        slots=rest.StreamSlots(4),
        root="",
        default_queue="default",
        directory=Path(folder) / "runs",
        adapters={},
        notices=rest.Notices(database),
        broker_trouble=str,
    )
    return cast("Callable[..., Any]", rest.application(context))


_folders: list["TemporaryDirectory[str]"] = []


def _kept(folder: "TemporaryDirectory[str]") -> str:
    """Return a directory that is removed when the process ends."""
    _folders.append(folder)
    return folder.name


def _applications() -> list[Application]:
    rules: tuple[tuple[Filter, ...], ...] = (
        (),
        parse_filters('[{"any": [{"exact": {"type": "a"}}, {"not": {"suffix": {"id": "1"}}}]}]'),
        (Sql.parse("EXISTS subject AND UPPER(subject) LIKE '%A%_.RAW' AND INT(count) / 2 = 1"),),
        (JsonPath.parse("$..[?@.a == $.id || match(@.b, '(a|aa)+b')]"),),
    )
    return [Application(f"a{n}", CommandTemplate("true", ()), rule) for n, rule in enumerate(rules)]


def _server(data: bytes) -> None:
    """Send bytes to the built-in server over a socket."""
    if fault := find_fault(_web_tier(), data):
        raise WrongError(fault)


def _adapters(data: bytes) -> None:
    """Convert a delivery with and without authentication; the first line is the kind."""
    first, _, delivery = data.partition(b"\n")
    head, _, body = delivery.partition(b"\n\n")
    headers = _headers(head)
    kind = first.decode("latin-1")
    if kind not in KINDS:
        return
    content_type = dict(headers).get("content-type", "application/json")
    for scheme in (KINDS[kind]("whsec_c2VjcmV0"), None):
        chosen = make_adapter("a", kind, scheme, _TEMPLATES if kind == GENERIC else None)
        with suppress(DispatcherError):
            for event in chosen.receive(content_type, body, headers, 0.0).events:
                _same(event, events.parse_event(event.sent))


_TEMPLATES: Final = Templates(
    id=(Template.parse("{data.id}-{xid}"),),
    source=(Template.parse("/any/{data.place.0}"),),
    type=(Template.parse("{data.type}", until="."), Template.parse("t")),
    time=(Template.parse("{data.time}"),),
)


def _json(data: bytes) -> None:
    """Parse a JSON text, also as an array."""
    text = data.decode("utf-8", "surrogateescape")
    with suppress(EventError):
        strict_json.check_json(data)
        _equal(strict_json.loads(text), json.loads(text))
    with suppress(EventError):
        _equal([value for value, _ in strict_json.array_elements(text)], json.loads(text))
        for value, part in strict_json.array_elements(text):
            _equal(value, json.loads(part))


def _cesql(data: bytes) -> None:
    """Evaluate a CESQL expression."""
    with _rejections():
        _evaluate(Sql.parse(_text(data)))


def _jsonpath(data: bytes) -> None:
    """Evaluate a JSONPath query, the first line, on the data in the other lines."""
    query, event = _with_event(data)
    with _rejections():
        _evaluate(JsonPath.parse(query), event)


def _filters(data: bytes) -> None:
    """Evaluate JSON filters."""
    with suppress(RuleError):
        rule = parse_filters(_text(data))
        find_contradiction(rule)
        for each in rule:
            _evaluate(each)
        application = Application("a", CommandTemplate("true", ()), rule)
        [explained] = explain([application], _EVENT)
        _equal(explained.matched, bool(matching([application], _EVENT)))


def _command(data: bytes) -> None:
    """Fill a command, the first line, from the data in the other lines."""
    template, event = _with_event(data)
    with _rejections(), suppress(DispatcherError):
        for each in CommandTemplate.parse(template).fill(event):
            each.encode()
            if "\0" in each:
                raise WrongError(f"argument contains NUL: {each[:200]!r}")
    with _rejections(), suppress(DispatcherError):
        Argument.parse(template).fill(event)


def _ini(data: bytes) -> None:
    """Load a configuration file."""
    file = Path(_ini_folder()) / "config.ini"
    file.write_bytes(data)
    try:
        settings = config.load(file, {})
    except SettingsError as exc:
        if not exc.problems or "\n" in "".join(map(str, exc.problems)):
            raise WrongError(f"invalid list of problems: {exc.problems}") from exc
    else:
        matching(settings.applications.values(), _EVENT)


@cache
def _ini_folder() -> str:
    return _kept(TemporaryDirectory(prefix="fuzz-"))


def _terminal(data: bytes) -> None:
    """Convert the output of an application to HTML, in one piece and in two."""
    text = data.decode("utf-8", "replace")
    whole, torn = Terminal(), Terminal()
    found = whole.html("stdout", text)
    torn.html("stdout", text[: len(text) // 2])
    torn.html("stdout", text[len(text) // 2 :])
    if re.search(r"<(?!span class=\"[a-z0-9 ]+\">|/span>)|[\x00-\x08\x0b-\x1f\x7f-\x9f]", found):
        raise WrongError(f"unsafe HTML: {found[:200]!r}")


def _evaluate(rule: Filter, event: Event = _EVENT) -> None:
    explained = rule.explain(event)
    _equal(explained.held, rule.matches(event))
    json.dumps(explained.document(), allow_nan=False)
    json.dumps(rule.document(), allow_nan=False)


def _with_event(data: bytes) -> tuple[str, Event]:
    """Return the first line, and an event whose data are the other lines if those are JSON."""
    first, _, rest_of_text = data.decode("utf-8", "replace").partition("\n")
    with suppress(EventError):
        payload = strict_json.loads(rest_of_text)
        return first, Event(_EVENT.attributes, payload, "")
    return first, _EVENT


@contextmanager
def _rejections() -> Iterator[None]:
    """Suppress ValueError itself, which rejects invalid input, but not its subclasses."""
    try:
        yield
    except ValueError as exc:
        if type(exc) is not ValueError:
            raise


def _text(data: bytes) -> str:
    """Decode any bytes; invalid UTF-8 becomes lone surrogates."""
    return data.decode("utf-8", "surrogateescape")


def _same(one: Event, other: Event) -> None:
    _equal(one.attributes, other.attributes)
    _equal(one.data, other.data)
    _equal(events.content_digest(one), events.content_digest(other))


def _equal(one: object, other: object) -> None:
    if one != other:
        raise WrongError(f"{str(one)[:200]} differs from {str(other)[:200]}")


TARGETS: Final[Mapping[str, Callable[[bytes], None]]] = MappingProxyType(
    {
        "http": _http,
        "rest": _rest,
        "server": _server,
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
"""All targets by name."""
