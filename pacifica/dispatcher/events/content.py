"""The content of an event as digests, equal for every spelling and mode of the same event."""

import hashlib
import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Final

from pacifica.dispatcher.errors import EventError
from pacifica.dispatcher.events import media_type, strict_json, timestamps
from pacifica.dispatcher.events.event import ABSENT, Absent, Event, Json, canonical

PARTS: Final = ("attributes", "data")
"""The parts of a content, in the order of their digests."""

_SIZE: Final = 16  # bytes of a part's digest
_DEFAULT_TYPE: Final = "application/json"  # JSON format 1.0.2, section 3.1

_TRANSIT: Final = frozenset({"traceparent", "tracestate", "knativearrivaltime", "knativehistory"})
"""Extensions that describe the way of one delivery; the next one of the same event has others."""

_SPELLINGS: Final[Mapping[str, Callable[[str], str]]] = {
    "time": timestamps.normalized,
    "expirytime": timestamps.normalized,
    "datacontenttype": media_type.normalized,
}
"""The attributes whose values may be spelled in several ways."""


def content_digest(event: Event) -> str:
    """Return the digests of an event's attributes and of its data, in hexadecimal.

    They agree for structured, binary and batched delivery, for all versions, and for JSON that
    differs only in the order of members, white space, escapes, or the spelling of numbers.
    """
    attributes = {
        name: _spelled(name, canonical(value))
        for name, value in event.attributes.items()
        if name not in _TRANSIT
    }
    kind = attributes.setdefault("datacontenttype", _DEFAULT_TYPE)
    return _digest(_json(attributes)) + _digest(_payload(event.data, kind))


def differing_parts(one: str, other: str) -> tuple[str, ...]:
    """Return the parts in which two contents differ, given their digests."""
    ends = range(0, len(PARTS) * 2 * _SIZE, 2 * _SIZE)
    return tuple(
        part
        for part, start in zip(PARTS, ends, strict=True)
        if one[start : start + 2 * _SIZE] != other[start : start + 2 * _SIZE]
    )


def _spelled(name: str, text: str) -> str:
    return _SPELLINGS[name](text) if name in _SPELLINGS else text


def _payload(data: Json | bytes | Absent, kind: str) -> bytes:
    """Return the data with a mark for its form, which is the one that binary mode gives it."""
    if media_type.is_json(kind):
        data = _parsed(data) if isinstance(data, bytes) else data
    elif isinstance(data, str):
        data = data.encode("utf-8", "surrogatepass")
    if data is ABSENT or data == b"":  # an empty body means no data
        return b""
    return b"bytes " + data if isinstance(data, bytes) else b"json " + _json(_plain(data))


def _parsed(data: bytes) -> Json | bytes:
    try:
        return strict_json.loads(strict_json.decode_utf8(data), strict_json.MAX_DEPTH - 1)
    except EventError:
        return data


def _plain(value: Json) -> Json:
    """Return a value with whole numbers as integers, however they were spelled."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    # The shortest decimal number, because 1e23 is not 10 ** 23 in double precision.
    return int(Decimal(repr(value))) if isinstance(value, float) and value.is_integer() else value


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii")


def _digest(text: bytes) -> str:
    return hashlib.blake2b(text, digest_size=_SIZE).hexdigest()
