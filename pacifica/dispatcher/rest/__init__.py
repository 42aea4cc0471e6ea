"""The REST tier: CherryPy resources over HTTP, JSON for programs and pages for people."""

from typing import Any

from pacifica.dispatcher.rest.cheroot_server import Server
from pacifica.dispatcher.rest.cherrypy_app import application as _application
from pacifica.dispatcher.rest.context import Context
from pacifica.dispatcher.rest.handshake import Handshake
from pacifica.dispatcher.rest.mounts import ROUTES, description
from pacifica.dispatcher.rest.notices import Notices
from pacifica.dispatcher.rest.stream_slots import StreamSlots

__all__ = [
    "ROUTES",
    "Context",
    "Handshake",
    "Notices",
    "Server",
    "StreamSlots",
    "application",
    "description",
]


def application(context: Context) -> Any:  # noqa: ANN401 - CherryPy is untyped
    """Return the WSGI application of all routes."""
    return _application(context, ROUTES)
