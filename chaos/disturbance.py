"""A disturbance that was caused, and the executions that it hit."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from chaos.journal import Execution
from chaos.tiers import Tier

_INIT: Final = 1
_SETTLED: Final = 2.0
"""Seconds after which a worker that was thawed or reconnected has ended what it was starting."""


@dataclass(slots=True)
class Disturbance:
    """A disturbance that was caused.

    Attributes:
        kind: its kind, as in the schedule.
        at: the time it began, including the search for the right moment.
        target: the name of the server or tier, or the run's uuid.
        worker: the identity of the worker that was hit; empty otherwise.
        cut_off: the identities of workers that could not know that nobody reached the server.
        pid: the process id of the pool process or application that was hit; 0 otherwise.
        adopter: the process id of the worker, which adopts the children of its pool processes.
        until: the time it ended; None if it was momentary or has not ended.
        tier: the tier that was hit, if any.
        next_start: the index in `tier.starts` of the start that follows.
        purged: the number of wake-ups it deleted.
        server: the server that nobody could use: "broker", "database" or empty.
        found: the time at which the right moment was found; the same as `at` without a search.
        delays: seconds from then for which it delays the work of others.
        spares_others: True if the other workers must continue in the meantime.
        suspends: True if the worker, or those cut off, could not renew their leases, and may
            therefore lose them once.
    """

    kind: str
    at: float
    target: str
    worker: str = ""
    pid: int = 0
    adopter: int = 0
    until: float | None = None
    tier: Tier | None = None
    next_start: int = 0
    purged: int = 0
    server: str = ""
    found: float = 0.0
    delays: float = 0.0
    spares_others: bool = False
    suspends: bool = False
    cut_off: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Without a search, the moment is found at once."""
        self.found = self.found or self.at

    @property
    def workers(self) -> Sequence[str]:
        """The identities of all workers that were hit."""
        return [self.worker, *self.cut_off] if self.worker else self.cut_off

    @property
    def restarted(self) -> float | None:
        """The time its worker was ready again; None if it was not."""
        ready = self.tier.ready.items() if self.tier and self.next_start else ()
        return min((at for number, at in ready if number >= self.next_start), default=None)

    @property
    def delayed_until(self) -> float | None:
        """The time until which others may have been delayed; None if they were not."""
        if self.server == "database":
            return math.inf if self.until is None else self.until
        return self.found + self.delays if self.delays else None

    def hit(self, execution: Execution, recorded: float) -> bool:
        """Return True if it hit an execution before its end was recorded.

        Args:
            execution: the execution.
            recorded: the latest time at which its end is recorded.
        """
        if recorded < self.at:
            return False
        match self.kind:
            case "application killed":
                return execution.pid == self.pid and execution.end is None
            case "pool process killed":
                # An application may be adopted before it has read its parent's process id.
                parents = {self.pid, self.adopter, _INIT}
                return execution.worker == self.worker and execution.parent in parents
            case _:
                return execution.worker in self.workers and self._was(execution)

    def _was(self, execution: Execution) -> bool:
        """Return True if an execution had been started before the worker recovered, if it did.

        An application that a frozen worker was starting starts after the thaw, and is ended then.
        """
        if not self.suspends:
            return True
        return execution.start < (math.inf if self.until is None else self.until + _SETTLED)
