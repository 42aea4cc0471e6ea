"""The bytes that were written for a client and not sent yet."""

import socket
import ssl
from collections import deque
from typing import Final

_JOINED: Final = 64 * 1024  # bytes that are sent at once


class DisconnectedError(Exception):
    """The client has closed the connection."""


class Outgoing:
    """The unsent bytes of a connection; nothing here waits for the client."""

    def __init__(self, connection: socket.socket) -> None:
        """Send on a socket that does not block."""
        self._connection = connection
        self._parts: deque[memoryview] = deque()
        self._unsent = 0
        self.sent = 0
        self.closed = False

    def __len__(self) -> int:
        """Return the number of unsent bytes."""
        return self._unsent

    def write(self, data: bytes) -> None:
        """Add bytes, which `flush` sends."""
        if data:
            self._parts.append(memoryview(data))
            self._unsent += len(data)

    def flush(self) -> bool:
        """Send what the system takes; return True if nothing is left.

        Raises:
            DisconnectedError: the client has closed the connection.
        """
        try:
            while self._parts:
                self._join()
                sent = self._connection.send(self._parts[0])
                self._unsent -= sent
                self.sent += sent
                if sent < len(self._parts[0]):
                    self._parts[0] = self._parts[0][sent:]
                else:
                    self._parts.popleft()
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False
        except OSError as exc:
            raise DisconnectedError(str(exc)) from exc
        return True

    def close(self) -> None:
        """Forget what is unsent."""
        self._parts.clear()
        self._unsent = 0
        self.closed = True

    def _join(self) -> None:
        if len(self._parts) > 1 and len(self._parts[0]) < _JOINED:
            joined = [self._parts.popleft()]
            size = len(joined[0])
            while self._parts and size + len(self._parts[0]) <= _JOINED:
                joined.append(self._parts.popleft())
                size += len(joined[-1])
            self._parts.appendleft(memoryview(b"".join(joined)))
