"""The dialects exact, prefix and suffix, which compare an attribute's canonical string.

Subscriptions API 1.0, section 3.2.4.1.1; CloudEvents 1.0.2, section 2.4. Case-sensitive.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

from pacifica.dispatcher.events import Event, Json
from pacifica.dispatcher.rules.filter import Explanation, beginning

_NAME = re.compile(r"[a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Comparison:
    """A comparison of one attribute with one value; a missing attribute never matches."""

    attribute: str
    value: str
    dialect: ClassVar[str]
    verb: ClassVar[str]

    @property
    def cost(self) -> int:
        """Return the cost of one comparison."""
        return 1

    @property
    def clause(self) -> str:
        """Return the filter in words."""
        return f"{self.attribute} {self.verb} {self.value!r}"

    def document(self) -> dict[str, Json]:
        """Return the filter as JSON."""
        return {self.dialect: {self.attribute: self.value}}

    def matches(self, event: Event) -> bool:
        """Return True if the event matches."""
        raise NotImplementedError

    def explain(self, event: Event) -> Explanation:
        """Explain the result, with the attribute's canonical string as the value."""
        value = beginning(event.text(self.attribute))
        return Explanation(self.matches(event), self.clause, value)


class Exact(Comparison):
    """The attribute equals the value."""

    __slots__ = ()
    dialect = "exact"
    verb = "is"

    def matches(self, event: Event) -> bool:
        """Return True if the event matches."""
        return event.text(self.attribute) == self.value


class Prefix(Comparison):
    """The attribute begins with the value."""

    __slots__ = ()
    dialect = "prefix"
    verb = "begins with"

    def matches(self, event: Event) -> bool:
        """Return True if the event matches."""
        text = event.text(self.attribute)
        return text is not None and text.startswith(self.value)


class Suffix(Comparison):
    """The attribute ends with the value."""

    __slots__ = ()
    dialect = "suffix"
    verb = "ends with"

    def matches(self, event: Event) -> bool:
        """Return True if the event matches."""
        text = event.text(self.attribute)
        return text is not None and text.endswith(self.value)


ATTRIBUTE_DIALECTS: Mapping[str, type[Comparison]] = MappingProxyType(
    {each.dialect: each for each in (Exact, Prefix, Suffix)}
)
"""The dialects that compare one attribute with one value, by name."""


def make_comparison(dialect: str, attribute: str, value: str) -> Comparison:
    """Make a comparison from operator input.

    Args:
        dialect: one of ATTRIBUTE_DIALECTS.
        attribute: the attribute's name.
        value: the value to compare it with.

    Raises:
        ValueError: invalid attribute name, or an empty value.
    """
    if not _NAME.fullmatch(attribute) or attribute == "data":
        raise ValueError(
            f"{attribute[:80]!r} is not a valid attribute name; "
            "use lower-case letters and digits, and not data"
        )
    if not value:
        raise ValueError("must not be empty")
    return ATTRIBUTE_DIALECTS[dialect](attribute, value)
