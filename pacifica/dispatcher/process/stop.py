"""A request to stop that a process shares with the children that it forks."""

import os
import socket


class Stop:
    """A request to stop, shared by a process, its threads and the children that it forks.

    Children also learn from it that the process that created it has died, once every child has
    called `inherited`: nobody else then holds the other end of the socket pair.
    """

    def __init__(self) -> None:
        """Make a request that is not made yet."""
        self._listening, self._asking = socket.socketpair()
        self._listening.setblocking(False)
        self._creator = os.getpid()

    def request(self) -> None:
        """Make the request, for good; in the process that created this."""
        self._asking.send(b"s")

    def inherited(self) -> None:
        """Let go of the creator's end; in a child that was forked, if this is one."""
        if os.getpid() != self._creator:
            self._asking.close()

    def requested(self) -> bool:
        """Whether the request was made."""
        return self._peek() == b"s"

    def orphaned(self) -> bool:
        """Whether the process that created this has died."""
        return self._peek() == b""

    def fileno(self) -> int:
        """A socket that becomes readable with either."""
        return self._listening.fileno()

    def close(self) -> None:
        """Free the sockets."""
        self._asking.close()
        self._listening.close()

    def _peek(self) -> bytes | None:
        try:
            return self._listening.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return None
