"""Exceptions as responses: problem documents (RFC 9457), or a page for a browser."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from logging import ERROR, INFO, WARNING
from typing import Final

from pacifica.dispatcher import page
from pacifica.dispatcher.errors import (
    AmbiguousRequestError,
    BrokenBodyError,
    ConflictError,
    ContentCodingError,
    DispatcherError,
    EventError,
    ForbiddenError,
    InvalidIdError,
    InvalidInputError,
    NotFoundError,
    Problem,
    TooLargeError,
    TooMuchWorkError,
    UnavailableError,
    UnsupportedFormatError,
)
from pacifica.dispatcher.events import Json
from pacifica.dispatcher.rest.documents import dumps
from pacifica.dispatcher.rest.request import Request
from pacifica.dispatcher.rest.response import Response, html_response
from pacifica.dispatcher.telemetry import emit

PROBLEM: Final = "application/problem+json"

STATUS: Final[Mapping[type[DispatcherError], HTTPStatus]] = {
    InvalidInputError: HTTPStatus.BAD_REQUEST,
    ForbiddenError: HTTPStatus.FORBIDDEN,
    NotFoundError: HTTPStatus.NOT_FOUND,
    ConflictError: HTTPStatus.CONFLICT,
    TooLargeError: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    UnsupportedFormatError: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    InvalidIdError: HTTPStatus.UNPROCESSABLE_ENTITY,
    UnavailableError: HTTPStatus.SERVICE_UNAVAILABLE,
}
"""The status of each branch of errors; other exceptions are internal errors."""

_HEADERS: Final[Mapping[type[DispatcherError], Mapping[str, str]]] = {
    AmbiguousRequestError: {"Connection": "close"},
    BrokenBodyError: {"Connection": "close"},  # the end of the body is unknown
    TooLargeError: {"Connection": "close"},
    ContentCodingError: {"Accept-Encoding": "identity"},
    UnavailableError: {"Retry-After": "5"},  # seconds
}
_MAX_REASON: Final = 1000  # characters
_MAX_PATH: Final = 200


class MethodNotAllowedError(DispatcherError):
    """A method that the address does not allow."""

    def __init__(self, allowed: Sequence[str]) -> None:
        """Keep the allowed methods."""
        super().__init__(f"Method not allowed; use {' or '.join(allowed)}")
        self.allowed = allowed


def problem_response(exc: Exception, request: Request) -> Response:
    """Return the response for an exception and log it, internal errors with a traceback."""
    status, headers = _status_and_headers(exc)
    internal = status is HTTPStatus.INTERNAL_SERVER_ERROR
    detail = (
        f"Internal error; see the server log (request id {request.id})"
        if internal
        else getattr(exc, "public", "") or str(exc)
    )
    problems = exc.problems if isinstance(exc, EventError) else ()
    if internal:
        emit(
            "request.failed",
            ERROR,
            exception=exc,
            method=request.method,
            path=request.path[:_MAX_PATH],
            status=status.value,
            address=request.address,
        )
    else:
        emit(
            "request.refused",
            WARNING if isinstance(exc, UnavailableError | TooMuchWorkError) else INFO,
            method=request.method,
            path=request.path[:_MAX_PATH],
            status=status.value,
            address=request.address,
            reason="; ".join([str(exc), *map(str, problems)])[:_MAX_REASON],
        )
    return _response(status, detail, problems, headers, request)


def plain_problem(status: HTTPStatus, detail: str) -> bytes:
    """Return the problem document for a request that could not be parsed."""
    return f"{dumps(_document(status, detail))}\n".encode()


def _status_and_headers(exc: Exception) -> tuple[HTTPStatus, dict[str, str]]:
    if isinstance(exc, MethodNotAllowedError):
        return HTTPStatus.METHOD_NOT_ALLOWED, {"Allow": ", ".join(exc.allowed)}
    kinds = type(exc).__mro__
    status = next((STATUS[each] for each in kinds if each in STATUS), None)
    headers: dict[str, str] = {}
    for kind in kinds:
        headers.update(_HEADERS.get(kind, {}))
    return status or HTTPStatus.INTERNAL_SERVER_ERROR, headers


def _response(
    status: HTTPStatus,
    detail: str,
    problems: Sequence[Problem],
    headers: Mapping[str, str],
    request: Request,
) -> Response:
    if request.prefers_html:
        text = "; ".join([detail, *map(str, problems)])
        shown = html_response(request, page.problem(status.phrase, text), status)
        return Response(status, shown.body, {**shown.headers, **headers})
    document = _document(status, detail)
    if problems:
        document["errors"] = [
            {"pointer": f"#{each.where}", "detail": each.what} for each in problems
        ]
    body = f"{dumps(document)}\n".encode()
    return Response(status, body, {"Content-Type": PROBLEM, **headers})


def _document(status: HTTPStatus, detail: str) -> dict[str, Json]:
    return {
        "type": "about:blank",
        "title": status.phrase,
        "status": status.value,
        "detail": detail,
    }
