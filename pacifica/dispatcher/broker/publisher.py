"""The publisher, which sends wake-ups for due runs: the only mechanism that starts work."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from pacifica.dispatcher import orm
from pacifica.dispatcher.applications import Application
from pacifica.dispatcher.errors import (
    BrokerUnavailableError,
    DatabaseBusyError,
    DatabaseUnavailableError,
    SchemaError,
)
from pacifica.dispatcher.execution.process import now
from pacifica.dispatcher.periodic import Periodic
from pacifica.dispatcher.telemetry import ERROR, WARNING, emit

WINDOW: Final = 256
"""Maximum number of wake-ups in flight per queue; a short queue keeps priorities meaningful."""

_INTERVAL: Final = 1.0  # seconds
_BACKLOG_INTERVAL: Final = 0.05  # seconds
_LOOK: Final = 2.0  # seconds between two looks at the schema's version
_NEVER: Final = 3600.0
_SKIP: Final = 30.0  # seconds for which locked runs are left out after somebody locked one


class Sender(Protocol):
    """A sender of wake-ups."""

    def send(self, run: str, queue: str, /) -> None:
        """Send the wake-up of a run to a queue, or raise BrokerUnavailableError."""

    def check(self) -> None:
        """Raise BrokerUnavailableError if the broker takes no wake-ups."""

    def close(self) -> None:
        """Close the connection to the broker."""


class Publisher:
    """A thread that publishes due runs: immediately when woken, otherwise every second.

    Attributes:
        broker_trouble: why the broker did not take the last wake-up, for clients; empty if it did.
    """

    def __init__(
        self,
        database: orm.Database,
        sender: Sender,
        applications: Mapping[str, Application],
        window: int = WINDOW,
        outdated: Callable[[SchemaError], None] = lambda _: None,
    ) -> None:
        """Prepare the thread; `start` starts it.

        Args:
            database: stores the runs.
            sender: sends the wake-ups; used only by the thread.
            applications: all configured applications, by name, for their limits.
            window: maximum number of wake-ups in flight per queue, over all publishers.
            outdated: called when a later version of the dispatcher has changed the tables too much
                for this one; nothing is published any more.
        """
        self._database = database
        self._sender = sender
        self._applications = applications
        self._window = window
        self._failing = False
        self.broker_trouble = ""
        self._skip_until = 0.0
        self._outdated = outdated
        self._is_outdated = False
        self._looked = now()
        self._thread = Periodic("publisher", self._publish, at_end=self._finish)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def wake(self) -> None:
        """Look for due runs now."""
        self._thread.wake()

    def stop(self) -> None:
        """Publish due runs one last time, and end the thread."""
        self._thread.stop()

    def _publish(self) -> float:
        """Publish a batch; return the seconds until the next one."""
        if self._is_outdated:
            return _NEVER
        try:
            self._look_at_schema()
            due, more = orm.publish(
                self._database,
                self._window,
                self._applications,
                skip_locked=now() < self._skip_until,
            )
            self._send(due)
        except SchemaError as exc:
            emit("schema.outdated", ERROR, reason=str(exc))
            self._is_outdated = True
            self._outdated(exc)
            return _NEVER
        except (BrokerUnavailableError, DatabaseUnavailableError) as exc:
            if isinstance(exc, DatabaseBusyError):
                self._skip_until = now() + _SKIP
            if isinstance(exc, BrokerUnavailableError):
                self.broker_trouble = exc.public
            if not self._failing:
                emit("publisher.waiting", WARNING, reason=str(exc))
            self._failing = True
            return _INTERVAL
        if self._failing:
            emit("publisher.resumed", WARNING)
        self._failing = False
        if not more:
            return _INTERVAL
        self._thread.pause(_BACKLOG_INTERVAL)
        return 0.0

    def _look_at_schema(self) -> None:
        if now() - self._looked >= _LOOK:
            self._looked = now()
            self._database.require_compatible()

    def _finish(self) -> None:
        if not self.broker_trouble:  # or the end would have to wait for the broker again
            self._publish()
        self._sender.close()
        self._database.close()

    def _send(self, due: Sequence[orm.WakeUp]) -> None:
        if self.broker_trouble and not due:
            self._sender.check()  # another publisher may have sent what this one could not
            self.broker_trouble = ""
        for index, wakeup in enumerate(due):
            try:
                self._sender.send(wakeup.run, wakeup.queue)
                self.broker_trouble = ""
            except BrokerUnavailableError:
                orm.unpublish(self._database, [each.run for each in due[index:]])
                raise
