"""What was seen of one combination, and what caused what in it."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

from chaos.clients import Sent
from chaos.disturb import Disturbance
from chaos.journal import Execution

_RECORDING: Final = 3.0
"""Seconds after an application's end in which its worker may not have recorded it yet."""


@dataclass(frozen=True, slots=True)
class Repeat:
    """An execution that was followed by another one of its run.

    Attributes:
        before: the one.
        after: the other.
        cause: what hit the one first, if anything did before the other began.
    """

    before: Execution
    after: Execution
    cause: Disturbance | None

    @property
    def on_purpose(self) -> bool:
        """Whether it was repeated because its application failed, as it was meant to."""
        return self.before.code == 1


@dataclass(slots=True)
class Observed:
    """All that was seen of one combination.

    Attributes:
        accepted: the events that were accepted.
        statuses: what GET /status said last of each, by the event's uuid; None when nothing.
        executions: what the journal says, by run.
        log: what was broken.
        workers: the names of all workers.
        unexpected: answers that no client should ever see.
        leftovers: processes that are left at the end.
        figures: whatever else was counted.
    """

    accepted: Sequence[Sent]
    statuses: Mapping[str, Any]
    executions: Mapping[str, Sequence[Execution]]
    log: Sequence[Disturbance]
    workers: Sequence[str]
    unexpected: Sequence[str]
    leftovers: Sequence[str]
    figures: dict[str, object] = field(default_factory=dict)

    def cause(self, execution: Execution, before: float = math.inf) -> Disturbance | None:
        """What hit an execution first, before some time."""
        recorded = self._recorded(execution)
        hits = (each for each in self.log if each.at < before and each.hit(execution, recorded))
        return min(hits, key=lambda each: each.at, default=None)

    def _recorded(self, execution: Execution) -> float:
        """When the end of an execution must have been recorded: that waits for the database."""
        if execution.end is None:
            return math.inf
        recorded = execution.end + _RECORDING
        for each in self.log:
            if each.kind.startswith("database ") and each.at < recorded:
                over = math.inf if each.until is None else each.until
                recorded = max(recorded, over + _RECORDING) if over > execution.end else recorded
        return recorded

    def repeats(self) -> Iterator[Repeat]:
        """Each execution that was followed by another one of its run."""
        for executions in self.executions.values():
            for before, after in pairwise(executions):
                yield Repeat(before, after, self.cause(before, after.start))
