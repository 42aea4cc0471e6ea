"""Routes: addresses and their operations, each declared at the method that implements it.

A resource is an object with a method for each HTTP method. `operation` declares the request and
the response of the method; `Router` finds it by the address. The OpenAPI document, 405 and `Allow`,
and the table in docs/reference.md are generated from these declarations.
"""

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final, TypeVar

from pacifica.dispatcher.errors import NotFoundError
from pacifica.dispatcher.page import Html
from pacifica.dispatcher.rest import parameters
from pacifica.dispatcher.rest.context import Context
from pacifica.dispatcher.rest.parameters import Parameter
from pacifica.dispatcher.rest.problems import MethodNotAllowedError
from pacifica.dispatcher.rest.response import Response
from pacifica.dispatcher.rest.schemas import Node

M = TypeVar("M", bound=Callable[..., Response])

METHODS: Final = ("GET", "POST", "OPTIONS")

_PATH: Final = {
    each.name: each
    for each in (
        parameters.EVENT,
        parameters.RUN,
        parameters.APPLICATION,
        parameters.ADAPTER,
        parameters.ARGUMENT,
        parameters.FILE,
    )
}
_REST: Final = "..."
"""Suffix of a placeholder that takes all remaining segments."""

_MAX_PATH: Final = 200  # characters


class Permission(enum.Enum):
    """The permission that an operation requires."""

    SEND = "send"
    VIEW = "view"
    ACT = "act"  # refused for pages of other sites
    OPEN = "open"  # nothing


@dataclass(frozen=True, slots=True)
class Body:
    """The request body of an operation.

    Attributes:
        content: the schema by media type.
        limit: returns the maximum number of bytes.
        description: the description, for people.
        required: False if the body may be omitted.
    """

    content: Mapping[str, Node]
    limit: Callable[[Context], int]
    description: str = ""
    required: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """The HTML that browsers get instead of JSON.

    Attributes:
        show: creates it from the parameters of the operation and those of `query`.
        query: additional parameters of the page.
    """

    show: Callable[..., Html]
    query: Sequence[Parameter] = ()


@dataclass(frozen=True, slots=True)
class Operation:
    """The request and the response of one method of an address.

    Attributes:
        summary: one line for people.
        permission: the permission that the client needs.
        query: the parameters of the query; None ignores the query.
        headers: the request headers that it reads, as OpenAPI describes them.
        body: the request body; None ignores the body.
        status: the status of success.
        content: the schema of success by media type.
        response_headers: the headers of success, as OpenAPI describes them.
        problems: statuses of problems other than those that follow from the parameters, the body
            and the database.
        database: False if it does not use the database.
        page: the HTML for browsers.
        then: the page to which browsers are redirected, with the placeholders of the address.
    """

    summary: str
    permission: Permission = Permission.VIEW
    query: Sequence[Parameter] | None = ()
    headers: Sequence[Node] = ()
    body: Body | None = None
    status: HTTPStatus = HTTPStatus.OK
    content: Mapping[str, Node] = field(default_factory=dict)
    response_headers: Mapping[str, Node] = field(default_factory=dict)
    problems: Sequence[HTTPStatus] = ()
    database: bool = True
    page: Page | None = None
    then: str | None = None


def operation(summary: str, **declared: Any) -> Callable[[M], M]:  # noqa: ANN401 - fields of Operation
    """Declare the `Operation` of a resource's method."""

    def decorate(method: M) -> M:
        setattr(method, _DECLARED, Operation(summary, **declared))
        return method

    return decorate


_DECLARED: Final = "operation"


class Resource:
    """A resource at an address; each HTTP method is a method of its class."""

    def __init__(self, context: Context) -> None:
        """Keep the context that all resources share."""
        self.context = context

    @classmethod
    def operations(cls) -> dict[str, Operation]:
        """Return its operations by HTTP method."""
        found = {name: getattr(getattr(cls, name, None), _DECLARED, None) for name in METHODS}
        return {name: each for name, each in found.items() if each is not None}


@dataclass(frozen=True, slots=True)
class Route:
    """An address with placeholders, and its resource.

    Attributes:
        address: such as `/runs/{run}/files/{name...}`; `...` takes all remaining segments.
        resource: the class of the resource.
        described: False for addresses that only pages use.
    """

    address: str
    resource: type[Resource]
    described: bool = True

    @property
    def segments(self) -> list[str]:
        """The segments of the address."""
        return [each for each in self.address.split("/") if each]

    @property
    def path_parameters(self) -> list[Parameter]:
        """The parameters of the placeholders."""
        return [_PATH[_placeholder(each)] for each in self.segments if each.startswith("{")]


@dataclass(slots=True)
class _Node:
    literals: dict[str, "_Node"] = field(default_factory=dict)
    parameter: tuple[Parameter, "_Node"] | None = None
    rest: tuple[Parameter, "_Node"] | None = None
    endpoint: "Endpoint | None" = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A resource at its address.

    Attributes:
        resource: the resource.
        operations: its operations by method.
        allowed: the allowed methods, with HEAD if GET is safe (RFC 9110, section 9.3.2).
    """

    resource: Resource
    operations: Mapping[str, Operation]
    allowed: tuple[str, ...]

    def operation(self, method: str) -> tuple[Callable[..., Response], Operation]:
        """Return the function for a method, and its declaration.

        Raises:
            MethodNotAllowedError: the address does not allow the method.
        """
        if method not in self.allowed:
            raise MethodNotAllowedError(self.allowed)
        name = "GET" if method == "HEAD" else method
        return getattr(self.resource, name), self.operations[name]

    @staticmethod
    def read(path: Mapping[str, Any]) -> dict[str, Any]:
        """Read the path parameters.

        Raises:
            InvalidIdError: invalid id.
        """
        return {name: _PATH[name].read(text) for name, text in path.items()}


class Router:
    """A finder of endpoints by address."""

    def __init__(self, routes: Sequence[Route], context: Context) -> None:
        """Create the resource of each route."""
        self._root = _Node()
        for route in routes:
            operations = route.resource.operations()
            allowed = allowed_methods(operations)
            endpoint = Endpoint(route.resource(context), operations, allowed)
            self._place(route).endpoint = endpoint

    def find(self, segments: Sequence[str]) -> tuple[Endpoint, dict[str, Any]]:
        """Return the endpoint of an address, and its path parameters as text.

        Raises:
            NotFoundError: unknown address.
        """
        node = self._root
        values: dict[str, Any] = {}
        for index, segment in enumerate(segments):
            if (literal := node.literals.get(segment)) is not None:
                node = literal
            elif node.parameter is not None:
                parameter, node = node.parameter
                values[parameter.name] = segment
            elif node.rest is not None:
                parameter, node = node.rest
                values[parameter.name] = list(segments[index:])
                break
            else:
                raise _nothing_at(segments)
        if node.endpoint is None:
            raise _nothing_at(segments)
        return node.endpoint, values

    def _place(self, route: Route) -> _Node:
        node = self._root
        for segment in route.segments:
            if not segment.startswith("{"):
                node = node.literals.setdefault(segment, _Node())
                continue
            parameter = _PATH[_placeholder(segment)]
            if segment.endswith(f"{_REST}}}"):
                node.rest = node.rest or (parameter, _Node())
                node = node.rest[1]
            else:
                node.parameter = node.parameter or (parameter, _Node())
                node = node.parameter[1]
        return node


def allowed_methods(operations: Mapping[str, Operation]) -> tuple[str, ...]:
    """Return the allowed methods of an address in order, with HEAD if GET is safe."""
    get = operations.get("GET")
    safe = get is not None and get.status is HTTPStatus.OK
    return tuple(sorted([*operations, *(["HEAD"] if safe else [])]))


def _nothing_at(segments: Sequence[str]) -> NotFoundError:
    return NotFoundError(f"Nothing at /{'/'.join(segments)[:_MAX_PATH]}")


def _placeholder(segment: str) -> str:
    return segment.strip("{}").removesuffix(_REST)
