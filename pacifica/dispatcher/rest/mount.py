"""The WSGI application: each address and its resource, and what CherryPy makes of a request."""

import urllib.parse
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, ClassVar

import cherrypy

from pacifica.dispatcher.rest import answers, openapi
from pacifica.dispatcher.rest.pages import PAGES
from pacifica.dispatcher.rest.resources import (
    Adapted,
    Applications,
    Description,
    Dispatch,
    Event,
    Events,
    Explain,
    Live,
    OneApplication,
    Ready,
    Receive,
    Resource,
    Status,
    Workers,
)
from pacifica.dispatcher.rest.runs import Runs
from pacifica.dispatcher.rest.service import Service

RESOURCES: Mapping[str, type[Resource]] = {
    "": Events,
    "events": Events,
    "events/": Event,
    "receive": Receive,
    "receive/": Adapted,
    "status/": Status,
    "dispatch/": Dispatch,
    "runs/": Runs,
    "applications": Applications,
    "applications/": OneApplication,
    "workers": Workers,
    "explain": Explain,
    "health/live": Live,
    "health/ready": Ready,
    "openapi.json": Description,
}
"""What stands at each path; below those that end with a slash, the rest is its own to read."""


class _Paths(cherrypy.dispatch.MethodDispatcher):  # type: ignore[misc] # CherryPy is untyped
    """Finds a resource by the path, in a table: nothing else has an address."""

    def __init__(self, resources: Mapping[str, Resource]) -> None:
        super().__init__()
        self._resources = resources

    def __call__(self, path: str) -> None:
        """Choose what answers; a method that only other addresses of the resource take is 405."""
        super().__call__(path)
        methods = openapi.methods([part for part in path.split("/") if part])
        if methods:
            cherrypy.response.headers["Allow"] = ", ".join(sorted(methods))
            if cherrypy.request.method not in methods:
                cherrypy.request.handler = cherrypy.HTTPError(HTTPStatus.METHOD_NOT_ALLOWED.value)

    def find_handler(self, path: str) -> tuple[Resource | None, list[str]]:
        """The resource, and the parts of the path that are left."""
        request = cherrypy.request
        request.config = {**cherrypy.config, **request.app.config["/"]}
        parts = [part for part in path.split("/") if part]
        exact = self._resources.get("/".join(parts))
        if exact is not None or not parts:
            return exact, []
        return self._resources.get(f"{parts[0]}/"), parts[1:]


_NOT_CHERRYPYS = frozenset({"content-type", "content-disposition", "cookie"})
"""Headers that CherryPy looks into for bodies and sessions, which it does not have here."""


class _Request(cherrypy.Application.request_class):  # type: ignore[misc] # CherryPy is untyped
    """A request whose headers and parameters are taken as they are."""

    error_page: ClassVar = {"default": answers.answer_http_error}  # of errors before the settings
    header_list: list[tuple[str, str]]
    params: dict[str, str | list[str]]
    query_string: str

    def process_headers(self) -> None:
        """Read the headers, without those that CherryPy would make something of.

        HTTP has no encoded words as mails have them (RFC 9110, section 5.5), and some cannot be
        decoded. Of the others, CherryPy refuses some, and takes too long for long ones. All headers
        are in `header_list`.
        """
        everything = self.header_list
        self.header_list = [
            (name, text)
            for name, text in everything
            if "=?" not in text and name.lower() not in _NOT_CHERRYPYS
        ]
        try:
            super().process_headers()
        finally:
            self.header_list = everything

    def process_query_string(self) -> None:
        """Read the parameters; to CherryPy, a query such as 1,2 would be a click on an image.

        What is not UTF-8 is replaced: whoever reads no parameters minds none.
        """
        for name, texts in urllib.parse.parse_qs(self.query_string, keep_blank_values=True).items():
            self.params[name] = texts if len(texts) > 1 else texts[0]


class _Application(cherrypy.Application):  # type: ignore[misc] # CherryPy is untyped
    """The WSGI application, which is configured as a whole."""

    request_class = _Request

    def find_config(self, path: str, key: str, default: object = None) -> object:  # noqa: ARG002 - CherryPy's signature
        """A setting; CherryPy would look for one of each folder of the path, however many."""
        return self.config["/"].get(key, default)


def application(service: Service) -> Any:  # noqa: ANN401 - CherryPy is untyped
    """The WSGI application of all resources."""
    resources = {path: kind(service) for path, kind in {**RESOURCES, **PAGES}.items()}
    configuration = {
        "/": {
            "request.dispatch": _Paths(resources),
            "request.process_request_body": False,
            "request.show_tracebacks": False,
            "request.error_response": answers.answer_exception,
            "hooks.before_finalize": answers.without_padding,
            "tools.log_headers.on": False,
            "tools.log_tracebacks.on": False,
            "tools.trailing_slash.on": False,
        }
    }
    mounted = _Application(None, script_name="", config=configuration)
    mounted.log.access = _log_nothing
    return mounted


def _log_nothing() -> None:
    """No line for each request: that is a proxy's work, and costs a tenth of an accept."""
