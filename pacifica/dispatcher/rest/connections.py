"""Client connections: accepted while there are descriptors, and closed without a reset.

A new connection waits for its first bytes beside the idle ones, without a thread. While
descriptors are scarce, nothing is accepted (the system keeps some connections waiting, then refuses
more), responses close their connections, and idle ones are closed early.

At the end, the server first stops listening. Responses then say `Connection: close`. A connection
that stays idle is closed for sending only: bytes that cross on the way would otherwise cause a
reset.
"""

import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from selectors import EVENT_READ, DefaultSelector
from typing import Any, Final

from cheroot import connections

from pacifica.dispatcher.execution.process import ignore_new_connections, usable_descriptors
from pacifica.dispatcher.telemetry import WARNING, emit

_CALM: Final = 10.0  # seconds without a pause after which the shortage is over
_IDLE_IN_SHORTAGE: Final = 2.0  # seconds
_IDLE_AT_END: Final = 1.0  # seconds in which a client with an idle connection may use it
_END_TIMEOUT: Final = 3.0  # maximum seconds of each wait
_HANDSHAKE: Final = 0.2  # seconds for clients that are connecting
_LINGER: Final = 1.0  # seconds for clients to close their half
_POLL: Final = 0.01  # seconds

_Manager: Any = connections.ConnectionManager  # the stub lacks what subclasses need


class Connections(_Manager):  # type: ignore[misc] # of Any
    """The connections of a server that no thread is serving, and its listening socket."""

    def __init__(self, server: Any) -> None:  # noqa: ANN401 - a `Server`
        """Watch the listening socket."""
        super().__init__(server)
        self._limit = usable_descriptors()
        self._listener: socket.socket = server.socket
        self._listens = True
        self._paused_at: float | None = None
        self._ending_since: float | None = None
        self._half_closed: list[Any] | None = None

    @property
    def can_add_keepalive_connection(self) -> bool:
        """False if responses must close their connections."""
        return self._listens

    def put(self, conn: Any) -> None:  # noqa: ANN401 - a `Connection`
        """Wait for the next request of a connection."""
        try:
            super().put(conn)
        except (OSError, MemoryError) as exc:
            conn.close()
            self._pause(exc)

    def finish(self) -> None:
        """Stop listening, then wait until all connections are closed or served for the last time.

        The server's thread continues to watch the connections meanwhile.
        """
        self._ending_since = time.monotonic()
        self._stop_listening()
        _wait(lambda: self._half_closed is not None or not self.server.open_connections)
        deadline = time.monotonic() + _LINGER
        for each in self._half_closed or ():
            _read_until_closed(each.socket, deadline)
            each.close()

    def _stop_listening(self) -> None:
        ignore_new_connections(self._listener)
        time.sleep(_HANDSHAKE)
        _wait(lambda: not self._listens or not _is_readable(self._listener))
        if self._listens:
            self._listens = False
            self._selector.unregister(self._listener.fileno())
        self.server.socket = None
        self._listener.close()

    def _from_server_socket(self, server_socket: socket.socket | None) -> None:
        """Accept a connection; the server calls this when there is one."""
        if server_socket is None:  # closed meanwhile
            return
        try:
            conn = super()._from_server_socket(server_socket)
        except (OSError, MemoryError) as exc:
            self._pause(exc)
            return
        if conn is not None:
            self.put(conn)
            if conn.socket.fileno() >= self._limit:
                self._pause(None)

    def _expire(self, threshold: float) -> None:
        """Close connections that were idle for too long; the server calls this every second."""
        if self._ending_since is not None:
            if time.monotonic() - self._ending_since >= _IDLE_AT_END:
                self._half_close()
            return
        if not self._listens:
            threshold = max(threshold, time.time() - _IDLE_IN_SHORTAGE)
        super()._expire(threshold)
        self._resume()

    def _half_close(self) -> None:
        idle = list(self._selector.connections)
        for descriptor, conn in idle:
            self._selector.unregister(descriptor)
            with suppress(OSError):  # the client has closed it
                conn.socket.shutdown(socket.SHUT_WR)
        self._half_closed = [*(self._half_closed or ()), *(conn for _, conn in idle)]

    def _pause(self, reason: Exception | None) -> None:
        if self._paused_at is None:
            emit(
                "connections.paused",
                WARNING,
                open=len(self.server.open_connections),
                reason="few descriptors are free" if reason is None else str(reason),
            )
        self._paused_at = time.monotonic()
        if self._listens:
            self._listens = False
            self._selector.unregister(self._listener.fileno())

    def _resume(self) -> None:
        if self._paused_at is None:
            return
        if not self._listens and self._has_room():
            self._selector.register(self._listener.fileno(), EVENT_READ, data=self.server)
            self._listens = True
        if self._listens and time.monotonic() - self._paused_at >= _CALM:
            self._paused_at = None
            emit("connections.resumed", WARNING, open=len(self.server.open_connections))

    def _has_room(self) -> bool:
        try:
            lowest_free = os.dup(self._listener.fileno())
        except OSError:
            return False
        os.close(lowest_free)
        return lowest_free < self._limit or not self.server.open_connections


def _wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _END_TIMEOUT
    while not condition() and time.monotonic() < deadline:
        time.sleep(_POLL)


def _is_readable(listener: socket.socket) -> bool:
    with DefaultSelector() as selector:
        selector.register(listener, EVENT_READ)
        return bool(selector.select(0))


def _read_until_closed(connection: socket.socket, deadline: float) -> None:
    with suppress(OSError):
        while (left := deadline - time.monotonic()) > 0:
            connection.settimeout(left)
            if not connection.recv(4096):
                return
