"""The head of a request, read as RFC 9112 wants it and in no other way.

What another program on the path could read differently is refused. Otherwise a proxy and this
server could disagree about where a request ends, and the rest would be taken for another request.
"""

import re
import urllib.parse
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from pacifica.dispatcher.errors import DispatcherError
from pacifica.dispatcher.urls import AUTHORITY

_TCHAR: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"  # RFC 9110, section 5.6.2
_VALUE: Final = rb"[\t -~\x80-\xff]*"  # RFC 9110, section 5.5
_REQUEST_LINE: Final = re.compile(rb"(" + _TCHAR + rb"+) ([!-~]+) HTTP/([0-9])\.([0-9])")
_FIELD_LINES: Final = re.compile(rb"(?:" + _TCHAR + rb"+:" + _VALUE + rb"\r\n)*+")
_FIELD_LINE: Final = re.compile(_TCHAR + rb"+:" + _VALUE)
_FIRST: Final = re.compile(_TCHAR + rb"|\r(?:\n|\Z)")
_LONE: Final = re.compile(rb"(?<!\r)\n|\r(?=[^\n])")
_HOST: Final = re.compile(b"(?:%b)?" % AUTHORITY.encode())
_ABSOLUTE: Final = re.compile(rb"https?://([^/?#]+)(/[^?#]*)?(\?[^#]*)?", re.IGNORECASE)
_ORIGIN: Final = re.compile(rb"(/[^?#]*)(\?[^#]*)?")
_LENGTH: Final = re.compile(rb"[0-9]{1,18}")
_ENCODED_SLASH: Final = re.compile(rb"(?i)%2f")
_MAX_FIELDS: Final = 128
_SINGLE: Final = frozenset(
    {b"Authorization", b"Content-Length", b"Content-Type", b"Expect", b"Host", b"Transfer-Encoding"}
)
"""Fields whose repetition is ambiguous."""


class ProtocolError(DispatcherError):
    """A request that the server refuses without passing it to the application."""

    def __init__(self, status: HTTPStatus, detail: str) -> None:
        """Keep the status of the response."""
        super().__init__(detail)
        self.status = status


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a request.

    Attributes:
        method: the method.
        target: the request target, as sent.
        minor: the minor version of HTTP/1.
        path: the decoded path, except for encoded slashes.
        query: the query, not decoded.
        fields: the values of the header fields by name, such as `Content-Type`. Values of one name
            are joined: by `, `, those of event attributes by a line feed, which no value contains.
        length: the length of the body in bytes; None if it comes in chunks.
        closes: True if the client will send no other request.
        waits: True if the client waits for permission to send the body.
    """

    method: bytes
    target: bytes
    minor: int
    path: bytes
    query: bytes
    fields: dict[bytes, bytes]
    length: int | None
    closes: bool
    waits: bool


def refused(detail: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> ProtocolError:
    """Return the exception for a malformed request."""
    return ProtocolError(status, detail)


def check_beginning(received: bytes | bytearray, position: int) -> None:
    """Refuse an incomplete head that cannot become a valid one.

    Args:
        received: the beginning of the head.
        position: the number of bytes that were checked before.

    Raises:
        ProtocolError: not HTTP/1, or a line does not end with CR and LF (RFC 9112, section 2.2).
    """
    if received and not _FIRST.match(received):
        raise refused("Not a request of HTTP/1")
    if _LONE.search(received, max(0, position - 1)):
        raise refused("Lines of the head must end with CR and LF")


def parse_head(received: bytes) -> Head:
    """Parse the head of a request (RFC 9112, sections 3, 5 and 6).

    Args:
        received: all bytes before the empty line.

    Raises:
        ProtocolError: it is malformed, or could be read in more than one way.
    """
    line, _, rest = received.partition(b"\r\n")
    matched = _REQUEST_LINE.fullmatch(line)
    if matched is None:
        raise refused("Invalid request line: expected METHOD TARGET HTTP/1.1")
    method, target, major, minor = matched.groups()
    if major != b"1" or minor not in b"01":
        raise refused("Unsupported version; use HTTP/1.1", HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)
    if method != method.upper():
        raise refused("Invalid method: methods are in upper case")
    fields = _parse_fields(rest + b"\r\n" if rest else b"")
    authority, path, query = _parse_target(method, target)
    _check_host(fields, authority, mandatory=minor == b"1")
    connection = {each.strip().lower() for each in fields.get(b"Connection", b"").split(b",")}
    persistent = b"close" not in connection and (minor == b"1" or b"keep-alive" in connection)
    return Head(
        method=method,
        target=target,
        minor=int(minor),
        path=path,
        query=query,
        fields=fields,
        length=_parse_length(fields, old=minor == b"0"),
        closes=not persistent,
        waits=_parse_expectation(fields) and minor == b"1",
    )


def check_trailers(lines: bytes) -> None:
    """Refuse malformed trailer fields (RFC 9112, section 7.1.2); valid ones have no use here.

    Args:
        lines: all lines, each with its end.

    Raises:
        ProtocolError: a line is malformed.
    """
    if not _FIELD_LINES.fullmatch(lines):
        raise refused("Invalid trailer field")


def _parse_fields(lines: bytes) -> dict[bytes, bytes]:
    if not _FIELD_LINES.fullmatch(lines):
        raise _invalid_field(lines)
    split = lines.split(b"\r\n")[:-1]
    if len(split) > _MAX_FIELDS:
        raise refused(
            f"More than {_MAX_FIELDS} header fields", HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
        )
    fields: dict[bytes, bytes] = {}
    for line in split:
        name, _, value = line.partition(b":")
        if b"_" in name:  # WSGI would take it for a hyphen
            continue
        name, value = name.title(), value.strip(b" \t")
        if name not in fields:
            fields[name] = value
        elif name in _SINGLE:
            raise refused(f"Repeated header field {name.decode()}")
        else:
            separator = b"\n" if name.startswith(b"Ce-") else b", "
            fields[name] = separator.join((fields[name], value))
    return fields


def _invalid_field(lines: bytes) -> ProtocolError:
    for line in lines.split(b"\r\n")[:-1]:
        if not _FIELD_LINE.fullmatch(line):
            if line[:1] in {b" ", b"\t"}:
                return refused("Folded header field; send each on one line")
            name = line.partition(b":")[0][:80].decode("latin-1")
            return refused(f"Invalid header field {name!r}")
    return refused("Invalid header field")


def _parse_target(method: bytes, target: bytes) -> tuple[bytes | None, bytes, bytes]:
    """Return authority, path and query of a request target (RFC 9112, section 3.2)."""
    authority = None
    if target == b"*" and method == b"OPTIONS":
        return None, b"*", b""
    if matched := _ORIGIN.fullmatch(target):
        path, query = matched.groups()
    elif matched := _ABSOLUTE.fullmatch(target):
        authority, path, query = matched.groups()
    else:
        raise refused("Invalid request target; expected a path")
    return authority, _decode(path or b"/"), (query or b"?")[1:]


def _decode(path: bytes) -> bytes:
    if b"%" not in path:
        return path
    parts = (urllib.parse.unquote_to_bytes(each) for each in _ENCODED_SLASH.split(path))
    return b"%2F".join(parts)


def _check_host(fields: dict[bytes, bytes], authority: bytes | None, *, mandatory: bool) -> None:
    host = fields.get(b"Host")
    if host is None and mandatory:
        raise refused("Missing header field Host")
    if host is not None and not _HOST.fullmatch(host):
        raise refused("Invalid header field Host")
    if authority is not None:  # which overrides the field (RFC 9112, section 3.2.2)
        if not _HOST.fullmatch(authority):
            raise refused("Invalid host in the request target")
        fields[b"Host"] = authority


def _parse_length(fields: dict[bytes, bytes], *, old: bool) -> int | None:
    """Return the length of the body, None if it comes in chunks (RFC 9112, section 6)."""
    length, coding = fields.get(b"Content-Length"), fields.get(b"Transfer-Encoding")
    if coding is not None:
        if old:
            raise refused("Transfer-Encoding in HTTP/1.0; use HTTP/1.1")
        if length is not None:
            raise refused("Both Content-Length and Transfer-Encoding; send one")
        codings = [each.strip(b" \t").lower() for each in coding.split(b",")]
        if codings[-1] != b"chunked" or codings.count(b"chunked") > 1:
            raise refused("Invalid Transfer-Encoding; use chunked")
        if len(codings) > 1:
            raise refused("Unsupported Transfer-Encoding; use chunked", HTTPStatus.NOT_IMPLEMENTED)
        return None
    if length is None:
        return 0
    if not _LENGTH.fullmatch(length):
        raise refused("Invalid Content-Length: expected a number")
    return int(length)


def _parse_expectation(fields: dict[bytes, bytes]) -> bool:
    expected = fields.get(b"Expect")
    if expected is None:
        return False
    if expected.lower() != b"100-continue":
        raise refused("Unsupported Expect", HTTPStatus.EXPECTATION_FAILED)
    return True
