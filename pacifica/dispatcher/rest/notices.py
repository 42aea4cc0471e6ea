"""Notices of ended runs, read from the outbox.

A notice is only a hint: waiters read the state themselves, and do so periodically without a notice.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from pacifica.dispatcher import orm
from pacifica.dispatcher.errors import DatabaseUnavailableError
from pacifica.dispatcher.periodic import Periodic

_PAUSE: Final = 0.1  # seconds between reads while there are waiters
_IDLE: Final = 3600.0


class Waiter:
    """A waiter for the end of a run.

    Attributes:
        event: the event whose runs count; None for any run.
    """

    def __init__(self, event: str | None) -> None:
        """Choose the event."""
        self.event = event
        self._noticed = threading.Event()

    def wait(self, seconds: float) -> bool:
        """Wait for a notice; return True if there was one."""
        noticed = self._noticed.wait(seconds)
        self._noticed.clear()
        return noticed

    def notice(self) -> None:
        """End the wait."""
        self._noticed.set()


class Notices:
    """A thread that reads the outbox while there are waiters."""

    def __init__(self, database: orm.Database) -> None:
        """Prepare the thread without starting it."""
        self._database = database
        self._lock = threading.Lock()
        self._waiters: set[Waiter] = set()
        self._follower: orm.Follower | None = None
        self._thread = Periodic("notices", self._poll, at_end=self._finish)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread and end all waits."""
        self._thread.stop()

    @contextmanager
    def waiting(self, event: str | None = None) -> Iterator[Waiter]:
        """Register a waiter, which is notified of runs that end within the block."""
        waiter = Waiter(event)
        with self._lock:
            self._waiters.add(waiter)
        self._follow()
        self._thread.wake()
        try:
            yield waiter
        finally:
            with self._lock:
                self._waiters.discard(waiter)

    def _follow(self) -> None:
        # The follower must start before the waiter reads the state, or it could miss an end.
        if self._follower is None:
            with suppress(DatabaseUnavailableError):  # the waiter gets no notices
                follower = orm.Follower(self._database)
                with self._lock:
                    self._follower = self._follower or follower

    def _poll(self) -> float:
        with self._lock:
            if not self._waiters:
                self._follower = None
                return _IDLE
            follower, waiters = self._follower, list(self._waiters)
        with suppress(DatabaseUnavailableError):
            events = {each.event for each in follower.news()} if follower else set()
            for waiter in waiters if events else ():
                if waiter.event is None or waiter.event in events:
                    waiter.notice()
        return _PAUSE

    def _finish(self) -> None:
        with self._lock:
            for waiter in self._waiters:
                waiter.notice()
        self._database.close()
