"""The outcome of the combinations, as a table for people and as JSON for programs."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from chaos.check import Promise, counts, promises
from chaos.observed import Observed
from chaos.recovery import Recovery, recoveries

_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one combination."""

    broker: str
    database: str
    seed: int
    figures: Mapping[str, object]
    promises: Sequence[Promise]
    recoveries: Sequence[Recovery]

    @property
    def kept(self) -> bool:
        """Whether all promises were kept."""
        return all(each.kept for each in self.promises)


def judge(broker: str, database: str, seed: int, seen: Observed) -> Result:
    """Hold what was seen against the promises."""
    return Result(broker, database, seed, counts(seen), promises(seen), recoveries(seen))


def table(result: Result) -> Iterator[str]:
    """The lines of the table of one combination."""
    yield f"── {result.broker} and {result.database}, seed {result.seed} " + "─" * 40
    for name, value in result.figures.items():
        if isinstance(value, Mapping):
            shown = ", ".join(f"{key} {number}" for key, number in value.items()) or "none"
        else:
            shown = f"{value:.1f}" if isinstance(value, float) else f"{value}"
        yield f"{name:<26}{shown}"
    yield f"{'seconds until it went on':<42}{'cases':>6}{'p50':>8}{'max':>8}{'limit':>8}"
    for each in result.recoveries:
        limit = "" if each.limit is None else f"≤ {each.limit:g}"
        mark = f"  ← {each.verdict}" if each.verdict else ""
        median, longest = _seconds(each.median), _seconds(each.longest and each.longest.seconds)
        yield f"  {each.name:<40}{len(each.cases):>6}{median:>8}{longest:>8}{limit:>8}{mark}"
    for promise in result.promises:
        yield f"{'kept  ' if promise.kept else 'BROKEN'}  {promise.name}" + (
            "" if promise.kept else f" ({len(promise.breaches)})"
        )
        yield from (f"          {breach}" for breach in promise.breaches[:_SHOWN])


def save(file: Path, results: Sequence[Result]) -> None:
    """Write everything as JSON."""
    document = {
        "kept": all(result.kept for result in results),
        "combinations": [
            {
                "broker": result.broker,
                "database": result.database,
                "seed": result.seed,
                "kept": result.kept,
                "figures": result.figures,
                "promises": [
                    {"name": each.name, "kept": each.kept, "breaches": [*each.breaches]}
                    for each in result.promises
                ],
                "recoveries": [
                    {
                        "after": each.name,
                        "cases": [case._asdict() for case in sorted(each.cases)],
                        "median": each.median,
                        "longest": each.longest and each.longest.seconds,
                        "limit": each.limit,
                        "verdict": each.verdict or "kept",
                    }
                    for each in result.recoveries
                ],
            }
            for result in results
        ],
    }
    file.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
