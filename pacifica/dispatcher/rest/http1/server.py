"""The server: cheroot's, with another loop and a pool of threads that grows."""

import ssl
import sys
from typing import Any

from cherrypy._cpwsgi_server import CPWSGIServer

from pacifica.dispatcher.errors import ListenError
from pacifica.dispatcher.rest.http1.connection import Connection
from pacifica.dispatcher.rest.http1.limits import Limits
from pacifica.dispatcher.rest.http1.loop import Loop
from pacifica.dispatcher.rest.http1.threads import Pool
from pacifica.dispatcher.telemetry import ERROR, emit


class Server(CPWSGIServer):  # type: ignore[misc] # CherryPy is untyped
    """The web server."""

    requests: Any
    ssl_adapter: Any
    _connections: Any

    def __init__(self, adapter: Any, application: Any, limits: Limits) -> None:  # noqa: ANN401 - CherryPy's
        """Prepare the server with the settings of CherryPy's adapter, for a WSGI application.

        Raises:
            ListenError: the adapter uses another TLS library than Python's.
        """
        super().__init__(adapter)
        self.wsgi_app = application
        self.requests = Pool(self, self.requests.min, self.requests.max)
        self.open_connections: set[Connection] = set()
        self.timeout = int(limits.keep_alive)  # which responses to HTTP/1.0 mention
        self.stats["Enabled"] = False
        self._limits = limits
        context = getattr(self.ssl_adapter, "context", None)
        if context is not None and not isinstance(context, ssl.SSLContext):
            raise ListenError("Unsupported server.ssl_module; use builtin")

    def prepare(self) -> None:
        """Listen."""
        super().prepare()
        self._connections.close()
        self._connections = Loop(self, self._limits)

    def forget(self, connection: Connection) -> None:
        """Stop counting a closed connection."""
        if connection in self.open_connections:
            self.open_connections.discard(connection)
            self._connections.forget(connection)

    def stop(self) -> None:
        """Stop listening, respond to all requests that were sent, then close the connections."""
        if self.ready:
            self._connections.finish()
        super().stop()

    def error_log(self, msg: str = "", level: int = ERROR, traceback: bool = False) -> None:  # noqa: FBT001, FBT002, ARG002 - cheroot's signature
        """Emit an internal error; what clients cause is not worth a line."""
        if traceback:
            emit("server.failed", ERROR, exception=sys.exception(), reason=msg)
