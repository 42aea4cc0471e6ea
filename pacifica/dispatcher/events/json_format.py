"""One event in JSON: CloudEvents 1.0 (JSON format 1.0.2, section 3), and 0.1, 0.2 and 0.3."""

import base64
import binascii

from pacifica.dispatcher.errors import EventError, Problem
from pacifica.dispatcher.events import strict_json
from pacifica.dispatcher.events.event import ABSENT, Absent, Event, Json
from pacifica.dispatcher.events.rules import checked
from pacifica.dispatcher.events.version01 import from_version01
from pacifica.dispatcher.events.version03 import from_version03

INVALID = "this is no valid CloudEvent"


def parse(text: str) -> Event:
    """Read one event from the JSON text of it.

    Raises:
        EventError: it is no JSON object or no valid event; every bad attribute is named.
    """
    return from_document(strict_json.loads(text), text)


def from_document(document: Json, sent: str) -> Event:
    """Make the event of a JSON document.

    Args:
        document: what the JSON text holds.
        sent: the JSON text, which the event keeps as it is.

    Raises:
        EventError: it is no object or no valid event; every bad attribute is named.
    """
    if not isinstance(document, dict):
        hint = (
            "; a batch is application/cloudevents-batch+json" if isinstance(document, list) else ""
        )
        raise EventError(f"an event is a JSON object{hint}")
    problems: list[Problem] = []
    names: dict[str, str] = {}
    version = document.get("specversion")
    if version is None and "cloudEventsVersion" in document:
        document, names = from_version01(document, problems)
    elif isinstance(version, str) and version in {"0.2", "0.3"}:
        document, names = from_version03(document, problems)
    attributes = checked(document, problems)
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
        problems.append(Problem("/data_base64", "data and data_base64 exclude each other"))
    if isinstance(encoded, str):
        try:
            return base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            pass
    problems.append(Problem("/data_base64", "this is not Base64 (RFC 4648, section 4)"))
    return ABSENT
