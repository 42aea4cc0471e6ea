"""One event in JSON: CloudEvents 1.0 (JSON format, section 3) and Pacifica's 0.1."""

import base64
import binascii
import re
from datetime import datetime

from pacifica.dispatcher.errors import EventError, Problem
from pacifica.dispatcher.events import strict_json
from pacifica.dispatcher.events.event import ABSENT, Absent, Attribute, Event, Json
from pacifica.dispatcher.events.version01 import from_version01

_NAME = re.compile(r"[a-z0-9]+")
_PLANES_ENDS = "".join(chr(plane << 16 | end) for plane in range(17) for end in (0xFFFE, 0xFFFF))
_FORBIDDEN = re.compile(rf"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef{_PLANES_ENDS}]")
_TIMESTAMP = re.compile(
    r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:[0-5]\d)", re.ASCII
)
_REQUIRED = ("id", "source", "type")
_STRINGS = frozenset(
    {*_REQUIRED, "specversion", "subject", "time", "datacontenttype", "dataschema"}
)
_PAYLOAD = frozenset({"data", "data_base64"})
_INT32 = range(-(2**31), 2**31)


def parse(text: str) -> Event:
    """Read one event from the JSON text of it.

    Raises:
        EventError: it is no JSON object or no valid event; every bad attribute is named.
    """
    return from_document(strict_json.loads(text), text)


def from_document(document: Json, sent: str) -> Event:
    """Make the event of a JSON document.

    Args:
        document: what the JSON text holds.
        sent: the JSON text, which the event keeps as it is.

    Raises:
        EventError: it is no object or no valid event; every bad attribute is named.
    """
    if not isinstance(document, dict):
        hint = (
            "; a batch is application/cloudevents-batch+json" if isinstance(document, list) else ""
        )
        raise EventError(f"an event is a JSON object{hint}")
    problems: list[Problem] = []
    names: dict[str, str] = {}
    if document.get("specversion") is None and "cloudEventsVersion" in document:
        document, names = from_version01(document, problems)
    attributes = _attributes(document, problems)
    data = _payload(document, problems)
    if problems:
        named = [Problem(names.get(each.where, each.where), each.what) for each in problems]
        raise EventError("this is no valid CloudEvent", named)
    return Event(attributes, data, sent)


def _attributes(document: dict[str, Json], problems: list[Problem]) -> dict[str, Attribute]:
    attributes: dict[str, Attribute] = {}
    for name, value in document.items():
        if name in _PAYLOAD or value is None:
            continue
        wrong = _wrong(name, value)
        if wrong:
            problems.append(Problem(_pointer(name), wrong))
        elif isinstance(value, str | int):
            attributes[name] = value
    missing = [name for name in (*_REQUIRED, "specversion") if document.get(name) is None]
    problems.extend(Problem(_pointer(name), "this attribute is required") for name in missing)
    return attributes


def _wrong(name: str, value: Json) -> str | None:
    """What is wrong with an attribute (CloudEvents 1.0.2, sections 2.3, 2.4 and 3)."""
    if name not in _STRINGS and not _NAME.fullmatch(name):
        return "an attribute's name has only lower-case letters and digits"
    if isinstance(value, str):
        return _wrong_string(name, value)
    if name in _STRINGS:
        return "this attribute must be a string"
    if isinstance(value, bool):
        return None
    if not isinstance(value, int):
        return "an attribute is a string, an integer or a Boolean"
    return None if value in _INT32 else "an integer must fit in 32 bits"


def _wrong_string(name: str, value: str) -> str | None:
    if not value.isprintable() and _FORBIDDEN.search(value):
        return "a string has no control characters, noncharacters or lone surrogates"
    if name in _STRINGS and not value:
        return "this attribute must not be empty"
    if name == "specversion" and value != "1.0":
        return "only 1.0 is understood (and cloudEventsVersion 0.1)"
    if name == "time" and not _is_timestamp(value):
        return "a time is an RFC 3339 timestamp such as 2026-11-23T16:57:37Z"
    return None


def _is_timestamp(value: str) -> bool:
    if not _TIMESTAMP.fullmatch(value):
        return False
    try:
        leap_second = value[17:19] == "60"
        datetime.fromisoformat(f"{value[:17]}59{value[19:]}" if leap_second else value.upper())
    except ValueError:
        return False
    return True


def _payload(document: dict[str, Json], problems: list[Problem]) -> Json | bytes | Absent:
    encoded = document.get("data_base64")
    if encoded is None:
        return document.get("data", ABSENT)
    if "data" in document:
        problems.append(Problem("/data_base64", "data and data_base64 exclude each other"))
    if isinstance(encoded, str):
        try:
            return base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            pass
    problems.append(Problem("/data_base64", "this is not Base64 (RFC 4648, section 4)"))
    return ABSENT


def _pointer(name: str) -> str:
    """The RFC 6901 pointer to a member of the event, safe to show."""
    shown = _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", name[:80])
    return "/" + shown.replace("~", "~0").replace("/", "~1")
