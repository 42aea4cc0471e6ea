"""The observations of one combination, and the causes of repeats."""

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

from chaos.clients import AcceptedEvent
from chaos.disturbance import Disturbance
from chaos.journal import Execution
from chaos.lag import Lag

_RECORDING: Final = 3.0
"""Seconds that a worker may take to record the end of an application."""


@dataclass(frozen=True, slots=True)
class Repeat:
    """An execution that was followed by another one of its run.

    Attributes:
        before: the first execution.
        after: the next execution.
        cause: the first disturbance that hit `before` before `after` started, if any.
    """

    before: Execution
    after: Execution
    cause: Disturbance | None

    @property
    def on_purpose(self) -> bool:
        """True if it is the retry of an application that failed on purpose."""
        return self.before.code == 1


@dataclass(slots=True)
class Observed:
    """The observations of one combination.

    Attributes:
        accepted: the accepted events.
        statuses: the last response of GET /status by event uuid; None without a response.
        executions: the executions in the journal, by run.
        log: the disturbances.
        workers: the names of all workers.
        lost_leases: the number of leases lost by each start of a worker.
        unexpected: responses that no client should ever get.
        leftovers: processes still running at the end.
        lag: the lag of the machine.
        figures: other counts.
    """

    accepted: Sequence[AcceptedEvent]
    statuses: Mapping[str, Any]
    executions: Mapping[str, Sequence[Execution]]
    log: Sequence[Disturbance]
    workers: Sequence[str]
    lost_leases: Mapping[str, int]
    unexpected: Sequence[str]
    leftovers: Sequence[str]
    lag: Lag = field(default_factory=Lag)
    figures: dict[str, object] = field(default_factory=dict)

    def cause(self, execution: Execution, before: float = math.inf) -> Disturbance | None:
        """Return the first disturbance that hit an execution before a time."""
        recorded = self._recorded(execution)
        hits = (each for each in self.log if each.at < before and each.hit(execution, recorded))
        return min(hits, key=lambda each: each.at, default=None)

    def _recorded(self, execution: Execution) -> float:
        """Return the latest time at which the end of an execution is recorded.

        Recording waits while the database is away or others have locked what it needs.
        """
        if execution.end is None:
            return math.inf
        recorded = execution.end + _RECORDING
        for each in self.log:
            until = each.delayed_until
            if until is not None and each.at < recorded and until > execution.end:
                recorded = max(recorded, until + _RECORDING)
        return recorded

    def wait(self, begin: float, end: float) -> float:
        """Return the median of the seconds that new runs waited for their first start.

        Args:
            begin: the beginning of the span in which their events were accepted.
            end: the end of that span.
        """
        firsts = {run[0].event: run[0].start for run in self.executions.values()}
        waits = [
            firsts[each.id] - each.at
            for each in self.accepted
            if begin <= each.at <= end and each.id in firsts
        ]
        return statistics.median(waits) if waits else 0.0

    def repeats(self) -> Iterator[Repeat]:
        """Yield each execution that was followed by another one of its run."""
        for executions in self.executions.values():
            for before, after in pairwise(executions):
                yield Repeat(before, after, self.cause(before, after.start))
