"""The outcome of an attempt, and the verdict on its run."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pacifica.dispatcher.applications import Application
from pacifica.dispatcher.execution.ended import Cause, Ended
from pacifica.dispatcher.execution.progress import Progress


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of an attempt; while it runs, only its command and its progress.

    Attributes:
        cause: the reason why it ended.
        exit_code: the process's exit code; None if a signal ended it or it never started.
        signal: the name of the signal that ended it.
        result: the application's result, a JSON text.
        error: the failure in one sentence for people; None if the attempt succeeded.
        command: the executed command line, for display.
        progress: the last progress that the application reported.
        last_line: the last non-empty line of standard error.
        lack: what the disk lacked, if it had no room: space, inodes or quota.
        lives: True if some of its processes could not be ended, so that no other attempt may follow
            by itself.
    """

    cause: Cause = Cause.EXITED
    exit_code: int | None = None
    signal: str | None = None
    result: str | None = None
    error: str | None = None
    command: Sequence[str] | None = None
    progress: Progress | None = None
    last_line: str | None = None
    lack: str | None = None
    lives: bool = False


class Verdict(enum.Enum):
    """The verdict on an attempt, which determines what happens to its run."""

    SUCCEEDED = enum.auto()  # the run has ended
    FAILED = enum.auto()  # the run has ended, unless somebody asks for a retry
    RETRY = enum.auto()  # another attempt after the application's delay; counts as a failure
    RELEASED = enum.auto()  # another attempt, on any worker; does not count as a failure
    CANCELLED = enum.auto()  # the run has ended, unless somebody asks for a retry


def decide(outcome: Outcome, *, may_retry: bool) -> Verdict:
    """Return the verdict on an attempt.

    Args:
        outcome: the outcome of the attempt.
        may_retry: True if the application allows another attempt after such a failure.
    """
    match outcome.cause:
        case Cause.CANCELLED:
            return Verdict.CANCELLED
        case _ if outcome.lives:
            return Verdict.FAILED
        case Cause.STOPPED | Cause.ORPHANED | Cause.LOST | Cause.NO_ROOM:
            return Verdict.RELEASED
    if outcome.error is None:
        return Verdict.SUCCEEDED
    return Verdict.RETRY if may_retry else Verdict.FAILED


_OOM: Final = "because the system ran out of memory"
_SIGNALLED: Final = 128
_SIGNALS: Final = {
    1: "SIGHUP",
    2: "SIGINT",
    3: "SIGQUIT",
    4: "SIGILL",
    6: "SIGABRT",
    8: "SIGFPE",
    9: "SIGKILL",
    11: "SIGSEGV",
    13: "SIGPIPE",
    15: "SIGTERM",
}
"""The signals with the same number on all POSIX systems."""

_INTERRUPTED: Final = {
    Cause.CANCELLED: "cancelled",
    Cause.STOPPED: "the worker stopped",
    Cause.ORPHANED: "the worker died",
    Cause.LOST: "the worker lost its lease",
}
"""Errors of attempts that were ended from outside, whose results do not count."""


def interrupted(ended: Ended) -> bool:
    """Return True if the attempt was ended from outside."""
    return ended.cause in _INTERRUPTED


def error_of(ended: Ended, application: Application) -> str | None:
    """Return the error of an attempt that ended this way, or None if it succeeded."""
    queued_again = interrupted(ended) and ended.cause is not Cause.CANCELLED
    then = ended.left or ("the run is queued again" if queued_again else "")
    return "; ".join(filter(None, (_error(ended, application), then))) or None


def _error(ended: Ended, application: Application) -> str | None:
    match ended:
        case Ended(cause=cause) if cause in _INTERRUPTED:
            return _INTERRUPTED[cause]
        case Ended(cause=Cause.TIMED_OUT):
            return f"timed out after {application.timeout:g} s"
        case Ended(signal=str(name)):
            return f"killed by {name}{f', {_OOM}' if name == 'SIGKILL' and ended.oom_kill else ''}"
        case Ended(exit_code=int(code)) if code:
            return f"exit code {code}{_explained(code, oom_kill=ended.oom_kill)}"
        case _:
            return None


def _explained(code: int, *, oom_kill: bool) -> str:
    # A shell reports the signal that ended its child in this way.
    name = _SIGNALS.get(code - _SIGNALLED)
    if name is None:
        return ""
    reason = f", {_OOM if oom_kill else 'often for lack of memory'}" if name == "SIGKILL" else ""
    return f" (a child was killed by {name}{reason})"
