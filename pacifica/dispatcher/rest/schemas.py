"""The JSON Schemas of requests and responses (JSON Schema 2020-12, as OpenAPI 3.1 uses it).

Facts that the code knows (states, limits, the members of a view) are taken from the code.
"""

import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Final, get_args, get_origin, get_type_hints

from pacifica.dispatcher import orm
from pacifica.dispatcher.errors import MAX_PROBLEMS
from pacifica.dispatcher.events.attributes import INT32
from pacifica.dispatcher.execution.artifacts import MAX_FILES
from pacifica.dispatcher.rest.documents import TIMES

Node = dict[str, Any]
"""A JSON object: a schema, or another part of an OpenAPI document."""

STATUSES: Final = ("unmatched", *orm.State)
"""All statuses of an event."""

ANYTHING: Final[Node] = {}
STRING: Final[Node] = {"type": "string"}
INTEGER: Final[Node] = {"type": "integer"}
NUMBER: Final[Node] = {"type": "number"}
BOOLEAN: Final[Node] = {"type": "boolean"}
TIME: Final[Node] = {"type": "string", "format": "date-time"}
WHEN_OR_AGO: Final[Node] = {
    "anyOf": [TIME, {"type": "string", "pattern": "^[0-9]{1,5}[smhd]$"}],
    "description": "a timestamp, or an age such as 2h (units s, m, h, d)",
}
UUID: Final[Node] = {"type": "string", "format": "uuid"}
STATE: Final[Node] = {"enum": [each.value for each in orm.State]}
STATUS: Final[Node] = {"enum": list(STATUSES)}
COUNT: Final[Node] = {"type": "integer", "minimum": 0}
_KNOWN: Final[Mapping[object, Node]] = {
    str: STRING,
    int: INTEGER,
    float: NUMBER,
    bool: BOOLEAN,
    types.NoneType: {"type": "null"},
}


def object_of(optional: Mapping[str, Node] | None = None, /, **members: Node) -> Node:
    """Describe an object with required and optional members, and no others."""
    return {
        "type": "object",
        "properties": {**members, **(optional or {})},
        "required": list(members),
        "additionalProperties": False,
    }


def list_of(items: Node) -> Node:
    """Describe an array."""
    return {"type": "array", "items": items}


def or_null(schema: Node) -> Node:
    """Describe a value that may be null."""
    return {"anyOf": [schema, {"type": "null"}]}


def reference(kind: str, name: str) -> Node:
    """Return a reference to a component."""
    return {"$ref": f"#/components/{kind}/{name}"}


def schema(name: str) -> Node:
    """Return a reference to one of SCHEMAS."""
    return reference("schemas", name)


def _view(view: type, **known: Node) -> dict[str, Node]:
    hints = get_type_hints(view)
    found = {}
    for each in fields(view):
        schema = known.get(each.name) or _of(hints[each.name])
        found[each.name] = _timestamp(schema) if each.name in TIMES else schema
    return found


def _timestamp(schema: Node) -> Node:
    return or_null(TIME) if "anyOf" in schema else TIME


def _of(hint: Any) -> Node:  # noqa: ANN401 - a type, or a union
    if hint in _KNOWN:
        return _KNOWN[hint]
    if isinstance(hint, type) and is_dataclass(hint):
        return object_of(**_view(hint))
    if get_origin(hint) in {list, tuple}:
        return list_of(_of(get_args(hint)[0]))
    parts = get_args(hint)
    if len(parts) == 2 and types.NoneType in parts:  # noqa: PLR2004 - a type or None
        return or_null(_of(next(each for each in parts if each is not types.NoneType)))
    return ANYTHING


_RUN: Final = _view(orm.RunView, status=STATE, uuid=UUID, event=UUID, origin=or_null(UUID))
_RUN_OF_EVENT: Final = {name: each for name, each in _RUN.items() if name != "event"}

_HARMLESS: Final = r"[^\x00-\x1f\x7f-\x9f\ufdd0-\ufdef\ufffe\uffff]*"
_TCHAR: Final = "[A-Za-z0-9_!#$%&'*+.^`|~-]"
_ATTRIBUTE: Final[Node] = {"type": "string", "minLength": 1, "pattern": f"^{_HARMLESS}$"}
_REFERENCE: Final[Node] = {**_ATTRIBUTE, "format": "uri-reference"}
_MEDIA_TYPE: Final[Node] = {"type": "string", "pattern": f"^{_TCHAR}+/{_TCHAR}+ *(;{_HARMLESS})?$"}
_BASE64: Final[Node] = {
    "type": "string",
    "contentEncoding": "base64",
    "pattern": "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$",
}
_EXTENSION: Final[Node] = {
    "anyOf": [
        {"type": "string", "pattern": f"^{_HARMLESS}$"},
        {"type": "integer", "minimum": INT32.start, "maximum": INT32.stop - 1},
        {"type": ["boolean", "null"]},
    ]
}

SCHEMAS: Final[Mapping[str, Node]] = {
    "CloudEvent": {
        "description": "A CloudEvent 1.0 in JSON; versions 0.1 to 0.3 are accepted too. "
        "A null attribute counts as absent; strings have no control characters.",
        "type": "object",
        "required": ["specversion", "id", "source", "type"],
        "properties": {
            "specversion": {"const": "1.0"},
            "id": _ATTRIBUTE,
            "source": _REFERENCE,
            "type": _ATTRIBUTE,
            "subject": or_null(_ATTRIBUTE),
            "time": or_null(TIME),
            "datacontenttype": or_null(_MEDIA_TYPE),
            "dataschema": or_null(_REFERENCE),
            "expirytime": or_null(TIME),
            "data": ANYTHING,
            "data_base64": or_null(_BASE64),
        },
        "patternProperties": {"^(?!data$)[a-z0-9]+$": _EXTENSION},
        "additionalProperties": False,
        "not": {"required": ["data", "data_base64"]},
    },
    "Accepted": object_of(
        {"expired": {"const": True}, "differs": {"const": True}},
        uuid=UUID,
        status=STATUS,
        duplicate=BOOLEAN,
        applications=list_of(STRING),
    ),
    "Acted": object_of(
        uuid=UUID,
        status=STATUS,
        runs=list_of(UUID),
        applications={"type": "object", "additionalProperties": {"type": "integer"}},
    ),
    "RunOfEvent": object_of(**_RUN_OF_EVENT),
    "Run": object_of(**_RUN, attempts=list_of(object_of(**_view(orm.AttemptView)))),
    "Status": object_of(
        {"expired": {"const": True}},
        uuid=UUID,
        status=STATUS,
        result=ANYTHING,
        event={"type": "object", "description": "the attributes, with their names in version 1.0"},
        received=TIME,
        runs=list_of(schema("RunOfEvent")),
    ),
    "Events": object_of(
        events=list_of(schema("Status")),
        differing=object_of(events={**COUNT, "maximum": orm.MAX_COUNTED}, deliveries=COUNT),
    ),
    "Event": object_of(
        {
            "differing": object_of(
                number=COUNT,
                deliveries={
                    **list_of(object_of(**_view(orm.DifferingDelivery))),
                    "maxItems": orm.MAX_DELIVERIES,
                },
            )
        },
        uuid=UUID,
        status=STATUS,
        received=TIME,
        event={"type": "object", "description": "the event as sent, in any version"},
        runs=list_of(schema("RunOfEvent")),
    ),
    "Files": object_of(
        files={
            **list_of(object_of(name=STRING, size=COUNT, modified=TIME, url=STRING)),
            "maxItems": MAX_FILES,
        },
        reason=or_null(STRING),
    ),
    "Application": object_of(
        name=STRING,
        rule=list_of({"type": "object", "description": "a filter (Subscriptions API, 3.2.4)"}),
        way={"enum": ["command", "handler", "not configured"]},
        command=STRING,
        dispatch=BOOLEAN,
        queue=STRING,
        priority={"type": "integer", "minimum": 0, "maximum": 9},
        concurrency=or_null(INTEGER),
        rate=or_null(object_of(interval=NUMBER, burst=INTEGER)),
        timeout=or_null(NUMBER),
        paused=or_null(TIME),
        runs={
            "type": "object",
            "propertyNames": STATE,
            "additionalProperties": {**COUNT, "maximum": orm.MAX_COUNTED},
        },
        failed_today={**COUNT, "maximum": orm.MAX_COUNTED},
        median=or_null(NUMBER),
        p95=or_null(NUMBER),
        last_success=or_null(TIME),
    ),
    "Failures": {
        **object_of(**_view(orm.FailureGroup)),
        "description": f"those of the last {orm.MAX_GROUPED} failed runs that share a cause",
    },
    "Workers": object_of(
        workers=list_of(
            object_of(
                uuid=UUID,
                host=STRING,
                started=TIME,
                renewed=TIME,
                lease=NUMBER,
                queues=list_of(STRING),
                processes=COUNT,
                applications=list_of(STRING),
                skew=NUMBER,
                scarce=BOOLEAN,
                running=list_of(object_of(**_view(orm.RunningAttempt))),
            )
        ),
        queues=list_of(object_of(queue=STRING, published=COUNT, due=COUNT, workers=COUNT)),
        waiting=list_of(
            object_of(
                application=STRING,
                queue=STRING,
                reason={"enum": [each.value for each in orm.Reason]},
                number=COUNT,
            )
        ),
    ),
    "Clause": object_of(
        {"parts": list_of(schema("Clause")), "value": or_null(STRING), "error": STRING},
        held=BOOLEAN,
        clause=STRING,
    ),
    "Explained": object_of(
        applications=list_of(
            object_of(
                {"note": STRING},
                application=STRING,
                matched=BOOLEAN,
                clauses=list_of(schema("Clause")),
            )
        )
    ),
    "Health": object_of(
        {"warning": STRING, "broker": STRING, "database": STRING}, status={"const": "ok"}
    ),
    "Problem": object_of(
        {
            "errors": {
                **list_of(object_of(pointer=STRING, detail=STRING)),
                "maxItems": MAX_PROBLEMS,
            }
        },
        type={"const": "about:blank"},
        title=STRING,
        status=INTEGER,
        detail=STRING,
    ),
}
