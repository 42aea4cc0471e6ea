"""The system: workers and health."""

from typing import Final

from pacifica.dispatcher import orm
from pacifica.dispatcher.rest import documents, pages
from pacifica.dispatcher.rest.media_types import JSON
from pacifica.dispatcher.rest.request import Request
from pacifica.dispatcher.rest.response import Response, json_response
from pacifica.dispatcher.rest.routes import Page, Permission, Resource, operation
from pacifica.dispatcher.rest.schemas import schema

_SCARCE: Final = "few connections are left; work is slower"


class Workers(Resource):
    """The workers, queues and waiting runs."""

    @operation(
        "List workers, queues, and the reasons why runs wait",
        content={JSON: schema("Workers")},
        page=Page(pages.worker_list),
    )
    def GET(self, request: Request) -> Response:  # noqa: ARG002 - the common signature
        """Return the workers that hold a lease, their queues, and the waiting runs."""
        database = self.context.database
        workers, waiting = orm.worker_views(database), orm.waiting(database)
        takers = self.context.takers(workers)
        return json_response(documents.workers_document(workers, waiting, takers))


class Live(Resource):
    """The liveness check of this process."""

    @operation(
        "Check that this process is running",
        permission=Permission.OPEN,
        content={JSON: schema("Health")},
        database=False,
    )
    def GET(self, request: Request) -> Response:  # noqa: ARG002
        """Return 200."""
        return json_response({"status": "ok"})


class Ready(Resource):
    """The readiness check of this process."""

    @operation(
        "Check that events can be stored now",
        permission=Permission.OPEN,
        content={JSON: schema("Health")},
    )
    def GET(self, request: Request) -> Response:  # noqa: ARG002
        """Return 200, or 503 with the reason; without a worker or a broker, events are stored."""
        self.context.database.check()
        found = {
            "warning": orm.unserved(self.context.database, "the database"),
            "broker": self.context.broker_trouble(),
            "database": _SCARCE if self.context.database.scarcity else "",
        }
        return json_response({"status": "ok", **{key: text for key, text in found.items() if text}})
