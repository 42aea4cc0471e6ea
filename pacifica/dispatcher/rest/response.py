"""Responses as values, which the edge passes to CherryPy."""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from itertools import chain, islice
from typing import BinaryIO, Final, Self
from urllib.parse import quote

from pacifica.dispatcher.events import Json
from pacifica.dispatcher.execution.artifacts import chunks
from pacifica.dispatcher.page import Html
from pacifica.dispatcher.rest.documents import dumps
from pacifica.dispatcher.rest.request import Request

_CONTENT_POLICY: Final = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_ADDRESSES: Final = ("Location", "Link")
"""Header fields with an address, which begins with the first slash."""

_NOSNIFF: Final = {"X-Content-Type-Options": "nosniff"}
_PLAIN: Final = {"Content-Type": "text/plain;charset=utf-8", **_NOSNIFF}
_SHORT: Final = 4  # chunks of a text that has a Content-Length


@dataclass(frozen=True, slots=True)
class Response:
    """One HTTP response.

    Attributes:
        status: the status.
        body: the bytes, or an iterator of chunks that are sent as they are yielded.
        headers: the header fields.
        at_end: called when the response has been sent or the client has disconnected.
    """

    status: HTTPStatus = HTTPStatus.OK
    body: bytes | Iterator[bytes] = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    at_end: Callable[[], object] | None = None

    def with_headers(self, **headers: str) -> Self:
        """Return the response with additional header fields; `_` stands for a hyphen."""
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        return replace(self, headers={**self.headers, **named})

    def below(self, root: str) -> Self:
        """Return the response with the addresses in its header fields below a path."""
        if not root:
            return self
        moved = {
            name: text.replace("/", f"{root}/", 1) if name in _ADDRESSES else text
            for name, text in self.headers.items()
        }
        return replace(self, headers=moved)


def json_response(value: Json, status: HTTPStatus = HTTPStatus.OK, /, **headers: str) -> Response:
    """Return a response with a value as JSON."""
    return json_text_response(dumps(value), status, **headers)


def json_text_response(
    text: str, status: HTTPStatus = HTTPStatus.OK, /, **headers: str
) -> Response:
    """Return a response with a JSON text."""
    return Response(status, f"{text}\n".encode(), {"Content-Type": "application/json", **headers})


def text_response(text: str, status: HTTPStatus = HTTPStatus.OK, /, **headers: str) -> Response:
    """Return a response with plain text, which browsers must not interpret as anything else."""
    return Response(status, _encoded(text), {**_PLAIN, **headers})


def text_stream_response(chunks: Iterator[bytes]) -> Response:
    """Return a response with plain text, of which only a short one is read before it is sent."""
    begin = list(islice(chunks, _SHORT))
    rest = next(chunks, b"")
    body = chain(begin, [rest], chunks) if rest else b"".join(begin)
    return Response(HTTPStatus.OK, body, _PLAIN)


def html_response(request: Request, html: Html, status: HTTPStatus = HTTPStatus.OK) -> Response:
    """Return a response with a page that loads nothing from other sites and allows no framing."""
    page = replace(html, root=request.root).page()
    headers = {
        "Content-Type": "text/html;charset=utf-8",
        "Content-Security-Policy": _CONTENT_POLICY,
        **_NOSNIFF,
        "Referrer-Policy": "same-origin",
        "Cache-Control": "no-store",
        "Vary": "Accept",
    }
    return Response(status, _encoded(page), headers)


def _encoded(text: str) -> bytes:
    # Addresses may have surrogates for bytes that are not UTF-8, and messages quote addresses.
    return text.encode("utf-8", "replace")


def see_other(location: str) -> Response:
    """Redirect a browser from a submitted form to the page with the outcome."""
    return Response(HTTPStatus.SEE_OTHER, b"", {"Location": location, "Vary": "Accept"})


def stream_response(
    chunks: Iterator[bytes], content_type: str, at_end: Callable[[], object] | None
) -> Response:
    """Return a response that sends chunks as they are yielded, unbuffered and uncached."""
    headers = {
        "Content-Type": content_type,
        **_NOSNIFF,
        "Cache-Control": "no-store",
        "X-Accel-Buffering": "no",  # nginx would buffer them
    }
    return Response(HTTPStatus.OK, chunks, headers, at_end)


def file_response(file: BinaryIO, name: str) -> Response:
    """Return a response with a file to save, not to show; close the file at the end."""
    size = os.fstat(file.fileno()).st_size
    quoted = quote(name, "", errors="surrogateescape")
    headers = {
        "Content-Type": "application/octet-stream",
        **_NOSNIFF,
        "Content-Disposition": f"attachment; filename*=UTF-8''{quoted}",
        "Content-Length": str(size),
    }
    return Response(HTTPStatus.OK, chunks(file, size), headers, file.close)
