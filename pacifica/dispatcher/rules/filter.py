"""The interface of all dialects: a predicate on an event that can explain its result."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from pacifica.dispatcher.events import Attribute, Event, Json

_MAX_SHOWN = 1000  # characters of an attribute or a location in an explanation


def beginning(value: Attribute | None) -> Attribute | None:
    """Return a value of an event as explanations show it: a long text is cut."""
    if isinstance(value, str) and len(value) > _MAX_SHOWN:
        return f"{value[:_MAX_SHOWN]}…"
    return value


@dataclass(frozen=True, slots=True)
class Explanation:
    """The result of a filter on an event, and the reason.

    Attributes:
        held: True if the event matches.
        clause: the filter in words.
        value: the attribute's string, the attributes used by an expression, or the locations
            selected by a query; null for an attribute that the event lacks. Long texts are cut.
        error: the evaluation error, if any; the event then does not match.
        parts: the explanations of the filters within this one.
    """

    held: bool
    clause: str
    value: Json = None
    error: str | None = None
    parts: tuple["Explanation", ...] = ()

    def document(self) -> dict[str, Json]:
        """Return the explanation as a JSON object, leaving out what does not apply."""
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
        """Return the approximate cost of one evaluation, in attribute comparisons."""

    def document(self) -> dict[str, Json]:
        """Return the filter as JSON (Subscriptions API 1.0, section 3.2.4.1)."""

    def matches(self, event: Event, /) -> bool:
        """Return True if the event matches."""

    def explain(self, event: Event, /) -> Explanation:
        """Explain the result for an event."""


F = TypeVar("F", bound=Filter)


def cheapest_first(filters: Iterable[F]) -> tuple[F, ...]:
    """Sort filters by cost, keeping the order of equals."""
    return tuple(sorted(filters, key=lambda each: each.cost))
