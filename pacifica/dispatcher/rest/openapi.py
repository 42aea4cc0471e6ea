"""What the addresses take and answer, as a document for programs (OpenAPI 3.1.1).

One form for each thing that is answered; what the code knows (names, states, limits, the members of
a view) is taken from there.
"""

import re
import types
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from http import HTTPStatus
from importlib.metadata import version
from typing import Any, Final, get_args, get_origin, get_type_hints

from pacifica.dispatcher import orm
from pacifica.dispatcher.errors import MAX_PROBLEMS
from pacifica.dispatcher.events.rules import INT32
from pacifica.dispatcher.leftovers import MAX_FILES
from pacifica.dispatcher.rest import answers, requests

Node = dict[str, Any]
"""A part of the document: a JSON object."""

JSON: Final = "application/json"
TEXT: Final = "text/plain"
EVENT: Final = "application/cloudevents+json"
BATCH: Final = "application/cloudevents-batch+json"
BINARY: Final = "*/*"

_ANYTHING: Final[Node] = {}
_STRING: Final[Node] = {"type": "string"}
_INTEGER: Final[Node] = {"type": "integer"}
_NUMBER: Final[Node] = {"type": "number"}
_BOOLEAN: Final[Node] = {"type": "boolean"}
_TIME: Final[Node] = {"type": "string", "format": "date-time"}
_WHEN_OR_AGO: Final[Node] = {
    "anyOf": [_TIME, {"type": "string", "pattern": "^[0-9]{1,5}[smhd]$"}],
    "description": "2h is two hours ago; there are s, m, h and d",
}
_UUID: Final[Node] = {"type": "string", "format": "uuid"}
_STATE: Final[Node] = {"enum": [each.value for each in orm.State]}
_STATUS: Final[Node] = {"enum": list(requests.STATUSES)}
_COUNT: Final[Node] = {"type": "integer", "minimum": 0}
_KNOWN: Final[Mapping[object, Node]] = {
    str: _STRING,
    int: _INTEGER,
    float: _NUMBER,
    bool: _BOOLEAN,
    types.NoneType: {"type": "null"},
}


def _object(optional: Mapping[str, Node] | None = None, /, **members: Node) -> Node:
    """An object that has all of these members, perhaps the optional ones, and no others."""
    return {
        "type": "object",
        "properties": {**members, **(optional or {})},
        "required": list(members),
        "additionalProperties": False,
    }


def _list(items: Node) -> Node:
    return {"type": "array", "items": items}


def _or_null(schema: Node) -> Node:
    return {"anyOf": [schema, {"type": "null"}]}


def _ref(kind: str, name: str) -> Node:
    return {"$ref": f"#/components/{kind}/{name}"}


def _schema(name: str) -> Node:
    return _ref("schemas", name)


def _view(view: type, **known: Node) -> dict[str, Node]:
    """The members of a view as `answers` writes them: what is a time there is a timestamp here."""
    hints = get_type_hints(view)
    found = {}
    for each in fields(view):
        schema = known.get(each.name) or _of(hints[each.name])
        found[each.name] = _timestamp(schema) if each.name in answers.TIMES else schema
    return found


def _timestamp(schema: Node) -> Node:
    return _or_null(_TIME) if "anyOf" in schema else _TIME


def _of(hint: Any) -> Node:  # noqa: ANN401 - a type, or a union
    """The schema of a member by its type; anything for JSON."""
    if hint in _KNOWN:
        return _KNOWN[hint]
    if isinstance(hint, type) and is_dataclass(hint):
        return _object(**_view(hint))
    if get_origin(hint) in {list, tuple}:
        return _list(_of(get_args(hint)[0]))
    parts = get_args(hint)
    if len(parts) == 2 and types.NoneType in parts:  # noqa: PLR2004 - something, or None
        return _or_null(_of(next(each for each in parts if each is not types.NoneType)))
    return _ANYTHING


_RUN: Final = _view(orm.RunView, status=_STATE, uuid=_UUID, event=_UUID, origin=_or_null(_UUID))
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

_SCHEMAS: Final[Mapping[str, Node]] = {
    "CloudEvent": {
        "description": "CloudEvents 1.0 in JSON; versions 0.1 to 0.3 are understood too. "
        "What is null is not set; a string has no control characters.",
        "type": "object",
        "required": ["specversion", "id", "source", "type"],
        "properties": {
            "specversion": {"const": "1.0"},
            "id": _ATTRIBUTE,
            "source": _REFERENCE,
            "type": _ATTRIBUTE,
            "subject": _or_null(_ATTRIBUTE),
            "time": _or_null(_TIME),
            "datacontenttype": _or_null(_MEDIA_TYPE),
            "dataschema": _or_null(_REFERENCE),
            "expirytime": _or_null(_TIME),
            "data": _ANYTHING,
            "data_base64": _or_null(_BASE64),
        },
        "patternProperties": {"^(?!data$)[a-z0-9]+$": _EXTENSION},
        "additionalProperties": False,
        "not": {"required": ["data", "data_base64"]},
    },
    "Accepted": _object(
        {"expired": {"const": True}},
        uuid=_UUID,
        status=_STATUS,
        duplicate=_BOOLEAN,
        applications=_list(_STRING),
    ),
    "Acted": _object(uuid=_UUID, status=_STATUS, runs=_list(_UUID)),
    "RunOfEvent": _object(**_RUN_OF_EVENT),
    "Run": _object(**_RUN, attempts=_list(_object(**_view(orm.AttemptView)))),
    "Status": _object(
        {"expired": {"const": True}},
        uuid=_UUID,
        status=_STATUS,
        result=_ANYTHING,
        event={"type": "object", "description": "the attributes, in the names of 1.0"},
        received=_TIME,
        runs=_list(_schema("RunOfEvent")),
    ),
    "Event": _object(
        uuid=_UUID,
        status=_STATUS,
        received=_TIME,
        event={"type": "object", "description": "the event as it was sent, whatever its version"},
        runs=_list(_schema("RunOfEvent")),
    ),
    "Files": _object(
        files={
            **_list(_object(name=_STRING, size=_COUNT, modified=_TIME)),
            "maxItems": MAX_FILES,
        },
        reason=_or_null(_STRING),
    ),
    "Application": _object(
        name=_STRING,
        rule=_list({"type": "object", "description": "a filter (Subscriptions API, 3.2.4)"}),
        way={"enum": ["command", "handler"]},
        command=_STRING,
        dispatch=_BOOLEAN,
        queue=_STRING,
        priority={"type": "integer", "minimum": 0, "maximum": 9},
        concurrency=_or_null(_INTEGER),
        rate=_or_null(_object(interval=_NUMBER, burst=_INTEGER)),
        timeout=_or_null(_NUMBER),
        paused=_or_null(_TIME),
        runs={
            "type": "object",
            "propertyNames": _STATE,
            "additionalProperties": {**_COUNT, "maximum": orm.MOST},
        },
        failed_today={**_COUNT, "maximum": orm.MOST},
        median=_or_null(_NUMBER),
        p95=_or_null(_NUMBER),
        last_success=_or_null(_TIME),
    ),
    "Failures": {
        **_object(**_view(orm.Failures)),
        "description": f"what some of the last {orm.GROUPED} failed runs have in common",
    },
    "Workers": _object(
        workers=_list(
            _object(
                uuid=_UUID,
                host=_STRING,
                started=_TIME,
                renewed=_TIME,
                lease=_NUMBER,
                queues=_list(_STRING),
                processes=_COUNT,
                running=_list(_object(**_view(orm.Running))),
            )
        ),
        queues=_list(_object(queue=_STRING, published=_COUNT, due=_COUNT, workers=_COUNT)),
        waiting=_list(
            _object(
                application=_STRING,
                queue=_STRING,
                reason={"enum": [each.value for each in orm.Reason]},
                number=_COUNT,
            )
        ),
    ),
    "Clause": _object(
        {"parts": _list(_schema("Clause")), "value": _or_null(_STRING), "error": _STRING},
        held=_BOOLEAN,
        clause=_STRING,
    ),
    "Explained": _object(
        applications=_list(
            _object(
                {"note": _STRING},
                application=_STRING,
                matched=_BOOLEAN,
                clauses=_list(_schema("Clause")),
            )
        )
    ),
    "Health": _object(status={"const": "ok"}),
    "Problem": _object(
        {
            "errors": {
                **_list(_object(pointer=_STRING, detail=_STRING)),
                "maxItems": MAX_PROBLEMS,
            }
        },
        type={"const": "about:blank"},
        title=_STRING,
        status=_INTEGER,
        detail=_STRING,
    ),
}

_WHEN: Final[Mapping[HTTPStatus, str]] = {
    HTTPStatus.BAD_REQUEST: "The body, a header or a parameter is wrong; `detail` says which.",
    HTTPStatus.FORBIDDEN: "The delivery does not prove that it is from its sender.",
    HTTPStatus.NOT_FOUND: "There is nothing of this name, uuid or number.",
    HTTPStatus.CONFLICT: "The state does not allow it.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The body is larger than `max_event_size`.",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "The Content-Type, or the Content-Encoding, is not read.",
    HTTPStatus.UNPROCESSABLE_ENTITY: "What stands in place of a uuid is none.",
    HTTPStatus.SERVICE_UNAVAILABLE: "The database cannot now, or too many answers are open.",
}


def _problem(status: HTTPStatus) -> Node:
    answer: Node = {
        "description": _WHEN[status],
        "content": {answers.PROBLEM: {"schema": _schema("Problem")}},
    }
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        answer["headers"] = {
            "Retry-After": {"required": True, "schema": _INTEGER, "description": "seconds"}
        }
    return answer


def _responses(
    status: HTTPStatus,
    content: Mapping[str, Node],
    *problems: int,
    headers: Mapping[str, Node] | None = None,
) -> Node:
    """The answers of an operation: the good one, and the problems that it may have."""
    answer: Node = {"description": status.phrase}
    if content:
        answer["content"] = {kind: {"schema": schema} for kind, schema in content.items()}
    if headers:
        answer["headers"] = dict(headers)
    bad = {str(each): _ref("responses", str(each)) for each in sorted({400, *problems})}
    return {str(status.value): answer, **bad}


def _ok(content: Mapping[str, Node], *problems: int, **headers: Node) -> Node:
    return _responses(HTTPStatus.OK, content, *problems, headers=headers)


def _header(description: str, *, required: bool = False) -> Node:
    return {"description": description, "required": required, "schema": _STRING}


def _location(of: str, *, required: bool = True) -> dict[str, Node]:
    return {"Location": _header(f"the address of the {of}", required=required)}


def _parameter(place: str, name: str, description: str, schema: Node) -> Node:
    return {
        "name": name,
        "in": place,
        "description": description,
        "required": place == "path",
        "schema": schema,
    }


def _query(name: str, description: str, schema: Node = _STRING) -> Node:
    return _parameter("query", name, description, schema)


_EVENT: Final = _parameter("path", "event", "the uuid of an event", _UUID)
_OF_RUN: Final = _parameter("path", "run", "the uuid of a run", _UUID)
_APPLICATION: Final = _parameter("path", "application", "the name of an application", _STRING)
_ATTEMPT: Final = _query(
    "attempt",
    "the number of an attempt; the last one when left out",
    {"type": "integer", "minimum": 1, "maximum": 999_999_999},
)


def _flag(name: str, description: str) -> Node:
    return {**_query(name, description, {"enum": ["", "1"]}), "allowEmptyValue": True}


_FIELD: Final[Node] = {"type": "string", "pattern": "^[!-~]([ -~]*[!-~])?$"}
_IN_HEADERS: Final = [
    _parameter("header", f"ce-{name}", f"in binary mode, the event's {name}, percent-encoded", each)
    for name, each in {
        "specversion": {"const": "1.0"},
        "id": _FIELD,
        "source": {**_FIELD, "format": "uri-reference"},
        "type": _FIELD,
    }.items()
]
"""The attributes that every event has; any other is a header `ce-…` likewise."""

_BODY: Final[Node] = {
    "description": "An event (structured), a batch, or, with its attributes in headers `ce-…` "
    "(binary), its data.",
    "content": {
        EVENT: {"schema": _schema("CloudEvent")},
        BATCH: {"schema": _list(_schema("CloudEvent"))},
        JSON: {"schema": _schema("CloudEvent")},
        BINARY: {"schema": _ANYTHING},
    },
}

_PREFER: Final = _parameter(
    "header", "Prefer", "with `reply` the answer has no body and no Content-Type", _STRING
)


def _one_or_many(one: str) -> Node:
    """What is answered to an event, or to a batch."""
    return {"oneOf": [_schema(one), _object(events=_list(_schema(one)))]}


def _accepted(*problems: int) -> Node:
    return _responses(
        HTTPStatus.ACCEPTED,
        {JSON: _one_or_many("Accepted"), TEXT: _STRING},
        *(413, 415, 503),
        *problems,
        headers=_location("event's status; of a batch there is none", required=False),
    )


_RECEIVE: Final[Node] = {
    "summary": "Store an event or a batch, with a run for each application that matches",
    "parameters": [*_IN_HEADERS, _PREFER],
    "requestBody": _BODY,
    "responses": _accepted(),
}

_HANDSHAKE: Final[Node] = {
    "summary": "Whether a sender may deliver (CloudEvents Web Hooks 1.0.2, section 4)",
    "parameters": [
        _parameter("header", "WebHook-Request-Origin", "who asks", _STRING),
        _parameter("header", "WebHook-Request-Callback", "a URL to be told at instead", _STRING),
    ],
    "responses": {
        "200": {
            "description": "It may when these headers are there.",
            "headers": {
                "WebHook-Allowed-Origin": _header("who may"),
                "WebHook-Allowed-Rate": _header("requests a minute, or `*`"),
            },
        }
    },
}

_LIST: Final[Node] = {
    "summary": "A page of events, newest first",
    "parameters": [
        _query("status", "events of exactly this status", _STATUS),
        _query("state", "events that have a run in this state, or none: unmatched", _STATUS),
        _query("type", "events of exactly this type"),
        _query("source", "events of exactly this source"),
        _query("application", "events that have a run of it"),
        _query("text", "events that have this in id or subject, in capitals or not"),
        _query("since", "received at this time or after", _WHEN_OR_AGO),
        _query("until", "received before this time", _WHEN_OR_AGO),
        _query("before", "events older than the one of this uuid", _UUID),
        _query(
            "limit",
            "events on a page at the most",
            {
                "type": "integer",
                "minimum": 1,
                "maximum": requests.MAX_LIMIT,
                "default": requests.DEFAULT_LIMIT,
            },
        ),
    ],
    "responses": _ok(
        {JSON: _object(events=_list(_schema("Status")))},
        *(422, 503),
        Link=_header('the next page, with `rel="next"`; a page without it is the last'),
    ),
}


def _get(summary: str, content: Mapping[str, Node], *parameters: Node, of: str = "") -> Node:
    """A GET of something that is looked up, by a uuid when it is `of` one."""
    problems = (503, *((404, 422) if of == "uuid" else (404,) if of else ()))
    return {"summary": summary, "parameters": [*parameters], "responses": _ok(content, *problems)}


def _act(summary: str, parameter: Node, schema: str, location: str) -> Node:
    """A POST that acts on what has a uuid."""
    return {
        "summary": summary,
        "parameters": [parameter],
        "responses": _responses(
            HTTPStatus.ACCEPTED,
            {JSON: _schema(schema)},
            *(404, 409, 422, 503),
            headers=_location(location),
        ),
    }


def _dispatch(*parameters: Node) -> Node:
    return {
        "summary": "Run an application by hand; the answer is the uuid of the event that was made",
        "parameters": [_APPLICATION, *parameters],
        "responses": _responses(
            HTTPStatus.ACCEPTED,
            {TEXT: _STRING},
            *(404, 503),
            headers=_location("event's status"),
        ),
    }


def _steer(summary: str) -> Node:
    return {
        "summary": summary,
        "parameters": [_APPLICATION],
        "responses": _ok({JSON: _schema("Application")}, 404, 503),
    }


_OUTPUT_PARAMETERS: Final = (
    _query("stream", "only this one", {"enum": list(requests.STREAMS)}),
    _ATTEMPT,
    _flag("follow", "send it as it comes, until the attempt has ended"),
    _flag("html", "server-sent events have the text as HTML too, with its colours"),
)

_PATHS: Final[Mapping[str, Node]] = {
    "/": {"get": _LIST, "post": _RECEIVE, "options": _HANDSHAKE},
    "/receive": {"post": _RECEIVE, "options": _HANDSHAKE},
    "/receive/{adapter}": {
        "post": {
            "summary": "Store the events that an adapter makes of what its sender delivers",
            "parameters": [
                _parameter("path", "adapter", "the name of an adapter", _STRING),
                _PREFER,
            ],
            "requestBody": {"required": True, "content": {JSON: {"schema": _ANYTHING}}},
            "responses": _accepted(403, 404),
        }
    },
    "/events": {"get": _LIST, "post": _RECEIVE, "options": _HANDSHAKE},
    "/events/{event}": {
        "get": _get(
            "The event as it was sent, and its runs", {JSON: _schema("Event")}, _EVENT, of="uuid"
        )
    },
    "/events/{event}/replay": {
        "post": _act("Run what the event matches today", _EVENT, "Acted", "event's status")
    },
    "/events/{event}/retry": {
        "post": _act("Retry its failed and cancelled runs", _EVENT, "Acted", "event's status")
    },
    "/events/{event}/cancel": {
        "post": _act("Cancel its runs that have not ended", _EVENT, "Acted", "event's status")
    },
    "/status/{event}": {
        "get": _get(
            "What became of an event; as text its only result, else its status",
            {JSON: _schema("Status"), TEXT: _STRING},
            _EVENT,
            of="uuid",
        )
    },
    "/dispatch/{application}": {"get": _dispatch()},
    "/dispatch/{application}/{arg}": {
        "get": _dispatch(_parameter("path", "arg", "the arguments, a slash between two", _STRING))
    },
    "/runs/{run}": {
        "get": _get("A run and its attempts", {JSON: _schema("Run")}, _OF_RUN, of="uuid")
    },
    "/runs/{run}/output": {
        "get": _get(
            "What an attempt printed; as server-sent events it is followed",
            {TEXT: _STRING, "text/event-stream": _STRING},
            _OF_RUN,
            *_OUTPUT_PARAMETERS,
            of="uuid",
        )
    },
    "/runs/{run}/files": {
        "get": _get(
            "The files that an attempt left, or why there are none",
            {JSON: _schema("Files")},
            _OF_RUN,
            _ATTEMPT,
            of="uuid",
        )
    },
    "/runs/{run}/files/{name}": {
        "get": _get(
            "One of them, to be saved",
            {"application/octet-stream": _STRING},
            _OF_RUN,
            _parameter("path", "name", "its name, whose slashes stay as they are", _STRING),
            _ATTEMPT,
            of="uuid",
        )
    },
    "/runs/{run}/cancel": {"post": _act("Cancel the run", _OF_RUN, "Run", "run")},
    "/runs/{run}/retry": {
        "post": _act("Start a failed or cancelled run anew", _OF_RUN, "Run", "run")
    },
    "/applications": {
        "get": _get(
            "What is configured, and how it does",
            {
                JSON: _object(
                    applications=_list(_schema("Application")),
                    failures=_list(_schema("Failures")),
                )
            },
        )
    },
    "/applications/{application}": {
        "get": _get(
            "The same of one", {JSON: _schema("Application")}, _APPLICATION, of="application"
        )
    },
    "/applications/{application}/pause": {"post": _steer("Start no attempt of it any more")},
    "/applications/{application}/resume": {"post": _steer("Let it go on")},
    "/workers": {
        "get": _get("Who runs applications, and what waits and why", {JSON: _schema("Workers")})
    },
    "/explain": {
        "post": {
            "summary": "Why an event would run each application, or not; nothing is stored",
            "parameters": _IN_HEADERS,
            "requestBody": _BODY,
            "responses": _ok({JSON: _one_or_many("Explained")}, 413, 415),
        }
    },
    "/health/live": {
        "get": {
            "summary": "Whether this process answers",
            "responses": _ok({JSON: _schema("Health")}),
        }
    },
    "/health/ready": {"get": _get("Whether events can be stored", {JSON: _schema("Health")})},
    "/openapi.json": {
        "get": {
            "summary": "This document",
            "responses": _ok({JSON: {"type": "object"}}),
        }
    },
}

DOCUMENT: Final[Node] = {
    "openapi": "3.1.1",
    "info": {
        "title": "Pacifica Dispatcher",
        "version": version("pacifica-dispatcher"),
        "license": {"name": "Apache 2.0", "identifier": "Apache-2.0"},
    },
    "paths": _PATHS,
    "components": {
        "schemas": _SCHEMAS,
        "responses": {str(each.value): _problem(each) for each in _WHEN},
    },
}
"""The description of every address and method."""

_WHOLE_REST: Final = frozenset({"{arg}", "{name}"})
"""The placeholders that stand for several parts of an address."""


def _methods(operations: Mapping[str, Node]) -> frozenset[str]:
    """The methods of an address; HEAD where GET only looks (RFC 9110, section 9.3.2)."""
    looks = "200" in operations.get("get", {}).get("responses", {})
    return frozenset({*(each.upper() for each in operations), *(("HEAD",) if looks else ())})


def _pattern(address: str) -> re.Pattern[str]:
    """What the addresses are that an address with placeholders stands for."""
    return re.compile(
        "/".join(
            (".+" if part in _WHOLE_REST else "[^/]+") if part[:1] == "{" else re.escape(part)
            for part in address.split("/")
        ),
        re.DOTALL,
    )


_FIXED: Final = {address: _methods(each) for address, each in _PATHS.items() if "{" not in address}
_OPEN: Final = [
    (_pattern(address), _methods(each)) for address, each in _PATHS.items() if "{" in address
]


def methods(parts: Sequence[str]) -> frozenset[str]:
    """The methods that an address takes, by its parts; none where nothing stands."""
    address = f"/{'/'.join(parts)}"
    found = (each for pattern, each in _OPEN if pattern.fullmatch(address))
    return _FIXED.get(address) or next(found, frozenset())
