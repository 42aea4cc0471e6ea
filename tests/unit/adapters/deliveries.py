"""Helpers for the tests of adapters."""

import json

import pytest

from pacifica.dispatcher.adapters.adapter import Converter
from pacifica.dispatcher.adapters.headers import header_key
from pacifica.dispatcher.errors import EventError
from pacifica.dispatcher.events import Event, Json


def delivery(body: Json, **headers: str) -> Event:
    """Return a delivery with this body; header names have underscores instead of hyphens."""
    return Event({header_key(name): text for name, text in headers.items()}, body, json.dumps(body))


def made(convert: Converter, body: Json, **headers: str) -> dict[str, Json]:
    """Return the attributes of a delivery's only event, except those common to all events."""
    received = convert(delivery(body, **headers))
    [event] = received.events
    assert not received.batch
    assert event.data == body
    attributes: dict[str, Json] = dict(event.attributes)
    assert attributes.pop("specversion") == "1.0"
    assert attributes.pop("datacontenttype") == "application/json"
    return attributes


def missing(convert: Converter, body: Json, **headers: str) -> dict[str, str]:
    """Return the problems of a delivery by pointer."""
    with pytest.raises(EventError) as caught:
        convert(delivery(body, **headers))
    return {each.where: each.what for each in caught.value.problems}
