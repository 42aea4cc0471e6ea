"""CloudEvents 0.1 in JSON, which Pacifica sends, put in the names of 1.0."""

import json
import re

from pacifica.dispatcher.errors import EventError, Problem
from pacifica.dispatcher.events.event import Json

_NAMES = {
    "eventID": "id",
    "eventType": "type",
    "eventTypeVersion": "eventtypeversion",
    "source": "source",
    "eventTime": "time",
    "schemaURL": "dataschema",
    "contentType": "datacontenttype",
    "data": "data",
}
_WITHOUT_ZONE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?", re.ASCII)


def from_version01(document: dict[str, Json]) -> dict[str, Json]:
    """Rename a 0.1 document's members to those of 1.0.

    A time without a zone stays usable and is marked: it gets the offset `-00:00`, by which RFC 3339
    (section 4.3) says that the offset to local time is not known. Extensions become attributes with
    lower-case names; a value that 1.0 has no type for becomes its JSON text.

    Raises:
        EventError: the version is not 0.1, or an extension collides with an attribute.
    """
    version = document["cloudEventsVersion"]
    if version != "0.1":
        raise EventError(
            "this is no valid CloudEvent",
            [Problem("/cloudEventsVersion", "only 0.1 is understood (and specversion 1.0)")],
        )
    renamed: dict[str, Json] = {"specversion": "1.0"}
    for old, new in _NAMES.items():
        if document.get(old) is not None or (old == "data" and "data" in document):
            renamed[new] = document[old]
    time = renamed.get("time")
    if isinstance(time, str) and _WITHOUT_ZONE.fullmatch(time):
        renamed["time"] = f"{time}-00:00"
    for name, value in _extensions(document).items():
        if name in renamed:
            raise EventError(
                "this is no valid CloudEvent",
                [Problem("/extensions", f"an extension may not be called {name}")],
            )
        renamed[name] = value
    return renamed


def _extensions(document: dict[str, Json]) -> dict[str, Json]:
    extensions = document.get("extensions")
    if extensions is None:
        return {}
    if not isinstance(extensions, dict):
        raise EventError(
            "this is no valid CloudEvent", [Problem("/extensions", "this must be an object")]
        )
    return {
        re.sub(r"[^a-z0-9]", "", name.lower()) or name: (
            json.dumps(value) if isinstance(value, dict | list | float) else value
        )
        for name, value in extensions.items()
    }
