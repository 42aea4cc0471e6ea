"""The REST tier: CherryPy resources over HTTP, JSON for programs and pages for people."""

from collections.abc import Callable
from typing import Any

from pacifica.dispatcher.errors import DispatcherError
from pacifica.dispatcher.rest.cherrypy_app import application as _application
from pacifica.dispatcher.rest.cherrypy_app import segments_of
from pacifica.dispatcher.rest.context import Context
from pacifica.dispatcher.rest.handshake import Handshake
from pacifica.dispatcher.rest.http1 import Head, Limits, Server
from pacifica.dispatcher.rest.listening import Address, address_of, check_free, remover
from pacifica.dispatcher.rest.mounts import ROUTES, description
from pacifica.dispatcher.rest.notices import Notices
from pacifica.dispatcher.rest.routes import Router
from pacifica.dispatcher.rest.stream_slots import StreamSlots

__all__ = [
    "ROUTES",
    "Address",
    "Context",
    "Handshake",
    "Head",
    "Limits",
    "Notices",
    "Server",
    "StreamSlots",
    "address_of",
    "application",
    "body_limit",
    "check_free",
    "description",
    "remover",
]


def application(context: Context) -> Any:  # noqa: ANN401 - CherryPy is untyped
    """Return the WSGI application of all routes."""
    return _application(context, ROUTES)


def body_limit(context: Context) -> Callable[[Head], int]:
    """Return a function that tells the maximum number of bytes of a request's body."""
    router, root = Router(ROUTES, context), segments_of(context.root)

    def limit(head: Head) -> int:
        try:
            endpoint, _ = router.find(segments_of(head.path.decode("latin-1"), root))
            _, declared = endpoint.operation(head.method.decode())
        except DispatcherError:
            return context.max_event_size
        return declared.body.limit(context) if declared.body else context.max_event_size

    return limit
