"""What the attributes of an event must be (CloudEvents 1.0.2, sections 2.3, 2.4 and 3)."""

import re
from collections.abc import Callable, Mapping

from pacifica.dispatcher.errors import Problem
from pacifica.dispatcher.events.event import Attribute, Json
from pacifica.dispatcher.events.timestamps import is_timestamp

REQUIRED = ("id", "source", "type", "specversion")
STRINGS = frozenset({*REQUIRED, "subject", "time", "datacontenttype", "dataschema"})
"""The attributes that the specification defines; all of them are strings that are not empty."""

PAYLOAD = frozenset({"data", "data_base64"})
"""Members of an event in JSON that are no attributes."""

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

_TIME = (is_timestamp, "a time is an RFC 3339 timestamp such as 2026-11-23T16:57:37Z")
_REFERENCE = (
    _URI_REFERENCE.fullmatch,
    "this must be a URI-reference (RFC 3986); percent-encode what it cannot hold",
)
_ANY: tuple[Callable[[str], object], str] = (lambda _: True, "")
_FORMS: Mapping[str, tuple[Callable[[str], object], str]] = {
    "specversion": (
        lambda value: value == "1.0",
        "only 1.0, 0.3 and 0.2 are understood (and cloudEventsVersion 0.1)",
    ),
    "source": _REFERENCE,
    "dataschema": _REFERENCE,
    "datacontenttype": (
        _MEDIA_TYPE.fullmatch,
        "this must be a media type such as application/json (RFC 2046)",
    ),
    "time": _TIME,
    "expirytime": _TIME,
}
"""The attributes that have a form, what tells whether a string has it, and what is said if not."""


def checked(document: dict[str, Json], problems: list[Problem]) -> dict[str, Attribute]:
    """The attributes of an event in the names of 1.0; those that are null are unset.

    Args:
        document: the event's members, its payload among them.
        problems: takes what is wrong with each attribute.
    """
    attributes: dict[str, Attribute] = {}
    for name, value in document.items():
        if name in PAYLOAD or value is None:
            continue
        wrong = _wrong(name, value)
        if wrong:
            problems.append(Problem(pointer(name), wrong))
        elif isinstance(value, str | int):
            attributes[name] = value
    missing = [name for name in REQUIRED if document.get(name) is None]
    problems.extend(Problem(pointer(name), "this attribute is required") for name in missing)
    return attributes


def pointer(name: str) -> str:
    """The RFC 6901 pointer to a member of the event, safe to show."""
    shown = _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", name[:80])
    return "/" + shown.replace("~", "~0").replace("/", "~1")


def _wrong(name: str, value: Json) -> str | None:
    """What is wrong with an attribute."""
    if name not in STRINGS and not _NAME.fullmatch(name):
        return "an attribute's name has only lower-case letters and digits"
    if isinstance(value, str):
        return _wrong_string(name, value)
    if name in STRINGS or name == "expirytime":
        return "this attribute must be a string"
    if isinstance(value, bool):
        return None
    if not isinstance(value, int):
        return "an attribute is a string, an integer or a Boolean"
    return None if value in INT32 else "an integer must fit in 32 bits"


def _wrong_string(name: str, value: str) -> str | None:
    if not value.isprintable() and _FORBIDDEN.search(value):
        return "a string has no control characters, noncharacters or lone surrogates"
    if name in STRINGS and not value:
        return "this attribute must not be empty"
    has_form, otherwise = _FORMS.get(name, _ANY)
    return None if has_form(value) else otherwise
