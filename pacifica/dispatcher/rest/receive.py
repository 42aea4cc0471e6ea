"""Receiving events: structured, binary, in batches, and through adapters."""

from http import HTTPStatus
from typing import Final

from pacifica.dispatcher import events
from pacifica.dispatcher.applications import explain
from pacifica.dispatcher.errors import NotFoundError
from pacifica.dispatcher.events import Received
from pacifica.dispatcher.rest import documents
from pacifica.dispatcher.rest.context import Context
from pacifica.dispatcher.rest.media_types import BATCH, BINARY, EVENT, JSON, TEXT
from pacifica.dispatcher.rest.openapi_parts import header, header_parameter, location
from pacifica.dispatcher.rest.request import Request
from pacifica.dispatcher.rest.response import Response, json_response, text_response
from pacifica.dispatcher.rest.routes import Body, Permission, Resource, operation
from pacifica.dispatcher.rest.schemas import ANYTHING, STRING, Node, list_of, object_of, schema
from pacifica.dispatcher.rules import work

_FIELD: Final[Node] = {"type": "string", "pattern": "^[!-~]([ -~]*[!-~])?$"}
_ATTRIBUTES: Final = [
    header_parameter(f"ce-{name}", f"the event's {name} in binary mode, percent-encoded", each)
    for name, each in {
        "specversion": {"const": "1.0"},
        "id": _FIELD,
        "source": {**_FIELD, "format": "uri-reference"},
        "type": _FIELD,
    }.items()
]
"""The required attributes; optional ones are headers `ce-…` too."""

_PREFER: Final = header_parameter(
    "Prefer", "`reply` requests a response without a body and Content-Type", STRING
)


def _max_event_size(context: Context) -> int:
    return context.max_event_size


def _one_or_many(one: str) -> Node:
    return {"oneOf": [schema(one), object_of(events=list_of(schema(one)))]}


_EVENTS: Final = Body(
    description="An event (structured), a batch, or the data of an event with its attributes in "
    "headers `ce-…` (binary).",
    content={
        EVENT: schema("CloudEvent"),
        BATCH: list_of(schema("CloudEvent")),
        JSON: schema("CloudEvent"),
        BINARY: ANYTHING,
    },
    limit=_max_event_size,
)
_ACCEPTED: Final = {JSON: _one_or_many("Accepted"), TEXT: STRING}
_LOCATION: Final = location("event's status, unless it was a batch", required=False)


class Receive(Resource):
    """The address for senders of CloudEvents."""

    @operation(
        "Grant a sender permission to deliver (CloudEvents Web Hooks 1.0.2, section 4)",
        permission=Permission.OPEN,
        query=None,
        headers=[
            header_parameter("WebHook-Request-Origin", "the sender", STRING),
            header_parameter("WebHook-Request-Callback", "a URL to call instead", STRING),
        ],
        response_headers={
            "WebHook-Allowed-Origin": header(
                "the permitted sender, or `*`; absent without permission"
            ),
            "WebHook-Allowed-Rate": header("requests per minute, or `*`"),
        },
        database=False,
    )
    def OPTIONS(self, request: Request) -> Response:
        """Grant permission in the response, or by calling the sender back."""
        handshake, headers = self.context.handshake, request.headers
        permission = handshake.permission(headers.get("webhook-request-origin", ""))
        callback = headers.get("webhook-request-callback", "")
        if permission and handshake.may_call(callback):
            return Response(at_end=lambda: handshake.call(callback))
        return Response(headers=permission)

    @operation(
        "Store an event or a batch, with a run for each application that matches",
        permission=Permission.SEND,
        query=None,  # senders may put tokens there
        headers=[*_ATTRIBUTES, _PREFER],
        body=_EVENTS,
        status=HTTPStatus.ACCEPTED,
        content=_ACCEPTED,
        response_headers=_LOCATION,
    )
    def POST(self, request: Request) -> Response:
        """Store the events before responding with 202, so that they cannot be lost."""
        return _accept(self.context, request, _read_events(request), self.context.database.now())


class Adapted(Resource):
    """The address of an adapter, for senders that do not speak CloudEvents."""

    @operation(
        "Store the events that an adapter creates from a delivery",
        permission=Permission.SEND,
        query=None,
        headers=[_PREFER],
        body=Body({JSON: ANYTHING}, _max_event_size, required=True),
        status=HTTPStatus.ACCEPTED,
        content=_ACCEPTED,
        response_headers=_LOCATION,
        problems=[HTTPStatus.FORBIDDEN],
    )
    def POST(self, request: Request, adapter: str) -> Response:
        """Convert the delivery to events and store them."""
        configured = self.context.adapters.get(adapter)
        if configured is None:
            raise NotFoundError(
                f"No adapter {adapter[:100]!r}; add a section [adapter:{adapter[:100]}]"
            )
        now = self.context.database.now()
        received = configured.receive(request.content_type, request.body, request.fields, now)
        return _accept(self.context, request, received, now)


class Explain(Resource):
    """A dry run of the rules on an event."""

    @operation(
        "Explain why an event matches each application or does not, without storing it",
        headers=_ATTRIBUTES,
        body=_EVENTS,
        content={JSON: _one_or_many("Explained")},
        database=False,
    )
    def POST(self, request: Request) -> Response:
        """Explain the event, or each event of a batch, clause by clause."""
        received = _read_events(request)
        applications, now = self.context.applications.values(), self.context.database.now()
        with work.limited():
            explained = [
                documents.explained_document(explain(applications, event, now))
                for event in received.events
            ]
        return json_response({"events": explained} if received.batch else explained[0])


def _read_events(request: Request) -> Received:
    return events.parse_request(request.content_type, request.body, request.fields)


def _accept(context: Context, request: Request, received: Received, now: float) -> Response:
    accepted = context.receiver.accept(received.events, now, request.address)
    headers = {} if received.batch else {"Location": f"/status/{accepted[0].uuid}"}
    if request.wants_empty_reply:
        return Response(HTTPStatus.ACCEPTED, headers=headers)
    if request.prefers_text:
        uuids = "".join(f"{each.uuid}\n" for each in accepted)
        return text_response(uuids, HTTPStatus.ACCEPTED, **headers)
    listed = [documents.accepted_document(each) for each in accepted]
    value: events.Json = {"events": listed} if received.batch else listed[0]
    return json_response(value, HTTPStatus.ACCEPTED, **headers)
