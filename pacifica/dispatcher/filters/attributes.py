"""The dialects that compare one attribute's canonical string with a value, case-sensitively."""

from dataclasses import dataclass

from pacifica.dispatcher.events import Event


@dataclass(frozen=True, slots=True)
class Exact:
    """The attribute is there and is this very string."""

    attribute: str
    value: str

    def matches(self, event: Event) -> bool:
        """Whether the event passes."""
        return event.text(self.attribute) == self.value


@dataclass(frozen=True, slots=True)
class Prefix:
    """The attribute is there and begins with this string."""

    attribute: str
    value: str

    def matches(self, event: Event) -> bool:
        """Whether the event passes."""
        text = event.text(self.attribute)
        return text is not None and text.startswith(self.value)


@dataclass(frozen=True, slots=True)
class Suffix:
    """The attribute is there and ends with this string."""

    attribute: str
    value: str

    def matches(self, event: Event) -> bool:
        """Whether the event passes."""
        text = event.text(self.attribute)
        return text is not None and text.endswith(self.value)
