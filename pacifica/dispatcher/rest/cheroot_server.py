"""Extensions of cheroot: strict header fields, a thread pool that grows, an orderly stop."""

import sys
import threading
from typing import Any

from cheroot import server
from cheroot.workers import threadpool
from cherrypy._cpwsgi_server import CPWSGIServer

from pacifica.dispatcher.rest.connections import Connections
from pacifica.dispatcher.telemetry import ERROR, emit


class HeaderReader(server.HeaderReader):
    """A reader that drops header fields with `_` in their names, which WSGI would take for `-`."""

    def __call__(self, rfile: Any, hdict: dict[bytes, bytes] | None = None) -> dict[bytes, bytes]:  # noqa: ANN401 - cheroot's file
        """Read the fields into a mapping."""
        found: dict[bytes, bytes] = {} if hdict is None else hdict
        found.update(super().__call__(rfile, _Fields()))
        return found

    def _allow_header(self, key_name: bytes) -> bool:
        return b"_" not in key_name


class _Fields(dict[bytes, bytes]):
    """Header fields by name. cheroot would keep only the last field, or line, of each name."""

    def __setitem__(self, name: bytes, value: bytes) -> None:
        """Join fields of one name (RFC 9110, section 5.3), as cheroot does for some names."""
        if name in self and name not in server.comma_separated_headers:  # type: ignore[attr-defined] # no stub
            # Attributes are not lists: join them with a character that no field can contain.
            separator = b"\n" if name.startswith(b"Ce-") else b", "
            value = separator.join((self[name], value))
        super().__setitem__(name, value)


class _Request(server.HTTPRequest):
    header_reader = HeaderReader()


class Connection(server.HTTPConnection):
    """A connection that reads header fields with `HeaderReader`, and that the server counts."""

    RequestHandlerClass = _Request

    def __init__(self, server: "Server", *arguments: Any) -> None:  # noqa: ANN401 - cheroot's
        """Count the connection as open."""
        super().__init__(server, *arguments)
        server.open_connections.add(self)

    def close(self) -> None:
        """Close the connection."""
        try:
            super().close()
        finally:
            self.server.open_connections.discard(self)


class Server(CPWSGIServer):  # type: ignore[misc] # CherryPy is untyped
    """The web server."""

    ConnectionClass = Connection
    requests: Any
    _connections: Any

    def __init__(self, adapter: Any, application: Any) -> None:  # noqa: ANN401 - CherryPy's
        """Prepare the server with the settings of CherryPy's adapter, for a WSGI application."""
        super().__init__(adapter)
        Connection.RequestHandlerClass = _Request  # which CherryPy replaces
        self.wsgi_app = application
        self.requests = Pool(self, self.requests.min, self.requests.max)
        self.open_connections: set[Connection] = set()

    def prepare(self) -> None:
        """Listen."""
        super().prepare()
        self._connections.close()
        self._connections = Connections(self)

    def stop(self) -> None:
        """Stop listening, respond to all requests that were sent, then close the connections."""
        if self.ready:
            self._connections.finish()
        super().stop()

    def error_log(self, msg: str = "", level: int = ERROR, traceback: bool = False) -> None:  # noqa: FBT001, FBT002, ARG002 - cheroot's signature
        """Emit an internal error; what clients cause is not worth a line."""
        if traceback:
            emit("server.failed", ERROR, exception=sys.exception(), reason=msg)


_ThreadPool: Any = threadpool.ThreadPool  # the stub lacks what subclasses need


class Pool(_ThreadPool):  # type: ignore[misc] # of Any
    """The web server's threads: a fixed number, and more on demand.

    Each thread keeps a database connection, so starting all of them at once would waste memory.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:  # noqa: ANN401 - cheroot's
        """Prepare the pool without starting threads."""
        super().__init__(*arguments, **named)
        self._resizing = threading.Lock()

    def resize(self, more: int) -> None:
        """Set the number of threads above the minimum; surplus threads end when they are idle."""
        with self._resizing:
            self._clear_dead_threads()
            ending = len(self._pending_shutdowns)
            missing = self.min + more - (len(self._threads) - ending)
            self._threads.extend(self._spawn_worker() for _ in range(missing))
            if missing < 0:
                self.shrink(ending - missing)
