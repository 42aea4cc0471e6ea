"""Every error that the dispatcher raises on purpose; each message names what is wrong and where."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final


class DispatcherError(Exception):
    """The base of all errors that are ours."""


MAX_PROBLEMS: Final = 100
"""Problems of an event that are named at the most: more help nobody, and cost time."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, and where.

    Attributes:
        where: an RFC 6901 JSON pointer into an event, or "file: [section] key" for a setting.
        what: one sentence that says what is wrong and, where it helps, what to do.
    """

    where: str
    what: str

    def __str__(self) -> str:
        """Give the place and the sentence on one line."""
        return f"{self.where}: {self.what}"


class ConfigError(DispatcherError):
    """The configuration cannot be used; `problems` holds everything that was found."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        """Keep all problems; the message has one line for each."""
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


class EventError(DispatcherError):
    """What arrived is no valid event; `problems` names every bad attribute."""

    def __init__(self, message: str, problems: Sequence[Problem] = ()) -> None:
        """Keep the summary and the first of the problems."""
        super().__init__(message)
        self.problems = tuple(problems[:MAX_PROBLEMS])


class RuleError(DispatcherError):
    """A rule cannot be used; `problems` names everything with an RFC 6901 pointer into it."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        """Keep all problems; the message has one line for each."""
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


class UnsupportedFormatError(DispatcherError):
    """The Content-Type names no event format that is understood."""


class SignatureError(DispatcherError):
    """What arrived does not prove that it is from the sender who shares the secret."""


class ApplicationError(DispatcherError):
    """An application cannot be run on this event: a placeholder, a limit, a missing program."""


class DiskFullError(DispatcherError):
    """There is no room for the files of an attempt."""


class DatabaseUnavailableError(DispatcherError):
    """The database cannot be reached, or cannot take a write at the moment.

    `for_all` says that this is known to be so for everybody: the server is down, or the file is on
    this machine. A server that does not answer at all may still answer others.
    """

    def __init__(self, message: str, *, for_all: bool = False) -> None:
        """Keep both."""
        super().__init__(message)
        self.for_all = for_all


class BrokerUnavailableError(DispatcherError):
    """The broker cannot be reached, or does not take a message at the moment."""


class ListenError(DispatcherError):
    """The web tier cannot listen where it was told to."""


class DatabaseUrlError(DispatcherError):
    """The database URL cannot be used: its scheme is unknown or its driver is not installed."""


class ConflictError(DispatcherError):
    """What is asked for cannot be done in the state that a run or an event is in."""


class NotFoundError(DispatcherError):
    """There is no such event, run or application."""
