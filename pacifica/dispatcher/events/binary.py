"""One event in binary mode: attributes in headers, the payload as the body.

CloudEvents HTTP protocol binding 1.0.2, section 3.1; of the versions before it, the names.
"""

import base64
import binascii
import json
import re
from collections.abc import Iterable, Mapping
from urllib.parse import unquote_to_bytes

from pacifica.dispatcher.errors import EventError, Problem
from pacifica.dispatcher.events import media_type, strict_json
from pacifica.dispatcher.events.event import Event, Json
from pacifica.dispatcher.events.json_format import INVALID, from_document, parse
from pacifica.dispatcher.events.rules import pointer

PREFIX = "ce-"

Headers = Iterable[tuple[str, str]]
"""Header fields as WSGI gives them: each character of a value is one byte (PEP 3333)."""

_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)("?)')
"""A quoted part. One that is not closed is found too, so that nothing is looked at twice."""

_JOINED = "\n"
"""What our web server puts between the values of a header that is there twice."""

_ELSEWHERE: Mapping[str, str] = {
    "data": "the payload is the body",
    "data_base64": "the payload is the body",
    "datacontenttype": "in binary mode this is the header Content-Type",
    "contenttype": "in binary mode this is the header Content-Type",
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


def read(headers: Headers, content_type: str, body: bytes) -> Event:
    """Read an event whose attributes are the headers that begin with `ce-`.

    What the event keeps as sent is the JSON text of it in version 1.0, with a payload that is JSON
    in it character by character.

    Args:
        headers: all fields of the request.
        content_type: the header Content-Type, "" when there was none.
        body: the whole body; an empty one is no payload.

    Raises:
        EventError: it is no valid event; every bad attribute is named as in JSON.
    """
    problems: list[Problem] = []
    fields = _fields(headers, problems)
    body = _decoded(fields, body, problems)
    payload = _payload(content_type, body, problems)
    try:
        event = from_document(_document(fields, content_type), "")
    except EventError as exc:
        named = {each.where for each in problems}
        problems.extend(each for each in exc.problems if each.where not in named)
    if problems:
        raise EventError(INVALID, problems)
    return parse(f"{json.dumps(dict(event.attributes))[:-1]}{payload}}}")


def value(text: str) -> str:
    """The value of an attribute in a header (section 3.1.3.2).

    Quoted parts lose their quotes and backslashes, then percent-encoding is undone once.

    Raises:
        UnicodeError: it is not UTF-8 then.
    """
    unquoted = _QUOTED.sub(_without_quotes, text)
    return unquote_to_bytes(unquoted.encode("latin-1")).decode("utf-8")


def _without_quotes(part: re.Match[str]) -> str:
    return re.sub(r"\\(.)", r"\1", part[1]) if part[2] else part[0]


def _fields(headers: Headers, problems: list[Problem]) -> dict[str, str]:
    """The values of the headers that are attributes, by the names without their prefix."""
    fields: dict[str, str] = {}
    for header, text in headers:
        name = header.lower()
        if not name.startswith(PREFIX):
            continue
        name = name.removeprefix(PREFIX)
        if name in _ELSEWHERE:
            problems.append(Problem(pointer(name), f"{_ELSEWHERE[name]}; leave this header out"))
        elif name in fields or _JOINED in text:
            problems.append(Problem(pointer(name), "this header is there twice"))
        try:
            fields[name] = value(text)
        except UnicodeError:
            fields[name] = ""
            what = "this header is not UTF-8 after percent-decoding"
            problems.append(Problem(pointer(name), what))
    for name in _ELSEWHERE:
        fields.pop(name, None)
    return fields


def _document(fields: Mapping[str, str], content_type: str) -> dict[str, Json]:
    """The attributes as a JSON document of their version, without the payload."""
    document: dict[str, Json] = dict(fields)
    name = "contenttype" if fields.get("specversion") == "0.2" else "datacontenttype"
    if "specversion" not in fields and "cloudeventsversion" in fields:
        document, name = _document01(fields), "contentType"
    if content_type:
        document[name] = content_type
    return document


def _document01(fields: Mapping[str, str]) -> dict[str, Json]:
    """Version 0.1 has names with capitals, and extensions in headers `CE-X-…`."""
    document: dict[str, Json] = {}
    extensions: dict[str, Json] = {}
    for name, text in fields.items():
        if name in _VERSION01:
            document[_VERSION01[name]] = text
        else:
            extensions[name.removeprefix("x-")] = text
    return {**document, "extensions": extensions}


def _decoded(fields: dict[str, str], body: bytes, problems: list[Problem]) -> bytes:
    """The body without the encoding that 0.3 names in `datacontentencoding`."""
    if fields.get("specversion") != "0.3" or "datacontentencoding" not in fields:
        return body
    if fields.pop("datacontentencoding").lower() != "base64":
        problems.append(Problem("/datacontentencoding", "only base64 is understood"))
        return body
    try:
        return base64.b64decode(b"".join(body.split()), validate=True)
    except binascii.Error:
        problems.append(Problem("/data", "this is not Base64 (RFC 2045, section 6.8)"))
        return b""


def _payload(content_type: str, body: bytes, problems: list[Problem]) -> str:
    """The member of the event in JSON that holds the body, with a comma before it."""
    if not body:
        return ""
    if media_type.charset(content_type) in media_type.UTF8:
        if media_type.is_json(content_type) or not content_type:
            try:
                text = strict_json.decode(body)
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
                pass  # it stays bytes
    return f', "data_base64": "{base64.b64encode(body).decode("ascii")}"'
