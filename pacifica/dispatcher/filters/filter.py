"""What every dialect is: a predicate on an event that can say why it held or did not."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from pacifica.dispatcher.events import Event, Json


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why an event passes a filter, or does not.

    Attributes:
        held: whether it passes.
        clause: the filter in words.
        value: what was compared: the attribute's string, the attributes that an expression asks
            for, the places that a path selects; null for what the event lacks.
        error: what went wrong; the filter then does not hold.
        parts: the same for the filters within this one.
    """

    held: bool
    clause: str
    value: Json = None
    error: str | None = None
    parts: tuple["Explanation", ...] = ()

    def document(self) -> dict[str, Json]:
        """The explanation as a JSON object; what does not apply is left out."""
        found: dict[str, Json] = {"held": self.held, "clause": self.clause}
        if self.parts:
            found["parts"] = [each.document() for each in self.parts]
        else:
            found["value"] = self.value
        if self.error is not None:
            found["error"] = self.error
        return found


class Filter(Protocol):
    """A predicate on an event."""

    @property
    def cost(self) -> int:
        """What it takes to try it, in comparisons of one attribute; no exact figure."""

    def document(self) -> dict[str, Json]:
        """The filter in JSON (Subscriptions API 1.0, section 3.2.4.1)."""

    def matches(self, event: Event, /) -> bool:
        """Whether the event passes."""

    def explain(self, event: Event, /) -> Explanation:
        """Why the event passes, or does not."""


F = TypeVar("F", bound=Filter)


def cheapest_first(filters: Iterable[F]) -> tuple[F, ...]:
    """Filters in the order in which to try them; of the same cost, as they stand."""
    return tuple(sorted(filters, key=lambda each: each.cost))
