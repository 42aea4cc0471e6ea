"""Figures and their table."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

_ROW: Final = "{:<46} {:>8} {:<4} {:>8} {:<27} {:>6} {:>6}"


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured figure.

    Attributes:
        name: the label.
        value: the measured value.
        unit: the unit of the value and the baseline.
        baseline: the value to compare with.
        against: the label of the baseline.
        ratio: the median of the ratios of all rounds.
        least: the lower target of the ratio, or of the value without a ratio.
        most: the upper target.
    """

    name: str
    value: float
    unit: str
    baseline: float | None = None
    against: str = ""
    ratio: float | None = None
    least: float | None = None
    most: float | None = None

    @property
    def reached(self) -> bool:
        """True if it meets its target."""
        judged = self.value if self.ratio is None else self.ratio
        return (self.least or judged) <= judged <= (self.most or judged)


def header() -> str:
    """Return the header of the table."""
    return _ROW.format("", "measured", "", "baseline", "", "ratio", "target")


def row(figure: Figure) -> str:
    """Return the row of a figure."""
    target = figure.least or figure.most
    sign = "≥" if figure.least else "≤"
    mark = "" if figure.reached else "  ← missed"
    cells = _ROW.format(
        figure.name,
        _number(figure.value),
        figure.unit,
        "" if figure.baseline is None else _number(figure.baseline),
        figure.against,
        "" if figure.ratio is None else f"{figure.ratio:.2f}",
        "" if target is None else f"{sign} {target:g}",
    )
    return cells.rstrip() + mark


def save(file: Path, machine: dict[str, object], figures: Sequence[Figure]) -> None:
    """Write the figures as JSON."""
    lines = [{**asdict(figure), "reached": figure.reached} for figure in figures]
    document = {"machine": machine, "figures": lines}
    file.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"
