"""A thread that calls a function periodically until it is stopped."""

import threading
from collections.abc import Callable
from typing import Final

from pacifica.dispatcher.telemetry import ERROR, WARNING, emit

_AFTER_FAILURE: Final = 1.0  # seconds


class Periodic:
    """A daemon thread that calls a function again and again, at intervals that it returns."""

    def __init__(
        self,
        name: str,
        act: Callable[[], float],
        *,
        first: float = 0.0,
        at_end: Callable[[], None] | None = None,
    ) -> None:
        """Prepare the thread; `start` starts it.

        Args:
            name: the thread's name, for the log.
            act: called again and again; returns the seconds until the next call. Exceptions are
                logged and do not end the thread.
            first: seconds before the first call.
            at_end: called once in the thread, after the last call.
        """
        self._act = act
        self._first = first
        self._at_end = at_end
        self._woken = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._loop, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def wake(self) -> None:
        """Call the function now instead of at the end of the interval."""
        self._woken.set()

    def pause(self, seconds: float) -> None:
        """Wait inside the function; return early when the thread is stopped, but not on `wake`."""
        self._stopping.wait(seconds)

    def stop(self, within: float = 15.0) -> None:
        """Stop the thread after the current call, if it was started, and wait for its end.

        Args:
            within: maximum number of seconds to wait; a thread that hangs ends with the process.
        """
        self._stopping.set()
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join(min(within, threading.TIMEOUT_MAX))
        if self._thread.is_alive():
            emit("thread.left", WARNING, thread=self._thread.name)

    def _loop(self) -> None:
        wait = self._first
        while not self._stopped_within(wait):
            try:
                wait = self._act()
            except Exception as exc:  # noqa: BLE001 - no exception may end the thread
                emit("thread.failed", ERROR, exception=exc, thread=self._thread.name)
                wait = _AFTER_FAILURE
        if self._at_end is not None:
            self._at_end()

    def _stopped_within(self, seconds: float) -> bool:
        self._woken.wait(seconds)
        self._woken.clear()
        return self._stopping.is_set()
