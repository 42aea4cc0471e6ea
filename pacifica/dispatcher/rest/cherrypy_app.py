"""The edge: CherryPy requests become values, and values become CherryPy responses.

No other module touches CherryPy's thread-local request and response.
"""

import random
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from http import HTTPStatus
from typing import Any, ClassVar, Final

import cherrypy
from cherrypy._cpwsgi import AppResponse

from pacifica.dispatcher.errors import ConfigurationError, DispatcherError
from pacifica.dispatcher.rest import pages
from pacifica.dispatcher.rest.context import Context
from pacifica.dispatcher.rest.http1.exchange import DESCRIPTOR
from pacifica.dispatcher.rest.parameters import read_parameters
from pacifica.dispatcher.rest.problems import PROBLEM, plain_problem, problem_response
from pacifica.dispatcher.rest.request import Request, check_head, read_body
from pacifica.dispatcher.rest.response import Response, see_other
from pacifica.dispatcher.rest.routes import Operation, Permission, Route, Router
from pacifica.dispatcher.telemetry import bound


def application(context: Context, routes: Sequence[Route]) -> Any:  # noqa: ANN401 - CherryPy is untyped
    """Return the WSGI application for these routes.

    Raises:
        ConfigurationError: the routes have an address that begins like the root.
    """
    root = segments_of(context.root)
    if root and any(root[0] == route.segments[0] for route in routes if route.segments):
        raise ConfigurationError(
            f"[server] path: {context.root} is an address of the dispatcher itself; use another one"
        )
    configuration = {
        "/": {
            "request.dispatch": _Edge(Router(routes, context), context),
            "request.process_request_body": False,
            "request.show_tracebacks": False,
            "hooks.before_finalize": _without_padding,
            "tools.encode.on": False,
            "tools.log_headers.on": False,
            "tools.log_tracebacks.on": False,
            "tools.trailing_slash.on": False,
        }
    }
    mounted = _Application(None, script_name="", config=configuration)
    mounted.log.access = _log_nothing
    mounted.wsgiapp.response_class = _AppResponse
    mounted.wsgiapp.config["ExceptionTrapper"] = {"throws": _NOT_CHERRYPYS}
    return mounted


class _Edge:
    """A CherryPy dispatcher that passes each request to its resource."""

    def __init__(self, router: Router, context: Context) -> None:
        self._router = router
        self._context = context
        self._root = segments_of(context.root)
        self._config: dict[str, object] | None = None

    def __call__(self, path: str) -> None:
        """Set the handler of the current request."""
        native = cherrypy.serving.request
        if self._config is None:
            self._config = _of_requests({**cherrypy.config, **native.app.config["/"]})
        native.config = self._config
        native.handler = partial(self._handle, native, path)

    def _handle(self, native: Any, path: str) -> bytes | Iterator[bytes]:  # noqa: ANN401 - CherryPy is untyped
        request = _request_of(native, path, self._root)
        with bound(request=request.id):
            try:
                check_head(_target(native.wsgi_environ), request.headers)
                response = self._respond(request, native.rfile)
            except Exception as exc:  # noqa: BLE001 - every exception becomes a response
                response = problem_response(exc, request)
        return _hand_over(native, response.below(request.root))

    def _respond(self, request: Request, file: Any) -> Response:  # noqa: ANN401 - a WSGI input
        endpoint, path = self._router.find(request.segments)
        respond, declared = endpoint.operation(request.method)
        values = endpoint.read(path)
        if declared.body is not None:
            limit = declared.body.limit(self._context)
            request.body = read_body(file, request.headers, limit)
        if declared.permission is Permission.ACT:
            request.check_same_site()
        if declared.page and (request.prefers_html or request.prefers_event_stream):
            return self._page(request, declared, values)
        response = respond(request, **values, **_query(request, declared))
        if request.method == "OPTIONS":
            return response.with_headers(Allow=", ".join(endpoint.allowed))
        if declared.then and request.prefers_html:
            return see_other(_filled(declared.then, values))
        return response

    def _page(self, request: Request, declared: Operation, values: Mapping[str, Any]) -> Response:
        assert declared.page is not None  # noqa: S101 - the caller checked
        # Browsers send the empty fields of a filter form too.
        given = {name: texts for name, texts in request.parameters().items() if any(texts)}
        known = {each.name: each for each in (*(declared.query or ()), *declared.page.query)}
        read = read_parameters(given, known)
        show = partial(declared.page.show, self._context, request, **values, **read)
        return pages.page_response(self._context, request, show)


class _AppResponse(AppResponse):  # type: ignore[misc] # CherryPy is untyped
    """A response that may be continued and closed by another thread than the one that began it."""

    _serving: tuple[Any, Any] | None = None

    def __init__(self, *arguments: Any) -> None:  # noqa: ANN401 - CherryPy's
        """Respond to a request."""
        super().__init__(*arguments)
        self._serving = cherrypy.serving.request, cherrypy.serving.response

    def close(self) -> None:
        """End the request."""
        if self._serving is not None:
            cherrypy.serving.load(*self._serving)
        super().close()


def _of_requests(config: Mapping[str, object]) -> dict[str, object]:
    # CherryPy iterates over all keys for each request; those of the server are useless there.
    return {
        key: value
        for key, value in config.items()
        if not key.startswith(("server.", "engine.", "tree.", "log.", "checker."))
    }


def _query(request: Request, declared: Operation) -> dict[str, Any]:
    if declared.query is None or not request.query:
        return {}
    return read_parameters(request.parameters(), {each.name: each for each in declared.query})


def _filled(address: str, values: Mapping[str, Any]) -> str:
    quoted = {name: urllib.parse.quote(str(value), safe="") for name, value in values.items()}
    return address.format(**quoted)


def _request_of(native: Any, path: str, root: Sequence[str]) -> Request:  # noqa: ANN401 - CherryPy is untyped
    environ = native.wsgi_environ
    if script_name := environ.get("SCRIPT_NAME"):  # the server has removed it from the path
        segments, root = segments_of(environ["PATH_INFO"]), segments_of(script_name)
    else:
        segments = segments_of(environ["PATH_INFO"], root)
    return Request(
        id=f"{random.getrandbits(64):016x}",
        method=native.method,
        path=path,
        segments=segments,
        query=native.query_string,
        fields=native.header_list,
        headers={name.lower(): text for name, text in native.header_list},
        body=b"",
        base=native.base,
        root=_path(root),
        address=native.remote.ip,
        threads=bool(environ.get("wsgi.multithread")),
        descriptor=_descriptor(environ),
    )


def _target(environ: Mapping[str, Any]) -> str:
    # WSGI does not define it: gunicorn has the first name, most other servers the second.
    return str(environ.get("RAW_URI") or environ.get("REQUEST_URI") or "*")


def segments_of(path: str, root: Sequence[str] = ()) -> list[str]:
    """Return the segments of a path of WSGI, without empty ones, and without those of the root."""
    # WSGI passes bytes as Latin-1. Those that are not UTF-8, as in names of files, become
    # surrogates. Servers leave an encoded slash encoded, so that it is not a separator.
    text = path.encode("latin-1", "replace").decode("utf-8", "surrogateescape")
    segments = [each.replace("%2F", "/") for each in text.split("/") if each]
    # Proxies may leave the root in the path, or remove it.
    return segments[len(root) :] if root and segments[: len(root)] == root else segments


def _path(segments: Sequence[str]) -> str:
    return "".join(
        f"/{urllib.parse.quote(each, '', errors='surrogateescape')}" for each in segments
    )


def _descriptor(environ: Mapping[str, Any]) -> int | None:
    # Only gunicorn and the built-in server expose the connection of a request.
    shown = environ.get("gunicorn.socket")
    return environ.get(DESCRIPTOR) if shown is None else int(shown.fileno())


def _hand_over(native: Any, response: Response) -> bytes | Iterator[bytes]:  # noqa: ANN401 - CherryPy is untyped
    target = cherrypy.serving.response
    target.status = response.status.value
    target.headers.pop("Content-Type", None)  # CherryPy's default
    target.headers.update(response.headers)
    target.stream = not isinstance(response.body, bytes)
    if response.at_end is not None:
        native.hooks.attach("on_end_request", response.at_end)
    return response.body


_NOT_CHERRYPYS: Final = (KeyboardInterrupt, SystemExit, DispatcherError)
"""Exceptions while a response is sent that are left to the server, which breaks it off."""

_HIDDEN_FROM_CHERRYPY: Final = frozenset({"content-type", "content-disposition", "cookie"})
"""Headers that CherryPy would parse for bodies and sessions, neither of which it handles here."""


def _problem_of_cherrypy(status: str, message: str, **_: object) -> bytes:
    """Return the problem document for a request that CherryPy itself refuses."""
    headers = cherrypy.serving.response.headers
    headers["Content-Type"], headers["Connection"] = PROBLEM, "close"
    return plain_problem(HTTPStatus(int(status[:3])), message)


class _Request(cherrypy.Application.request_class):  # type: ignore[misc] # CherryPy is untyped
    """A request whose header fields and query are left as sent."""

    error_page: ClassVar = {"default": _problem_of_cherrypy}
    header_list: list[tuple[str, str]]

    def process_headers(self) -> None:
        """Process the header fields that are safe to leave to CherryPy; `header_list` keeps all.

        CherryPy decodes encoded words, which HTTP does not have (RFC 9110, section 5.5). Other
        fields it refuses without need, or parses too slowly if they are long.
        """
        all_headers = self.header_list
        self.header_list = [
            (name, text)
            for name, text in all_headers
            if "=?" not in text and name.lower() not in _HIDDEN_FROM_CHERRYPY
        ]
        try:
            super().process_headers()
        finally:
            self.header_list = all_headers

    def process_query_string(self) -> None:
        """Leave the query to the operations; CherryPy would parse `?1,2` as image coordinates."""


class _Application(cherrypy.Application):  # type: ignore[misc] # CherryPy is untyped
    """The WSGI application, with one configuration for all paths."""

    request_class = _Request

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:  # noqa: ANN401 - CherryPy is untyped
        """Respond to a request."""
        if environ["PATH_INFO"] == "*":  # the server as a whole (RFC 9110, section 9.3.7)
            environ["PATH_INFO"] = "/"
        return super().__call__(environ, _closing(start_response))

    def find_config(self, path: str, key: str, default: object = None) -> object:  # noqa: ARG002 - CherryPy's signature
        """Return a setting; CherryPy would search for one in each parent of the path."""
        return self.config["/"].get(key, default)


def _closing(start_response: Any) -> Any:  # noqa: ANN401 - CherryPy is untyped
    """Let `Connection: close` take effect under gunicorn, which ignores the field."""
    force_close = getattr(getattr(start_response, "__self__", None), "force_close", None)
    if force_close is None:
        return start_response

    def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:  # noqa: ANN401
        if ("Connection", "close") in headers:
            force_close()
        return start_response(status, headers, *more)

    return start


def _without_padding() -> None:
    """Remove the padding that CherryPy adds to its own errors for old browsers."""
    response = cherrypy.serving.response
    if response.headers.get("Content-Type") == PROBLEM:
        response.body = [b"".join(response.body).strip(b" \n") + b"\n"]
        response.headers.pop("Content-Length", None)


def _log_nothing() -> None:
    """Write no access log: that is a proxy's job, and would take a tenth of the time per event."""
