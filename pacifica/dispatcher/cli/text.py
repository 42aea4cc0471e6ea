"""Text for terminals: control characters escaped, times and durations abbreviated."""

import json
import re
from datetime import UTC, datetime
from typing import Final

_UNSAFE: Final = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f"
)
"""Control characters, and invisible ones such as those that change the text direction."""

_IN_LINES: Final = re.compile(f"[{_UNSAFE}]")
_IN_A_LINE: Final = re.compile(f"[\t\n{_UNSAFE}]")
_UNITS: Final = ((86400, "d"), (3600, "h"), (60, "m"))


def line(text: str) -> str:
    """Return a text as one line, with control characters escaped as in Python."""
    return _IN_A_LINE.sub(_escaped, text)


def lines(text: str) -> str:
    """Return a text with control characters escaped, except tabs and line ends."""
    return _IN_LINES.sub(_escaped, text)


def json_line(value: object) -> str:
    """Return the JSON text of a value in printable ASCII."""
    return json.dumps(value, allow_nan=False).replace("\x7f", "\\u007f")


def json_text(value: object, indent: int | None = None) -> str:
    """Return the JSON text of a value for people, optionally indented."""
    return lines(json.dumps(value, allow_nan=False, indent=indent, ensure_ascii=False))


def age(timestamp: str, now: datetime) -> str:
    """Return the age of an RFC 3339 timestamp in its largest unit."""
    seconds = max(0.0, (now - datetime.fromisoformat(timestamp)).total_seconds())
    for size, unit in _UNITS:
        if seconds >= size:
            return f"{seconds // size:.0f}{unit}"
    return f"{seconds:.0f}s"


def moment(timestamp: str) -> str:
    """Return an RFC 3339 timestamp in local time, to the second."""
    return datetime.fromisoformat(timestamp).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def took(started: str | None, finished: str | None) -> str:
    """Return a duration in its two largest units, until now if it has not finished."""
    if started is None:
        return ""
    end = datetime.fromisoformat(finished) if finished else datetime.now(UTC)
    seconds = max(0.0, (end - datetime.fromisoformat(started)).total_seconds())
    if seconds < 60:  # noqa: PLR2004 - a minute
        return f"{seconds:.1f}s"
    smaller = {"d": (3600, "h"), "h": (60, "m"), "m": (1, "s")}
    size, unit = next(each for each in _UNITS if seconds >= each[0])
    part, name = smaller[unit]
    return f"{seconds // size:.0f}{unit} {seconds % size // part:.0f}{name}"


def _escaped(match: re.Match[str]) -> str:
    return match.group().encode("unicode_escape").decode()
