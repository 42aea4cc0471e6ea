"""Templates for the attributes of an event, filled from a delivery."""

import json
from dataclasses import dataclass
from typing import Final, Self

from pacifica.dispatcher.adapters.headers import header_key
from pacifica.dispatcher.applications.command_template import Argument, Placeholder
from pacifica.dispatcher.errors import ApplicationError, EventError, Problem
from pacifica.dispatcher.events import Event, Json, Received, parse_event, timestamps
from pacifica.dispatcher.events.attributes import check_attributes

ATTRIBUTES: Final = ("id", "source", "type", "subject", "time")
"""The attributes that have templates."""

NEEDED: Final = ("id", "source", "type")
"""The attributes that every event needs a template for."""

_MINIMAL: Final = {"specversion": "1.0", "id": "1", "source": "/", "type": "t"}
_NO_DELIVERY: Final = Event({}, None, "null")


@dataclass(frozen=True, slots=True)
class Template:
    """A text with placeholders: `{data…}` is a part of the body, any other name a header.

    Attributes:
        label: its name in an error message.
        argument: literal text and placeholders.
        until: cuts the result before its last occurrence, if there is one.
    """

    label: str
    argument: Argument
    until: str = ""

    @classmethod
    def parse(cls, text: str, until: str = "") -> Self:
        """Parse a template, which is labelled by its own text.

        Raises:
            ValueError: unbalanced braces, or an invalid placeholder.
        """
        return cls(text, Argument.parse(text), until)

    @property
    def literal(self) -> bool:
        """Return True if it has no placeholders."""
        return self.argument.literal

    def check_literal(self, attribute: str) -> None:
        """Validate a template without placeholders as the value of an attribute.

        Raises:
            ValueError: not a valid value.
        """
        problems: list[Problem] = []
        if self.literal:
            check_attributes({**_MINIMAL, attribute: self.argument.text(_NO_DELIVERY)}, problems)
        if problems:
            raise ValueError(problems[0].what)

    def fill(self, delivery: Event) -> str:
        """Return the text for a delivery; empty if the delivery lacks a part of it."""
        try:
            text = self.argument.text(delivery)
        except ApplicationError:
            return ""
        return (text.rpartition(self.until)[0] if self.until else "") or text


@dataclass(frozen=True, slots=True)
class Templates:
    """The templates of each attribute, of which the first that the delivery can fill is used."""

    id: tuple[Template, ...]
    source: tuple[Template, ...]
    type: tuple[Template, ...]
    subject: tuple[Template, ...] = ()
    time: tuple[Template, ...] = ()

    def build_event(self, delivery: Event, **given: str) -> Event:
        """Build the event of a delivery, with the unchanged body as its data.

        Args:
            delivery: headers as attributes, the body as data, and the body's JSON text.
            given: attributes that need no template.

        Raises:
            EventError: a required attribute cannot be filled, or an attribute is invalid.
        """
        problems: list[Problem] = []
        document: dict[str, Json] = {"specversion": "1.0", "datacontenttype": "application/json"}
        for name in ATTRIBUTES:
            templates: tuple[Template, ...] = getattr(self, name)
            texts = (each.fill(delivery) for each in templates)
            if text := given.get(name) or next(filter(None, texts), ""):
                document[name] = timestamps.to_rfc3339(text) if name == "time" else text
            elif name in NEEDED:
                labels = " or ".join(each.label for each in templates)
                problems.append(
                    Problem(f"/{name}", f"is required, but the delivery has no value for {labels}")
                )
        missing = {each.where for each in problems}
        invalid: list[Problem] = []
        check_attributes(document, invalid)
        problems.extend(each for each in invalid if each.where not in missing)
        if problems:
            raise EventError("Cannot make a valid CloudEvent from this delivery", problems)
        return parse_event(f'{json.dumps(document)[:-1]}, "data": {delivery.sent}}}')

    def convert(self, delivery: Event) -> Received:
        """Convert a delivery to its one event.

        Raises:
            EventError: as for `build_event`.
        """
        return Received((self.build_event(delivery),), batch=False)


def header_template(name: str) -> Template:
    """Return a template for the value of a header."""
    return Template(f"header {name}", Argument((Placeholder(header_key(name)),)))


def parse_templates(*texts: str, until: str = "") -> tuple[Template, ...]:
    """Parse several templates, leaving out empty texts."""
    return tuple(Template.parse(text, until) for text in texts if text)
