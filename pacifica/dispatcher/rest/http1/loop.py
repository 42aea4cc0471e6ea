"""The loop: accepts connections, and handles those that no thread is responding to.

While descriptors are scarce, nothing is accepted (the system keeps some connections waiting, then
refuses more), responses close their connections, and idle ones are closed early.

At the end, the server first stops listening. Responses then say `Connection: close`. A connection
that stays idle is closed for sending only: bytes that cross on the way would otherwise cause a
reset.
"""

import os
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from http import HTTPStatus
from selectors import EVENT_READ, EVENT_WRITE, DefaultSelector
from typing import Any, Final

from cheroot.connections import prevent_socket_inheritance

from pacifica.dispatcher.execution.process import ignore_new_connections, usable_descriptors
from pacifica.dispatcher.rest.http1.connection import Connection, Wish
from pacifica.dispatcher.rest.http1.limits import Limits
from pacifica.dispatcher.rest.http1.syntax import refused
from pacifica.dispatcher.telemetry import ERROR, WARNING, emit

_CALM: Final = 10.0  # seconds without a pause after which the shortage is over
_IDLE_IN_SHORTAGE: Final = 2.0  # seconds
_IDLE_AT_END: Final = 1.0  # seconds in which a client with an idle connection may use it
_END_TIMEOUT: Final = 3.0  # maximum seconds of each wait
_HANDSHAKE: Final = 0.2  # seconds for clients that are connecting
_POLL: Final = 0.01  # seconds
# On Windows, a selector does not notice what is registered while it waits.
_LONGEST: Final = 0.05 if sys.platform == "win32" else 0.5  # seconds
_TOO_MANY: Final = "Too many requests are incomplete; try again later"
_EVENTS: Final = {Wish.READ: EVENT_READ, Wish.WRITE: EVENT_WRITE}


class Loop:
    """The connections of a server that no thread is responding to, and its listening socket."""

    def __init__(self, server: Any, limits: Limits) -> None:  # noqa: ANN401 - a `Server`
        """Watch the listening socket."""
        self._server = server
        self._limits = limits
        self._selector = DefaultSelector()
        self._lock = threading.Lock()
        self._received = 0  # bytes of requests without a response
        self._per_address = Counter[str]()
        self._descriptors = usable_descriptors()
        self._listener: socket.socket = server.socket
        self._listens = False
        self._paused_at: float | None = None
        self._ending_since: float | None = None
        self._half_closed = False
        self._stopping = False
        self._runs = False
        self._listen()

    @property
    def can_add_keepalive_connection(self) -> bool:
        """False if responses must close their connections."""
        return self._listens

    def run(self, _interval: float) -> None:
        """Handle connections until `stop` is called."""
        self._runs = True
        try:
            checked = time.monotonic()
            while not self._stopping:
                for key, _ in self._selector.select(_LONGEST):
                    if key.data is None:
                        self._accept()
                    elif key.data in self._server.open_connections:  # not closed to make room
                        self._unregister(key.data)
                        self._go_on(key.data, key.data.proceed)
                if time.monotonic() - checked > _LONGEST:
                    self._check()
                    checked = time.monotonic()
        finally:
            self._runs = False

    def put(self, connection: Connection) -> None:
        """Take a connection back from the thread that has responded to its request."""
        self._go_on(connection, connection.after_response)

    def forget(self, connection: Connection) -> None:
        """Stop counting a connection that was closed."""
        self._count(connection, 0)
        address = connection.remote_addr
        if address is not None:
            with self._lock:
                self._per_address[address] -= 1
                if not self._per_address[address]:
                    del self._per_address[address]

    def finish(self) -> None:
        """Stop listening, then wait until all connections are closed or served for the last time.

        The server's thread continues to handle connections meanwhile.
        """
        self._ending_since = time.monotonic()
        self._stop_listening()
        _wait(lambda: not self._server.open_connections)

    def stop(self) -> None:
        """End `run`."""
        self._stopping = True
        while self._runs:
            time.sleep(_POLL)

    def close(self) -> None:
        """Close all connections that no thread is responding to."""
        for connection in list(self._waiting()):
            self._close(connection)
        self._selector.close()

    def _accept(self) -> None:
        try:
            accepted, address = self._listener.accept()
        except BlockingIOError:
            return
        except (OSError, MemoryError) as exc:
            if self._listener.fileno() >= 0:  # not closed meanwhile
                self._pause(exc)
            return
        prevent_socket_inheritance(accepted)
        try:
            connection = Connection(self._server, accepted, self._limits)
        except OSError:  # the client has closed it before the TLS handshake
            accepted.close()
            return
        self._server.open_connections.add(connection)
        if isinstance(address, tuple):  # not of a local socket
            connection.remote_addr, connection.remote_port = address[:2]
        if connection.socket.fileno() >= self._descriptors:
            self._pause(None)
        has_room = self._make_room(connection.remote_addr)
        self._go_on(connection, connection.proceed if has_room else connection.turn_away)

    def _make_room(self, address: str | None) -> bool:
        """Count a connection of an address; if it has too many, close the one that does least.

        Returns:
            False if threads are responding to all the others.
        """
        if address is None:
            return True
        with self._lock:
            self._per_address[address] += 1
            number = self._per_address[address]
        if not 0 < self._limits.per_address < number:
            return True
        own = [each for each in self._waiting() if each.remote_addr == address]
        if own:
            self._close(min(own, key=lambda each: each.rank))
        return bool(own)

    def _go_on(self, connection: Connection, step: Callable[[], Wish]) -> None:
        """Take a step of a connection, then give it what it needs."""
        try:
            wish = step()
            self._count(connection, connection.received)
            if wish is Wish.READ and self._received > self._limits.max_received:
                wish = connection.refuse(refused(_TOO_MANY, HTTPStatus.SERVICE_UNAVAILABLE))
        except Exception as exc:  # noqa: BLE001 - the loop and the threads must go on
            emit("server.failed", ERROR, exception=exc, reason="cannot handle a connection")
            wish = Wish.CLOSE
        if wish is Wish.CLOSE:
            connection.close()
        elif wish is Wish.SERVE:
            self._server.process_conn(connection)
        else:
            self._wait_for(connection, _EVENTS[wish])

    def _wait_for(self, connection: Connection, event: int) -> None:
        try:
            with self._lock:
                self._selector.register(connection.socket, event, connection)
        except (OSError, ValueError, MemoryError) as exc:
            connection.close()
            self._pause(exc)

    def _count(self, connection: Connection, received: int) -> None:
        with self._lock:
            self._received += received - connection.counted
            connection.counted = received

    def _unregister(self, connection: Connection) -> None:
        with self._lock:
            self._selector.unregister(connection.socket)

    def _close(self, connection: Connection) -> None:
        self._unregister(connection)
        connection.close()

    def _waiting(self) -> Iterator[Connection]:
        with self._lock:
            keys = list(self._selector.get_map().values())
        return (key.data for key in keys if key.data is not None)

    def _check(self) -> None:
        """Look at the clock for all connections."""
        now = time.monotonic()
        waiting = list(self._waiting())
        for connection in waiting:
            if (step := connection.overdue(now)) is not None:
                self._unregister(connection)
                self._go_on(connection, step)
        if self._ending_since is not None:
            if now - self._ending_since >= _IDLE_AT_END and not self._half_closed:
                self._half_close()
            return
        self._bound_unsent()
        if self._paused_at is not None:
            self._end_shortage(now)

    def _bound_unsent(self) -> None:
        """Close the connections whose clients leave most to send, if it is too much."""
        waiting = sorted(self._waiting(), key=lambda each: each.unsent)
        unsent = sum(each.unsent for each in waiting)
        while unsent > self._limits.max_unsent:
            unsent -= waiting[-1].unsent
            connection = waiting.pop()
            self._unregister(connection)
            self._go_on(connection, connection.lose)

    def _end_shortage(self, now: float) -> None:
        if not self._listens:
            for connection in list(self._waiting()):
                if connection.is_idle and now - connection.since > _IDLE_IN_SHORTAGE:
                    self._close(connection)
            if self._has_room():
                self._listen()
        assert self._paused_at is not None  # noqa: S101 - the caller checked
        if self._listens and now - self._paused_at >= _CALM:
            self._paused_at = None
            emit("connections.resumed", WARNING, open=len(self._server.open_connections))

    def _half_close(self) -> None:
        self._half_closed = True
        for connection in list(self._waiting()):
            if connection.is_idle:
                connection.half_close()

    def _listen(self) -> None:
        self._listener.setblocking(False)
        with self._lock:
            self._selector.register(self._listener, EVENT_READ)
        self._listens = True

    def _pause(self, reason: Exception | None) -> None:
        if self._paused_at is None:
            emit(
                "connections.paused",
                WARNING,
                open=len(self._server.open_connections),
                reason="few descriptors are free" if reason is None else str(reason),
            )
        self._paused_at = time.monotonic()
        self._ignore()

    def _ignore(self) -> None:
        with self._lock:
            if self._listens:
                self._listens = False
                self._selector.unregister(self._listener)

    def _stop_listening(self) -> None:
        ignore_new_connections(self._listener)
        time.sleep(_HANDSHAKE)
        _wait(lambda: not self._listens or not _is_readable(self._listener))
        self._ignore()
        self._server.socket = None
        self._listener.close()

    def _has_room(self) -> bool:
        try:
            lowest_free = os.dup(self._listener.fileno())
        except OSError:
            return False
        os.close(lowest_free)
        return lowest_free < self._descriptors or not self._server.open_connections


def _wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _END_TIMEOUT
    while not condition() and time.monotonic() < deadline:
        time.sleep(_POLL)


def _is_readable(listener: socket.socket) -> bool:
    with DefaultSelector() as selector:
        selector.register(listener, EVENT_READ)
        return bool(selector.select(0))
