"""Raw requests: bytes over a socket as given, and everything that comes back."""

import re
import socket
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from harness.ports import HOST
from harness.waiting import wait_until

DEADLINE: Final = 30.0

_AT_ONCE: Final = 64
_STATUS: Final = re.compile(rb"^HTTP/1\.[01] ([1-9][0-9]{2}) ", re.MULTILINE)
_ESTABLISHED: Final = "01"
_TOKENS: Final = re.compile(rb"(?<=[\r\n;])|(?=[\r\n:;])")


@dataclass(frozen=True, slots=True)
class Reply:
    """Everything that a server sent on a connection.

    Attributes:
        received: the bytes.
        end: `closed` in order, `reset`, or `open` if the server had not closed it in time.
    """

    received: bytes
    end: str

    @property
    def statuses(self) -> list[int]:
        """The status of each final response."""
        found = [int(each) for each in _STATUS.findall(self.received)]
        return [each for each in found if each >= 200]  # noqa: PLR2004 - the others are interim

    @property
    def head(self) -> bytes:
        """The head of the first response, in lower case."""
        return self.received.partition(b"\r\n\r\n")[0].lower()

    @property
    def body(self) -> bytes:
        """The body of the only response."""
        return self.received.partition(b"\r\n\r\n")[2]


def connect(port: int, address: str = HOST, buffer: int = 0) -> socket.socket:
    """Connect; what is sent leaves at once.

    Args:
        port: the server's port.
        address: the client's address.
        buffer: the size of the client's receive buffer in bytes; 0 for the system's.
    """
    connection = socket.socket()
    if buffer:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.settimeout(DEADLINE)
    connection.bind((address, 0))
    connection.connect((HOST, port))
    return connection


def exchange(port: int, request: bytes, *, half_close: bool = False) -> Reply:
    """Send bytes and read until the server closes the connection.

    Args:
        port: the server's port.
        request: the bytes.
        half_close: True to close the client's half after sending.
    """
    [reply] = exchanges(port, [[request]], half_close=half_close)
    return reply


def trickle(port: int, request: bytes) -> Reply:
    """Send each byte on its own, and read until the server closes the connection."""
    with connect(port) as connection:
        for place in range(len(request)):
            _send(connection, request[place : place + 1])
        return read_until_closed(connection)


def exchanges(
    port: int, requests: Sequence[Sequence[bytes]], *, half_close: bool = False
) -> list[Reply]:
    """Do several exchanges, many at once, each on its own connection.

    A request's second part is sent when the server has read the first parts.
    """
    lots = [requests[start : start + _AT_ONCE] for start in range(0, len(requests), _AT_ONCE)]
    return [reply for lot in lots for reply in _at_once(port, lot, half_close=half_close)]


def _at_once(port: int, requests: Sequence[Sequence[bytes]], *, half_close: bool) -> list[Reply]:
    with ExitStack() as closing:
        connections = [closing.enter_context(connect(port)) for _ in requests]
        for index in range(max(map(len, requests))):
            if index:
                wait_until(lambda: not _unread(port), "the server to read", DEADLINE)
            for connection, parts in zip(connections, requests, strict=True):
                _send(connection, b"".join(parts[index : index + 1]))
        if half_close:
            for connection in connections:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_WR)
        return [read_until_closed(connection) for connection in connections]


def read_until_closed(connection: socket.socket, timeout: float = DEADLINE) -> Reply:
    """Read until the server closes the connection, or until the deadline."""
    received = bytearray()
    deadline = time.monotonic() + timeout
    while (left := deadline - time.monotonic()) > 0:
        connection.settimeout(left)
        try:
            data = connection.recv(64 * 1024)
        except ConnectionError:
            return Reply(bytes(received), "reset")
        except TimeoutError:
            break
        if not data:
            return Reply(bytes(received), "closed")
        received += data
    return Reply(bytes(received), "open")


def splits(request: bytes) -> list[tuple[bytes, bytes]]:
    """Cut a request in two at each place next to a separator."""
    places = {each.start() for each in _TOKENS.finditer(request)} - {0, len(request)}
    return [(request[:place], request[place:]) for place in sorted(places)]


def _send(connection: socket.socket, data: bytes) -> None:
    with suppress(ConnectionError):  # the server may have refused what it has read
        connection.sendall(data)


def _unread(port: int) -> int:
    """Return the number of bytes that the server has not read from its connections."""
    unread = 0
    for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        _, local, _, state, queues, *_ = line.split()
        if state == _ESTABLISHED and int(local.rpartition(":")[2], 16) == port:
            unread += int(queues.rpartition(":")[2], 16)
    return unread
