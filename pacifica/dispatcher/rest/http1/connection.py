"""A client's connection: the next thing that it needs, and how long it may wait for it."""

import enum
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from email.utils import formatdate
from http import HTTPStatus
from logging import ERROR, INFO, WARNING
from typing import Any, ClassVar, Final

from cheroot.server import HTTPConnection

from pacifica.dispatcher.errors import DispatcherError
from pacifica.dispatcher.rest.http1.exchange import Exchange
from pacifica.dispatcher.rest.http1.limits import Limits
from pacifica.dispatcher.rest.http1.outgoing import DisconnectedError, Outgoing
from pacifica.dispatcher.rest.http1.reception import Reception
from pacifica.dispatcher.rest.http1.syntax import ProtocolError, refused
from pacifica.dispatcher.rest.problems import PROBLEM, plain_problem
from pacifica.dispatcher.telemetry import emit

_READ: Final = 64 * 1024  # bytes
_LINGER: Final = 5.0  # seconds in which a refused client may read the response
_VIEWING: Final = frozenset({b"GET", b"HEAD"})
_HEALTH: Final = b"/health/"
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class Wish(enum.Enum):
    """The next thing that a connection needs."""

    READ = enum.auto()
    WRITE = enum.auto()
    SERVE = enum.auto()  # a thread
    CLOSE = enum.auto()


class _Phase(enum.Enum):
    HANDSHAKE = enum.auto()
    REQUEST = enum.auto()
    RESPONSE = enum.auto()
    REST = enum.auto()  # of a response
    LINGER = enum.auto()


class Connection(HTTPConnection):
    """A client's connection, which either the loop or one thread handles at a time."""

    server: Any
    socket: Any
    remote_addr: str | None
    remote_port: int | None
    wfile: Outgoing

    def __init__(self, server: Any, connection: socket.socket, limits: Limits) -> None:  # noqa: ANN401 - a `Server`
        """Wait for a request on an accepted connection, or for a TLS handshake."""
        adapter = server.ssl_adapter
        connection.setblocking(False)
        if adapter is not None:
            connection = adapter.context.wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            )
        super().__init__(server, connection, makefile=_file)
        self.rfile = self.wfile  # cheroot only asks whether it is closed
        self._limits = limits
        self._reception = Reception(limits)
        self._exchange: Exchange | None = None
        self._phase = _Phase.REQUEST if adapter is None else _Phase.HANDSHAKE
        self.since = time.monotonic()
        self._sent = 0
        self._lost = self._closes = self._lingers = False
        self.served = 0
        self.is_urgent = True  # unless the request only looks at something
        self.counted = 0  # bytes that the loop has counted

    @property
    def received(self) -> int:
        """The number of bytes kept of a request that is not complete."""
        return len(self._reception)

    @property
    def unsent(self) -> int:
        """The number of bytes that the client has not taken."""
        return len(self.wfile)

    @property
    def is_idle(self) -> bool:
        """True if nothing of a next request was received."""
        return self._phase is _Phase.REQUEST and not self._reception.begun

    @property
    def rank(self) -> tuple[bool, float]:
        """The order in which connections are given up: those that never served come first."""
        return self.served > 0, self.since

    def proceed(self) -> Wish:
        """Do what is possible now, in the loop."""
        try:
            return self._steps[self._phase](self)
        except (BlockingIOError, ssl.SSLWantReadError):
            return Wish.READ
        except ssl.SSLWantWriteError:
            return Wish.WRITE
        except ProtocolError as exc:
            return self.refuse(exc)
        except (DisconnectedError, OSError) as exc:
            plain = self._phase is _Phase.HANDSHAKE and "HTTP_REQUEST" in str(exc)
            return self._refuse_plain() if plain else self.lose()

    def communicate(self) -> bool:
        """Respond to the request, in a thread; return False if the connection must be closed."""
        if self._exchange is None:
            self._phase = _Phase.RESPONSE
            self._exchange = Exchange(self, *self._reception.take())
        exchange, finished = self._exchange, True
        try:
            finished = not self._lost and exchange.proceed()
            self.wfile.flush()
        except DisconnectedError:
            self._lost = True
        except DispatcherError as exc:
            emit("response.interrupted", WARNING, address=self.remote_addr, reason=str(exc))
            exchange.fail()
        except Exception as exc:  # noqa: BLE001 - the thread must go on
            emit("server.failed", ERROR, exception=exc, reason="cannot respond")
            exchange.fail()
        if finished or self._lost:
            self._end(exchange)
        return not self._lost

    def after_response(self) -> Wish:
        """Return the next thing that the connection needs when a thread has left it."""
        self._phase, self.since, self._sent = _Phase.REST, time.monotonic(), self.wfile.sent
        return self.proceed()

    def refuse(self, problem: ProtocolError) -> Wish:
        """Respond that the request is refused, and read no other one."""
        emit(
            "request.malformed",
            INFO,
            status=problem.status.value,
            address=self.remote_addr,
            reason=str(problem),
        )
        self._write_problem(problem)
        self._reception = Reception(self._limits)  # which frees what was kept
        self._closes = self._lingers = True
        return self.after_response()

    def turn_away(self) -> Wish:
        """Respond that the client has too many connections."""
        if self._phase is _Phase.HANDSHAKE:
            return Wish.CLOSE
        problem = "Too many connections of this address; try again later"
        return self.refuse(refused(problem, HTTPStatus.SERVICE_UNAVAILABLE))

    def overdue(self, now: float) -> Callable[[], Wish] | None:
        """Return the step to take because the client is too slow; None if it is not.

        Args:
            now: the time of `time.monotonic`.
        """
        limits, step = self._limits, self.lose
        match self._phase:
            case _Phase.REQUEST if not self._reception.begun:
                patience = limits.keep_alive if self.served else limits.head_timeout
            case _Phase.REQUEST:
                body = self._reception.received if self._reception.head is not None else 0
                patience, step = limits.head_timeout + body / limits.min_rate, self._time_out
            case _Phase.REST:
                taken = self.wfile.sent - self._sent
                patience = limits.head_timeout + taken / limits.min_rate
            case _Phase.LINGER:
                patience = _LINGER
            case _:
                patience = limits.head_timeout
        return step if now - self.since > patience else None

    def lose(self) -> Wish:
        """Give the client up; a thread ends the response that has begun."""
        self._lost = True
        return Wish.CLOSE if self._exchange is None else Wish.SERVE

    def half_close(self) -> None:
        """Tell the client that no response will come, but continue to read."""
        self._linger()

    def close(self) -> None:
        """Close the connection."""
        self.wfile.close()
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.server.forget(self)

    def _time_out(self) -> Wish:
        return self.refuse(refused("Request too slow", HTTPStatus.REQUEST_TIMEOUT))

    def _shake_hands(self) -> Wish:
        self.socket.do_handshake()
        self.ssl_env = self.server.ssl_adapter.get_environ(self.socket)
        self._phase, self.since = _Phase.REQUEST, time.monotonic()
        return self._receive()

    def _receive(self) -> Wish:
        data = self.socket.recv(_READ)
        if not data:
            if self._reception.begun:
                raise refused("The request ends early")
            return Wish.CLOSE
        if not self._reception.begun:
            self.since = time.monotonic()
        self._reception.add(data)
        return self._read_request()

    def _read_request(self) -> Wish:
        """Take the next request from what was received."""
        reception = self._reception
        had_head = reception.head is not None
        if reception.advance():
            head = reception.head
            assert head is not None  # noqa: S101 - the request is complete
            self.is_urgent = head.method not in _VIEWING or head.path.startswith(_HEALTH)
            return Wish.SERVE
        if reception.head is not None and not had_head:
            self.since = time.monotonic()
            if reception.head.waits:
                self.wfile.write(_CONTINUE)
                self.wfile.flush()
        return Wish.READ

    def _send_rest(self) -> Wish:
        if not self.wfile.flush():
            return Wish.WRITE
        if self._exchange is not None:
            return Wish.SERVE
        if self._lingers or (self._closes and self._reception.begun):
            self._linger()
            return Wish.READ
        if self._closes:
            return Wish.CLOSE
        self._phase, self.since = _Phase.REQUEST, time.monotonic()
        return self._read_request() if self._reception.begun else Wish.READ

    def _discard(self) -> Wish:
        return Wish.READ if self.socket.recv(_READ) else Wish.CLOSE

    def _linger(self) -> None:
        # An immediate end would reset the connection, and the client could lose the response.
        self._phase, self.since = _Phase.LINGER, time.monotonic()
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)

    def _end(self, exchange: Exchange) -> None:
        self._exchange = None
        self._closes = exchange.closes
        self.served += 1
        try:
            exchange.close()
        except Exception as exc:  # noqa: BLE001 - the thread must go on
            emit("server.failed", ERROR, exception=exc, reason="cannot end a response")

    def _write_problem(self, problem: ProtocolError) -> None:
        body = plain_problem(problem.status, str(problem))
        lines = [
            f"HTTP/1.1 {problem.status.value} {problem.status.phrase}",
            f"Date: {formatdate(usegmt=True)}",
            f"Content-Type: {PROBLEM}",
            f"Content-Length: {len(body)}",
            *(["Retry-After: 5"] if problem.status is HTTPStatus.SERVICE_UNAVAILABLE else []),
            "Connection: close",
            "\r\n",
        ]
        self.wfile.write("\r\n".join(lines).encode() + body)

    def _refuse_plain(self) -> Wish:
        """Respond in plain HTTP to a client that does not use TLS."""
        self.socket = socket.socket(fileno=self.socket.detach())
        self.socket.setblocking(False)
        self.wfile = Outgoing(self.socket)
        return self.refuse(refused("Plain HTTP on a port for HTTPS; use https://"))

    _steps: ClassVar[dict[_Phase, Callable[["Connection"], Wish]]] = {
        _Phase.HANDSHAKE: _shake_hands,
        _Phase.REQUEST: _receive,
        _Phase.REST: _send_rest,
        _Phase.LINGER: _discard,
    }


def _file(connection: socket.socket, _mode: str, _size: int) -> Outgoing:
    """Return what cheroot writes to; requests are read otherwise."""
    return Outgoing(connection)
