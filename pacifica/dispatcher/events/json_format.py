"""One event in JSON: CloudEvents 1.0 (JSON format 1.0.2, section 3), and 0.1, 0.2 and 0.3."""

import base64
import binascii

from pacifica.dispatcher.errors import EventError, Problem
from pacifica.dispatcher.events import strict_json
from pacifica.dispatcher.events.attributes import INVALID, check_attributes
from pacifica.dispatcher.events.event import ABSENT, Absent, Event, Json
from pacifica.dispatcher.events.version01 import upgrade_version01
from pacifica.dispatcher.events.version03 import upgrade_version03


def parse_event(text: str) -> Event:
    """Parse one event from its JSON text.

    Raises:
        EventError: not a JSON object or not a valid event; every invalid attribute is named.
    """
    return event_from_document(strict_json.loads(text), text)


def event_from_document(document: Json, sent: str) -> Event:
    """Build an event from a parsed JSON document.

    Args:
        document: the parsed document.
        sent: its JSON text, which the event keeps unchanged.

    Raises:
        EventError: not an object or not a valid event; every invalid attribute is named.
    """
    if not isinstance(document, dict):
        hint = ""
        if isinstance(document, list):
            hint = "; send a batch as application/cloudevents-batch+json"
        raise EventError(f"An event must be a JSON object{hint}")
    problems: list[Problem] = []
    names: dict[str, str] = {}
    version = document.get("specversion")
    if version is None and "cloudEventsVersion" in document:
        document, names = upgrade_version01(document, problems)
    elif isinstance(version, str) and version in {"0.2", "0.3"}:
        document, names = upgrade_version03(document, problems)
    attributes = check_attributes(document, problems)
    data = _payload(document, problems)
    if problems:
        named = [Problem(names.get(each.where, each.where), each.what) for each in problems]
        raise EventError(INVALID, named)
    return Event(attributes, data, sent)


def _payload(document: dict[str, Json], problems: list[Problem]) -> Json | bytes | Absent:
    encoded = document.get("data_base64")
    if encoded is None:
        return document.get("data", ABSENT)
    if "data" in document:
        problems.append(Problem("/data_base64", "must not be combined with data"))
    if isinstance(encoded, str):
        try:
            return base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            pass
    problems.append(Problem("/data_base64", "is not valid Base64 (RFC 4648, section 4)"))
    return ABSENT
