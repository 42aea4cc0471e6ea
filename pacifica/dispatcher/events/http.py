"""Which events an HTTP request carries (CloudEvents HTTP protocol binding 1.0.2, section 3)."""

from collections.abc import Iterator
from dataclasses import dataclass

from pacifica.dispatcher.errors import MAX_PROBLEMS, EventError, Problem, UnsupportedFormatError
from pacifica.dispatcher.events import binary, json_format, media_type, strict_json
from pacifica.dispatcher.events.event import Event, Json

_FORMAT = "application/cloudevents"
_SINGLE = frozenset({f"{_FORMAT}+json", "application/json"})
_BATCH = f"{_FORMAT}-batch+json"


@dataclass(frozen=True, slots=True)
class Received:
    """What one request brought: its events in order, and whether they came as a batch."""

    events: tuple[Event, ...]
    batch: bool


def receive(content_type: str, body: bytes, headers: binary.Headers = ()) -> Received:
    """Read the events of a request.

    The Content-Type tells the mode: what begins with `application/cloudevents` is structured or a
    batch, whatever the headers repeat; anything else is binary when there are headers `ce-…`;
    `application/json` without them is an event in JSON.

    Args:
        content_type: the Content-Type header, "" when there was none.
        body: the whole body.
        headers: all header fields, in any order.

    Raises:
        UnsupportedFormatError: the Content-Type names no event format.
        EventError: the body is no valid event; in a batch every bad event is named by its index.
    """
    kind = media_type.essence(content_type)
    if not kind.startswith(_FORMAT):
        named = [field for field in headers if field[0].lower().startswith(binary.PREFIX)]
        if named:
            return Received((binary.read(named, content_type, body),), batch=False)
    if kind != _BATCH and kind not in _SINGLE:
        known = ", ".join(sorted({*_SINGLE, _BATCH}))
        raise UnsupportedFormatError(
            f"Content-Type {kind[:80]!r} is no event format; send one of {known}, "
            "or the attributes in headers ce-id, ce-source, …"
        )
    if media_type.charset(content_type) not in media_type.UTF8:
        raise UnsupportedFormatError("events are JSON, and JSON is UTF-8: leave charset out")
    text = strict_json.decode(body)
    if kind == _BATCH:
        return Received(_batch(text), batch=True)
    return Received((json_format.parse(text),), batch=False)


def _batch(text: str) -> tuple[Event, ...]:
    events: list[Event] = []
    problems: list[Problem] = []
    first: Json = None
    for index, (document, sent) in enumerate(_elements(text, problems)):
        try:
            events.append(json_format.from_document(document, sent))
        except EventError as exc:
            found = exc.problems or (Problem("", str(exc)),)
            problems.extend(Problem(f"/{index}{each.where}", each.what) for each in found)
        else:
            version = _version(document)
            first = first or version
            if version != first:
                what = f"this is version {version}, and the batch began with {first}"
                problems.append(Problem(f"/{index}", f"{what}: send them apart"))
        if len(problems) >= MAX_PROBLEMS:
            break
    if problems:
        raise EventError("the batch holds events that are not valid; none was taken", problems)
    return tuple(events)


def _elements(text: str, problems: list[Problem]) -> Iterator[tuple[Json, str]]:
    """The events of a batch, up to one that is no JSON: where that ends, nobody can tell."""
    try:
        yield from strict_json.array_elements(text)
    except EventError as exc:
        if not (problems and exc.problems):
            raise
        problems.extend(exc.problems)


def _version(document: Json) -> Json:
    """The version that a valid event is in."""
    named = document.get("specversion") if isinstance(document, dict) else None
    return named or "0.1"
