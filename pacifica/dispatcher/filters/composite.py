"""The dialects all, any and not (Subscriptions API 1.0, section 3.2.4.1.1)."""

from dataclasses import dataclass

from pacifica.dispatcher.events import Event, Json
from pacifica.dispatcher.filters.filter import Explanation, Filter


@dataclass(frozen=True, slots=True)
class All:
    """Every one of the filters holds; there is at least one."""

    parts: tuple[Filter, ...]

    @property
    def cost(self) -> int:
        """What its parts cost."""
        return sum(each.cost for each in self.parts)

    def document(self) -> dict[str, Json]:
        """The filter in JSON."""
        return {"all": [each.document() for each in self.parts]}

    def matches(self, event: Event) -> bool:
        """Whether the event passes."""
        return all(each.matches(event) for each in self.parts)

    def explain(self, event: Event) -> Explanation:
        """Why the event passes, or does not; every part is tried."""
        parts = tuple(each.explain(event) for each in self.parts)
        return Explanation(all(each.held for each in parts), "all of these hold", parts=parts)


@dataclass(frozen=True, slots=True)
class Any:
    """One of the filters holds, or several; there is at least one."""

    parts: tuple[Filter, ...]

    @property
    def cost(self) -> int:
        """What its parts cost."""
        return sum(each.cost for each in self.parts)

    def document(self) -> dict[str, Json]:
        """The filter in JSON."""
        return {"any": [each.document() for each in self.parts]}

    def matches(self, event: Event) -> bool:
        """Whether the event passes."""
        return any(each.matches(event) for each in self.parts)

    def explain(self, event: Event) -> Explanation:
        """Why the event passes, or does not; every part is tried."""
        parts = tuple(each.explain(event) for each in self.parts)
        return Explanation(any(each.held for each in parts), "one of these holds", parts=parts)


@dataclass(frozen=True, slots=True)
class Not:
    """The filter does not hold."""

    part: Filter

    @property
    def cost(self) -> int:
        """What its part costs."""
        return self.part.cost

    def document(self) -> dict[str, Json]:
        """The filter in JSON."""
        return {"not": self.part.document()}

    def matches(self, event: Event) -> bool:
        """Whether the event passes."""
        return not self.part.matches(event)

    def explain(self, event: Event) -> Explanation:
        """Why the event passes, or does not."""
        part = self.part.explain(event)
        return Explanation(not part.held, "this does not hold", parts=(part,))
