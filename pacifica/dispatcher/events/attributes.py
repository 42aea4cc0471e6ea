"""Validation of an event's attributes (CloudEvents 1.0.2, sections 2.3, 2.4 and 3)."""

import re
from collections.abc import Callable, Mapping

from pacifica.dispatcher.errors import Problem
from pacifica.dispatcher.events.event import Attribute, Json
from pacifica.dispatcher.events.timestamps import is_timestamp

INVALID = "Not a valid CloudEvent"
"""The summary of an error that names every invalid attribute."""

REQUIRED = ("id", "source", "type", "specversion")
STRINGS = frozenset({*REQUIRED, "subject", "time", "datacontenttype", "dataschema"})
"""The attributes defined by the specification, all of them non-empty strings."""

PAYLOAD = frozenset({"data", "data_base64"})
"""Members of an event in JSON that are not attributes."""

INT32 = range(-(2**31), 2**31)

_NAME = re.compile(r"[a-z0-9]+")
_PLANES_ENDS = "".join(chr(plane << 16 | end) for plane in range(17) for end in (0xFFFE, 0xFFFF))
_FORBIDDEN = re.compile(rf"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef{_PLANES_ENDS}]")
_MEDIA_TYPE = re.compile(r"[\w!#$%&'*+.^`|~-]+/[\w!#$%&'*+.^`|~-]+[ \t]*(;.*)?", re.ASCII)

_CHARACTER = r"[\w.~!$&'()*+,;=-]|%[\da-fA-F]{2}"
_AUTHORITY = (
    rf"(?:(?:{_CHARACTER}|:)*@)?"
    rf"(?:\[(?:[\da-fA-F:.]+|v[\da-fA-F]+\.[\w.~!$&'()*+,;=:-]+)\]|(?:{_CHARACTER})*)(?::\d*)?"
)
_URI_REFERENCE = re.compile(
    r"(?:[A-Za-z][A-Za-z\d+.-]*:|(?![^/?#]*:))"  # a first segment with a colon would be a scheme
    rf"(?://{_AUTHORITY}(?=[/?#]|\Z)|(?!//))"
    rf"(?:{_CHARACTER}|[:@/])*"
    rf"(?:\?(?:{_CHARACTER}|[:@/?])*)?"
    rf"(?:#(?:{_CHARACTER}|[:@/?])*)?",
    re.ASCII,
)

_TIMESTAMP = (is_timestamp, "must be an RFC 3339 timestamp such as 2026-11-23T16:57:37Z")
_REFERENCE = (
    _URI_REFERENCE.fullmatch,
    "must be a URI-reference (RFC 3986) with other characters percent-encoded",
)
_ANY: tuple[Callable[[str], object], str] = (lambda _: True, "")
_FORMATS: Mapping[str, tuple[Callable[[str], object], str]] = {
    "specversion": (
        lambda value: value == "1.0",
        "must be 1.0, 0.3 or 0.2 (or cloudEventsVersion must be 0.1)",
    ),
    "source": _REFERENCE,
    "dataschema": _REFERENCE,
    "datacontenttype": (
        _MEDIA_TYPE.fullmatch,
        "must be a media type (RFC 2046) such as application/json",
    ),
    "time": _TIMESTAMP,
    "expirytime": _TIMESTAMP,
}
"""The attributes with a prescribed format: its check, and the message if that fails."""


def check_attributes(document: dict[str, Json], problems: list[Problem]) -> dict[str, Attribute]:
    """Return the attributes of an event with 1.0 names; null means unset.

    Args:
        document: the event's members, including its payload.
        problems: receives a problem for each invalid attribute.
    """
    attributes: dict[str, Attribute] = {}
    for name, value in document.items():
        if name in PAYLOAD or value is None:
            continue
        fault = _fault(name, value)
        if fault:
            problems.append(Problem(attribute_pointer(name), fault))
        elif isinstance(value, str | int):
            attributes[name] = value
    missing = [name for name in REQUIRED if document.get(name) is None]
    problems.extend(Problem(attribute_pointer(name), "is required") for name in missing)
    return attributes


def attribute_pointer(name: str) -> str:
    """Return the RFC 6901 pointer to a member of the event, safe to display."""
    shown = _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", name[:80])
    return "/" + shown.replace("~", "~0").replace("/", "~1")


def _fault(name: str, value: Json) -> str | None:
    if name not in STRINGS and not _NAME.fullmatch(name):
        return "is not a valid attribute name; use only lower-case letters and digits"
    if isinstance(value, str):
        return _string_fault(name, value)
    if name in STRINGS or name == "expirytime":
        return "must be a string"
    if isinstance(value, bool):
        return None
    if not isinstance(value, int):
        return "must be a string, an integer or a Boolean"
    return None if value in INT32 else "must be a 32-bit integer"


def _string_fault(name: str, value: str) -> str | None:
    if not value.isprintable() and _FORBIDDEN.search(value):
        return "must not contain control characters, noncharacters or lone surrogates"
    if name in STRINGS and not value:
        return "must not be empty"
    is_valid, requirement = _FORMATS.get(name, _ANY)
    return None if is_valid(value) else f"{requirement}, not {value[:80]!r}"
