"""Whether the promises were kept: told from what applications and clients saw, and from HTTP."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from chaos.disturb import Disturbance
from chaos.journal import Execution
from chaos.observed import Observed
from chaos.recovery import recoveries


@dataclass(frozen=True, slots=True)
class Promise:
    """A promise, and what breaks it.

    Attributes:
        name: what was promised.
        breaches: what is against it, in a sentence each.
    """

    name: str
    breaches: Sequence[str]

    @property
    def kept(self) -> bool:
        """Whether nothing is against it."""
        return not self.breaches


def is_final(status: Any) -> bool:  # noqa: ANN401 - JSON
    """Whether nothing more will become of an event."""
    return status is not None and status["status"] in {"succeeded", "failed", "cancelled"}


def promises(seen: Observed) -> list[Promise]:
    """All promises."""
    slow = [
        f"{each.name}: {each.median:.1f} s, limit {each.limit:g} s"
        for each in recoveries(seen)
        if each.verdict == "broken"
    ]
    return [
        Promise("no accepted event is lost", [*_lost(seen)]),
        Promise("each event has the runs that the rules give it", [*_wrong_runs(seen)]),
        Promise("every run succeeds in the end", [*_failed(seen)]),
        Promise("what succeeded has run to its end", [*_pretended(seen)]),
        Promise("no run is done twice at the same time", [*_overlaps(seen)]),
        Promise("nothing is repeated without a cause", [*_repeats(seen)]),
        Promise("clients see 202 or 503 only", seen.unexpected),
        Promise("no process is left behind", seen.leftovers),
        Promise("recovery is quick", slow),
    ]


def counts(seen: Observed) -> dict[str, object]:
    """Figures that tell how much was tried."""
    executions = [each for run in seen.executions.values() for each in run]
    return {
        "events": len(seen.accepted),
        "runs": sum(len(each.applications) for each in seen.accepted),
        "executions": len(executions),
        "failed on purpose": sum(each.code == 1 for each in executions),
        "hit while running": sum(_was_running(each, seen.cause(each)) for each in executions),
        "repeated": sum(not each.on_purpose for each in seen.repeats()),
        "wake-ups thrown away": sum(each.thrown_away for each in seen.log),
        "disturbances": dict(sorted(Counter(each.kind for each in seen.log).items())),
        **seen.figures,
    }


def _lost(seen: Observed) -> Iterator[str]:
    for event in seen.accepted:
        status = seen.statuses.get(event.uuid)
        if not is_final(status):
            said = status["status"] if status else "nothing"
            runs = [
                f"{r['uuid']} {r['status']} {r['attempt']}"
                for r in (status or {"runs": []})["runs"]
            ]
            yield f"event {event.uuid}: {said} {runs}"


def _wrong_runs(seen: Observed) -> Iterator[str]:
    for event in seen.accepted:
        status = seen.statuses.get(event.uuid)
        found = sorted(run["application"] for run in status["runs"]) if status else []
        if status and found != sorted(event.applications):
            yield f"event {event.uuid}: {found}, not {sorted(event.applications)}"


def _runs(seen: Observed) -> Iterator[Any]:
    for status in seen.statuses.values():
        yield from status["runs"] if status else ()


def _failed(seen: Observed) -> Iterator[str]:
    for run in _runs(seen):
        if run["status"] in {"failed", "cancelled"}:
            yield f"run {run['uuid']}: {run['status']} after {run['attempt']}: {run['error']}"


def _pretended(seen: Observed) -> Iterator[str]:
    for run in _runs(seen):
        codes = [each.code for each in seen.executions.get(run["uuid"], ())]
        if run["status"] == "succeeded" and 0 not in codes:
            yield f"run {run['uuid']} has succeeded; its processes ended with {codes}"


def _overlaps(seen: Observed) -> Iterator[str]:
    for run, executions in seen.executions.items():
        for index, later in enumerate(executions):
            for earlier in executions[:index]:
                if earlier.last_line > later.start_line:
                    seconds = earlier.last - later.start
                    yield (
                        f"run {run}: attempt {earlier.attempt} on {earlier.worker} lived"
                        f" {seconds:.2f} s into attempt {later.attempt} on {later.worker}"
                        f" ({_name(seen.cause(earlier))})"
                    )


def _repeats(seen: Observed) -> Iterator[str]:
    for each in seen.repeats():
        before, after = each.before, each.after
        if not each.on_purpose and each.cause is None:
            ended = "it had ended" if before.end is not None else "it had not ended"
            yield (
                f"run {before.run}: attempt {before.attempt} on {before.worker} is followed by"
                f" {after.attempt} on {after.worker}; nothing had hit it, {ended}"
            )


def _was_running(execution: Execution, cause: Disturbance | None) -> bool:
    return cause is not None and (execution.end is None or execution.end > cause.at)


def _name(cause: Disturbance | None) -> str:
    return "nothing had hit it" if cause is None else f"after: {cause.kind}"
