"""One attempt from start to end: create its files, start it, watch it, collect its outcome."""

from collections.abc import Callable

from pacifica.dispatcher.errors import ApplicationError, DiskFullError
from pacifica.dispatcher.execution.attempt import Attempt
from pacifica.dispatcher.execution.ended import Cause, Ended
from pacifica.dispatcher.execution.executor import Execution, Executor
from pacifica.dispatcher.execution.outcome import Outcome, error_of, interrupted
from pacifica.dispatcher.execution.process import TICK, Sink

Interruption = Callable[[], Cause | None]
"""A function that returns the cause to end an attempt now, or None; called at least every TICK."""


def perform(
    attempt: Attempt, executor: Executor, sink: Sink, interruption: Interruption
) -> Outcome:
    """Carry out an attempt and return its outcome.

    Args:
        attempt: the attempt.
        executor: the executor to carry it out.
        sink: the consumer of its output.
        interruption: decides if it must end early.
    """
    command = None
    try:
        attempt.workdir.make(attempt.event)
        command = attempt.shown_command
        if cause := interruption():  # such as a lease lost because the worker was frozen
            ended = Ended(None, None, cause)
        else:
            with executor.start(attempt, sink) as execution:
                ended = watch(execution, interruption)
    except ApplicationError as exc:
        return Outcome(Cause.NOT_STARTED, error=str(exc), command=command)
    except DiskFullError as exc:
        return Outcome(Cause.NO_ROOM, error=str(exc), lack=exc.lack)
    result, error = _result(attempt, ended)
    return Outcome(
        ended.cause,
        ended.exit_code,
        ended.signal,
        result,
        error,
        command,
        lives=bool(ended.left),
    )


def watch(execution: Execution, interruption: Interruption) -> Ended:
    """Poll an execution until it has ended, and return how."""
    while not execution.poll(TICK):
        if cause := interruption():
            execution.cancel(cause)
    return execution.collect()


def _result(attempt: Attempt, ended: Ended) -> tuple[str | None, str | None]:
    error = error_of(ended, attempt.application)
    if interrupted(ended):
        return None, error
    try:
        return attempt.workdir.read_result(), error
    except ApplicationError as exc:
        return None, f"{error}; {exc}" if error else str(exc)
