"""Events: the list, single events, their status, and actions on them."""

import urllib.parse
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

from pacifica.dispatcher import orm
from pacifica.dispatcher.intake.receiver import Acted, Selection
from pacifica.dispatcher.rest import documents, pages
from pacifica.dispatcher.rest.media_types import JSON, TEXT
from pacifica.dispatcher.rest.openapi_parts import header, location
from pacifica.dispatcher.rest.parameters import (
    DEFAULT_LIMIT,
    FILTERS,
    LIMIT,
    RUNS,
    WAIT,
    event_filter,
)
from pacifica.dispatcher.rest.receive import Receive
from pacifica.dispatcher.rest.request import Request
from pacifica.dispatcher.rest.response import (
    Response,
    json_response,
    json_text_response,
    text_response,
)
from pacifica.dispatcher.rest.routes import Page, Permission, Resource, operation
from pacifica.dispatcher.rest.schemas import STRING, schema
from pacifica.dispatcher.rest.waiting import await_end


class Events(Receive):
    """All events: POST one, GET the newest."""

    @operation(
        "List events, newest first",
        query=[*FILTERS, LIMIT],
        content={JSON: schema("Events")},
        response_headers={"Link": header('the next page, with `rel="next"`; absent on the last')},
        page=Page(pages.event_list),
    )
    def GET(self, request: Request, limit: int = DEFAULT_LIMIT, **chosen: Any) -> Response:  # noqa: ANN401 - from FILTERS
        """Return one page of events."""
        found = orm.search(
            self.context.database, event_filter(self.context.database, chosen), limit
        )
        headers = {}
        if found.before:
            following = next_page(request, found.before)
            headers["Link"] = f'</events?{following}>; rel="next"'
        total = orm.differing_total(self.context.database)
        document = documents.events_document(found, total)
        return json_response(document, HTTPStatus.OK, **headers)


class Event(Resource):
    """One event."""

    @operation(
        "Show an event exactly as sent, and its runs",
        content={JSON: schema("Event")},
        page=Page(pages.event),
    )
    def GET(self, request: Request, event: str) -> Response:  # noqa: ARG002 - the common signature
        """Return the event and its runs."""
        view = orm.event(self.context.database, event)
        differing = orm.differing(self.context.database, event)
        return json_text_response(documents.event_text(view, differing))


class Status(Resource):
    """The status of an event."""

    @operation(
        "Show the status of an event; as text, the result of its only run, or else the status",
        query=[WAIT],
        content={JSON: schema("Status"), TEXT: STRING},
    )
    def GET(self, request: Request, event: str, wait: int = 0) -> Response:
        """Return its status, its runs, and the result if it has exactly one run."""

        def query() -> orm.EventSummary:
            return orm.event_summary(self.context.database, event)

        view = await_end(self.context, request, event, query, wait)
        if not request.prefers_text:
            return json_response(documents.status_document(view))
        result = documents.only_result(view)
        return text_response(f"{view.status if result is None else documents.dumps(result)}\n")


_ACTION: Final[dict[str, Any]] = {
    "query": RUNS,
    "permission": Permission.ACT,
    "status": HTTPStatus.ACCEPTED,
    "content": {JSON: schema("Acted")},
    "response_headers": location("event's status"),
    "problems": [HTTPStatus.CONFLICT],
    "then": "/events/{event}",
}


class Replay(Resource):
    """The replay action of an event."""

    @operation(
        "Replay an event with the current rules; the new runs supersede the previous ones",
        **_ACTION,
    )
    def POST(self, request: Request, event: str, **chosen: str) -> Response:  # noqa: ARG002
        """Replay the event."""
        return _acted(self.context.receiver.replay(event, Selection(**chosen)))


class RetryEvent(Resource):
    """The retry action of an event."""

    @operation("Retry the failed and cancelled runs of an event", **_ACTION)
    def POST(self, request: Request, event: str, **chosen: str) -> Response:  # noqa: ARG002
        """Retry its failed and cancelled runs."""
        return _acted(self.context.receiver.retry(event, Selection(**chosen)))


class CancelEvent(Resource):
    """The cancel action of an event."""

    @operation("Cancel the unfinished runs of an event", **_ACTION)
    def POST(self, request: Request, event: str, **chosen: str) -> Response:  # noqa: ARG002
        """Cancel its unfinished runs."""
        return _acted(self.context.receiver.cancel(event, Selection(**chosen)))


class Dispatch(Resource):
    """The manual dispatch of an application."""

    @operation(
        "Run an application manually; return the id of the event created for it",
        permission=Permission.SEND,
        status=HTTPStatus.ACCEPTED,
        content={TEXT: STRING},
        response_headers=location("event's status"),
    )
    def GET(self, request: Request, application: str, arg: Sequence[str] = ()) -> Response:  # noqa: ARG002
        """Create an event from the arguments, with a run of the application."""
        uuid = self.context.receiver.dispatch(application, arg).uuid
        return text_response(uuid, HTTPStatus.ACCEPTED, Location=f"/status/{uuid}")


def next_page(request: Request, before: str) -> str:
    """Return the query of the page after the requested one."""
    given = {name: texts[0] for name, texts in request.parameters().items()}
    return urllib.parse.urlencode({**given, "before": before})


def _acted(acted: Acted) -> Response:
    document = documents.acted_document(acted.event, acted.status, acted.runs, acted.applications)
    return json_response(document, HTTPStatus.ACCEPTED, Location=f"/status/{acted.event}")
