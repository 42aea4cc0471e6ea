"""CloudEvents: the immutable value, and parsing it from requests and JSON. No I/O here."""

from pacifica.dispatcher.events.event import ABSENT, Attribute, Event, Json, canonical
from pacifica.dispatcher.events.http_binding import Received, parse_request
from pacifica.dispatcher.events.json_format import parse_event
from pacifica.dispatcher.events.strict_json import check_json

__all__ = [
    "ABSENT",
    "Attribute",
    "Event",
    "Json",
    "Received",
    "canonical",
    "check_json",
    "parse_event",
    "parse_request",
]
