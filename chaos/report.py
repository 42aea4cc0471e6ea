"""The results of the combinations, as a table for people and as JSON for programs."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from chaos.check import Guarantee, counts, guarantees
from chaos.observed import Observed
from chaos.recovery import Recovery, recoveries

_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class Result:
    """The result of one combination.

    Attributes:
        broker: the name of the broker.
        database: the name of the database.
        seed: the seed of all choices.
        figures: the figures of the table.
        guarantees: the guarantees with their breaches.
        recoveries: the durations of recoveries.
        kinds: the kinds of disturbances that were caused.
    """

    broker: str
    database: str
    seed: int
    figures: Mapping[str, object]
    guarantees: Sequence[Guarantee]
    recoveries: Sequence[Recovery]
    kinds: Collection[str]

    @property
    def kept(self) -> bool:
        """True if all guarantees were kept."""
        return all(each.kept for each in self.guarantees)


def judge(broker: str, database: str, seed: int, observed: Observed) -> Result:
    """Check the observations against the guarantees."""
    kinds = {each.kind for each in observed.log}
    figures, kept = counts(observed), guarantees(observed)
    return Result(broker, database, seed, figures, kept, recoveries(observed), kinds)


def table(result: Result) -> Iterator[str]:
    """Yield the lines of the table of one combination."""
    yield f"── {result.broker} and {result.database}, seed {result.seed} " + "─" * 40
    for name, value in result.figures.items():
        if isinstance(value, Mapping):
            shown = ", ".join(f"{key} {number}" for key, number in value.items()) or "none"
        else:
            shown = f"{value:.1f}" if isinstance(value, float) else f"{value}"
        yield f"{name:<32}{shown}"
    yield f"{'seconds to recovery':<42}{'cases':>6}{'p50':>8}{'max':>8}{'limit':>8}"
    for each in result.recoveries:
        limit = "" if each.limit is None else f"≤ {each.limit:g}"
        mark = f"  ← {each.verdict}" if each.verdict else ""
        median, longest = _seconds(each.median), _seconds(each.longest and each.longest.seconds)
        yield f"  {each.name:<40}{len(each.cases):>6}{median:>8}{longest:>8}{limit:>8}{mark}"
    for guarantee in result.guarantees:
        yield f"{'kept  ' if guarantee.kept else 'BROKEN'}  {guarantee.name}" + (
            "" if guarantee.kept else f" ({len(guarantee.breaches)})"
        )
        yield from (f"          {breach}" for breach in guarantee.breaches[:_SHOWN])


def save(file: Path, results: Sequence[Result]) -> None:
    """Write the results as JSON."""
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
                    for each in result.guarantees
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
