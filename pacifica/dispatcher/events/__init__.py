"""CloudEvents: the value, and reading it from what was sent. Pure: no input or output here."""

from pacifica.dispatcher.events.event import ABSENT, Attribute, Event, Json, canonical
from pacifica.dispatcher.events.http import Received, receive
from pacifica.dispatcher.events.json_format import parse
from pacifica.dispatcher.events.strict_json import check as check_json

__all__ = [
    "ABSENT",
    "Attribute",
    "Event",
    "Json",
    "Received",
    "canonical",
    "check_json",
    "parse",
    "receive",
]
