"""The dialect sql: a CESQL expression (Subscriptions API 1.0, section 3.2.4.1.2)."""

from dataclasses import dataclass
from typing import Self

from pacifica.dispatcher.events import Event, Json
from pacifica.dispatcher.filters.cesql import CesqlError, Expression
from pacifica.dispatcher.filters.filter import Explanation

_COST = 5


@dataclass(frozen=True, slots=True)
class Sql:
    """The expression comes to true, without an error (CESQL 1.0, section 1.2)."""

    expression: Expression

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an expression.

        Raises:
            ValueError: it is empty or none; the message says where.
        """
        if not text.strip():
            raise ValueError("must not be empty")
        try:
            return cls(Expression.compile(text))
        except CesqlError as exc:
            raise ValueError(f"is no CESQL expression: {exc}") from exc

    @property
    def cost(self) -> int:
        """Several comparisons."""
        return _COST

    def document(self) -> dict[str, Json]:
        """The filter in JSON."""
        return {"sql": self.expression.text}

    def matches(self, event: Event) -> bool:
        """Whether the event passes."""
        return self.expression.holds(event.attributes)

    def explain(self, event: Event) -> Explanation:
        """Why the event passes, or does not; the value is what the expression asks for."""
        result = self.expression.evaluate(event.attributes)
        error = None
        if result.errors:
            error = "; ".join(f"{each.kind.value} error: {each}" for each in result.errors)
        elif not isinstance(result.value, bool):
            error = f"the result is {result.value!r} and no Boolean"
        compared: dict[str, Json] = {
            name: event.attributes.get(name) for name in self.expression.attributes
        }
        held = error is None and result.value is True
        return Explanation(held, f"the expression {self.expression.text} is true", compared, error)
