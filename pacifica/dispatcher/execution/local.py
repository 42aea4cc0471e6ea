"""The local executor: an application runs as a child of the worker's process."""

import os
import signal
from functools import cached_property
from typing import Final

from pacifica.dispatcher.execution.attempt import Attempt, inherited
from pacifica.dispatcher.execution.handles import local_handle, local_pid
from pacifica.dispatcher.execution.marks import MARKS, WORKER_MARK, marks
from pacifica.dispatcher.execution.process import (
    ORIGIN,
    Child,
    Life,
    Program,
    Sink,
    StopRequest,
    end_tree,
    life_of,
    origin,
    start_child,
)

_KILL: Final = getattr(signal, "SIGKILL", signal.SIGTERM)  # Windows has no SIGKILL


class LocalExecutor:
    """An executor of applications as child processes, which never outlive the worker.

    The handle of an attempt names the worker process that makes it. As long as that process is
    alive, it supervises the application and records the outcome.
    """

    def __init__(self, stop: StopRequest) -> None:
        """Let a stop request interrupt the polling of executions."""
        self._stop = stop

    @cached_property
    def _inherited(self) -> dict[str, str]:
        return inherited()

    def handle(self, _run: str, _number: int, /) -> str:
        """Return the handle of an attempt made by this process."""
        return local_handle(os.getpid())

    def start(self, attempt: Attempt, sink: Sink) -> Child:
        """Start the attempt's application.

        Raises:
            ApplicationError: it could not be started.
        """
        program = Program(
            attempt.command_line,
            directory=attempt.workdir.directory,
            environment={**self._inherited, **attempt.environment, ORIGIN: str(origin())},
            marks=MARKS,
            stdin=attempt.workdir.event,
            timeout=attempt.application.timeout,
            kill_after=attempt.application.kill_after,
        )
        return start_child(program, sink, self._stop.fileno())

    def inspect(self, handle: str, *, worker_lives: bool) -> Life:
        """Return the state of the worker process that makes an attempt."""
        pid = local_pid(handle)
        if handle and pid is None:
            return Life.UNKNOWN
        if not worker_lives or pid is None:
            return Life.GONE  # a local application never outlives its worker
        return life_of(pid)

    def kill(self, handle: str) -> None:
        """Kill the worker process that makes an attempt."""
        if pid := local_pid(handle):
            os.kill(pid, _KILL)

    def sweep(self, worker: str, run: str | None = None, number: int = 0) -> str:
        """End leftover processes on this machine, of an attempt or all attempts of a worker."""
        return end_tree({WORKER_MARK: worker} if run is None else marks(worker, run, number))
