"""All addresses of the web tier and their resources."""

from functools import cache
from typing import Final

from pacifica.dispatcher.rest import applications, events, forms, receive, runs, system
from pacifica.dispatcher.rest.media_types import JSON
from pacifica.dispatcher.rest.openapi import document_of
from pacifica.dispatcher.rest.request import Request
from pacifica.dispatcher.rest.response import Response, json_response
from pacifica.dispatcher.rest.routes import Permission, Resource, Route, operation
from pacifica.dispatcher.rest.schemas import Node


class Description(Resource):
    """The OpenAPI description of the interface."""

    @operation(
        "Describe this interface for programs (OpenAPI 3.1)",
        permission=Permission.OPEN,
        content={JSON: {"type": "object"}},
        database=False,
    )
    def GET(self, request: Request) -> Response:  # noqa: ARG002 - the common signature
        """Return the OpenAPI document."""
        return json_response(description())


ROUTES: Final = (
    Route("/receive", receive.Receive),
    Route("/receive/{adapter}", receive.Adapted),
    Route("/", events.Events),
    Route("/events", events.Events),
    Route("/events/{event}", events.Event),
    Route("/events/{event}/replay", events.Replay),
    Route("/events/{event}/retry", events.RetryEvent),
    Route("/events/{event}/cancel", events.CancelEvent),
    Route("/status/{event}", events.Status),
    Route("/dispatch/{application}", events.Dispatch),
    Route("/dispatch/{application}/{arg...}", events.Dispatch),
    Route("/runs/{run}", runs.Run),
    Route("/runs/{run}/output", runs.Output),
    Route("/runs/{run}/files", runs.Files),
    Route("/runs/{run}/files/{name...}", runs.File),
    Route("/runs/{run}/cancel", runs.CancelRun),
    Route("/runs/{run}/retry", runs.RetryRun),
    Route("/applications", applications.Applications),
    Route("/applications/{application}", applications.OneApplication),
    Route("/applications/{application}/pause", applications.Pause),
    Route("/applications/{application}/resume", applications.Resume),
    Route("/workers", system.Workers),
    Route("/explain", receive.Explain),
    Route("/health/live", system.Live),
    Route("/health/ready", system.Ready),
    Route("/openapi.json", Description),
    Route("/edit", forms.Edit, described=False),
    Route("/together", forms.Together, described=False),
    Route("/static/{name...}", forms.Static, described=False),
)


@cache
def description() -> Node:
    """Return the OpenAPI document of all routes that are meant for programs."""
    return document_of(ROUTES)
