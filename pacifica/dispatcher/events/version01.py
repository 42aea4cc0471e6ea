"""CloudEvents 0.1 in JSON, which Pacifica sends, put in the names of 1.0."""

import re
from collections.abc import Mapping

from pacifica.dispatcher.errors import EventError, Problem
from pacifica.dispatcher.events.event import Json
from pacifica.dispatcher.events.timestamps import with_zone
from pacifica.dispatcher.events.version03 import typed

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
"""The members of a 0.1 document and what they are called in 1.0."""

_RESERVED = frozenset({*NAMES.values(), "specversion", "data_base64"})


def from_version01(
    document: Mapping[str, Json], problems: list[Problem]
) -> tuple[dict[str, Json], dict[str, str]]:
    """Rename a 0.1 document's members to those of 1.0.

    A time without a zone stays usable and is marked. Extensions become attributes with lower-case
    names; a value that 1.0 has no type for becomes its JSON text. The version does not mark data
    that stands for bytes, so that a string stays one.

    Args:
        document: the 0.1 document.
        problems: takes what is wrong with the extensions.

    Returns:
        the document in 1.0, and a pointer into the old one for each pointer into the new one.

    Raises:
        EventError: the version is not 0.1.
    """
    if document["cloudEventsVersion"] != "0.1":
        what = "only 0.1 is understood (and specversion 0.2, 0.3 and 1.0)"
        raise EventError("this is no valid CloudEvent", [Problem("/cloudEventsVersion", what)])
    renamed: dict[str, Json] = {"specversion": "1.0"}
    for old, new in NAMES.items():
        if document.get(old) is not None or (old == "data" and "data" in document):
            renamed[new] = document[old]
    if isinstance(time := renamed.get("time"), str):
        renamed["time"] = with_zone(time)
    pointers = {f"/{new}": f"/{old}" for old, new in NAMES.items()}
    extensions = document.get("extensions")
    if isinstance(extensions, dict):
        for old, value in extensions.items():
            new = re.sub(r"[^a-z0-9]", "", old.lower()) or old
            pointers.setdefault(f"/{new}", "/extensions")
            if new in _RESERVED or new in renamed:
                what = f"an extension's name comes to {new}, which is taken"
                problems.append(Problem("/extensions", what))
            else:
                renamed[new] = typed(value)
    elif extensions is not None:
        problems.append(Problem("/extensions", "this must be an object"))
    return renamed, pointers
