"""Events in binary mode: attributes in headers, the payload as the body.

CloudEvents HTTP protocol binding 1.0.2, section 3.1, and the attribute names of earlier versions.
"""

import base64
import binascii
import json
import re
from collections.abc import Iterable, Mapping
from urllib.parse import unquote_to_bytes

from pacifica.dispatcher.errors import EventError, Problem
from pacifica.dispatcher.events import media_type, strict_json
from pacifica.dispatcher.events.attributes import INVALID, attribute_pointer
from pacifica.dispatcher.events.event import Event, Json
from pacifica.dispatcher.events.json_format import event_from_document, parse_event

PREFIX = "ce-"

Headers = Iterable[tuple[str, str]]
"""Header fields as WSGI passes them: each character of a value is one byte (PEP 3333)."""

# An unclosed quoted part matches too, so that no character is scanned twice.
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)("?)')

# The web server joins the values of a repeated header with this.
_JOINED = "\n"

_ELSEWHERE: Mapping[str, str] = {
    "data": "the body is the payload",
    "data_base64": "the body is the payload",
    "datacontenttype": "in binary mode this is the Content-Type header",
    "contenttype": "in binary mode this is the Content-Type header",
}
_VERSION01: Mapping[str, str] = {
    name.lower(): name
    for name in (
        "cloudEventsVersion",
        "eventType",
        "eventTypeVersion",
        "eventID",
        "eventTime",
        "schemaURL",
    )
} | {"source": "source"}


def parse_binary_event(headers: Headers, content_type: str, body: bytes) -> Event:
    """Parse an event whose attributes are the `ce-` headers.

    Its `sent` is the JSON text in version 1.0, in which a JSON payload is kept unchanged.

    Args:
        headers: all fields of the request.
        content_type: the Content-Type header, "" if there was none.
        body: the whole body; an empty one means no payload.

    Raises:
        EventError: not a valid event; every invalid attribute is named as in JSON.
    """
    problems: list[Problem] = []
    fields = _attribute_fields(headers, problems)
    body = _decode_body(fields, body, problems)
    payload = _payload_member(content_type, body, problems)
    try:
        event = event_from_document(_document(fields, content_type), "")
    except EventError as exc:
        named = {each.where for each in problems}
        problems.extend(each for each in exc.problems if each.where not in named)
    if problems:
        raise EventError(INVALID, problems)
    return parse_event(f"{json.dumps(dict(event.attributes))[:-1]}{payload}}}")


def decode_header_value(text: str) -> str:
    """Return the attribute value that a header carries (section 3.1.3.2).

    Quoted parts lose their quotes and backslashes, then percent-encoding is undone once.

    Raises:
        UnicodeError: the result is not UTF-8.
    """
    unquoted = _QUOTED.sub(_without_quotes, text)
    return unquote_to_bytes(unquoted.encode("latin-1")).decode("utf-8")


def _without_quotes(part: re.Match[str]) -> str:
    return re.sub(r"\\(.)", r"\1", part[1]) if part[2] else part[0]


def _attribute_fields(headers: Headers, problems: list[Problem]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for header, text in headers:
        name = header.lower()
        if not name.startswith(PREFIX):
            continue
        name = name.removeprefix(PREFIX)
        if name in _ELSEWHERE:
            problem = f"must not be a ce- header: {_ELSEWHERE[name]}"
            problems.append(Problem(attribute_pointer(name), problem))
        elif name in fields or _JOINED in text:
            problems.append(Problem(attribute_pointer(name), "header must not be repeated"))
        try:
            fields[name] = decode_header_value(text)
        except UnicodeError:
            fields[name] = ""
            problem = "header is not valid UTF-8 after percent-decoding"
            problems.append(Problem(attribute_pointer(name), problem))
    for name in _ELSEWHERE:
        fields.pop(name, None)
    return fields


def _document(fields: Mapping[str, str], content_type: str) -> dict[str, Json]:
    document: dict[str, Json] = dict(fields)
    name = "contenttype" if fields.get("specversion") == "0.2" else "datacontenttype"
    if "specversion" not in fields and "cloudeventsversion" in fields:
        document, name = _document01(fields), "contentType"
    if content_type:
        document[name] = content_type
    return document


def _document01(fields: Mapping[str, str]) -> dict[str, Json]:
    # Version 0.1 has camelCase names, and sends extensions as `CE-X-…`.
    document: dict[str, Json] = {}
    extensions: dict[str, Json] = {}
    for name, text in fields.items():
        if name in _VERSION01:
            document[_VERSION01[name]] = text
        else:
            extensions[name.removeprefix("x-")] = text
    return {**document, "extensions": extensions}


def _decode_body(fields: dict[str, str], body: bytes, problems: list[Problem]) -> bytes:
    # Only version 0.3 has datacontentencoding.
    if fields.get("specversion") != "0.3" or "datacontentencoding" not in fields:
        return body
    encoding = fields.pop("datacontentencoding")
    if encoding.lower() != "base64":
        problem = f"must be base64, not {encoding[:80]!r}"
        problems.append(Problem("/datacontentencoding", problem))
        return body
    try:
        return base64.b64decode(b"".join(body.split()), validate=True)
    except binascii.Error:
        problems.append(Problem("/data", "is not valid Base64 (RFC 2045, section 6.8)"))
        return b""


def _payload_member(content_type: str, body: bytes, problems: list[Problem]) -> str:
    """Return the payload as a member to append to the event's JSON text, comma included."""
    if not body:
        return ""
    if media_type.charset(content_type) in media_type.UTF8:
        if media_type.is_json(content_type) or not content_type:
            try:
                text = strict_json.decode_utf8(body)
                strict_json.loads(text, strict_json.MAX_DEPTH - 1)
            except EventError as exc:
                if content_type:
                    problems.append(Problem("/data", str(exc)))
            else:
                return f', "data": {text}'
        elif media_type.is_text(content_type):
            try:
                return f', "data": {json.dumps(body.decode("utf-8"))}'
            except UnicodeDecodeError:
                pass  # sent as bytes below
    return f', "data_base64": "{base64.b64encode(body).decode("ascii")}"'
