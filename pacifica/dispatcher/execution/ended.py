"""The end of an execution, and its cause."""

import enum
from dataclasses import dataclass


class Cause(enum.Enum):
    """The reason why an attempt ended."""

    EXITED = "the process exited"
    TIMED_OUT = "it ran into its time limit"
    CANCELLED = "the run was cancelled"
    STOPPED = "the worker is stopping"
    ORPHANED = "the worker's main process died"
    LOST = "the worker lost its lease"
    NO_ROOM = "the disk has no room for its files"
    NOT_STARTED = "no process could be started"


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of a process, and the cause.

    Attributes:
        exit_code: its exit code; None if a signal ended it, it never started, or it lives on.
        signal: the name of the signal that ended it.
        cause: the reason why it ended.
        left: the processes that could not be ended and why, as a sentence; empty if there are none.
        oom_kill: True if the kernel killed a process for lack of memory while it ran.
    """

    exit_code: int | None
    signal: str | None
    cause: Cause
    left: str = ""
    oom_kill: bool = False
