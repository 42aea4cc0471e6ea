"""A client of a dispatcher's HTTP interface."""

import codecs
import json
import re
from base64 import b64encode
from collections.abc import Generator, Iterator, Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import SplitResult, unquote, urlencode, urlsplit
from uuid import UUID

import requests
from requests import RequestException, Response
from urllib3.exceptions import HTTPError

from pacifica.dispatcher import http_client
from pacifica.dispatcher.errors import DispatcherError

Document = dict[str, Any]
"""A JSON object."""

Event = Mapping[str, str]
"""A server-sent event: its fields, such as `id`, `event` and `data`."""

Query = Mapping[str, str | int]

_MAX_BODY: Final = 512 * 1024**2
_MAX_LINE: Final = 64 * 1024**2
_CHUNK: Final = 2**16
_INVALID: Final = frozenset(
    {
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.UNPROCESSABLE_ENTITY,
    }
)
_NEXT: Final = re.compile(r'<[^>?]*\?([^>]*)>\s*;\s*rel="?next"?')


class UrlError(DispatcherError):
    """Not a valid URL of a server."""


class ServerError(DispatcherError):
    """A request failed; `exit_code` is the exit code of the command for it."""

    exit_code = 1


class UnreachableError(ServerError):
    """No dispatcher responds at the URL, or it is unavailable at the moment."""

    exit_code = 4


class RefusedError(ServerError):
    """The dispatcher refused the request; the message is the text of its problem document."""


class UnknownError(RefusedError):
    """The dispatcher has no such resource."""


class InvalidError(RefusedError):
    """The dispatcher found the request invalid."""

    exit_code = 2


class Client:
    """A client of one dispatcher, with a persistent connection."""

    def __init__(self, url: str, *, connect: float = 5.0, read: float = 60.0) -> None:
        """Prepare the client without connecting.

        Args:
            url: the root of the server's resources, http or https, with a user and a password if a
                reverse proxy requires them; or unix: and the path of its socket.
            connect: maximum number of seconds to wait for a connection.
            read: maximum number of seconds to wait for more of a response.

        Raises:
            UrlError: not a valid URL of a server.
        """
        scheme, _, socket_file = url.partition(":")
        if scheme.lower() != "unix":
            socket_file = ""
        elif not socket_file or "\0" in socket_file:
            raise UrlError("expected the path of a socket, such as unix:/run/dispatcher.sock")
        parts = _parse("http://localhost" if socket_file else url)
        credentials, _, host = parts.netloc.rpartition("@")
        self._root = parts._replace(netloc=host).geturl().rstrip("/")
        self.url = f"unix:{socket_file}" if socket_file else self._root
        self._http = http_client.Session(connect=connect, read=read, socket_file=socket_file)
        self._http.headers["Accept"] = "application/json"
        if credentials:
            secret = b64encode(unquote(credentials).encode()).decode()
            self._http.headers["Authorization"] = f"Basic {secret}"

    def get(self, path: str, member: str, query: Query | None = None) -> Document:
        """Return the JSON object at a path.

        Args:
            path: relative to the server's URL.
            member: a required member of the object.
            query: the query parameters.

        Raises:
            ServerError: the request failed.
        """
        return self._document(self._send("GET", _target(path, query)), member)

    def find(self, uuid: UUID, *collections: str) -> tuple[str, Document]:
        """Return the path and the document of a uuid, from the first collection that has it.

        Raises:
            ServerError: no collection has it.
        """
        for path in (f"{each}/{uuid}" for each in collections):
            with suppress(UnknownError):
                return path, self.get(path, "status")
        raise UnknownError(f"No event or run {uuid}")

    def post(
        self,
        path: str,
        member: str,
        body: bytes = b"",
        content_type: str | None = None,
        query: Query | None = None,
    ) -> Document:
        """Post a body to a path and return the JSON object of the response, like `get`."""
        headers = {"Content-Type": content_type} if content_type else {}
        return self._document(
            self._send("POST", _target(path, query), data=body, headers=headers), member
        )

    def pages(self, path: str, member: str, query: Query) -> Iterator[list[Document]]:
        """Yield the lists at a path page by page, following the links to the next page.

        Raises:
            ServerError: a request failed.
        """
        target = _target(path, query)
        while True:
            response = self._send("GET", target)
            yield self._document(response, member)[member]
            following = _NEXT.search(response.headers.get("Link", ""))
            if following is None:
                return
            target = f"{path}?{following[1]}"

    def events(self, path: str, query: Query, last: str) -> Generator[Event]:
        """Yield the server-sent events at a path as they arrive.

        Args:
            path: relative to the server's URL.
            query: the query parameters.
            last: the id of the last event that was received, or "".

        Raises:
            ServerError: the request failed, or the response was cut off.
        """
        headers = {"Accept": "text/event-stream", **({"Last-Event-ID": last} if last else {})}
        response = self._send("GET", _target(path, query), headers=headers)
        if not response.headers.get("Content-Type", "").startswith("text/event-stream"):
            response.close()
            raise self._not_a_dispatcher("unexpected response body")
        event: dict[str, str] = {}
        for line in self._lines(response):
            name, _, text = line.partition(": ")
            if line:
                event[name] = text
            else:
                yield event
                event = {}

    def text(self, path: str, query: Query) -> Iterator[str]:
        """Yield the text at a path piece by piece as it arrives.

        Raises:
            ServerError: the request failed, or the text was cut off.
        """
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        response = self._send("GET", _target(path, query), headers={"Accept": "text/plain"})
        for piece in self._pieces(response):
            yield decoder.decode(piece)
        yield decoder.decode(b"", final=True)

    def _send(
        self,
        method: str,
        target: str,
        **options: Any,  # noqa: ANN401 - requests'
    ) -> Response:
        url = f"{self._root}{target}"
        try:
            response = self._http.request(method, url, stream=True, **options)
        except RequestException as exc:
            raise self._unreachable(exc) from exc
        if HTTPStatus.OK <= response.status_code < HTTPStatus.MULTIPLE_CHOICES:
            return response
        raise self._refusal(response)

    def _document(self, response: Response, member: str) -> Document:
        document = self._json(response)
        if not isinstance(document, dict) or member not in document:
            raise self._not_a_dispatcher("unexpected response body")
        return document

    def _refusal(self, response: Response) -> ServerError:
        status = response.status_code
        problem = self._json(response)
        try:
            details = [str(problem["detail"])]
            details += [
                f"{each['pointer']}: {each['detail']}" for each in problem.get("errors", ())
            ]
        except (TypeError, KeyError, AttributeError):
            location = response.headers.get("Location")
            to = f", Location {location}" if location else ""
            return self._not_a_dispatcher(f"status {status} {response.reason or ''}{to}")
        message = f"{problem.get('title', status)}: " + "\n".join(details)
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return UnreachableError(f"{self.url}: {message}")
        if status == HTTPStatus.NOT_FOUND:
            return UnknownError(message)
        return (InvalidError if status in _INVALID else RefusedError)(message)

    def _json(self, response: Response) -> Any:  # noqa: ANN401 - JSON
        # None if the body is not JSON.
        body = bytearray()
        for piece in self._pieces(response):
            body += piece
            if len(body) > _MAX_BODY:
                return None
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            return None

    def _lines(self, response: Response) -> Iterator[str]:
        rest = b""
        for piece in self._arriving(response):
            *complete, rest = (rest + piece).split(b"\n")
            if len(rest) > _MAX_LINE:
                raise self._not_a_dispatcher("unexpected response body")
            for line in complete:
                yield line.decode(errors="replace")

    def _arriving(self, response: Response) -> Iterator[bytes]:
        # `iter_content` would wait for a whole piece if a proxy has removed the chunks.
        try:
            with response:
                while piece := response.raw.read1(_CHUNK):
                    yield piece
        except HTTPError as exc:
            raise UnreachableError(f"{self.url} closed the connection too early") from exc

    def _pieces(self, response: Response) -> Iterator[bytes]:
        try:
            with response:
                yield from response.iter_content(_CHUNK)
        except RequestException as exc:
            raise self._unreachable(exc) from exc

    def _not_a_dispatcher(self, evidence: str) -> UnreachableError:
        return UnreachableError(
            f"{self.url} does not look like a dispatcher: {evidence}; check the URL"
        )

    def _unreachable(self, exc: RequestException) -> UnreachableError:
        return UnreachableError(f"{self.url} does not respond: {http_client.reason(exc)}")


def _target(path: str, query: Query | None) -> str:
    return f"{path}?{urlencode(query)}" if query else path


def _parse(url: str) -> SplitResult:
    # The message does not name the URL: it may hold a password.
    invalid = UrlError("expected a URL such as http://127.0.0.1:8069")
    try:
        parts = urlsplit(requests.Request("GET", url).prepare().url or "")
    except RequestException as exc:
        raise invalid from exc
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise invalid
    return parts
