"""What the tests of the adapters share: a delivery, and what became of it."""

import json

import pytest

from pacifica.dispatcher.adapters.adapter import Reader
from pacifica.dispatcher.adapters.headers import key
from pacifica.dispatcher.errors import EventError
from pacifica.dispatcher.events import Event, Json


def delivered(body: Json, **headers: str) -> Event:
    """A delivery with this body; header names have underscores for hyphens."""
    return Event({key(name): text for name, text in headers.items()}, body, json.dumps(body))


def made(read: Reader, body: Json, **headers: str) -> dict[str, Json]:
    """The attributes of the one event of a delivery, but those that are the same for all."""
    received = read(delivered(body, **headers))
    [event] = received.events
    assert not received.batch
    assert event.data == body
    attributes: dict[str, Json] = dict(event.attributes)
    assert attributes.pop("specversion") == "1.0"
    assert attributes.pop("datacontenttype") == "application/json"
    return attributes


def missing(read: Reader, body: Json, **headers: str) -> dict[str, str]:
    """What is wrong with a delivery: sentences by places."""
    with pytest.raises(EventError) as caught:
        read(delivered(body, **headers))
    return {each.where: each.what for each in caught.value.problems}
