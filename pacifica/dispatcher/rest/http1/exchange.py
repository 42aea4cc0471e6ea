"""One request and its response, between the application and cheroot."""

import io
from typing import Any

from cheroot import server, wsgi

from pacifica.dispatcher.rest.http1.syntax import Head

DESCRIPTOR = "dispatcher.descriptor"
"""The key in a WSGI environment of the file descriptor of the client's connection."""


class Exchange:
    """A request to which the application responds step by step."""

    def __init__(self, connection: Any, head: Head, body: bytes) -> None:  # noqa: ANN401 - a `Connection`
        """Prepare a whole request."""
        self._connection = connection
        self._request = _Request(connection, head, body)
        self._gateway: _Gateway | None = None

    @property
    def closes(self) -> bool:
        """True if the connection must be closed after the response."""
        return bool(self._request.close_connection)

    def proceed(self) -> bool:
        """Write the response; return False if the client must first take some of it."""
        if self._gateway is None:
            self._gateway = _Gateway(self._request)
            self._gateway.begin()
        return self._gateway.proceed()

    def fail(self) -> None:
        """Write the response of an internal error, if none has begun."""
        self._request.close_connection = True
        if not self._request.sent_headers:
            self._request.simple_response("500 Internal Server Error")

    def close(self) -> None:
        """End the response early."""
        if self._gateway is not None:
            self._gateway.close()


class _Request(server.HTTPRequest):
    """A request that was already read."""

    def __init__(self, connection: Any, head: Head, body: bytes) -> None:  # noqa: ANN401 - a `Connection`
        super().__init__(connection.server, connection)
        self.ready = self.started_request = True
        self.method, self.uri = head.method, head.target
        self.path, self.qs = head.path, head.query
        self.request_protocol = b"HTTP/1.%d" % head.minor
        self.response_protocol = f"HTTP/1.{head.minor}"
        self.close_connection = head.closes
        self.rfile = io.BytesIO(body)
        self.inheaders = head.fields
        if head.length is None:  # the body is decoded (RFC 9112, section 7.1.3)
            del self.inheaders[b"Transfer-Encoding"]
            self.inheaders[b"Content-Length"] = b"%d" % len(body)


_Base: Any = wsgi.Gateway_10  # the stub has other types


class _Gateway(_Base):  # type: ignore[misc] # of Any
    """cheroot's interface to the application, but for responses that wait without a thread."""

    req: Any
    env: dict[str, Any]
    _response: Any = None
    _chunks: Any = None

    def get_environ(self) -> dict[str, Any]:
        """Return the WSGI environment."""
        environ: dict[str, Any] = super().get_environ()
        environ[DESCRIPTOR] = self.req.conn.socket.fileno()
        environ["wsgi.input_terminated"] = True
        return environ

    def begin(self) -> None:
        """Call the application."""
        self._response = self.req.server.wsgi_app(self.env, self.start_response)
        self._chunks = iter(self._response)

    def proceed(self) -> bool:
        """Write chunks; return False if the client must first take some of them."""
        outgoing = self.req.conn.wfile
        for chunk in self._chunks:
            if chunk:
                self.write(chunk)
                if not outgoing.flush():
                    return False
        self.req.ensure_headers_sent()
        if self.req.chunked_write:
            outgoing.write(b"0\r\n\r\n")
        self.close()
        return True

    def close(self) -> None:
        """Let the application end."""
        response, self._response = self._response, None
        if hasattr(response, "close"):
            response.close()
