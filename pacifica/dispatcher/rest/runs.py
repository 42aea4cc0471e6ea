"""Runs: how they are, what they printed and left, and what can be done with them."""

import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from typing import Any

import cherrypy

from pacifica.dispatcher import orm, page
from pacifica.dispatcher.errors import NotFoundError
from pacifica.dispatcher.leftovers import MAX_FILES, Leftover, leftovers, open_leftover
from pacifica.dispatcher.rest import answers, follow, requests, transcript
from pacifica.dispatcher.rest.requests import Query
from pacifica.dispatcher.rest.resources import Resource
from pacifica.dispatcher.workplace import Workplace


class Runs(Resource):
    """Runs, and what they printed."""

    def GET(self, /, *path: str, **query: str | list[str]) -> bytes | Iterator[bytes]:  # noqa: N802 - CherryPy's name
        """The run with its attempts, or the output or files of one of them."""
        part = path[1] if len(path) > 1 else None
        alone = part == "files" or path[1:] == ("output",)
        asked = requests.only_uuid(path[:1] if alone else path)
        view, attempts = orm.run(self._service.database, asked)
        if part == "files":
            return self._files(view, attempts, path[2:], query)
        if part == "output":
            return self._output(view, query)
        requests.parameters(query, {})
        return answers.answer_json(answers.attempts_document(view, attempts))

    def POST(self, /, *path: str, **query: str | list[str]) -> bytes:  # noqa: N802 - CherryPy's name
        """Cancel the run, or retry it."""
        requests.parameters(query, {})
        action = requests.action(path, "cancel", "retry")
        run = requests.only_uuid(path[:1])
        if action == "cancel":
            orm.ask_to_cancel(self._service.database, run)
        else:
            self._service.retry_run(run)
        view, attempts = orm.run(self._service.database, run)
        cherrypy.response.status = HTTPStatus.ACCEPTED
        cherrypy.response.headers["Location"] = f"/runs/{run}"
        return answers.answer_json(answers.attempts_document(view, attempts))

    @staticmethod
    def attempt(view: orm.RunView, asked: Mapping[str, Any]) -> int:
        """The number of the attempt that is asked for: the last one when none is named."""
        attempt: int = asked.get("attempt", view.attempt)
        if "attempt" in asked and not 1 <= attempt <= view.attempt:
            raise NotFoundError(f"run {view.uuid} has no attempt {attempt}")
        return attempt

    def _output(self, view: orm.RunView, query: Query) -> bytes | Iterator[bytes]:
        """What an attempt printed: all of it, or as it comes."""
        readers: requests.Readers = {
            "stream": requests.stream,
            "attempt": requests.attempt,
            "follow": requests.flag,
            "html": requests.flag,
        }
        asked = requests.parameters(query, readers)
        attempt, database = self.attempt(view, asked), self._service.database
        streams = [asked["stream"]] if "stream" in asked else requests.STREAMS
        followed = follow.Followed(database, view.uuid, attempt, streams, transcript.beginning())
        if requests.prefers_events():
            return self._as_events(followed, page.Terminal() if "html" in asked else None)
        if "follow" in asked:
            again = partial(self._service.streams.hold().wait, follow.PAUSE)
            return answers.answer_as_it_comes(
                follow.as_text(followed, again), "text/plain; charset=utf-8"
            )
        pieces = orm.output(database, view.uuid, attempt, asked.get("stream"))
        return answers.answer_text(transcript.text_of(pieces))

    def _files(
        self,
        view: orm.RunView,
        attempts: Sequence[orm.AttemptView],
        name: Sequence[str],
        query: Query,
    ) -> bytes | Iterator[bytes]:
        """What an attempt left in its working directory: all names, or one file."""
        number = self.attempt(view, requests.parameters(query, {"attempt": requests.attempt}))
        directory = self._service.directory
        if name:
            way = Workplace.of(directory, view.uuid, number).way(directory)
            return answers.answer_file(open_leftover(directory, way, name), name[-1])
        return answers.answer_json(answers.files_document(*self.files_left(view, attempts, number)))

    def files_left(
        self, view: orm.RunView, attempts: Sequence[orm.AttemptView], number: int
    ) -> tuple[Sequence[Leftover], str | None]:
        """The files that an attempt left, and why there are none or not all."""
        directory = self._service.directory
        try:
            found, whole = leftovers(
                directory, Workplace.of(directory, view.uuid, number).way(directory)
            )
        except NotFoundError as exc:
            host = attempts[number - 1].host if number else None
            return [], self._why_no_files(view, host, exc)
        cut = None if whole else f"there are more than these (at most {MAX_FILES} are listed)"
        nothing = None if found else "there are no files in its working directory"
        return found, cut or nothing

    def _why_no_files(self, view: orm.RunView, host: str | None, exc: NotFoundError) -> str:
        application = self._service.applications.get(view.application)
        keep = f" (keep = {application.keep.value})" if application else ""
        if host is None:
            return "no attempt has begun yet"
        if host == socket.gethostname():
            return f"its working directory was not kept{keep}, or has been removed: {exc}"
        return f"what was kept of it{keep} is on host {host}, out of this server's reach: {exc}"

    def _as_events(
        self, followed: follow.Followed, terminal: page.Terminal | None
    ) -> Iterator[bytes]:
        """Server-sent events; without a place only what there is now, and the browser comes again.

        A browser that was here before goes on where it was.
        """
        held = self._service.streams.try_hold()
        again = partial(held.wait, follow.PAUSE) if held else _never
        last = cherrypy.request.headers.get("Last-Event-ID", "")
        if begin := follow.cursor(last, followed.attempt):
            followed = replace(followed, begin=begin)
        return answers.answer_as_it_comes(
            follow.as_events(followed, again, terminal), "text/event-stream; charset=utf-8"
        )


def _never() -> bool:
    return False
