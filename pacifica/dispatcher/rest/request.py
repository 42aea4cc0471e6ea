"""Requests as values, read once at the edge."""

import re
import time
import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

from pacifica.dispatcher.errors import (
    AmbiguousRequestError,
    BrokenBodyError,
    ContentCodingError,
    ForeignSiteError,
    RequestError,
    TooLargeError,
)
from pacifica.dispatcher.rest import negotiation
from pacifica.dispatcher.urls import AUTHORITY

_DRAINED: Final = 16 * 1024**2  # bytes
_DRAIN_TIMEOUT: Final = 2.0  # seconds
_CHUNK: Final = 64 * 1024
_UNKNOWN: Final = 2**63  # length of a chunked body
_MAX_DIGITS: Final = 18
_HOST: Final = re.compile(f"(?:{AUTHORITY})?")
_TARGET: Final = re.compile(rf"\*|/[^#]*|(?i:https?)://{AUTHORITY}(?:[/?][^#]*)?")


@dataclass(slots=True)
class Request:
    """One HTTP request, created at the edge and not changed afterwards.

    Attributes:
        id: the id of the request in the log.
        method: the method in upper case.
        path: the decoded path.
        segments: the parts of the path, without empty ones.
        query: the query string, not decoded.
        fields: all header fields, as WSGI presents them.
        headers: the values of the header fields by name in lower case.
        body: the whole body, if the operation takes one.
        base: scheme, host and port by which the client reached the server.
        root: the path under which the client reached `/`, such as `/dispatcher`; "" without one.
        address: the client's IP address.
        threads: True if the server handles requests in several threads.
        descriptor: the file descriptor of the client's connection, if the server exposes it.
    """

    id: str
    method: str
    path: str
    segments: Sequence[str]
    query: str
    fields: Sequence[tuple[str, str]]
    headers: Mapping[str, str]
    body: bytes
    base: str
    root: str
    address: str
    threads: bool
    descriptor: int | None

    @property
    def url(self) -> str:
        """The URL by which the client reached `/`, without the slash."""
        return f"{self.base}{self.root}"

    @property
    def content_type(self) -> str:
        """The Content-Type, or "" without one."""
        return self.headers.get("content-type", "").strip()

    @property
    def prefers_text(self) -> bool:
        """True if the client prefers plain text to JSON."""
        return negotiation.prefers_text(self.headers.get("accept", ""))

    @property
    def prefers_html(self) -> bool:
        """True if the client prefers HTML to JSON."""
        return negotiation.prefers_html(self.headers.get("accept", ""))

    @property
    def prefers_event_stream(self) -> bool:
        """True if the client requests server-sent events."""
        return negotiation.prefers_event_stream(self.headers.get("accept", ""))

    @property
    def wants_empty_reply(self) -> bool:
        """True if the sender must get a response without a body."""
        return negotiation.wants_empty_reply(self.headers.get("prefer", ""))

    def parameters(self) -> dict[str, list[str]]:
        """Parse the query string; invalid UTF-8 is replaced."""
        return urllib.parse.parse_qs(self.query, keep_blank_values=True)

    def form(self, max_fields: int) -> dict[str, list[str]]:
        """Parse the body as a form (application/x-www-form-urlencoded).

        Raises:
            RequestError: not a form, or too many fields.
        """
        try:
            text = self.body.decode("ascii")
            return urllib.parse.parse_qs(text, keep_blank_values=True, max_num_fields=max_fields)
        except ValueError as exc:
            raise RequestError("Invalid form; reload the page") from exc

    def check_same_site(self) -> None:
        """Refuse requests from pages of other sites (W3C Fetch Metadata).

        Raises:
            ForeignSiteError: a page of another site sent the request through a user's browser.
        """
        if self.headers.get("sec-fetch-site", "none") not in {"same-origin", "none"}:
            raise ForeignSiteError(
                "Request from a page of another site; use the dispatcher's own pages"
            )


def check_head(target: str, headers: Mapping[str, str]) -> None:
    """Refuse a head that a WSGI server has passed on, and that a proxy may read differently.

    Args:
        target: the request target as sent; `*` if the server does not tell.
        headers: values by name in lower case.

    Raises:
        AmbiguousRequestError: malformed or repeated Host, a target with a fragment or of another
            scheme, or a transfer coding other than `chunked` (RFC 9112, sections 3.2, 6.1 and 7).
    """
    host = headers.get("host", "")
    if not _HOST.fullmatch(host):
        raise AmbiguousRequestError(f"Invalid Host {host[:80]!r}: expected one name and port")
    if not _TARGET.fullmatch(target):
        raise AmbiguousRequestError(f"Invalid request target {target[:80]!r}: expected a path")
    coding = headers.get("transfer-encoding", "chunked")
    if coding.lower() != "chunked":
        raise AmbiguousRequestError(f"Unsupported Transfer-Encoding {coding[:80]!r}; use chunked")


def read_body(file: BinaryIO | Any, headers: Mapping[str, str], limit: int) -> bytes:  # noqa: ANN401 - a WSGI input
    """Read the whole body of a request.

    Args:
        file: the WSGI input.
        headers: values by name in lower case.
        limit: maximum number of bytes.

    Raises:
        TooLargeError: the body is larger.
        AmbiguousRequestError: invalid Content-Length.
        BrokenBodyError: the body ends early or cannot be read.
        ContentCodingError: the body is encoded (RFC 9110, section 8.4).
    """
    length = _content_length(headers)
    if length is None:
        return b""
    body = _read(file, min(length, limit + 1))
    if len(body) > limit:
        # Keep reading, or a client that is still sending would not see the response.
        _drain(file, min(length, _DRAINED) - len(body))
        raise TooLargeError(f"Body larger than {limit} bytes (max_event_size)")
    if len(body) < length < _UNKNOWN:
        raise BrokenBodyError(f"Body shorter than its Content-Length {length}")
    encoding = headers.get("content-encoding", "").strip()
    if encoding.lower() not in {"", "identity"}:
        raise ContentCodingError(
            f"Unsupported Content-Encoding {encoding[:80]!r}; send the body unencoded"
        )
    return body


def _drain(file: BinaryIO, left: int) -> None:
    deadline = time.monotonic() + _DRAIN_TIMEOUT  # tiny chunks take long to read
    while left > 0 and time.monotonic() < deadline and (more := _read(file, min(left, _CHUNK))):
        left -= len(more)


def _read(file: BinaryIO, length: int) -> bytes:
    try:
        return file.read(length)
    except MemoryError:
        raise
    except Exception as exc:  # each server has exceptions of its own for malformed chunks
        raise BrokenBodyError("Malformed or interrupted body") from exc


def _content_length(headers: Mapping[str, str]) -> int | None:
    if "chunked" in headers.get("transfer-encoding", "").lower():
        return _UNKNOWN
    text = headers.get("content-length")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS):
        raise AmbiguousRequestError(f"Invalid Content-Length {text[:80]!r}: expected a number")
    return int(text)
