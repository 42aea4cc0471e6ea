"""Which events an HTTP request carries (CloudEvents HTTP protocol binding 1.0.2, section 3)."""

from dataclasses import dataclass
from email.message import Message

from pacifica.dispatcher.errors import MAX_PROBLEMS, EventError, Problem, UnsupportedFormatError
from pacifica.dispatcher.events import json_format, strict_json
from pacifica.dispatcher.events.event import Event

_SINGLE = frozenset({"application/cloudevents+json", "application/json"})
_BATCH = "application/cloudevents-batch+json"


@dataclass(frozen=True, slots=True)
class Received:
    """What one request brought: its events in order, and whether they came as a batch."""

    events: tuple[Event, ...]
    batch: bool


def receive(content_type: str, body: bytes) -> Received:
    """Read the events of a request.

    Args:
        content_type: the Content-Type header, "" when there was none.
        body: the whole body.

    Raises:
        UnsupportedFormatError: the Content-Type names no event format.
        EventError: the body is no valid event; in a batch every bad event is named by its index.
    """
    media_type, _, parameters = content_type.partition(";")
    media_type = media_type.strip().lower()
    if media_type != _BATCH and media_type not in _SINGLE:
        known = ", ".join(sorted({*_SINGLE, _BATCH}))
        raise UnsupportedFormatError(
            f"Content-Type {media_type[:80]!r} is no event format; send one of {known}"
        )
    if parameters and _charset(content_type) not in {None, "utf-8", "utf8", "us-ascii"}:
        raise UnsupportedFormatError("events are JSON, and JSON is UTF-8: leave charset out")
    text = strict_json.decode(body)
    if media_type == _BATCH:
        return Received(_batch(text), batch=True)
    return Received((json_format.parse(text),), batch=False)


def _charset(content_type: str) -> str | None:
    message = Message()
    message["Content-Type"] = content_type
    return message.get_content_charset()


def _batch(text: str) -> tuple[Event, ...]:
    events: list[Event] = []
    problems: list[Problem] = []
    for index, (document, sent) in enumerate(strict_json.array_elements(text)):
        try:
            events.append(json_format.from_document(document, sent))
        except EventError as exc:
            found = exc.problems or (Problem("", str(exc)),)
            problems.extend(Problem(f"/{index}{each.where}", each.what) for each in found)
            if len(problems) >= MAX_PROBLEMS:
                break
    if problems:
        raise EventError("the batch holds events that are not valid; none was taken", problems)
    return tuple(events)
