"""Upgrade of CloudEvents 0.1 in JSON, which Pacifica sends, to 1.0."""

import re
from collections.abc import Mapping

from pacifica.dispatcher.errors import EventError, Problem
from pacifica.dispatcher.events.attributes import INVALID
from pacifica.dispatcher.events.event import Json
from pacifica.dispatcher.events.timestamps import mark_unknown_zone
from pacifica.dispatcher.events.version03 import to_attribute

NAMES = {
    "eventID": "id",
    "eventType": "type",
    "eventTypeVersion": "eventtypeversion",
    "source": "source",
    "eventTime": "time",
    "schemaURL": "dataschema",
    "contentType": "datacontenttype",
    "data": "data",
}
"""The members of a 0.1 document and their names in 1.0."""

_RESERVED = frozenset({*NAMES.values(), "specversion", "data_base64"})


def upgrade_version01(
    document: Mapping[str, Json], problems: list[Problem]
) -> tuple[dict[str, Json], dict[str, str]]:
    """Rename the members of a 0.1 document to those of 1.0.

    A time without a zone is marked as such. Extensions become attributes with lower-case names; a
    value of a type that 1.0 lacks becomes its JSON text. Version 0.1 cannot mark a string as
    encoded bytes, so a string stays a string.

    Args:
        document: the 0.1 document.
        problems: receives a problem for each invalid extension.

    Returns:
        the document in 1.0, and the pointers into the old document by those into the new one.

    Raises:
        EventError: the version is not 0.1.
    """
    if document["cloudEventsVersion"] != "0.1":
        what = "must be 0.1 (or specversion must be 0.2, 0.3 or 1.0)"
        raise EventError(INVALID, [Problem("/cloudEventsVersion", what)])
    renamed: dict[str, Json] = {"specversion": "1.0"}
    for old, new in NAMES.items():
        if document.get(old) is not None or (old == "data" and "data" in document):
            renamed[new] = document[old]
    if isinstance(time := renamed.get("time"), str):
        renamed["time"] = mark_unknown_zone(time)
    pointers = {f"/{new}": f"/{old}" for old, new in NAMES.items()}
    extensions = document.get("extensions")
    if isinstance(extensions, dict):
        for old, value in extensions.items():
            new = re.sub(r"[^a-z0-9]", "", old.lower()) or old
            pointers.setdefault(f"/{new}", "/extensions")
            if new in _RESERVED or new in renamed:
                what = f"must not contain {old[:80]!r}: attribute {new} already exists"
                problems.append(Problem("/extensions", what))
            else:
                renamed[new] = to_attribute(value)
    elif extensions is not None:
        problems.append(Problem("/extensions", "must be an object"))
    return renamed, pointers
