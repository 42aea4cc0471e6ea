"""The dialects all, any and not (Subscriptions API 1.0, section 3.2.4.1.1)."""

from dataclasses import dataclass

from pacifica.dispatcher.events import Event, Json
from pacifica.dispatcher.rules.filter import Explanation, Filter


@dataclass(frozen=True, slots=True)
class All:
    """A conjunction: every filter must match."""

    parts: tuple[Filter, ...]

    @property
    def cost(self) -> int:
        """Return the total cost of its parts."""
        return sum(each.cost for each in self.parts)

    def document(self) -> dict[str, Json]:
        """Return the filter as JSON."""
        return {"all": [each.document() for each in self.parts]}

    def matches(self, event: Event) -> bool:
        """Return True if the event matches."""
        return all(each.matches(event) for each in self.parts)

    def explain(self, event: Event) -> Explanation:
        """Explain the result and that of every part."""
        parts = tuple(each.explain(event) for each in self.parts)
        return Explanation(all(each.held for each in parts), "all of these match", parts=parts)


@dataclass(frozen=True, slots=True)
class Any:
    """A disjunction: at least one filter must match."""

    parts: tuple[Filter, ...]

    @property
    def cost(self) -> int:
        """Return the total cost of its parts."""
        return sum(each.cost for each in self.parts)

    def document(self) -> dict[str, Json]:
        """Return the filter as JSON."""
        return {"any": [each.document() for each in self.parts]}

    def matches(self, event: Event) -> bool:
        """Return True if the event matches."""
        return any(each.matches(event) for each in self.parts)

    def explain(self, event: Event) -> Explanation:
        """Explain the result and that of every part."""
        parts = tuple(each.explain(event) for each in self.parts)
        return Explanation(any(each.held for each in parts), "any of these matches", parts=parts)


@dataclass(frozen=True, slots=True)
class Not:
    """A negation: the filter must not match."""

    part: Filter

    @property
    def cost(self) -> int:
        """Return the cost of the negated filter."""
        return self.part.cost

    def document(self) -> dict[str, Json]:
        """Return the filter as JSON."""
        return {"not": self.part.document()}

    def matches(self, event: Event) -> bool:
        """Return True if the event matches."""
        return not self.part.matches(event)

    def explain(self, event: Event) -> Explanation:
        """Explain the result and that of the negated filter."""
        part = self.part.explain(event)
        return Explanation(not part.held, "this does not match", parts=(part,))
