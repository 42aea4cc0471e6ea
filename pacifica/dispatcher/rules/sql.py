"""The dialect sql: a CESQL expression (Subscriptions API 1.0, section 3.2.4.1.2)."""

from dataclasses import dataclass
from typing import Self

from pacifica.dispatcher.events import Event, Json
from pacifica.dispatcher.rules.cesql import CesqlError, Expression
from pacifica.dispatcher.rules.filter import Explanation, beginning

_COST = 5


@dataclass(frozen=True, slots=True)
class Sql:
    """An expression that must evaluate to true without an error (CESQL 1.0, section 1.2)."""

    expression: Expression

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse an expression.

        Raises:
            ValueError: empty or not a valid expression.
        """
        if not text.strip():
            raise ValueError("must not be empty")
        try:
            return cls(Expression.compile(text))
        except CesqlError as exc:
            raise ValueError(f"is not a valid CESQL expression: {exc}") from exc

    @property
    def cost(self) -> int:
        """Return the cost of an average expression."""
        return _COST

    def document(self) -> dict[str, Json]:
        """Return the filter as JSON."""
        return {"sql": self.expression.text}

    def matches(self, event: Event) -> bool:
        """Return True if the event matches."""
        return self.expression.is_true(event.attributes)

    def explain(self, event: Event) -> Explanation:
        """Explain the result, with the attributes used by the expression as the value."""
        result = self.expression.evaluate(event.attributes)
        error = None
        if result.errors:
            error = "; ".join(f"{each.kind.value} error: {each}" for each in result.errors)
        elif not isinstance(result.value, bool):
            error = f"result {beginning(result.value)!r} is not a Boolean"
        compared: dict[str, Json] = {
            name: beginning(event.attributes.get(name)) for name in self.expression.attributes
        }
        held = error is None and result.value is True
        return Explanation(held, f"the expression {self.expression.text} is true", compared, error)
