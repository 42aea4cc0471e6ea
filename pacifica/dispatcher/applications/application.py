"""An application as an immutable value: the events it receives, how it runs, its limits."""

import enum
import hashlib
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from pacifica.dispatcher.applications.command_template import Argument, CommandTemplate
from pacifica.dispatcher.errors import ApplicationError
from pacifica.dispatcher.events import Event
from pacifica.dispatcher.rules import Filter

PRIORITIES: Final = range(10)
"""All priorities; a higher number runs first."""


class Keep(enum.Enum):
    """Retention of the working directory after an attempt."""

    FAILED = "failed"
    ALWAYS = "always"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Handler:
    """The import path of a Python callable, or of a class with a `handle` method."""

    module: str
    name: str

    def __str__(self) -> str:
        """Return the import path as configured."""
        return f"{self.module}:{self.name}"


@dataclass(frozen=True, slots=True)
class Rate:
    """A limit on starts: a number of attempts per period, spread evenly.

    In any period, at most `starts` plus `burst` attempts start.
    """

    starts: int
    seconds: float

    @property
    def interval(self) -> float:
        """Return the seconds between two starts."""
        return self.seconds / self.starts

    @property
    def burst(self) -> int:
        """Return the number of attempts that may start at once: those of one second."""
        return max(1, int(self.starts / self.seconds))


@dataclass(frozen=True, slots=True)
class Retry:
    """The retry policy: which failed attempts are retried, and after which delay.

    Attributes:
        retries: the maximum number of retries.
        delay: the maximum delay before the first retry, in seconds; doubled for each further one.
        delay_max: the upper limit of this doubling, in seconds.
        exit_codes: the exit codes to retry; if empty, any failure is retried.
    """

    retries: int = 0
    delay: float = 10.0
    delay_max: float = 3600.0
    exit_codes: frozenset[int] = frozenset()

    def wait(self, failures: int, exit_code: int | None) -> float | None:
        """Return the delay before the next attempt in seconds, or None for no retry.

        Args:
            failures: the number of failed attempts, including this one.
            exit_code: the exit code; None if a signal ended the attempt or it never started.
        """
        if failures > self.retries or (self.exit_codes and exit_code not in self.exit_codes):
            return None
        # Full jitter, so that attempts that failed together are spread out.
        longest = min(self.delay_max, self.delay * 2.0 ** min(failures - 1, 63))
        return random.uniform(0, longest)  # noqa: S311 - not a secret


@dataclass(frozen=True, slots=True)
class Application:
    """A configured application.

    Attributes:
        name: unique; used in URLs.
        target: the command or Python handler to run.
        rule: the filters, all of which an event must match.
        dispatch: True if GET /dispatch may run it; without a rule it then receives no other events.
        environment: environment variables in addition to those of the event.
        timeout: the maximum duration of an attempt in seconds; None for no limit.
        kill_after: seconds between the request to terminate and the kill.
        keep: the retention of its working directories.
        max_output: the number of bytes kept of each output stream.
        retry: the retry policy.
        max_crashes: the number of crashes of its pool process that fails the run.
        concurrency: the maximum number of simultaneous attempts; None for no limit.
        concurrency_key: a text with placeholders; `concurrency` then applies to each of its values.
        rate: the limit on starts; None for no limit.
        priority: waiting runs of a higher priority start first.
        queue: the Celery queue whose workers run it; empty for the default queue.
    """

    name: str
    target: CommandTemplate | Handler
    rule: tuple[Filter, ...] = ()
    dispatch: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)
    timeout: float | None = None
    kill_after: float = 10.0
    keep: Keep = Keep.FAILED
    max_output: int = 1024**2
    retry: Retry = Retry()
    max_crashes: int = 3
    concurrency: int | None = None
    concurrency_key: Argument | None = None
    rate: Rate | None = None
    priority: int = 5
    queue: str = ""

    def matches(self, event: Event) -> bool:
        """Return True if this application receives the event."""
        if not self.rule:
            return not self.dispatch
        return all(each.matches(event) for each in self.rule)

    def slot(self, event: Event) -> str:
        """Return the digest of `concurrency_key` for this event.

        `concurrency` applies to each slot. Events for which the key has no value share one.
        """
        if self.concurrency_key is None:
            return ""
        try:
            value = self.concurrency_key.fill(event)
        except ApplicationError:
            return ""
        return hashlib.sha256(value.encode()).hexdigest()
