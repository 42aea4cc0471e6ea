"""Figures, and the table of them."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

_ROW: Final = "{:<46} {:>7} {:<4} {:>7} {:<27} {:>6} {:>6}"


@dataclass(frozen=True, slots=True)
class Figure:
    """Something measured.

    Attributes:
        name: what.
        value: how much, in the unit.
        unit: of value and baseline.
        baseline: what value is compared with.
        against: what that is.
        ratio: the median of the rounds' ratios.
        least: what ratio, or value when there is none, should reach.
        most: what it should not pass.
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
        """Whether it is within its bounds."""
        judged = self.value if self.ratio is None else self.ratio
        return (self.least or judged) <= judged <= (self.most or judged)


def header() -> str:
    """The head of the table."""
    return _ROW.format("", "measured", "", "beside", "", "ratio", "reach")


def row(figure: Figure) -> str:
    """A line of the table."""
    bound = figure.least or figure.most
    sign = "≥" if figure.least else "≤"
    mark = "" if figure.reached else "  ← missed"
    cells = _ROW.format(
        figure.name,
        _number(figure.value),
        figure.unit,
        "" if figure.baseline is None else _number(figure.baseline),
        figure.against,
        "" if figure.ratio is None else f"{figure.ratio:.2f}",
        "" if bound is None else f"{sign} {bound:g}",
    )
    return cells.rstrip() + mark


def save(file: Path, machine: dict[str, object], figures: Sequence[Figure]) -> None:
    """Write figures as JSON."""
    lines = [{**asdict(figure), "reached": figure.reached} for figure in figures]
    document = {"machine": machine, "figures": lines}
    file.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"
