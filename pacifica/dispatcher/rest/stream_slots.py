"""Slots for responses that stay open: their limit and their end."""

import socket
import threading
from collections.abc import Callable

from pacifica.dispatcher.errors import TooManyStreamsError
from pacifica.dispatcher.rest.request import Request
from pacifica.dispatcher.telemetry import WARNING, emit


class Slot:
    """The permission of one response to stay open."""

    def __init__(
        self, stopping: threading.Event, descriptor: int | None, release: Callable[[], None]
    ) -> None:
        """Watch the client's connection, if the server exposes its descriptor."""
        self._stopping = stopping
        self._descriptor = descriptor
        self.release = release

    def wait(self, seconds: float) -> bool:
        """Wait; return False if the server is stopping or the client has disconnected."""
        return not self._stopping.wait(seconds) and not self._is_disconnected()

    def _is_disconnected(self) -> bool:
        if self._descriptor is None or not hasattr(socket, "MSG_DONTWAIT"):
            return False
        connection = socket.socket(fileno=self._descriptor)
        try:
            return not connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True
        finally:
            connection.detach()


class StreamSlots:
    """The slots of one server.

    Each response that stays open occupies a thread, so the server starts another one meanwhile:
    open responses never use up the threads that accept events.
    """

    def __init__(self, number: int) -> None:
        """Create free slots."""
        self._number = number
        self._lock = threading.Lock()
        self._taken = 0
        self._resize: Callable[[int], None] = _keep_threads
        self._stopping = threading.Event()

    @property
    def taken(self) -> int:
        """The number of taken slots."""
        return self._taken

    def grow_threads(self, resize: Callable[[int], None]) -> None:
        """Call `resize` with the number of taken slots whenever it changes."""
        self._resize = resize

    def try_take(self, request: Request) -> Slot | None:
        """Take a slot for the response to a request; the caller must release it.

        Returns:
            None if all are taken, or if the server has only one thread.
        """
        if not request.threads or not self._change(1):
            return None
        return Slot(self._stopping, request.descriptor, self._release)

    def take(self, request: Request) -> Slot:
        """Take a slot as `try_take` does.

        Raises:
            TooManyStreamsError: all slots are taken.
        """
        slot = self.try_take(request)
        if slot is None:
            raise TooManyStreamsError(f"Too many open responses (streams = {self._number})")
        return slot

    def stop(self) -> None:
        """Wake all waiting responses, because the server is stopping."""
        self._stopping.set()

    def _release(self) -> None:
        self._change(-1)

    def _change(self, number: int) -> bool:
        with self._lock:
            if self._taken + number > self._number:
                return False
            try:
                self._resize(self._taken + number)
            except (RuntimeError, MemoryError) as exc:  # no more threads
                emit("threads.unavailable", WARNING, reason=str(exc))
                if number > 0:
                    return False
            self._taken += number
            return True


def _keep_threads(_: int) -> None:
    """Do nothing: other WSGI servers manage their own threads."""
