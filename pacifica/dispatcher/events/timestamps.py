"""Timestamps of CloudEvents: strictly RFC 3339, section 5.6."""

import re
from datetime import UTC, datetime, timedelta

_TIMESTAMP = re.compile(
    r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:[0-5]\d)", re.ASCII
)
_FRACTION = re.compile(r"\.(\d+)", re.ASCII)
_MINUTE = timedelta(minutes=1)
_SECONDS = re.compile(r"\d{1,11}", re.ASCII)
_WITH_SPACES = re.compile(
    r"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d(?:\.\d+)?) (UTC|[+-]\d\d:?\d\d)", re.ASCII
)
_WITHOUT_ZONE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?", re.ASCII)


def is_timestamp(text: str) -> bool:
    """Return True for a valid timestamp; a leap second must end a month in UTC."""
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


def epoch_seconds(timestamp: str) -> float:
    """Convert a timestamp to epoch seconds; a leap second counts as the second before it."""
    return _moment(timestamp).timestamp()


def normalized(timestamp: str) -> str:
    """Return one spelling for all valid timestamps of a moment, to the last digit of its fraction.

    The result is not RFC 3339: near the years 0 and 10000 it counts on.
    """
    moment = _moment(timestamp)
    offset = moment.utcoffset() or timedelta()
    minutes = moment.toordinal() * 1440 + moment.hour * 60 + moment.minute - offset // _MINUTE
    fraction = _FRACTION.search(timestamp)
    return f"{minutes}:{timestamp[17:19]}.{fraction[1].rstrip('0') if fraction else ''}"


def mark_unknown_zone(text: str) -> str:
    """Append `-00:00` to a timestamp without a zone; return any other text unchanged.

    This offset means that the offset to local time is unknown (RFC 3339, section 4.3).
    """
    return f"{text}-00:00" if _WITHOUT_ZONE.fullmatch(text) else text


def to_rfc3339(text: str) -> str:
    """Convert a common non-CloudEvents timestamp; return any other text unchanged.

    Accepts whole epoch seconds, and `2026-11-23 16:57:37` followed by `UTC` or an offset.
    """
    if _SECONDS.fullmatch(text):
        try:
            return datetime.fromtimestamp(int(text), UTC).isoformat().replace("+00:00", "Z")
        except (ValueError, OverflowError, OSError):
            return text
    if match := _WITH_SPACES.fullmatch(text):
        day, time, zone = match.groups()
        zone = "Z" if zone == "UTC" else f"{zone[:3]}:{zone[-2:]}"
        return f"{day}T{time}{zone}"
    return text


def _moment(timestamp: str) -> datetime:
    # fromisoformat accepts neither second 60 nor a lower-case z.
    text = timestamp.upper()
    return datetime.fromisoformat(f"{text[:17]}59{text[19:]}" if text[17:19] == "60" else text)
