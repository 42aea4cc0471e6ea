"""The HTTP client of a dispatcher: what it asks, and the errors that answers are."""

import codecs
import json
import re
import socket
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import unquote, urlencode
from uuid import UUID

import urllib3
from urllib3.connection import HTTPConnection
from urllib3.exceptions import HTTPError
from urllib3.util import Timeout, Url, parse_url

from pacifica.dispatcher.errors import DispatcherError

Document = dict[str, Any]
"""A JSON object."""

Query = Mapping[str, str | int]

_MAX_ANSWER: Final = 512 * 1024**2
_SENT_WRONG: Final = frozenset(
    {
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.UNPROCESSABLE_ENTITY,
    }
)
_NEXT: Final = re.compile(r'<[^>?]*\?([^>]*)>\s*;\s*rel="?next"?')


class UrlError(DispatcherError):
    """The URL of a server cannot be used."""


class ServerError(DispatcherError):
    """A server did not do what it was asked; `exit_code` is what a command ends with for it."""

    exit_code = 1


class UnreachableError(ServerError):
    """No dispatcher answers there, or it cannot at the moment."""

    exit_code = 4


class RefusedError(ServerError):
    """The dispatcher says no; the message is its problem document in sentences."""


class NothingThereError(RefusedError):
    """The dispatcher knows nothing of that name."""


class WrongError(RefusedError):
    """The dispatcher says that what was sent is wrong."""

    exit_code = 2


class Client:
    """Asks one dispatcher, over one connection that is kept."""

    def __init__(self, url: str, *, connect: float = 5.0, answer: float = 60.0) -> None:
        """Choose the server; nothing is connected yet.

        Args:
            url: http or https, where the server's resources begin; with a user and a password if
                a proxy before it wants them.
            connect: seconds that it may take to be connected.
            answer: seconds for which it may say nothing.

        Raises:
            UrlError: it is no such URL.
        """
        where = _parsed(url)
        self.url = where._replace(auth=None).url.rstrip("/")
        self._headers = {"Accept": "application/json", "User-Agent": "pacifica-dispatcher"}
        if where.auth:
            secret = b64encode(unquote(where.auth).encode()).decode()
            self._headers["Authorization"] = f"Basic {secret}"
        self._endless = Timeout(connect=connect, read=None)
        self._pool = urllib3.PoolManager(
            retries=False,
            timeout=Timeout(connect=connect, read=answer),
            socket_options=[*HTTPConnection.default_socket_options, *_KEEP_ALIVE],
        )

    def get(self, path: str, member: str, query: Query | None = None) -> Document:
        """The JSON object at a path.

        Args:
            path: below the server's URL.
            member: what the object must have.
            query: the parameters.

        Raises:
            ServerError: there is none.
        """
        return self._document(self._answer("GET", path, query), member)

    def find(self, uuid: UUID, *places: str) -> tuple[str, Document]:
        """What has a uuid, and its path: below the first of some places that knows it.

        Raises:
            ServerError: nothing has it.
        """
        for path in (f"{each}/{uuid}" for each in places):
            with suppress(NothingThereError):
                return path, self.get(path, "status")
        raise NothingThereError(f"there is no event and no run {uuid}")

    def post(
        self, path: str, member: str, body: bytes = b"", content_type: str | None = None
    ) -> Document:
        """Post a body to a path; what is given and raised is as with `get`."""
        return self._document(self._answer("POST", path, None, body, content_type), member)

    def pages(self, path: str, member: str, query: Query) -> Iterator[list[Document]]:
        """The lists that a path gives, page by page, as long as each names a next one.

        Raises:
            ServerError: as `get` does.
        """
        asked = f"?{urlencode(query)}"
        while True:
            answer = self._answer("GET", f"{path}{asked}")
            yield self._document(answer, member)[member]
            following = _NEXT.search(answer.headers.get("Link", ""))
            if following is None:
                return
            asked = f"?{following[1]}"

    def text(self, path: str, query: Query) -> Iterator[str]:
        """The text at a path, piece by piece as it comes, however long it takes.

        Raises:
            ServerError: there is none, or it ended early.
        """
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        answer = self._answer(
            "GET", path, query, headers={"Accept": "text/plain"}, timeout=self._endless
        )
        try:
            for piece in answer.stream():
                yield decoder.decode(piece)
        except HTTPError as exc:
            raise self._unreachable(exc) from exc
        yield decoder.decode(b"", final=True)

    def _answer(  # noqa: PLR0913 - a request has these parts
        self,
        method: str,
        path: str,
        query: Query | None = None,
        body: bytes | None = None,
        content_type: str | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        **options: Any,  # noqa: ANN401 - urllib3's
    ) -> urllib3.BaseHTTPResponse:
        """An answer of 2xx, whose body is not read yet."""
        url = f"{self.url}{path}" + (f"?{urlencode(query)}" if query else "")
        sent = {**self._headers, **(headers or {})}
        if content_type:
            sent["Content-Type"] = content_type
        try:
            answer = self._pool.request(
                method,
                url,
                body=body,
                headers=sent,
                preload_content=False,
                redirect=False,
                **options,
            )
            if HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
                return answer
            raise self._refusal(answer, answer.read(_MAX_ANSWER))
        except HTTPError as exc:
            raise self._unreachable(exc) from exc

    def _document(self, answer: urllib3.BaseHTTPResponse, member: str) -> Document:
        try:
            body = answer.read(_MAX_ANSWER)
            document = json.loads(body)
        except HTTPError as exc:
            raise self._unreachable(exc) from exc
        except (ValueError, RecursionError):
            document = None
        finally:
            answer.release_conn()
        if not isinstance(document, dict) or member not in document:
            raise UnreachableError(
                f"{self.url} answers, and not as a dispatcher does; is the URL right?"
            )
        return document

    def _refusal(self, answer: urllib3.BaseHTTPResponse, body: bytes) -> ServerError:
        status = answer.status
        try:
            problem = json.loads(body)
            said = [str(problem["detail"])]
            said += [f"{each['pointer']}: {each['detail']}" for each in problem.get("errors", ())]
        except (ValueError, RecursionError, TypeError, KeyError, AttributeError):
            location = answer.headers.get("Location")
            to = f", to {location}" if location else ""
            return UnreachableError(
                f"{self.url} answered {status} {answer.reason or ''}{to}, "
                "and not as a dispatcher does; is the URL right?"
            )
        title = str(problem.get("title", status))
        message = f"{title}: " + "\n".join(said)
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return UnreachableError(f"{self.url}: {message}")
        if status == HTTPStatus.NOT_FOUND:
            return NothingThereError(message)
        return (WrongError if status in _SENT_WRONG else RefusedError)(message)

    def _unreachable(self, exc: HTTPError) -> UnreachableError:
        cause = exc.__cause__ or exc.__context__ or exc
        reason = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
        return UnreachableError(f"{self.url} does not answer: {reason}")


_KEEP_ALIVE: Final = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)] + [
    (socket.IPPROTO_TCP, getattr(socket, name), value)
    for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))
    if hasattr(socket, name)
]
"""A host that is gone is noticed within a minute, also while an application prints nothing."""


def _parsed(url: str) -> Url:
    try:
        where = parse_url(url)
    except HTTPError as exc:
        raise UrlError(str(exc)) from exc
    if where.scheme not in {"http", "https"} or not where.host or where.query or where.fragment:
        raise UrlError("it looks like http://127.0.0.1:8069")
    return where
