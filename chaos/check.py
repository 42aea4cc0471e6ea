"""Check the guarantees against the journal, the clients' records and the HTTP responses."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from chaos.disturbance import Disturbance
from chaos.journal import Execution
from chaos.observed import Observed
from chaos.recovery import pauses_of_others, recoveries
from chaos.tiers import LEASE
from pacifica.dispatcher.worker.lease import REVOKED_WAIT

_LAG: Final = LEASE / 4
"""Seconds of lag within the length of a lease that may cost a healthy worker its lease."""


@dataclass(frozen=True, slots=True)
class Guarantee:
    """A guarantee and its breaches.

    Attributes:
        name: the guarantee as a sentence.
        breaches: a description of each breach.
    """

    name: str
    breaches: Sequence[str]

    @property
    def kept(self) -> bool:
        """True if there are no breaches."""
        return not self.breaches


def is_final(status: Any) -> bool:  # noqa: ANN401 - JSON
    """Return True if the status of an event will not change any more."""
    return status is not None and status["status"] in {"succeeded", "failed", "cancelled"}


def guarantees(observed: Observed) -> list[Guarantee]:
    """Check every guarantee."""
    slow = [
        f"{each.name}: {each.median:.1f} s, of which {each.excused:.1f} s are excused; limit"
        f" {each.limit:g} s"
        for each in recoveries(observed)
        if each.verdict == "broken"
    ]
    return [
        Guarantee("no accepted event is lost", [*_lost(observed)]),
        Guarantee(
            "each event has exactly the runs that the rules require", [*_wrong_runs(observed)]
        ),
        Guarantee("every run eventually succeeds", [*_failed(observed)]),
        Guarantee("every succeeded run ran to completion", [*_incomplete(observed)]),
        Guarantee("no run is done twice at the same time", [*_overlaps(observed)]),
        Guarantee("no run is repeated without a cause", [*_repeats(observed)]),
        Guarantee("no healthy work is killed", [*_killed_healthy(observed)]),
        Guarantee("a lease is lost once at most, and not without a cause", [*_leases(observed)]),
        Guarantee("the others continue within the lease", [*_blocked(observed)]),
        Guarantee("clients get only 202 or 503", observed.unexpected),
        Guarantee("no process is left behind", observed.leftovers),
        Guarantee("recovery is fast", slow),
    ]


def counts(observed: Observed) -> dict[str, object]:
    """Return the figures of the table."""
    executions = [each for run in observed.executions.values() for each in run]
    return {
        "events": len(observed.accepted),
        "runs": sum(len(each.applications) for each in observed.accepted),
        "executions": len(executions),
        "failed on purpose": sum(each.code == 1 for each in executions),
        "hit while running": sum(_was_running(each, observed.cause(each)) for each in executions),
        "repeated": sum(not each.on_purpose for each in observed.repeats()),
        "lost": len([*_lost(observed)]),
        "overlaps": len([*_overlaps(observed)]),
        "healthy work killed": len([*_killed_healthy(observed)]),
        "leases lost": sum(observed.lost_leases.values()),
        "… because of lag": sum(_unexplained(observed).values()),
        "others blocked beyond the lease": len([*_blocked(observed)]),
        "longest lag per lease": observed.lag.longest(LEASE),
        "wake-ups purged": sum(each.purged for each in observed.log),
        "disturbances": dict(sorted(Counter(each.kind for each in observed.log).items())),
        **observed.figures,
    }


def _lost(observed: Observed) -> Iterator[str]:
    for event in observed.accepted:
        status = observed.statuses.get(event.uuid)
        if not is_final(status):
            last = status["status"] if status else "no status"
            runs = [
                f"{r['uuid']} {r['status']} {r['attempt']}"
                for r in (status or {"runs": []})["runs"]
            ]
            yield f"event {event.uuid}: {last} {runs}"


def _wrong_runs(observed: Observed) -> Iterator[str]:
    for event in observed.accepted:
        status = observed.statuses.get(event.uuid)
        found = sorted(run["application"] for run in status["runs"]) if status else []
        if status and found != sorted(event.applications):
            yield f"event {event.uuid}: runs of {found}; expected {sorted(event.applications)}"


def _runs(observed: Observed) -> Iterator[Any]:
    for status in observed.statuses.values():
        yield from status["runs"] if status else ()


def _failed(observed: Observed) -> Iterator[str]:
    for run in _runs(observed):
        if run["status"] in {"failed", "cancelled"}:
            attempt = f"after attempt {run['attempt']}"
            yield f"run {run['uuid']}: {run['status']} {attempt}: {run['error']}"


def _incomplete(observed: Observed) -> Iterator[str]:
    for run in _runs(observed):
        codes = [each.code for each in observed.executions.get(run["uuid"], ())]
        if run["status"] == "succeeded" and 0 not in codes:
            yield f"run {run['uuid']} has succeeded; exit codes of its processes: {codes}"


def _overlaps(observed: Observed) -> Iterator[str]:
    for run, executions in observed.executions.items():
        for index, later in enumerate(executions):
            for earlier in executions[:index]:
                if earlier.last_line > later.start_line:
                    seconds = earlier.last - later.start
                    yield (
                        f"run {run}: attempt {earlier.attempt} on {earlier.worker} overlaps"
                        f" attempt {later.attempt} on {later.worker} by {seconds:.2f} s"
                        f" ({_name(observed.cause(earlier))})"
                    )


def _repeats(observed: Observed) -> Iterator[str]:
    delayed = _delayed(observed)
    for each in observed.repeats():
        before, after = each.before, each.after
        if not (each.on_purpose or each.cause or before.worker in delayed):
            ended = "ended" if before.end is not None else "unfinished"
            yield (
                f"run {before.run}: attempt {before.attempt} on {before.worker} ({ended}) was not"
                f" hit, but attempt {after.attempt} on {after.worker} follows"
            )


def _killed_healthy(observed: Observed) -> Iterator[str]:
    delayed = _delayed(observed)
    for executions in observed.executions.values():
        for each in executions:
            is_hit = observed.cause(each) is not None or each.worker in delayed
            if each.end is None and not is_hit:
                seconds = each.last - each.start
                yield (
                    f"run {each.run}: attempt {each.attempt} on {each.worker} was killed after"
                    f" {seconds:.1f} of {each.seconds:.1f} s (not hit)"
                )


def _leases(observed: Observed) -> Iterator[str]:
    excused = _excused(observed)
    for worker, lost in _unexplained(observed).items():
        if lost > excused:
            kinds = [each.kind for each in observed.log if worker in each.workers]
            total = observed.lost_leases[worker]
            yield f"{worker} lost its lease {total} times; it was hit by: {kinds or 'nothing'}"


def _unexplained(observed: Observed) -> dict[str, int]:
    """Count the leases that each worker lost without having been suspended."""
    found = dict[str, int]()
    for worker, lost in observed.lost_leases.items():
        causes = [each for each in observed.log if each.suspends and worker in each.workers]
        # A long search, which suspends a worker again and again, can cost a lease of its own.
        most = sum(1 + (each.found - each.at > LEASE / 2) for each in causes)
        if lost > most:
            found[worker] = lost - most
    return found


def _delayed(observed: Observed) -> set[str]:
    """Return the workers that lost a lease, with their attempts, though nothing hit them."""
    excused = _excused(observed)
    return {worker for worker, lost in _unexplained(observed).items() if lost <= excused}


def _excused(observed: Observed) -> int:
    """Count the occasions on which a worker that was not hit may lose its lease.

    These are a machine that lagged, and an outage of the database so soon after a lock on its rows
    that no heartbeat could renew a lease in between, while another worker may have revoked it.
    """
    locks = [each for each in observed.log if each.kind == "database locked"]
    outages = [each for each in observed.log if each.server == "database" and each not in locks]
    after_locks = [
        outage
        for outage in outages
        if any(each.at < outage.at < (each.until or outage.at) + REVOKED_WAIT for each in locks)
    ]
    return observed.lag.busy_spans(LEASE, _LAG) + len(after_locks)


def _blocked(observed: Observed) -> Iterator[str]:
    for each in pauses_of_others(observed):
        if each.judged > LEASE:
            yield (
                f"{each.what}: no run started elsewhere for {each.seconds:.1f} s,"
                f" limit {LEASE:g} s + {each.excused:.1f} s for which the machine lagged"
            )


def _was_running(execution: Execution, cause: Disturbance | None) -> bool:
    return cause is not None and (execution.end is None or execution.end > cause.at)


def _name(cause: Disturbance | None) -> str:
    return "not hit" if cause is None else f"hit by: {cause.kind}"
