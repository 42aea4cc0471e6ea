"""Human-readable text: durations, times, rules, payloads, and commands to copy."""

import base64
import json
import shlex
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from pacifica.dispatcher.events import ABSENT, Event, Json, media_type

_UNITS: Final = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"))
_COMPARED: Final = {"exact": "is", "prefix": "begins with", "suffix": "ends with"}
_JOINED: Final = {"all": " and ", "any": " or "}
_ENCODER: Final = json.JSONEncoder(indent=2, ensure_ascii=False)
_NOW: Final = 1.0  # seconds; shorter ages are "now"


def duration(seconds: float | None) -> str:
    """Format a duration in its two largest units: 340 ms, 4.2 s, 3 min 20 s, 2 d 4 h."""
    if seconds is None:
        return "-"
    if (milliseconds := round(max(0.0, seconds) * 1000)) < 1000:  # noqa: PLR2004 - a second
        return f"{milliseconds} ms"
    if (tenths := round(seconds * 10)) < 100:  # noqa: PLR2004 - ten seconds
        return f"{tenths / 10:.1f} s"
    left = round(seconds)
    parts = []
    for length, unit in (*_UNITS, (1.0, "s")):
        number, left = divmod(left, int(length))
        parts.append((number, unit))
    first = next(index for index, (number, _) in enumerate(parts) if number)
    return " ".join(f"{number} {unit}" for number, unit in parts[first : first + 2] if number)


def ago(seconds: float) -> str:
    """Format an age in its largest unit."""
    if seconds < _NOW:
        return "now" if seconds > -_NOW else f"in {duration(-seconds)}"
    for length, unit in (*_UNITS, (1.0, "s")):
        if seconds >= length:
            return f"{seconds // length:.0f} {unit} ago"
    return "now"


def exact(seconds: float) -> str:
    """Format a time as an RFC 3339 timestamp in UTC."""
    when = datetime.fromtimestamp(seconds, UTC)
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def rule(document: Json) -> str:
    """Describe a filter of the Subscriptions API in words."""
    assert isinstance(document, dict)  # noqa: S101 - a document of one of our filters
    [(dialect, value)] = document.items()
    if isinstance(value, dict):
        if dialect == "not":
            return f"not ({rule(value)})"
        relation = _COMPARED.get(dialect, dialect)
        return " and ".join(f"{name} {relation} {text}" for name, text in value.items())
    if isinstance(value, list):
        return _JOINED.get(dialect, ", ").join(f"({rule(each)})" for each in value)
    return f"{dialect}: {value}"


def pretty(value: Json, most: int) -> str:
    """Format JSON with indentation, or in one line if that is longer than `most` characters."""
    found = _indented(value, most)
    return found if len(found) <= most else json.dumps(value, ensure_ascii=False)


def pretty_beginning(value: Json, most: int) -> str:
    """Format the beginning of JSON with indentation."""
    return beginning(_indented(value, most), most)


def _indented(value: Json, most: int) -> str:
    # Indentation can make JSON a hundred times as long; stop as soon as it is too long.
    parts: list[str] = []
    room = most
    for part in _ENCODER.iterencode(value):
        parts.append(part)
        room -= len(part)
        if room < 0:
            break
    return "".join(parts)


def beginning(text: str, most: int) -> str:
    """Return a text, or its beginning with a mark if it is longer than that."""
    return text if len(text) <= most else f"{text[:most]}…"


@dataclass(frozen=True, slots=True)
class Payload:
    """The data of an event.

    Attributes:
        kind: the `datacontenttype` of the event, or a word for the type of data.
        size: the number of bytes.
        text: the readable form: indented JSON, text, or Base64 for bytes that are not UTF-8.
    """

    kind: str
    size: int
    text: str


def payload(event: Event, most: int) -> Payload | None:
    """Return the data of an event in readable form; None if it has none.

    Args:
        event: the event.
        most: the number of characters after which the text is cut.
    """
    kind, data = event.text("datacontenttype"), event.data
    if data is ABSENT:
        return None
    if isinstance(data, bytes):
        return _bytes(kind or "bytes", data, most)
    if isinstance(data, str) and kind and not media_type.is_json(kind):
        return Payload(kind, len(data.encode()), beginning(data, most))
    size = len(json.dumps(data, ensure_ascii=False).encode())
    return Payload(kind or "JSON", size, pretty_beginning(data, most))


def _bytes(kind: str, data: bytes, most: int) -> Payload:
    try:
        return Payload(kind, len(data), beginning(data.decode(), most))
    except UnicodeDecodeError:
        text = base64.b64encode(data[:most]).decode()
        return Payload(f"{kind}, in Base64", len(data), beginning(text, most))


def curl(sent: str, url: str) -> str:
    """Return a shell command that sends an event."""
    header = shlex.quote("Content-Type: application/cloudevents+json")
    return f"curl -H {header} --data-binary {shlex.quote(sent)} {shlex.quote(url)}"
