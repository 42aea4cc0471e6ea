"""The time that recovery took after each disturbance."""

import math
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, zip_longest
from typing import Final, NamedTuple

from chaos.disturbance import Disturbance
from chaos.journal import Execution
from chaos.observed import Observed
from chaos.tiers import LEASE

_TOLERATED: Final = 1.5
"""The factor by which a median may exceed its limit, as it does on a busy machine."""

_RETURN: Final = 5.0
_TAKEOVER: Final = LEASE + 5.0
_AT_ONCE: Final = 3.0
_WORKER_START: Final = 1.0
_BURST_LASTS: Final = 60.0
_WORKER_ENDS: Final = ("worker group killed", "worker killed", "worker stopped")
_SUSPENSIONS: Final = ("worker frozen", "worker frozen in transaction", "host cut off")
_LOSSES: Final = ("host lost", "power lost in transaction")
_AWAY: Final = (*_WORKER_ENDS, *_SUSPENSIONS, *_LOSSES, "worker reconfigured")

Span = tuple[float, float]


class Case(NamedTuple):
    """One recovery: its duration and a description.

    Attributes:
        seconds: the duration.
        what: the description.
        excused: seconds of it for which new runs waited, too, or for which the machine lagged.
    """

    seconds: float
    what: str
    excused: float = 0.0

    @property
    def judged(self) -> float:
        """The seconds that are judged."""
        return max(0.0, self.seconds - self.excused)


@dataclass(frozen=True, slots=True)
class Recovery:
    """The recoveries from one kind of disturbance.

    Attributes:
        name: the kind of disturbance.
        cases: the recoveries.
        limit: the seconds that each may take; None for no limit.
    """

    name: str
    cases: Sequence[Case]
    limit: float | None = None

    @property
    def median(self) -> float | None:
        """The median of the seconds."""
        return statistics.median(each.seconds for each in self.cases) if self.cases else None

    @property
    def excused(self) -> float:
        """The seconds of the median case that are not judged."""
        whole = self.median or 0.0
        return whole - statistics.median([each.judged for each in self.cases] or [whole])

    @property
    def longest(self) -> Case | None:
        """The longest case."""
        return max(self.cases, default=None)

    @property
    def verdict(self) -> str:
        """The verdict: "broken" for the median, "missed" for the longest case only, or empty.

        A single case does not break the limit, since it may have waited for a free pool process.
        """
        if self.limit is None or not self.cases:
            return ""
        judged = [each.judged for each in self.cases]
        if len(judged) > 1 and statistics.median(judged) > self.limit * _TOLERATED:
            return "broken"
        return "missed" if max(judged) > self.limit else ""


def recoveries(observed: Observed) -> list[Recovery]:
    """Return the recoveries of each kind.

    They exclude the time in which nothing could recover: no worker was running, a server was away,
    or the tiers were reconnecting to the broker, which has its own limit.
    """
    broker, database = _outages(observed, "broker", _RETURN), _outages(observed, "database", 0)
    all_away = _all_away(observed, _WORKER_START)
    delays = [*database, *_delays(observed)]
    excluded = [*broker, *delays, *all_away]
    repeats = [(each.cause, each.after) for each in observed.repeats() if each.cause is not None]

    def after(*kinds: str) -> Iterator[tuple[Disturbance, Execution]]:
        return ((cause, next_one) for cause, next_one in repeats if cause.kind in kinds)

    def since(*kinds: str) -> list[Case]:
        spans = ((cause.at, next_one.start, next_one.run) for cause, next_one in after(*kinds))
        return measured(spans, excluded)

    def measured(spans: Iterable[tuple[float, float, str]], without: Sequence[Span]) -> list[Case]:
        return _measured(observed, spans, without)

    at_once = (
        (cause.at, next_one.start, next_one.run)
        for cause, next_one in after("pool process killed")
        if not _hit_again(observed, cause, next_one.start)
    )
    restarted = (
        (cause.restarted, next_one.start, next_one.run)
        for cause, next_one in after(*_WORKER_ENDS)
        if cause.restarted is not None and cause.restarted < next_one.start
    )
    brokers, databases = _first_starts(observed, "broker"), _first_starts(observed, "database")
    return [
        Recovery("pool process killed", measured(at_once, excluded), _AT_ONCE),
        *(Recovery(kind, since(kind), _TAKEOVER) for kind in _WORKER_ENDS),
        Recovery(
            "worker restarted on its host",
            measured(restarted, [*broker, *delays, *_all_away(observed, 0)]),
            _AT_ONCE,
        ),
        *(Recovery(kind, since(kind), _TAKEOVER) for kind in (*_SUSPENSIONS, *_LOSSES)),
        Recovery("application killed", since("application killed")),
        Recovery("broker back, first start", measured(brokers, [*delays, *all_away]), _RETURN),
        Recovery("database back, first start", measured(databases, [*broker, *all_away]), _RETURN),
        Recovery(
            "queue purged, last start of its burst", measured(_after_purges(observed), excluded)
        ),
        Recovery("others, longest pause between starts", pauses_of_others(observed), LEASE),
    ]


def pauses_of_others(observed: Observed) -> list[Case]:
    """Return the longest pause of the other workers in each disturbance that spares them.

    A pause is the time in which no run starts on them although the servers and a worker are there.
    """
    outages = [
        *_outages(observed, "broker", _RETURN),
        *_outages(observed, "database", _RETURN),
        *_all_away(observed, _WORKER_START),
    ]
    starts = sorted(
        (each.start, each.worker) for run in observed.executions.values() for each in run
    )
    found = []
    for entry in observed.log:
        begin, end = entry.found, entry.until or 0.0
        if entry.spares_others and _length(begin, end, outages) > LEASE / 2:
            others = [at for at, worker in starts if worker != entry.worker and begin < at < end]
            what = f"{entry.kind} at {begin:.1f}"
            pauses = [
                Case(_length(*span, outages), what, observed.lag.during(*span))
                for span in pairwise((begin, *others, end))
            ]
            found.append(max(pauses))
    return found


def _hit_again(observed: Observed, cause: Disturbance, until: float) -> bool:
    """Return True if the worker that must recover was hit by something else meanwhile."""
    return any(
        cause.at < each.at < until and cause.worker in each.workers
        for each in observed.log
        if each.kind != cause.kind
    )


def _measured(
    observed: Observed, spans: Iterable[tuple[float, float, str]], without: Sequence[Span]
) -> list[Case]:
    """Return the lengths of spans outside other spans, ignoring those mostly inside them."""
    return [
        Case(length, what, max(observed.wait(begin, end), observed.lag.during(begin, end)))
        for begin, end, what in spans
        if (length := _length(begin, end, without)) >= (end - begin) / 2
    ]


def _length(begin: float, end: float, without: Iterable[Span]) -> float:
    """Return the seconds of a span outside other spans, which may overlap."""
    seconds, done = end - begin, begin
    for left, right in sorted(without):
        first, last = max(left, done), min(right, end)
        seconds -= max(0.0, last - first)
        done = max(done, last)
    return seconds


def _outages(observed: Observed, server: str, extension: float) -> list[Span]:
    """Return the outages of a server, each extended by some seconds."""
    return [
        (each.at, each.until + extension)
        for each in observed.log
        if each.server == server and each.until is not None
    ]


def _delays(observed: Observed) -> list[Span]:
    """Return the spans in which transactions that did not end delayed others."""
    return [(each.found, each.found + each.delays) for each in observed.log if each.delays]


def _all_away(observed: Observed, extension: float) -> list[Span]:
    """Return the spans in which every worker was away or had only just been started."""
    away = [[*_worker_away(observed, worker, extension)] for worker in observed.workers]
    moments = sorted({moment for spans in away for span in spans for moment in span})
    return [
        (left, right)
        for left, right in pairwise(moments)
        if all(any(a <= left and right <= b for a, b in spans) for spans in away)
    ]


def _worker_away(observed: Observed, worker: str, extension: float) -> Iterator[Span]:
    for each in observed.log:
        if each.target == worker and each.kind in _AWAY:
            until = each.until if each.kind in _SUSPENSIONS else each.restarted
            yield each.at, math.inf if until is None else until + extension


def _first_starts(observed: Observed, server: str) -> Iterator[tuple[float, float, str]]:
    """Yield each return of a server, and the first application start before its next outage."""
    starts = sorted(each.start for run in observed.executions.values() for each in run)
    outages = [each for each in observed.log if each.server == server and each.until is not None]
    for outage, following in zip_longest(outages, outages[1:]):
        back = outage.until
        first = next((start for start in starts if back and start > back), None)
        if back and first and not (following and following.at < first):
            yield back, first, f"{outage.kind} at {outage.at:.1f}"


def _after_purges(observed: Observed) -> Iterator[tuple[float, float, str]]:
    """Yield the end of each purge that deleted wake-ups, and the last start of its burst."""
    in_burst = {event.id for event in observed.accepted if event.in_burst}
    firsts = [run[0] for run in observed.executions.values() if run[0].event in in_burst]
    for entry in observed.log:
        if entry.purged and entry.until is not None:
            end = entry.until
            starts = [each.start for each in firsts if end < each.start < end + _BURST_LASTS]
            if starts:
                yield end, max(starts), f"{entry.purged} purged"
