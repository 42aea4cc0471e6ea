"""An application as a value: which events, how to run, within which limits."""

import enum
import hashlib
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from pacifica.dispatcher.command import Argument, Command
from pacifica.dispatcher.errors import ApplicationError
from pacifica.dispatcher.events import Event, Json
from pacifica.dispatcher.filters import Explanation, Filter

PRIORITIES: Final = range(10)
"""From last to first; what has a higher one goes first."""


class Keep(enum.Enum):
    """What happens to a working directory when its attempt has ended."""

    FAILED = "failed"
    ALWAYS = "always"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Handler:
    """A Python callable, or a class with `handle`, by its import path."""

    module: str
    name: str

    def __str__(self) -> str:
        """As it is configured."""
        return f"{self.module}:{self.name}"


@dataclass(frozen=True, slots=True)
class Rate:
    """How many attempts may start in how many seconds, spread evenly over them.

    In any time of that length no more than these and `burst` start.
    """

    starts: int
    seconds: float

    @property
    def interval(self) -> float:
        """Seconds between two starts."""
        return self.seconds / self.starts

    @property
    def burst(self) -> int:
        """How many may start at the same moment: as many as fall on one second."""
        return max(1, int(self.starts / self.seconds))


@dataclass(frozen=True, slots=True)
class Retry:
    """When a failed attempt is followed by another, and how much later.

    Attributes:
        retries: how many attempts may follow a failed first one.
        delay: seconds before the second attempt at the most; doubled for each further one.
        delay_max: seconds that it is not doubled beyond.
        exit_codes: those that are worth another try; when there are none, any failure is.
    """

    retries: int = 0
    delay: float = 10.0
    delay_max: float = 3600.0
    exit_codes: frozenset[int] = frozenset()

    def wait(self, failures: int, exit_code: int | None) -> float | None:
        """Seconds until the next attempt: full jitter, so that what failed together spreads out.

        Args:
            failures: how many attempts have failed, this one included.
            exit_code: the attempt's; None when a signal ended it or it never started.

        Returns:
            None when there shall be no further attempt.
        """
        if failures > self.retries or (self.exit_codes and exit_code not in self.exit_codes):
            return None
        longest = min(self.delay_max, self.delay * 2.0 ** min(failures - 1, 63))
        return random.uniform(0, longest)  # noqa: S311 - no secret


@dataclass(frozen=True, slots=True)
class Application:
    """What an operator configured under one name.

    Attributes:
        name: unique; it stands in URLs.
        way: how to run it.
        rule: filters that an event must all pass.
        dispatch: whether GET /dispatch may run it; without a rule it then gets no other events.
        environment: variables that it gets beside its event's.
        timeout: seconds that one attempt may take; None for no limit.
        kill_after: seconds between asking it to end and killing it.
        keep: what happens to its working directories.
        max_output: bytes of each output stream that are kept.
        retry: when a failed attempt is followed by another.
        max_crashes: how many attempts may die with their worker before the run fails.
        concurrency: how many attempts may run at once; None for no limit.
        concurrency_key: a text with placeholders; `concurrency` then counts for each of its values.
        rate: how many attempts may start in a time; None for no limit.
        priority: which of the waiting runs go first: those of the highest.
        queue: the Celery queue whose workers run it; empty for that of the installation.
    """

    name: str
    way: Command | Handler
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
        """Whether the event is for this application."""
        if not self.rule:
            return not self.dispatch
        return all(each.matches(event) for each in self.rule)

    def slot(self, event: Event) -> str:
        """Which of its places a run for this event takes: a digest of `concurrency_key`'s value.

        Events that have no such value share one.
        """
        if self.concurrency_key is None:
            return ""
        try:
            value = self.concurrency_key.text(event)
        except ApplicationError:
            return ""
        return hashlib.sha256(value.encode()).hexdigest()


def matching(applications: Iterable[Application], event: Event) -> tuple[Application, ...]:
    """All applications that the event is for, in the order of the configuration."""
    return tuple(application for application in applications if application.matches(event))


@dataclass(frozen=True, slots=True)
class Explained:
    """Why an event is for an application, or is not.

    Attributes:
        application: the application's name.
        matched: whether it is.
        clauses: the filters of its rule, each with what it found.
        note: what there is to say when it has no rule, or the event has expired.
    """

    application: str
    matched: bool
    clauses: tuple[Explanation, ...]
    note: str | None = None

    def document(self) -> dict[str, Json]:
        """The explanation as a JSON object."""
        found: dict[str, Json] = {
            "application": self.application,
            "matched": self.matched,
            "clauses": [each.document() for each in self.clauses],
        }
        return found if self.note is None else {**found, "note": self.note}


def explain(
    applications: Iterable[Application], event: Event, now: float | None = None
) -> tuple[Explained, ...]:
    """Why an event is for each of these applications, or is not.

    Args:
        applications: which.
        event: which.
        now: seconds since the epoch; what has expired by then is for none. Without it, only the
            rules count.
    """
    expired = now is not None and event.expired(now)
    return tuple(_explain(each, event, expired=expired) for each in applications)


def _explain(application: Application, event: Event, *, expired: bool) -> Explained:
    note = None
    if expired:
        note = "the event's expirytime is past: no application gets it"
    elif not application.rule:
        note = "only GET /dispatch runs it" if application.dispatch else "no rule: every event"
    clauses = tuple(each.explain(event) for each in application.rule)
    return Explained(application.name, application.matches(event) and not expired, clauses, note)


BUILT_IN = tuple(
    Application(name, Handler("pacifica.dispatcher.arithmetic", name), dispatch=True)
    for name in ("add", "mul")
)
"""Applications that are always there, for a first try; a section of the same name replaces one."""
