"""Reading the current request: its body, what it prefers, its path and its parameters."""

import re
import time
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import cherrypy

from pacifica.dispatcher.errors import DispatcherError, NotFoundError, UnsupportedFormatError
from pacifica.dispatcher.orm import State

Query = Mapping[str, str | list[str]]
"""The parameters as CherryPy gives them; one that was given twice is a list."""

Readers = Mapping[str, Callable[[str], Any]]
"""The parameters that are known, and what reads each."""

STREAMS: Final = ("stdout", "stderr")
STATUSES: Final = ("unmatched", *State)
MAX_LIMIT: Final = 500
DEFAULT_LIMIT: Final = 50

_DRAINED: Final = 16 * 1024**2
_CHUNK: Final = 64 * 1024
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TEXT: Final = frozenset({"text/plain", "text/*"})
_AGO: Final = re.compile(r"(\d{1,5})([smhd])", re.ASCII)
_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_WEIGHT: Final = re.compile(r"0(\.\d{0,3})?|1(\.0{0,3})?", re.ASCII)
_OFFERED: Final = _TEXT | {"application/json", "application/*", "*/*"}


class RequestError(DispatcherError):
    """A request that cannot be answered as it was made: a parameter, a header, a short body."""


class ForeignSiteError(DispatcherError):
    """A page of another site asks for something to be done."""


class UuidError(DispatcherError):
    """What stands in place of a uuid is none."""


class TooLargeError(DispatcherError):
    """The request's body is larger than an event may be."""


def body(limit: int) -> bytes:
    """The request's body.

    Args:
        limit: bytes that it may have.

    Raises:
        TooLargeError: it has more. Some of it is read all the same, so that the sender, who is
            still sending, gets to see the answer.
        RequestError: its Content-Length is no number, or it ended before it; or it cannot be read.
        UnsupportedFormatError: it is encoded (RFC 9110, section 8.4).
    """
    length = _content_length()
    if length is None:
        return b""
    read = _read(min(length, limit + 1))
    if len(read) > limit:
        left = min(length, _DRAINED) - len(read)
        while left > 0 and (more := _read(min(left, _CHUNK))):
            left -= len(more)
        cherrypy.response.headers["Connection"] = "close"
        raise TooLargeError(f"an event may have {limit} bytes here (max_event_size)")
    if len(read) < length < _UNKNOWN:
        raise RequestError("the body ended before its Content-Length")
    encoding = cherrypy.request.headers.get("Content-Encoding", "").strip()
    if encoding.lower() not in {"", "identity"}:
        cherrypy.response.headers["Accept-Encoding"] = "identity"
        raise UnsupportedFormatError(f"Content-Encoding {encoding[:80]!r} is not undone here")
    return read


def _read(length: int) -> bytes:
    """Some of the body; what a server raises when its chunks are none is its own affair."""
    try:
        found: bytes = cherrypy.request.rfile.read(length)
    except (OSError, ValueError) as exc:
        cherrypy.response.headers["Connection"] = "close"
        raise RequestError("the body cannot be read") from exc
    return found


_UNKNOWN: Final = 2**63
"""The length of a body that is sent in chunks."""


def _content_length() -> int | None:
    headers = cherrypy.request.headers
    if "chunked" in headers.get("Transfer-Encoding", "").lower():
        return _UNKNOWN
    text = headers.get("Content-Length")
    if text is None:
        return None
    if not re.fullmatch(r"\d{1,18}", text, re.ASCII):
        raise RequestError("the Content-Length is no number")
    return int(text)


def content_type() -> str:
    """The header Content-Type, "" when there is none."""
    fields = cherrypy.request.header_list
    return next((text.strip() for name, text in fields if name.lower() == "content-type"), "")


def wants_reply() -> bool:
    """Whether the sender would take the answer's body for an event, and so must get none.

    Knative sends `Prefer: reply`.
    """
    preferences = cherrypy.request.headers.get("Prefer", "")
    return any(each.strip().lower() == "reply" for each in preferences.split(","))


def prefers_text() -> bool:
    """Whether Accept puts plain text before JSON."""
    accept = cherrypy.request.headers.get("Accept", "").lower()
    if "text/" not in accept:
        return False
    accepted = [_weighted(each) for each in accept.split(",")]
    offered = [(weight, kind) for weight, kind in accepted if weight and kind in _OFFERED]
    return bool(offered) and max(offered)[1] in _TEXT


def _weighted(accepted: str) -> tuple[float, str]:
    """A part of Accept: how much it is wanted (RFC 9110, section 12.4.2), and its media type."""
    kind, _, parameters = accepted.partition(";")
    weight = re.search(r"(?:^|;)\s*q=(\S*)", parameters)
    if weight is None:
        return 1.0, kind.strip()
    return float(weight[1]) if _WEIGHT.fullmatch(weight[1]) else 0.0, kind.strip()


def prefers_html() -> bool:
    """Whether Accept puts HTML before JSON, as a browser does."""
    accept = cherrypy.request.headers.get("Accept", "").lower()
    if "text/html" not in accept:
        return False
    weights = {kind: weight for weight, kind in map(_weighted, accept.split(","))}
    wanted = weights.get("text/html", 0.0)
    return wanted > 0 and wanted >= weights.get("application/json", 0.0)


def prefers_page() -> bool:
    """Whether Accept asks for a page, or for what changes on it."""
    return prefers_html() or prefers_events()


def check_same_site() -> None:
    """Let no other site's page act through the browser of who may (Fetch Metadata, W3C).

    Raises:
        ForeignSiteError: the browser says that another site asks.
    """
    if cherrypy.request.headers.get("Sec-Fetch-Site", "none") not in {"same-origin", "none"}:
        raise ForeignSiteError("a page of another site may not do this")


def prefers_events() -> bool:
    """Whether Accept asks for server-sent events, as an EventSource does."""
    return "text/event-stream" in cherrypy.request.headers.get("Accept", "")


def only_uuid(path: Sequence[str]) -> str:
    """The uuid that is all of the rest of the path.

    Raises:
        NotFoundError: there is more, or nothing.
        UuidError: it is none.
    """
    if len(path) != 1:
        raise NotFoundError("there is nothing at this address")
    text = path[0].lower()
    if not _UUID.fullmatch(text):
        raise UuidError("a uuid looks like 01a20997-c0e5-77ee-8e00-a2944b68dfdf")
    return text


def action(path: Sequence[str], *known: str) -> str:
    """What is to be done with the thing whose uuid comes first in the path.

    Raises:
        NotFoundError: no action that is known stands there.
    """
    if len(path) != 2 or path[1] not in known:  # noqa: PLR2004 - a uuid and an action
        raise NotFoundError("there is nothing at this address to POST to")
    return path[1]


def parameters(query: Query, readers: Readers) -> dict[str, Any]:
    """The parameters that were given, each read by its reader.

    Raises:
        RequestError: one is unknown, given twice, or cannot be read.
    """
    found = {}
    for name, text in query.items():
        if name not in readers:
            known = f"; known: {', '.join(readers)}" if readers else ""
            raise RequestError(f"unknown parameter {name[:80]!r}{known}")
        if not isinstance(text, str):
            raise RequestError(f"{name} is given twice")
        found[name] = readers[name](text)
    return found


def form(most: int, size: int) -> dict[str, list[str]]:
    """The fields of the form in the request's body (application/x-www-form-urlencoded).

    Args:
        most: fields that it may have.
        size: bytes that it may have.

    Raises:
        RequestError: it has more fields, or is none.
        TooLargeError: it is larger.
    """
    try:
        text = body(size).decode("ascii")
        return urllib.parse.parse_qs(text, keep_blank_values=True, max_num_fields=most)
    except ValueError as exc:
        raise RequestError("this is no form of ours") from exc


def limit(text: str) -> int:
    """How many things to give at the most."""
    if not re.fullmatch(r"\d{1,4}", text, re.ASCII) or not 1 <= int(text) <= MAX_LIMIT:
        raise RequestError(f"limit is a number from 1 to {MAX_LIMIT}")
    return int(text)


def status(text: str) -> str:
    """The status of an event, or the state of a run."""
    if text not in STATUSES:
        raise RequestError(f"a status or state is one of {', '.join(STATUSES)}")
    return text


def moment(text: str) -> float:
    """A time in RFC 3339, UTC when it says nothing else, or how long ago; in epoch seconds."""
    if ago := _AGO.fullmatch(text):
        return time.time() - int(ago[1]) * _SECONDS[ago[2]]
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise RequestError(
            "a time looks like 2026-11-23T16:57:37Z, or 2h for so long ago"
        ) from None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def cursor(text: str) -> str:
    """The uuid of an event, before which a page begins."""
    return only_uuid([text])


def stream(text: str) -> str:
    """The name of an output stream."""
    if text not in STREAMS:
        raise RequestError(f"stream is {' or '.join(STREAMS)}")
    return text


def flag(text: str) -> bool:
    """Something that is wanted: `?name` or `?name=1`."""
    if text not in {"", "1"}:
        raise RequestError("such a parameter has no value, or 1")
    return True


def attempt(text: str) -> int:
    """The number of an attempt."""
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII):
        raise RequestError("attempt is the number of an attempt, from 1")
    return int(text)
