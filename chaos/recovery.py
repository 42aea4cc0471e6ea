"""How long it took until things went on."""

import math
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, zip_longest
from typing import Final, NamedTuple

from chaos.disturb import Disturbance
from chaos.journal import Execution
from chaos.observed import Observed
from chaos.tiers import LEASE

_TOLERATED: Final = 1.5
"""A limit counts as broken when it is passed by this factor; a busy machine passes it by less."""

_RETURN: Final = 5.0
_TAKEN_UP: Final = LEASE + 5.0
_AT_ONCE: Final = 3.0
_BEGINS_WITHIN: Final = 2.0
_BURST_LASTS: Final = 60.0
_WORKER_ENDS: Final = ("worker group killed", "worker killed", "worker stopped")
_AWAY: Final = (*_WORKER_ENDS, "worker frozen", "host lost")

Span = tuple[float, float]


class Case(NamedTuple):
    """One recovery: its seconds, and of what."""

    seconds: float
    what: str


@dataclass(frozen=True, slots=True)
class Recovery:
    """How long it took until something went on.

    Attributes:
        name: after what.
        cases: each one.
        limit: seconds that none should take longer than; None when there is no such limit.
    """

    name: str
    cases: Sequence[Case]
    limit: float | None = None

    @property
    def median(self) -> float | None:
        """The seconds of the middle case."""
        return statistics.median(each.seconds for each in self.cases) if self.cases else None

    @property
    def longest(self) -> Case | None:
        """The case that took longest."""
        return max(self.cases, default=None)

    @property
    def verdict(self) -> str:
        """Empty, "missed" by the longest case, or "broken" by the median.

        A single case may have waited for a free process: others ran when it could have started.
        """
        if self.limit is None or self.median is None or self.longest is None:
            return ""
        if self.median > self.limit * _TOLERATED:
            return "broken"
        return "missed" if self.longest.seconds > self.limit else ""


def recoveries(seen: Observed) -> list[Recovery]:
    """How long each kind of recovery took.

    Left out is the time in which nothing could be recovered: no worker was there, or a server was
    away, or the tiers were on their way back to the broker, for which there is a limit of its own.
    """
    broker, database = _spans_away(seen, "broker ", _RETURN), _spans_away(seen, "database ", 0)
    nobody = _nobody_works(seen, _BEGINS_WITHIN)
    none = [*broker, *database, *nobody]
    repeats = [(each.cause, each.after) for each in seen.repeats() if each.cause is not None]

    def after(*kinds: str) -> Iterator[tuple[Disturbance, Execution]]:
        return ((cause, next_one) for cause, next_one in repeats if cause.kind in kinds)

    def since(*kinds: str) -> list[Case]:
        spans = ((cause.at, next_one.start, next_one.run) for cause, next_one in after(*kinds))
        return _measured(spans, none)

    restarted = (
        (cause.restarted, max(next_one.start, cause.restarted), next_one.run)
        for cause, next_one in after(*_WORKER_ENDS)
        if cause.restarted is not None
    )
    brokers, databases = _first_starts(seen, "broker "), _first_starts(seen, "database ")
    return [
        Recovery("pool process killed", since("pool process killed"), _AT_ONCE),
        *(Recovery(kind, since(kind), _TAKEN_UP) for kind in _WORKER_ENDS),
        Recovery(
            "worker started again on its host",
            _measured(restarted, [*broker, *database, *_nobody_works(seen, 0)]),
            _AT_ONCE,
        ),
        Recovery("worker frozen", since("worker frozen"), _TAKEN_UP),
        Recovery("host lost", since("host lost"), _TAKEN_UP),
        Recovery("application killed", since("application killed")),
        Recovery("broker back, first start", _measured(brokers, [*database, *nobody]), _RETURN),
        Recovery("database back, first start", _measured(databases, [*broker, *nobody]), _RETURN),
        Recovery("queue purged, last start of its burst", _measured(_after_purges(seen), none)),
    ]


def _measured(spans: Iterable[tuple[float, float, str]], without: Sequence[Span]) -> list[Case]:
    """Spans without the time of others; one that lies mostly in the others says nothing."""
    lengths = ((end - begin, _length(begin, end, without), what) for begin, end, what in spans)
    return [Case(length, what) for whole, length, what in lengths if length >= whole / 2]


def _length(begin: float, end: float, without: Iterable[Span]) -> float:
    """The seconds between two moments, without those of some spans, which may overlap."""
    seconds, done = end - begin, begin
    for left, right in sorted(without):
        first, last = max(left, done), min(right, end)
        seconds -= max(0.0, last - first)
        done = max(done, last)
    return seconds


def _spans_away(seen: Observed, server: str, more: float) -> list[Span]:
    """When a server was away, and some seconds more."""
    return [
        (each.at, each.until + more)
        for each in seen.log
        if each.kind.startswith(server) and each.until is not None
    ]


def _nobody_works(seen: Observed, begins_within: float) -> list[Span]:
    """When all workers were away at the same time, or had just been started."""
    away = [[*_spans_of_worker(seen, worker, begins_within)] for worker in seen.workers]
    moments = sorted({moment for spans in away for span in spans for moment in span})
    return [
        (left, right)
        for left, right in pairwise(moments)
        if all(any(a <= left and right <= b for a, b in spans) for spans in away)
    ]


def _spans_of_worker(seen: Observed, worker: str, begins_within: float) -> Iterator[Span]:
    for each in seen.log:
        if each.target == worker and each.kind in _AWAY:
            over = each.until if each.kind == "worker frozen" else each.restarted
            yield each.at, math.inf if over is None else over + begins_within


def _first_starts(seen: Observed, server: str) -> Iterator[tuple[float, float, str]]:
    """Each return of a server, and the first start of an application before it was away again."""
    starts = sorted(each.start for run in seen.executions.values() for each in run)
    outages = [each for each in seen.log if each.kind.startswith(server) and each.until is not None]
    for outage, following in zip_longest(outages, outages[1:]):
        back = outage.until
        first = next((start for start in starts if back and start > back), None)
        if back and first and not (following and following.at < first):
            yield back, first, f"{outage.kind} at {outage.at:.1f}"


def _after_purges(seen: Observed) -> Iterator[tuple[float, float, str]]:
    """Each purge that met something, and the last start of what had come just before it."""
    hasty = {event.id for event in seen.accepted if event.hasty}
    firsts = [run[0] for run in seen.executions.values() if run[0].event in hasty]
    for entry in seen.log:
        if entry.thrown_away and entry.until is not None:
            over = entry.until
            starts = [each.start for each in firsts if over < each.start < over + _BURST_LASTS]
            if starts:
                yield over, max(starts), f"{entry.thrown_away} thrown away"
