"""Timestamps as CloudEvents has them: RFC 3339, section 5.6, and nothing beside it."""

import re
from datetime import UTC, datetime, timedelta

_TIMESTAMP = re.compile(
    r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:[0-5]\d)", re.ASCII
)
_SECONDS = re.compile(r"\d{1,11}", re.ASCII)
_WITH_BLANKS = re.compile(
    r"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d(?:\.\d+)?) (UTC|[+-]\d\d:?\d\d)", re.ASCII
)
_WITHOUT_ZONE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?", re.ASCII)


def is_timestamp(text: str) -> bool:
    """Whether a text is a timestamp; a leap second stands at the end of a month of UTC."""
    if not _TIMESTAMP.fullmatch(text):
        return False
    try:
        moment = _moment(text)
        if text[17:19] != "60":
            return True
        after = moment.astimezone(UTC) + timedelta(seconds=1)
    except (ValueError, OverflowError):
        return False
    return (after.day, after.hour, after.minute) == (1, 0, 0)


def seconds(timestamp: str) -> float:
    """A timestamp as seconds since the epoch; a leap second is the one before it."""
    return _moment(timestamp).timestamp()


def with_zone(text: str) -> str:
    """A timestamp that lacks its zone, with the offset `-00:00`; any other text as it is.

    By that offset RFC 3339 (section 4.3) says that the offset to local time is not known.
    """
    return f"{text}-00:00" if _WITHOUT_ZONE.fullmatch(text) else text


def from_elsewhere(text: str) -> str:
    """A timestamp that senders beside CloudEvents wrote; any other text as it is.

    Whole seconds since the epoch, and `2026-11-23 16:57:37 UTC` or with an offset, become RFC 3339.
    """
    if _SECONDS.fullmatch(text):
        try:
            return datetime.fromtimestamp(int(text), UTC).isoformat().replace("+00:00", "Z")
        except (ValueError, OverflowError, OSError):
            return text
    if match := _WITH_BLANKS.fullmatch(text):
        day, time, zone = match.groups()
        zone = "Z" if zone == "UTC" else f"{zone[:3]}:{zone[-2:]}"
        return f"{day}T{time}{zone}"
    return text


def _moment(timestamp: str) -> datetime:
    """Read it; Python knows no second 60 and no small z."""
    text = timestamp.upper()
    return datetime.fromisoformat(f"{text[:17]}59{text[19:]}" if text[17:19] == "60" else text)
