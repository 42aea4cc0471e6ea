"""The built-in applications `add` and `mul`, for trying out a new installation."""

import math
from typing import Final

from pacifica.dispatcher.applications.application import Application, Handler
from pacifica.dispatcher.events import Event

BUILT_IN: Final = tuple(
    Application(name, Handler(__name__, name), dispatch=True) for name in ("add", "mul")
)
"""The applications that every installation has; a section of the same name replaces one."""


def add(event: Event) -> int:
    """Return the sum of the integers in the event's data."""
    return sum(_integers(event))


def mul(event: Event) -> int:
    """Return the product of the integers in the event's data."""
    return math.prod(_integers(event))


def _integers(event: Event) -> list[int]:
    if not isinstance(event.data, list):
        raise TypeError("data must be a list of integers")
    integers = [each for each in event.data if isinstance(each, int) and not isinstance(each, bool)]
    if len(integers) != len(event.data):
        raise TypeError(f"data must contain only integers: {event.data!r}")
    return integers
