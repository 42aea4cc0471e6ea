"""Predicates on an event, by dialect (CloudEvents Subscriptions API 1.0, section 3.2.4). Pure."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Protocol

from pacifica.dispatcher.events import Event
from pacifica.dispatcher.filters.attributes import Exact, Prefix, Suffix

__all__ = ["ATTRIBUTE_DIALECTS", "Exact", "Filter", "Prefix", "Suffix"]


class Filter(Protocol):
    """A predicate on an event: it compares an attribute with a value."""

    @property
    def attribute(self) -> str:
        """The name of the attribute."""

    @property
    def value(self) -> str:
        """What it is compared with."""

    def matches(self, event: Event, /) -> bool:
        """Whether the event passes."""


ATTRIBUTE_DIALECTS: Mapping[str, Callable[[str, str], Filter]] = MappingProxyType(
    {"exact": Exact, "prefix": Prefix, "suffix": Suffix}
)
"""The dialects that compare one attribute with one value: name → (attribute, value) → filter."""
