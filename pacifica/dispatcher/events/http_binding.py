"""The events of an HTTP request (CloudEvents HTTP protocol binding 1.0.2, section 3)."""

from collections.abc import Iterator
from dataclasses import dataclass

from pacifica.dispatcher.errors import MAX_PROBLEMS, EventError, Problem, UnsupportedFormatError
from pacifica.dispatcher.events import binary_mode, json_format, media_type, strict_json
from pacifica.dispatcher.events.event import Event, Json

_FORMAT = "application/cloudevents"
_SINGLE = frozenset({f"{_FORMAT}+json", "application/json"})
_BATCH = f"{_FORMAT}-batch+json"


@dataclass(frozen=True, slots=True)
class Received:
    """The events of one request, in order; `batch` is True if they arrived as a batch."""

    events: tuple[Event, ...]
    batch: bool


def parse_request(content_type: str, body: bytes, headers: binary_mode.Headers = ()) -> Received:
    """Parse the events of a request.

    The Content-Type selects the mode: `application/cloudevents…` is structured or a batch, even if
    `ce-` headers repeat the attributes; any other type with `ce-` headers is binary;
    `application/json` without them is one event in JSON.

    Args:
        content_type: the Content-Type header, "" if there was none.
        body: the whole body.
        headers: all header fields, in any order.

    Raises:
        UnsupportedFormatError: the Content-Type is not an event format.
        EventError: not a valid event; in a batch, every invalid event is named by its index.
    """
    kind = media_type.essence(content_type)
    if not kind.startswith(_FORMAT):
        named = [field for field in headers if field[0].lower().startswith(binary_mode.PREFIX)]
        if named:
            event = binary_mode.parse_binary_event(named, content_type, body)
            return Received((event,), batch=False)
    if kind != _BATCH and kind not in _SINGLE:
        known = ", ".join(sorted({*_SINGLE, _BATCH}))
        raise UnsupportedFormatError(
            f"Unsupported Content-Type {kind[:80]!r}; expected one of {known}, "
            "or attributes in headers ce-id, ce-source, …"
        )
    charset = media_type.charset(content_type)
    if charset not in media_type.UTF8:
        raise UnsupportedFormatError(
            f"Unsupported charset {str(charset)[:80]!r}; JSON is always UTF-8, so omit charset"
        )
    text = strict_json.decode_utf8(body)
    if kind == _BATCH:
        return Received(_parse_batch(text), batch=True)
    return Received((json_format.parse_event(text),), batch=False)


def _parse_batch(text: str) -> tuple[Event, ...]:
    events: list[Event] = []
    problems: list[Problem] = []
    first: Json = None
    for index, (document, sent) in enumerate(_elements(text, problems)):
        try:
            events.append(json_format.event_from_document(document, sent))
        except EventError as exc:
            found = exc.problems or (Problem("", str(exc)),)
            problems.extend(Problem(f"/{index}{each.where}", each.what) for each in found)
        else:
            version = _version(document)
            first = first or version
            if version != first:
                what = f"is version {version}, but the batch began with version {first}"
                problems.append(Problem(f"/{index}", f"{what}; send them in separate batches"))
        if len(problems) >= MAX_PROBLEMS:
            break
    if problems:
        raise EventError("The batch contains invalid events; none was accepted", problems)
    return tuple(events)


def _elements(text: str, problems: list[Problem]) -> Iterator[tuple[Json, str]]:
    # A batch is read up to the first element that is not JSON: its end cannot be found.
    try:
        yield from strict_json.array_elements(text)
    except EventError as exc:
        if not (problems and exc.problems):
            raise
        problems.extend(exc.problems)


def _version(document: Json) -> Json:
    named = document.get("specversion") if isinstance(document, dict) else None
    return named or "0.1"
