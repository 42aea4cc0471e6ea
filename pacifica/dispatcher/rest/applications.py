"""Applications: their configuration, runs and durations; pausing and resuming."""

from collections.abc import Iterable
from typing import Any, Final

from pacifica.dispatcher import orm
from pacifica.dispatcher.errors import NotFoundError
from pacifica.dispatcher.events import Json
from pacifica.dispatcher.rest import documents, pages
from pacifica.dispatcher.rest.context import Context
from pacifica.dispatcher.rest.media_types import JSON
from pacifica.dispatcher.rest.request import Request
from pacifica.dispatcher.rest.response import Response, json_response
from pacifica.dispatcher.rest.routes import Page, Permission, Resource, operation
from pacifica.dispatcher.rest.schemas import list_of, object_of, schema


class Applications(Resource):
    """All applications."""

    @operation(
        "List applications and their runs, and recent failures grouped by cause",
        content={
            JSON: object_of(
                applications=list_of(schema("Application")), failures=list_of(schema("Failures"))
            )
        },
        page=Page(pages.application_list),
    )
    def GET(self, request: Request) -> Response:  # noqa: ARG002 - the common signature
        """Return the rule, limits, runs by state and durations of each application.

        Applications that are paused or have waiting runs, but are not configured, come last.
        """
        failures = orm.failure_groups(self.context.database)
        return json_response(
            {
                "applications": _documents(
                    self.context, [*self.context.applications, *self.context.unconfigured()]
                ),
                "failures": documents.failures_document(failures),
            }
        )


class OneApplication(Resource):
    """One application."""

    @operation("Show one application and its runs", content={JSON: schema("Application")})
    def GET(self, request: Request, application: str) -> Response:  # noqa: ARG002
        """Return its rule, limits, runs by state and durations."""
        return _document(self.context, application)


_ACTION: Final[dict[str, Any]] = {
    "permission": Permission.ACT,
    "content": {JSON: schema("Application")},
    "then": "/applications",
}


class Pause(Resource):
    """The pause action of an application."""

    @operation("Pause an application: start no more attempts", **_ACTION)
    def POST(self, request: Request, application: str) -> Response:  # noqa: ARG002
        """Pause the application."""
        self.context.receiver.pause(application)
        return _document(self.context, application)


class Resume(Resource):
    """The resume action of an application."""

    @operation("Resume a paused application", **_ACTION)
    def POST(self, request: Request, application: str) -> Response:  # noqa: ARG002
        """Resume the application."""
        self.context.receiver.resume(application)
        return json_response(_documents(self.context, [application])[0])


def _document(context: Context, name: str) -> Response:
    if name not in context.applications and name not in context.unconfigured():
        raise NotFoundError(f"No application {name[:100]!r}")
    return json_response(_documents(context, [name])[0])


def _documents(context: Context, names: Iterable[str]) -> list[Json]:
    names = list(names)
    summaries, paused = orm.summaries(context.database, names), orm.paused(context.database)
    return [
        documents.application_document(
            context.applications[name], summaries[name], paused.get(name)
        )
        if name in context.applications
        else documents.unconfigured_document(name, summaries[name], paused.get(name))
        for name in names
    ]
