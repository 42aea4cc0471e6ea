"""The HTTP client: sessions of `requests` with limits.

By default, `requests` waits forever, follows redirects, honours proxies, `.netrc` and cookies, and
trusts the certificates of `certifi`. These sessions do none of that.
"""

import errno
import os
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import cached_property
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Final

import requests
from requests.adapters import HTTPAdapter
from requests.exceptions import InvalidURL, RequestException, Timeout
from requests.structures import CaseInsensitiveDict
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import NewConnectionError

USER_AGENT: Final = "pacifica-dispatcher"

_KEEP_ALIVE: Final = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)] + [
    (socket.IPPROTO_TCP, getattr(socket, name), value)
    for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))
    if hasattr(socket, name)
]
"""Socket options that detect a dead host within a minute, even on an idle stream."""


class Session(requests.Session):
    """A session that ignores the environment and cookies, and neither retries nor redirects.

    Set `max_redirects` to follow that many redirects; otherwise a redirect is an ordinary response.
    """

    def __init__(self, *, connect: float, read: float, socket_file: str = "") -> None:
        """Prepare the session without connecting.

        Args:
            connect: default timeout in seconds for connecting to each address of a host.
            read: default timeout in seconds for each read.
            socket_file: the path of a Unix socket to which all http requests go, if any.
        """
        super().__init__()
        self.trust_env = False
        self.max_redirects = 0
        self.headers = CaseInsensitiveDict({"User-Agent": USER_AGENT})
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
        adapter = _Adapter(connect, read, socket_file)
        self.mount("http://", adapter)
        self.mount("https://", adapter)

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Return the target of a redirect if redirects are followed."""
        return super().get_redirect_target(resp) if self.max_redirects else None


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Limit the total time of this thread's exchanges within the block.

    A read timeout alone does not stop a peer that sends a byte now and then. At the deadline, all
    connections used in the block are shut down. Only resolving a host name and connecting to it can
    take longer.

    Raises:
        requests.Timeout: the block took longer.
    """
    running = _Deadline(seconds)
    token = _running.set(running)
    try:
        yield
    except RequestException:
        if not running.passed:
            raise
    finally:
        _running.reset(token)
        running.stop()
    if running.passed:
        raise Timeout(f"no complete response within {seconds:g} s")


def reason(error: BaseException) -> str:
    """Return the root cause of an error as text."""
    while cause := error.__cause__ or (None if error.__suppress_context__ else error.__context__):
        error = cause
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


class _Deadline:
    def __init__(self, seconds: float) -> None:
        self.passed = False
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._timer = threading.Timer(seconds, self._pass)
        self._timer.daemon = True
        self._timer.start()

    def watch(self, connection: socket.socket) -> None:
        # Duplicate it: TLS detaches the descriptor from the original.
        duplicate = socket.fromfd(connection.fileno(), connection.family, connection.type)
        with self._lock:
            self._sockets.append(duplicate)
            if self.passed:
                _shut_down(duplicate)

    def stop(self) -> None:
        self._timer.cancel()
        with self._lock:
            for each in self._sockets:
                each.close()
            self._sockets.clear()

    def _pass(self) -> None:
        with self._lock:
            self.passed = True
            for each in self._sockets:
                _shut_down(each)


_running: Final[ContextVar[_Deadline | None]] = ContextVar("deadline", default=None)


def _shut_down(connection: socket.socket) -> None:
    with suppress(OSError):  # the peer may have closed it
        connection.shutdown(socket.SHUT_RDWR)


def _watch(connection: socket.socket) -> None:
    if running := _running.get():
        running.watch(connection)


class _Connection(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        connection = super()._new_conn()
        _watch(connection)
        return connection

    def putrequest(
        self,
        method: str,
        url: str,
        skip_host: bool = False,  # noqa: FBT001, FBT002 - the signature of http.client
        skip_accept_encoding: bool = False,  # noqa: FBT001, FBT002
    ) -> None:
        if self.sock is not None:  # reused
            _watch(self.sock)
        super().putrequest(method, url, skip_host, skip_accept_encoding)


class _TlsConnection(_Connection, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


def _pool_of(socket_file: str) -> type[_Pool]:
    class Connection(_Connection):
        def _new_conn(self) -> socket.socket:
            connection = socket.socket(socket.AF_UNIX)
            try:
                connection.settimeout(self.timeout)
                connection.connect(socket_file)
            except OSError as exc:
                connection.close()
                raise NewConnectionError(self, str(exc)) from exc
            _watch(connection)
            return connection

    class Pool(_Pool):
        ConnectionCls = Connection

    return Pool


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class _Adapter(HTTPAdapter):
    def __init__(self, connect: float, read: float, socket_file: str) -> None:
        self._pool = _pool_of(socket_file) if socket_file else _Pool
        self._limits = (connect, read)
        super().__init__()

    def init_poolmanager(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - requests'
        socket_options = [*HTTPConnection.default_socket_options, *_KEEP_ALIVE]
        super().init_poolmanager(*args, **options, socket_options=socket_options)
        self.poolmanager.pool_classes_by_scheme = {"http": self._pool, "https": _TlsPool}

    def build_connection_pool_key_attributes(
        self,
        request: requests.PreparedRequest,
        verify: Any,  # noqa: ANN401 - requests'
        cert: Any = None,  # noqa: ANN401
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        host, pool = super().build_connection_pool_key_attributes(request, verify, cert)
        if host["scheme"] == "https":
            pool["ssl_context"] = self._tls
        return host, pool

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:  # noqa: ANN401
        """Do nothing: `requests` would add the certificates of `certifi` to the trusted ones."""

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,  # noqa: FBT001, FBT002 - requests' signature
        timeout: Any = None,  # noqa: ANN401
        *args: Any,  # noqa: ANN401
        **options: Any,  # noqa: ANN401
    ) -> requests.Response:
        try:
            return super().send(request, stream, timeout or self._limits, *args, **options)
        except RequestException:
            raise
        except ValueError as exc:  # https://github.com/psf/requests/issues/5744
            raise InvalidURL(str(exc), request=request) from exc

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        # Trusts the certificates of the system, or those in $SSL_CERT_FILE.
        context = ssl.create_default_context()
        context.sslsocket_class = _TlsSocket
        return context


class _TlsSocket(ssl.SSLSocket):
    def getpeername(self) -> Any:  # noqa: ANN401 - an address
        # Wrapping a socket begins with this call. If the peer has already reset the connection,
        # Python before 3.13 leaves the socket open.
        try:
            return super().getpeername()
        except OSError:
            self.close()
            raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET)) from None
