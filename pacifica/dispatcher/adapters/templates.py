"""The attributes of an event as texts with placeholders, filled from what a sender delivered."""

import json
from dataclasses import dataclass
from typing import Final, Self

from pacifica.dispatcher.adapters.headers import key
from pacifica.dispatcher.command import Argument, Placeholder
from pacifica.dispatcher.errors import ApplicationError, EventError, Problem
from pacifica.dispatcher.events import Event, Json, Received, parse, timestamps
from pacifica.dispatcher.events.rules import checked

ATTRIBUTES: Final = ("id", "source", "type", "subject", "time")
"""What there are templates for."""

NEEDED: Final = ("id", "source", "type")
"""Those without which there is no event."""

_LITERAL: Final = {"specversion": "1.0", "id": "1", "source": "/", "type": "t"}


@dataclass(frozen=True, slots=True)
class Template:
    """A text with placeholders of a command; `{data}` is the body, any other name a header.

    Attributes:
        text: what to call it when the delivery lacks a part of it.
        argument: literal text and placeholders.
        until: what is filled in ends before the last of this, if it is in it.
    """

    text: str
    argument: Argument
    until: str = ""

    @classmethod
    def parse(cls, text: str, until: str = "") -> Self:
        """Read it; it is called what it is.

        Raises:
            ValueError: braces do not close, or a placeholder is none.
        """
        return cls(text, Argument.parse(text), until)

    @property
    def literal(self) -> bool:
        """Whether nothing in it is the sender's."""
        return not any(isinstance(part, Placeholder) for part in self.argument.parts)

    def check_literal(self, attribute: str) -> None:
        """Find out before any event comes that none could have this text as its attribute.

        Raises:
            ValueError: it could not.
        """
        problems: list[Problem] = []
        if self.literal:
            checked({**_LITERAL, attribute: self.argument.plain(_NOTHING)}, problems)
        if problems:
            raise ValueError(f"cannot be used: {problems[0].what}")

    def fill(self, delivered: Event) -> str:
        """The text for a delivery; empty when that lacks a part of it."""
        try:
            text = self.argument.plain(delivered)
        except ApplicationError:
            return ""
        return (text.rpartition(self.until)[0] if self.until else "") or text


_NOTHING: Final = Event({}, None, "null")


@dataclass(frozen=True, slots=True)
class Templates:
    """What each attribute is made of: the first of its templates that the delivery has all for."""

    id: tuple[Template, ...]
    source: tuple[Template, ...]
    type: tuple[Template, ...]
    subject: tuple[Template, ...] = ()
    time: tuple[Template, ...] = ()

    def event(self, delivered: Event, **given: str) -> Event:
        """The event of a delivery, with its body as the data, character by character.

        Args:
            delivered: headers as attributes, the body as data, and its JSON text.
            given: attributes that are known already.

        Raises:
            EventError: an attribute that is required cannot be made, or one is not valid.
        """
        problems: list[Problem] = []
        document: dict[str, Json] = {"specversion": "1.0", "datacontenttype": "application/json"}
        for name in ATTRIBUTES:
            templates: tuple[Template, ...] = getattr(self, name)
            texts = (each.fill(delivered) for each in templates)
            if text := given.get(name) or next(filter(None, texts), ""):
                document[name] = timestamps.from_elsewhere(text) if name == "time" else text
            elif name in NEEDED:
                wanted = " or ".join(each.text for each in templates)
                problems.append(
                    Problem(f"/{name}", f"this is made of {wanted}, which is not there")
                )
        missing = {each.where for each in problems}
        invalid: list[Problem] = []
        checked(document, invalid)
        problems.extend(each for each in invalid if each.where not in missing)
        if problems:
            raise EventError("no valid CloudEvent can be made of this", problems)
        return parse(f'{json.dumps(document)[:-1]}, "data": {delivered.sent}}}')

    def read(self, delivered: Event) -> Received:
        """The one event of a delivery.

        Raises:
            EventError: as `event`.
        """
        return Received((self.event(delivered),), batch=False)


def header(name: str) -> Template:
    """What a header holds."""
    return Template(f"the header {name}", Argument((Placeholder(key(name)),)))


def templates(*texts: str, until: str = "") -> tuple[Template, ...]:
    """Templates of these texts; of an empty one, none."""
    return tuple(Template.parse(text, until) for text in texts if text)
