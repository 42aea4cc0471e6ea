"""Sends wake-ups for the runs that are due: the one mechanism by which work starts."""

import logging
import threading
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from pacifica.dispatcher import orm
from pacifica.dispatcher.applications import Application
from pacifica.dispatcher.errors import BrokerUnavailableError, DatabaseUnavailableError

_log = logging.getLogger(__name__)

WINDOW: Final = 256
"""Wake-ups that may be on their way in one queue: a short one keeps priorities meaningful."""

_INTERVAL: Final = 1.0
_BACKLOG_INTERVAL: Final = 0.05


class Sender(Protocol):
    """Sends wake-ups."""

    def send(self, run: str, queue: str, /) -> None:
        """Send the wake-up of one run to a queue, or raise BrokerUnavailableError."""

    def close(self) -> None:
        """Close the connection to the broker."""


class Publisher:
    """A thread that publishes what is due: at once when it is woken, else every second."""

    def __init__(
        self,
        database: orm.Database,
        sender: Sender,
        applications: Mapping[str, Application],
        window: int = WINDOW,
    ) -> None:
        """Prepare the thread; `start` starts it.

        Args:
            database: where runs are looked for.
            sender: takes the wake-ups; only the thread uses it.
            applications: all that are configured, by name, for their limits.
            window: how many wake-ups may be on their way in one queue, over all publishers.
        """
        self._database = database
        self._sender = sender
        self._applications = applications
        self._window = window
        self._wanted = threading.Event()
        self._stopping = threading.Event()
        self._failing = False
        self._thread = threading.Thread(target=self._loop, name="publisher", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def wake(self) -> None:
        """Look for due runs now."""
        self._wanted.set()

    def stop(self) -> None:
        """Publish what is due a last time, and end the thread."""
        self._stopping.set()
        self._wanted.set()
        self._thread.join()

    def _loop(self) -> None:
        while not self._stopping.is_set():
            self._wanted.clear()
            if self._publish():
                self._stopping.wait(_BACKLOG_INTERVAL)
            else:
                self._wanted.wait(_INTERVAL)
        self._publish()
        self._sender.close()
        self._database.close()

    def _publish(self) -> bool:
        """Publish a batch; gives whether more waits for room or for a limit."""
        try:
            due, more = orm.publish(self._database, self._window, self._applications)
            self._send(due)
        except (BrokerUnavailableError, DatabaseUnavailableError) as exc:
            if not self._failing:
                _log.warning("publishing waits: %s", exc)
            self._failing = True
            return False
        except Exception:  # noqa: BLE001 - whatever it is, this thread goes on
            _log.exception("publishing failed")
            return False
        if self._failing:
            _log.warning("publishing goes on")
        self._failing = False
        return more

    def _send(self, due: Sequence[orm.WakeUp]) -> None:
        for index, wakeup in enumerate(due):
            try:
                self._sender.send(wakeup.run, wakeup.queue)
            except BrokerUnavailableError:
                orm.unpublish(self._database, [each.run for each in due[index:]])
                raise
