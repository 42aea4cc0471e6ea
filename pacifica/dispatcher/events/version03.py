"""Upgrade of CloudEvents 0.2 and 0.3 in JSON to 1.0."""

import json
from collections.abc import Mapping

from pacifica.dispatcher.errors import Problem
from pacifica.dispatcher.events.attributes import INT32, STRINGS, attribute_pointer
from pacifica.dispatcher.events.event import Json
from pacifica.dispatcher.events.timestamps import mark_unknown_zone

_NAMES: Mapping[str, Mapping[str, str]] = {
    "0.2": {"contenttype": "datacontenttype", "schemaurl": "dataschema"},
    "0.3": {"schemaurl": "dataschema"},
}


def upgrade_version03(
    document: Mapping[str, Json], problems: list[Problem]
) -> tuple[dict[str, Json], dict[str, str]]:
    """Rename the members of a 0.2 or 0.3 document to those of 1.0.

    In version 0.3, `datacontentencoding: base64` marks a string as encoded bytes (specification
    0.3, "datacontentencoding"; line breaks are allowed by RFC 2045, section 6.8). Version 0.2 has
    no such mark, so a string stays a string. An extension value of a type that 1.0 lacks becomes
    its JSON text. A time without a zone is marked as such.

    Args:
        document: a document with `specversion` 0.2 or 0.3.
        problems: receives a problem for each invalid member.

    Returns:
        the document in 1.0, and the pointers into the old document by those into the new one.
    """
    version = str(document["specversion"])
    names = _NAMES[version]
    pointers = {f"/{new}": f"/{old}" for old, new in names.items() if old in document}
    renamed: dict[str, Json] = {}
    for old, value in document.items():
        new = names.get(old, old)
        if new in renamed:
            what = f"conflicts with another member that is {new} in version 1.0"
            problems.append(Problem(attribute_pointer(old), what))
        elif new == "data_base64":
            problems.append(Problem("/data_base64", f"is not supported in version {version}"))
        elif value is not None or new == "data":
            renamed[new] = value if new in STRINGS or new == "data" else to_attribute(value)
    renamed["specversion"] = "1.0"
    if isinstance(time := renamed.get("time"), str):
        renamed["time"] = mark_unknown_zone(time)
    if version == "0.3":
        _move_encoded_data(renamed, problems)
        if "data_base64" in renamed:
            pointers["/data_base64"] = "/data"
    return renamed, pointers


def to_attribute(value: Json) -> Json:
    """Convert an extension's value to a type that 1.0 has."""
    if value is None or isinstance(value, str | bool):
        return value
    return value if isinstance(value, int) and value in INT32 else json.dumps(value)


def _move_encoded_data(document: dict[str, Json], problems: list[Problem]) -> None:
    encoding = document.pop("datacontentencoding", None)
    if encoding is None:
        return
    if str(encoding).lower() != "base64":
        what = f"must be base64, not {str(encoding)[:80]!r}"
        problems.append(Problem("/datacontentencoding", what))
    elif "data" in document:
        data = document.pop("data")
        document["data_base64"] = "".join(data.split()) if isinstance(data, str) else data
