"""The executor protocol: the interface through which attempts are carried out.

`local` is the only implementation: the application is a child of the worker's process. The protocol
also fits executors whose jobs outlive the worker, such as a batch system: the stored handle is
known before anything starts, executions are polled, and the executor decides what the death of a
worker means for an attempt.
"""

from typing import Protocol, Self

from pacifica.dispatcher.execution.attempt import Attempt
from pacifica.dispatcher.execution.ended import Cause, Ended
from pacifica.dispatcher.execution.process import Life, Sink


class Execution(Protocol):
    """A started attempt; leaving the `with` block abandons it unless it was collected."""

    def __enter__(self) -> Self:
        """Return itself."""

    def __exit__(self, *_: object) -> None:
        """End the attempt unless it was collected, and release its resources."""

    def poll(self, timeout: float, /) -> bool:
        """Pass on output for at most `timeout` seconds; return True if the attempt has ended.

        The execution itself enforces the application's timeout.
        """

    def cancel(self, cause: Cause, /) -> None:
        """Begin to end the attempt; `poll` returns True once it has ended."""

    def collect(self) -> Ended:
        """Return how the attempt ended; only processes that it names remain."""


class Executor(Protocol):
    """A way to carry out attempts."""

    def handle(self, run: str, number: int, /) -> str:
        """Return the handle to store before the attempt with this number is started."""

    def start(self, attempt: Attempt, sink: Sink, /) -> Execution:
        """Start an attempt; its output goes to the sink while it is polled.

        Raises:
            ApplicationError: it cannot be started.
        """

    def inspect(self, handle: str, /, *, worker_lives: bool) -> Life:
        """Return what recovery may conclude about an attempt from its stored handle.

        Args:
            handle: the stored handle, possibly of another executor.
            worker_lives: True if the attempt belongs to the calling worker; False if its worker
                has died or lost its lease.
        """

    def kill(self, handle: str, /) -> None:
        """Kill the process or job of a handle that has been STOPPED for too long."""

    def sweep(self, worker: str, run: str | None = None, number: int = 0) -> str:
        """End leftover processes on this machine, of an attempt or all attempts of a worker.

        Returns:
            the processes that cannot be ended, as a sentence; empty if none is left.
        """
