"""A request to stop, shared by a process and its forked children."""

import os
import socket


class StopRequest:
    """A request to stop, shared by a process, its threads and its forked children.

    Children also learn from it that the process that created it has died, provided that all of them
    have called `inherited`: then only that process holds the other end of the socket pair.
    """

    def __init__(self) -> None:
        """Create a request that has not been made."""
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._creator = os.getpid()

    def request(self) -> None:
        """Make the request, irrevocably, in the process that created it."""
        self._writer.send(b"s")

    def inherited(self) -> None:
        """Close the creator's end in a forked child; do nothing in the creator."""
        if os.getpid() != self._creator:
            self._writer.close()

    def requested(self) -> bool:
        """Return True if the request was made."""
        return self._peek() == b"s"

    def orphaned(self) -> bool:
        """Return True if the process that created the request has died."""
        return self._peek() == b""

    def fileno(self) -> int:
        """Return a file descriptor that becomes readable in either case."""
        return self._reader.fileno()

    def close(self) -> None:
        """Close the sockets."""
        self._writer.close()
        self._reader.close()

    def _peek(self) -> bytes | None:
        try:
            return self._reader.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return None
