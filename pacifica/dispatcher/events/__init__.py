"""CloudEvents: the immutable value, and parsing it from requests and JSON. No I/O here."""

from pacifica.dispatcher.events.content import content_digest, differing_parts
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
    "content_digest",
    "differing_parts",
    "parse_event",
    "parse_request",
]
