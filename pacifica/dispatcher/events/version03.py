"""CloudEvents 0.2 and 0.3 in JSON, put in the names of 1.0."""

import json
from collections.abc import Mapping

from pacifica.dispatcher.errors import Problem
from pacifica.dispatcher.events.event import Json
from pacifica.dispatcher.events.rules import INT32, STRINGS, pointer
from pacifica.dispatcher.events.timestamps import with_zone

_NAMES: Mapping[str, Mapping[str, str]] = {
    "0.2": {"contenttype": "datacontenttype", "schemaurl": "dataschema"},
    "0.3": {"schemaurl": "dataschema"},
}


def from_version03(
    document: Mapping[str, Json], problems: list[Problem]
) -> tuple[dict[str, Json], dict[str, str]]:
    """Rename the members of a 0.2 or 0.3 document to those of 1.0.

    Version 0.3 says by `datacontentencoding: base64` that the data, a string, stands for bytes
    (specification 0.3, "datacontentencoding"; RFC 2045, section 6.8: it may have line breaks).
    Version 0.2 says nothing of the kind, so that a string there stays one. An extension whose
    value 1.0 has no type for becomes its JSON text. A time without a zone is marked.

    Args:
        document: the document, whose `specversion` is 0.2 or 0.3.
        problems: takes what is wrong with it.

    Returns:
        the document in 1.0, and a pointer into the old one for each pointer into the new one.
    """
    version = str(document["specversion"])
    names = _NAMES[version]
    pointers = {f"/{new}": f"/{old}" for old, new in names.items() if old in document}
    renamed: dict[str, Json] = {}
    for old, value in document.items():
        new = names.get(old, old)
        if new in renamed:
            what = f"this attribute and {old} both come to {new} in version 1.0"
            problems.append(Problem(pointer(old), what))
        elif new == "data_base64":
            problems.append(Problem("/data_base64", f"version {version} has no such member"))
        elif value is not None or new == "data":
            renamed[new] = value if new in STRINGS or new == "data" else typed(value)
    renamed["specversion"] = "1.0"
    if isinstance(time := renamed.get("time"), str):
        renamed["time"] = with_zone(time)
    if version == "0.3":
        _decode(renamed, problems)
        if "data_base64" in renamed:
            pointers["/data_base64"] = "/data"
    return renamed, pointers


def typed(value: Json) -> Json:
    """An extension's value as 1.0 can type it."""
    if value is None or isinstance(value, str | bool):
        return value
    return value if isinstance(value, int) and value in INT32 else json.dumps(value)


def _decode(document: dict[str, Json], problems: list[Problem]) -> None:
    """Put data that is encoded where 1.0 has it."""
    encoding = document.pop("datacontentencoding", None)
    if encoding is None:
        return
    if str(encoding).lower() != "base64":
        problems.append(Problem("/datacontentencoding", "only base64 is understood"))
    elif "data" in document:
        data = document.pop("data")
        document["data_base64"] = "".join(data.split()) if isinstance(data, str) else data
