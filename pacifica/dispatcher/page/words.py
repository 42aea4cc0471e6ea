"""Values in words, for people: durations, times, rules, commands to copy."""

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
_NOW: Final = 1.0  # seconds that are no time at all


def duration(seconds: float | None) -> str:
    """Seconds in the two units that say most: 340 ms, 4.2 s, 3 min 20 s, 2 d 4 h."""
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
    first = next(place for place, (number, _) in enumerate(parts) if number)
    return " ".join(f"{number} {unit}" for number, unit in parts[first : first + 2] if number)


def ago(seconds: float) -> str:
    """How long ago something was, in its largest unit."""
    if seconds < _NOW:
        return "now" if seconds > -_NOW else f"in {duration(-seconds)}"
    for length, unit in (*_UNITS, (1.0, "s")):
        if seconds >= length:
            return f"{seconds // length:.0f} {unit} ago"
    return "now"


def exact(seconds: float) -> str:
    """A time in RFC 3339, in UTC."""
    when = datetime.fromtimestamp(seconds, UTC)
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def rule(document: Json) -> str:
    """A filter of the Subscriptions API in words."""
    assert isinstance(document, dict)  # noqa: S101 - our own filters' documents
    [(dialect, value)] = document.items()
    if isinstance(value, dict):
        if dialect == "not":
            return f"not ({rule(value)})"
        said = _COMPARED.get(dialect, dialect)
        return " and ".join(f"{name} {said} {text}" for name, text in value.items())
    if isinstance(value, list):
        return _JOINED.get(dialect, ", ").join(f"({rule(each)})" for each in value)
    return f"{dialect}: {value}"


def pretty(value: Json) -> str:
    """JSON over several lines."""
    return json.dumps(value, indent=2, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Payload:
    """The data of an event.

    Attributes:
        kind: what they are, by the event's `datacontenttype`.
        size: their bytes.
        text: they, to be read: JSON over several lines; bytes that are no text, in Base64.
    """

    kind: str
    size: int
    text: str


def payload(event: Event) -> Payload | None:
    """The data of an event, to be read; None when it has none."""
    kind, data = event.text("datacontenttype"), event.data
    if data is ABSENT:
        return None
    if isinstance(data, bytes):
        return _bytes(kind or "bytes", data)
    if isinstance(data, str) and kind and not media_type.is_json(kind):
        return Payload(kind, len(data.encode()), data)
    size = len(json.dumps(data, ensure_ascii=False).encode())
    return Payload(kind or "JSON", size, pretty(data))


def _bytes(kind: str, data: bytes) -> Payload:
    try:
        return Payload(kind, len(data), data.decode())
    except UnicodeDecodeError:
        return Payload(f"{kind}, in Base64", len(data), base64.b64encode(data).decode())


def curl(sent: str, url: str) -> str:
    """A command that sends an event again, to be copied into a shell."""
    header = shlex.quote("Content-Type: application/cloudevents+json")
    return f"curl -H {header} --data-binary {shlex.quote(sent)} {shlex.quote(url)}"
