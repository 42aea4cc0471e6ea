"""The resources as pages: HTML for who prefers it, at the same addresses; forms are POSTs."""

import urllib.parse
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Any, Final

import cherrypy

from pacifica.dispatcher import events, orm, page
from pacifica.dispatcher.applications import explain
from pacifica.dispatcher.errors import EventError, NotFoundError
from pacifica.dispatcher.rest import answers, requests, transcript
from pacifica.dispatcher.rest.forms import Edited, Together
from pacifica.dispatcher.rest.resources import (
    Applications,
    Event,
    Events,
    OneApplication,
    Resource,
    Workers,
)
from pacifica.dispatcher.rest.runs import Runs

_COMPARED: Final = 20
"""Runs of the same application that stand beside one."""


def _done(act: Callable[[], bytes], address: str) -> bytes:
    """Do what a form asks for, if it stood on one of our pages, and show what became of it.

    Raises:
        ForeignSiteError: it stood elsewhere.
    """
    requests.check_same_site()
    answer = act()
    if not requests.prefers_html():
        return answer
    cherrypy.response.status = HTTPStatus.SEE_OTHER
    cherrypy.response.headers["Location"] = address
    return answers.answer_page("")


class Page(Resource):
    """A resource that is a page too."""

    def answer(self, show: Callable[[], str]) -> bytes | Iterator[bytes]:
        """Answer with the page, or with its content whenever that has changed."""
        if requests.prefers_html():
            return answers.answer_page(show())
        request = cherrypy.request
        held = self._service.streams.try_hold()
        known = request.headers.get("Last-Event-ID", "")
        address = f"{request.base}{request.path_info}?{request.query_string}"  # it is shown
        return answers.answer_as_it_comes(
            self._service.live.follow(address, show, held, known),
            "text/event-stream; charset=utf-8",
        )


class EventsPage(Page, Events):
    """The events."""

    def GET(self, /, **query: str | list[str]) -> bytes | Iterator[bytes]:  # noqa: N802 - CherryPy's name
        """The newest that are asked for; fields of the form that were left empty ask nothing."""
        if not requests.prefers_page():
            return super().GET(**query)
        return self.answer(lambda: self._list({name: text for name, text in query.items() if text}))

    def _list(self, query: dict[str, str | list[str]]) -> str:
        found, following = self.found(query)
        database = self._service.database
        asked = {name: text for name, text in query.items() if isinstance(text, str)}
        return page.event_list(
            found,
            asked={name: text for name, text in asked.items() if name != "before"},
            following=following and f"/?{following}",
            counts=orm.run_counts(database),
            history=orm.history(database),
            applications=list(self._service.applications),
            url=cherrypy.request.base,
        )


class EventPage(Page, Event):
    """One event."""

    def GET(self, /, *path: str, **query: str | list[str]) -> bytes | Iterator[bytes]:  # noqa: N802 - CherryPy's name
        """It, why it matched what it did, and its runs."""
        if not requests.prefers_page():
            return super().GET(*path, **query)
        return self.answer(lambda: self._event(path, query))

    def POST(self, /, *path: str, **query: str | list[str]) -> bytes:  # noqa: N802 - CherryPy's name
        """Replay, retry or cancel it."""
        return _done(lambda: super(EventPage, self).POST(*path, **query), f"/events/{_first(path)}")

    def _event(self, path: tuple[str, ...], query: requests.Query) -> str:
        requests.parameters(query, {})
        view = orm.event(self._service.database, requests.only_uuid(path))
        try:
            explained = explain(self._service.applications.values(), events.parse(view.sent))
        except EventError:  # a version of ours that comes later may read less
            explained = ()
        return page.event(view, explained, cherrypy.request.base)


class RunPage(Page, Runs):
    """One run."""

    def GET(self, /, *path: str, **query: str | list[str]) -> bytes | Iterator[bytes]:  # noqa: N802 - CherryPy's name
        """It and one of its attempts; output and files are no pages."""
        if len(path) > 1 or not requests.prefers_page():
            return super().GET(*path, **query)
        return self.answer(lambda: self._run(path, query))

    def POST(self, /, *path: str, **query: str | list[str]) -> bytes:  # noqa: N802 - CherryPy's name
        """Cancel or retry it."""
        return _done(lambda: super(RunPage, self).POST(*path, **query), f"/runs/{_first(path)}")

    def _run(self, path: tuple[str, ...], query: requests.Query) -> str:
        asked = requests.parameters(query, {"attempt": requests.attempt, "stream": requests.stream})
        database, stream = self._service.database, asked.get("stream")
        view, attempts = orm.run(database, requests.only_uuid(path))
        number = self.attempt(view, asked)
        shown = attempts[number - 1] if number else None
        pieces = orm.output(database, view.uuid, number, stream)
        files, why = self.files_left(view, attempts, number)
        return page.run(
            view,
            attempts,
            shown=shown,
            stream=stream,
            output=transcript.parts_of(pieces),
            files=files,
            why_no_files=why,
            ends=orm.ends(database, view.application, _COMPARED),
        )


class ApplicationsPage(Page, Applications):
    """What is configured."""

    def GET(self, /, **query: str | list[str]) -> bytes | Iterator[bytes]:  # noqa: N802 - CherryPy's name
        """Each application and how it does, and what failures have in common."""
        if not requests.prefers_page():
            return super().GET(**query)
        return self.answer(lambda: self._list(query))

    def _list(self, query: requests.Query) -> str:
        requests.parameters(query, {})
        service = self._service
        return page.application_list(
            list(service.applications.values()),
            orm.summaries(service.database, list(service.applications)),
            orm.paused(service.database),
            orm.failures(service.database),
        )


class ApplicationPage(OneApplication):
    """One application."""

    def POST(self, /, *path: str, **query: str | list[str]) -> bytes:  # noqa: N802 - CherryPy's name
        """Pause or resume it."""
        return _done(lambda: super(ApplicationPage, self).POST(*path, **query), "/applications")


class WorkersPage(Page, Workers):
    """Who works."""

    def GET(self, /, **query: str | list[str]) -> bytes | Iterator[bytes]:  # noqa: N802 - CherryPy's name
        """The workers, and what waits and why."""
        if not requests.prefers_page():
            return super().GET(**query)
        return self.answer(lambda: self._list(query))

    def _list(self, query: requests.Query) -> str:
        requests.parameters(query, {})
        database = self._service.database
        return page.worker_list(
            orm.worker_views(database), orm.waiting(database), self._service.default_queue
        )


class Static(Resource):
    """What pages load."""

    def GET(self, /, *path: str, **_: str | list[str]) -> bytes:  # noqa: N802 - CherryPy's name
        """A file; its address changes with it, so that it may be kept."""
        if len(path) != 1 or path[0] not in page.assets():
            raise NotFoundError("there is nothing at this address")
        content, kind, tag = page.asset(path[0])
        headers: dict[str, Any] = cherrypy.response.headers
        headers["Content-Type"] = kind
        headers["Cache-Control"] = "max-age=31536000, immutable"
        headers["ETag"] = f'"{tag}"'
        headers["X-Content-Type-Options"] = "nosniff"
        return content


def _first(path: tuple[str, ...]) -> str:
    """The first part of a path, to stand in an address."""
    return urllib.parse.quote(path[0] if path else "", safe="")


PAGES: Final[dict[str, type[Resource]]] = {
    "": EventsPage,
    "events": EventsPage,
    "events/": EventPage,
    "runs/": RunPage,
    "applications": ApplicationsPage,
    "applications/": ApplicationPage,
    "workers": WorkersPage,
    "edit": Edited,
    "together": Together,
    "static/": Static,
}
"""The resources that are pages too, and what only pages need."""
