"""Runs: their attempts, output and files, and actions on them."""

from collections.abc import Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import Any, Final

from pacifica.dispatcher import orm, page
from pacifica.dispatcher.execution.artifacts import open_artifact
from pacifica.dispatcher.execution.workdir import Workdir
from pacifica.dispatcher.rest import documents, output_stream, output_text, pages
from pacifica.dispatcher.rest.files import files_of, number_of
from pacifica.dispatcher.rest.media_types import EVENT_STREAM, FILE, JSON, TEXT
from pacifica.dispatcher.rest.openapi_parts import location
from pacifica.dispatcher.rest.output_stream import Followed
from pacifica.dispatcher.rest.parameters import ATTEMPT, STREAM, STREAMS, WAIT, flag
from pacifica.dispatcher.rest.request import Request
from pacifica.dispatcher.rest.response import (
    Response,
    file_response,
    json_response,
    stream_response,
    text_stream_response,
)
from pacifica.dispatcher.rest.routes import Page, Permission, Resource, operation
from pacifica.dispatcher.rest.schemas import STRING, schema
from pacifica.dispatcher.rest.waiting import await_end


class Run(Resource):
    """One run."""

    @operation(
        "Show a run and its attempts",
        query=[WAIT],
        content={JSON: schema("Run")},
        page=Page(pages.run, query=[ATTEMPT, STREAM]),
    )
    def GET(self, request: Request, run: str, wait: int = 0) -> Response:
        """Return the run and its attempts."""
        database = self.context.database
        if wait:
            event = orm.run(database, run)[0].event
            await_end(self.context, request, event, lambda: orm.run(database, run)[0], wait)
        view, attempts = orm.run(database, run)
        return json_response(documents.attempts_document(view, attempts))


class Output(Resource):
    """The output of an attempt."""

    @operation(
        "Show the output of an attempt; follow it with `follow` or as server-sent events",
        query=[
            STREAM,
            ATTEMPT,
            flag("follow", "stream the output until the attempt has ended"),
            flag("html", "add the text as HTML with colours to server-sent events"),
        ],
        content={TEXT: STRING, EVENT_STREAM: STRING},
    )
    def GET(  # noqa: PLR0913 - the parameters
        self,
        request: Request,
        run: str,
        *,
        stream: str | None = None,
        attempt: int | None = None,
        follow: bool = False,
        html: bool = False,
    ) -> Response:
        """Return the stored output, or a stream of it."""
        database = self.context.database
        view, _ = orm.run(database, run)
        number = number_of(view, attempt)
        streams = STREAMS if stream is None else (stream,)
        followed = Followed(database, run, number, streams, output_text.beginning())
        if request.prefers_event_stream:
            return self._as_events(request, followed, page.Terminal() if html else None)
        if follow:
            slot = self.context.slots.take(request)
            text = output_stream.as_text(followed, slot.wait)
            return stream_response(text, f"{TEXT};charset=utf-8", slot.release)
        return text_stream_response(output_stream.stored_text(followed))

    def _as_events(
        self, request: Request, followed: Followed, terminal: page.Terminal | None
    ) -> Response:
        # Without a slot, the browser gets the stored output and reconnects for more. Last-Event-ID
        # says where it stopped.
        slot = self.context.slots.try_take(request)
        again = slot.wait if slot else _at_once
        last = request.headers.get("last-event-id", "")
        if begin := output_stream.cursor(last, followed.attempt):
            followed = replace(followed, begin=begin)
        events = output_stream.as_events(followed, again, terminal)
        return stream_response(
            events, f"{EVENT_STREAM};charset=utf-8", slot.release if slot else None
        )


class Files(Resource):
    """The files that an attempt left in its working directory."""

    @operation(
        "List the files that an attempt left, or the reason why there are none",
        query=[ATTEMPT],
        content={JSON: schema("Files")},
    )
    def GET(self, request: Request, run: str, attempt: int | None = None) -> Response:
        """Return their names and sizes."""
        view, attempts = orm.run(self.context.database, run)
        number = number_of(view, attempt)
        files, reason = files_of(self.context, view, attempts, number)
        return json_response(
            documents.files_document(view.uuid, number, files, reason, request.root)
        )


class File(Resource):
    """A file that an attempt left."""

    @operation("Download a file that an attempt left", query=[ATTEMPT], content={FILE: STRING})
    def GET(
        self,
        request: Request,  # noqa: ARG002
        run: str,
        name: Sequence[str],
        attempt: int | None = None,
    ) -> Response:
        """Return the file as a download."""
        directory = self.context.directory
        view, _ = orm.run(self.context.database, run)
        parts = Workdir.of(directory, run, number_of(view, attempt)).parts(directory)
        return file_response(open_artifact(directory, parts, name), name[-1])


_ACTION: Final[dict[str, Any]] = {
    "permission": Permission.ACT,
    "status": HTTPStatus.ACCEPTED,
    "content": {JSON: schema("Run")},
    "response_headers": location("run"),
    "problems": [HTTPStatus.CONFLICT],
    "then": "/runs/{run}",
}


class CancelRun(Resource):
    """The cancel action of a run."""

    @operation("Cancel a run", **_ACTION)
    def POST(self, request: Request, run: str) -> Response:  # noqa: ARG002
        """Cancel the run."""
        self.context.receiver.cancel_run(run)
        return _accepted(self.context.database, run)


class RetryRun(Resource):
    """The retry action of a run."""

    @operation("Retry a failed or cancelled run", **_ACTION)
    def POST(self, request: Request, run: str) -> Response:  # noqa: ARG002
        """Retry the run."""
        self.context.receiver.retry_run(run)
        return _accepted(self.context.database, run)


def _accepted(database: orm.Database, run: str) -> Response:
    view, attempts = orm.run(database, run)
    document = documents.attempts_document(view, attempts)
    return json_response(document, HTTPStatus.ACCEPTED, Location=f"/runs/{run}")


def _at_once(seconds: float) -> bool:
    return not seconds
