"""The OpenAPI 3.1.1 description of the interface, generated from the routes."""

from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from importlib.metadata import version
from typing import Final

from pacifica.dispatcher.rest.openapi_parts import parameter
from pacifica.dispatcher.rest.parameters import EVENT, RUN, Parameter
from pacifica.dispatcher.rest.problems import PROBLEM
from pacifica.dispatcher.rest.routes import Operation, Route
from pacifica.dispatcher.rest.schemas import INTEGER, SCHEMAS, Node, reference, schema

_WHEN: Final[Mapping[HTTPStatus, str]] = {
    HTTPStatus.BAD_REQUEST: "The body, a header or a parameter is invalid; `detail` says which.",
    HTTPStatus.FORBIDDEN: "The delivery lacks valid proof of its sender.",
    HTTPStatus.NOT_FOUND: "No resource has this name, id or number.",
    HTTPStatus.CONFLICT: "The state of the run or event does not allow the action.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: (
        "Body larger than `max_event_size`, or event larger than the database takes."
    ),
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "Unsupported Content-Type or Content-Encoding.",
    HTTPStatus.UNPROCESSABLE_ENTITY: "The id is not a valid UUID.",
    HTTPStatus.SERVICE_UNAVAILABLE: "The database is unavailable, or too many responses are open.",
}


def document_of(routes: Sequence[Route]) -> Node:
    """Return the OpenAPI document of all described routes."""
    paths: dict[str, Node] = {}
    for route in routes:
        if route.described:
            paths[route.address.replace("...", "")] = {
                method.lower(): _operation(route, each)
                for method, each in route.resource.operations().items()
            }
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "Pacifica Dispatcher",
            "version": version("pacifica-dispatcher"),
            "license": {"name": "Apache 2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": SCHEMAS,
            "responses": {str(each.value): _problem(each) for each in _WHEN},
        },
    }


def _operation(route: Route, declared: Operation) -> Node:
    parameters = [
        *(_parameter("path", each) for each in route.path_parameters),
        *(_parameter("query", each) for each in declared.query or ()),
        *declared.headers,
    ]
    described: Node = {
        "summary": declared.summary,
        "parameters": parameters,
        "responses": _responses(route, declared),
    }
    if declared.body is not None:
        described["requestBody"] = {
            "description": declared.body.description or "JSON",
            "required": declared.body.required,
            "content": _content(declared.body.content),
        }
    return described


def _parameter(kind: str, each: Parameter) -> Node:
    described = parameter(kind, each.name, each.description, each.schema)
    return {**described, "allowEmptyValue": True} if each.may_be_empty else described


def _responses(route: Route, declared: Operation) -> Node:
    success: Node = {"description": declared.status.phrase}
    if declared.content:
        success["content"] = _content(declared.content)
    if declared.response_headers:
        success["headers"] = dict(declared.response_headers)
    problems = sorted({each.value for each in _problems(route, declared)})
    return {
        str(declared.status.value): success,
        **{str(each): reference("responses", str(each)) for each in problems},
    }


def _problems(route: Route, declared: Operation) -> Iterable[HTTPStatus]:
    """Yield the statuses of the problems that an operation may return."""
    yield from declared.problems
    if declared.query is not None or declared.body is not None:
        yield HTTPStatus.BAD_REQUEST
    if route.path_parameters:
        yield HTTPStatus.NOT_FOUND
    if any(each in route.path_parameters for each in (EVENT, RUN)):
        yield HTTPStatus.UNPROCESSABLE_ENTITY
    if declared.body is not None:
        yield from (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
    if any(each.name == "before" for each in declared.query or ()):
        yield HTTPStatus.UNPROCESSABLE_ENTITY
    if declared.database:
        yield HTTPStatus.SERVICE_UNAVAILABLE


def _content(content: Mapping[str, Node]) -> Node:
    return {kind: {"schema": each} for kind, each in content.items()}


def _problem(status: HTTPStatus) -> Node:
    described: Node = {
        "description": _WHEN[status],
        "content": {PROBLEM: {"schema": schema("Problem")}},
    }
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        described["headers"] = {
            "Retry-After": {"required": True, "schema": INTEGER, "description": "seconds"}
        }
    return described
