"""The dialects that compare one attribute's canonical string with a value, case-sensitively.

Subscriptions API 1.0, section 3.2.4.1.1. The canonical string is that of CloudEvents 1.0.2,
section 2.4.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

from pacifica.dispatcher.events import Event, Json
from pacifica.dispatcher.filters.filter import Explanation

_NAME = re.compile(r"[a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Comparison:
    """One attribute is compared with one value; an attribute that is not there never fits."""

    attribute: str
    value: str
    dialect: ClassVar[str]
    words: ClassVar[str]

    @property
    def cost(self) -> int:
        """One comparison."""
        return 1

    @property
    def clause(self) -> str:
        """The filter in words."""
        return f"{self.attribute} {self.words} {self.value!r}"

    def document(self) -> dict[str, Json]:
        """The filter in JSON."""
        return {self.dialect: {self.attribute: self.value}}

    def matches(self, event: Event) -> bool:
        """Whether the event passes."""
        raise NotImplementedError

    def explain(self, event: Event) -> Explanation:
        """Why the event passes, or does not; the value is the attribute's string."""
        return Explanation(self.matches(event), self.clause, event.text(self.attribute))


class Exact(Comparison):
    """The attribute is this very string."""

    __slots__ = ()
    dialect = "exact"
    words = "is"

    def matches(self, event: Event) -> bool:
        """Whether the event passes."""
        return event.text(self.attribute) == self.value


class Prefix(Comparison):
    """The attribute begins with this string."""

    __slots__ = ()
    dialect = "prefix"
    words = "begins with"

    def matches(self, event: Event) -> bool:
        """Whether the event passes."""
        text = event.text(self.attribute)
        return text is not None and text.startswith(self.value)


class Suffix(Comparison):
    """The attribute ends with this string."""

    __slots__ = ()
    dialect = "suffix"
    words = "ends with"

    def matches(self, event: Event) -> bool:
        """Whether the event passes."""
        text = event.text(self.attribute)
        return text is not None and text.endswith(self.value)


ATTRIBUTE_DIALECTS: Mapping[str, type[Comparison]] = MappingProxyType(
    {each.dialect: each for each in (Exact, Prefix, Suffix)}
)
"""The dialects that compare one attribute with one value, by their names."""


def attribute_filter(dialect: str, attribute: str, value: str) -> Comparison:
    """Make a filter of what an operator wrote.

    Args:
        dialect: one of ATTRIBUTE_DIALECTS.
        attribute: the attribute's name.
        value: what it is compared with.

    Raises:
        ValueError: no attribute can have this name, or the value is empty.
    """
    if not _NAME.fullmatch(attribute) or attribute == "data":
        raise ValueError(
            "an attribute's name has only lower-case letters and digits, and is not data"
        )
    if not value:
        raise ValueError("must not be empty")
    return ATTRIBUTE_DIALECTS[dialect](attribute, value)
