"""The built-in handlers `add` and `mul`: two applications to try a new installation with."""

import math

from pacifica.dispatcher.events import Event


def add(event: Event) -> int:
    """The sum of the integers in the event's data."""
    return sum(_integers(event))


def mul(event: Event) -> int:
    """The product of the integers in the event's data."""
    return math.prod(_integers(event))


def _integers(event: Event) -> list[int]:
    if not isinstance(event.data, list):
        raise TypeError("the data must be a list of integers")
    integers = [each for each in event.data if isinstance(each, int) and not isinstance(each, bool)]
    if len(integers) != len(event.data):
        raise TypeError(f"only integers, please: {event.data!r}")
    return integers
