"""The resources as pages: HTML for who prefers it, at the same addresses; forms are POSTs."""

import time
import urllib.parse
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from http import HTTPStatus
from typing import Any, Final

import cherrypy

from pacifica.dispatcher import events, orm, page
from pacifica.dispatcher.applications import explain
from pacifica.dispatcher.errors import ConflictError, EventError, NotFoundError
from pacifica.dispatcher.rest import answers, requests, transcript
from pacifica.dispatcher.rest.requests import RequestError, TooLargeError
from pacifica.dispatcher.rest.resources import (
    ACTIONS,
    Applications,
    Event,
    Events,
    OneApplication,
    Resource,
    Runs,
    Service,
    Workers,
)

_AT_ONCE: Final = 500
"""Events that something is done with in one request."""

_MAX_FIELD: Final = 1024  # bytes of a field that holds a uuid, or an address
_ENCODED: Final = 3
"""How much longer a text may get when a form encodes it."""

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


class Edited(Resource):
    """A copy of an event, to be changed and sent: a new event, which has an id of its own."""

    def GET(self, /, **query: str | list[str]) -> bytes:  # noqa: N802 - CherryPy's name
        """The copy, with an id that no event has."""
        [asked] = requests.parameters(query, {"event": str}).values() or [""]
        view = orm.event(self._service.database, requests.only_uuid([asked]))
        copy = events.parse(view.sent).structured() | {"id": str(uuid.uuid4())}
        return answers.answer_page(page.edit(view.uuid, page.pretty(copy), ()))

    def POST(self, /, **query: str | list[str]) -> bytes:  # noqa: N802 - CherryPy's name
        """Store it as any other, and show it; what is wrong with it is shown beside it."""
        requests.check_same_site()
        [asked] = requests.parameters(query, {"event": str}).values() or [""]
        service = self._service
        view = orm.event(service.database, requests.only_uuid([asked]))
        limit = service.max_event_size
        [text] = requests.form(1, _ENCODED * limit).get("sent", [""])
        if len(text.encode()) > limit:
            raise TooLargeError(f"an event may have {limit} bytes here (max_event_size)")
        try:
            event = events.parse(text)
        except EventError as exc:
            problems = [str(each) for each in exc.problems] or [str(exc)]
            return self._again(HTTPStatus.BAD_REQUEST, view.uuid, text, problems)
        names = [run.application for run in view.runs]
        matched = () if event.expired(time.time()) else service.matching(event, names)
        [accepted] = service.store([(event, matched)])
        if accepted.duplicate:
            known = "an event with this source and id is there already: give it another id"
            return self._again(HTTPStatus.CONFLICT, view.uuid, text, [known])
        cherrypy.response.status = HTTPStatus.SEE_OTHER
        cherrypy.response.headers["Location"] = f"/events/{accepted.uuid}"
        return answers.answer_page("")

    @staticmethod
    def _again(status: HTTPStatus, original: str, text: str, problems: Sequence[str]) -> bytes:
        cherrypy.response.status = status
        return answers.answer_page(page.edit(original, text, problems))


class Together(EventsPage):
    """Several events or runs, and what is to be done with them all: a question, then the answer."""

    def GET(self, /, **query: str | list[str]) -> bytes:  # noqa: N802 - CherryPy's name
        """Ask about those that are selected, the newest that a filter finds, or a group of runs."""
        if "group" in query:
            return answers.answer_page(self._about_failures(query))
        return answers.answer_page(self._question(dict(query)))

    def POST(self, /, **_: str | list[str]) -> bytes:  # noqa: N802 - CherryPy's name
        """Do it, with each by itself: what one refuses does not keep others from it."""
        requests.check_same_site()
        return answers.answer_page(self._answer())

    def _about_failures(self, query: requests.Query) -> str:
        """Ask whether to retry the failed runs that have something in common."""
        asked = requests.parameters(query, {"group": str})["group"]
        for each in orm.failures(self._service.database):
            if each.group == asked:
                return page.together("retry", "run", each.runs, None)
        raise NotFoundError("no such failures are among the last ones any more")

    def _question(self, query: dict[str, str | list[str]]) -> str:
        action = _action(query.pop("action", ""), ACTIONS)
        selected = query.pop("event", [])
        if query.pop("all", None) is None:
            return page.together(action, "event", _uuids(selected), None)
        wanted = {name: text for name, text in query.items() if text}
        found, following = self.found({**wanted, "limit": str(_AT_ONCE)})
        more = following and f"/together?{following}&all=yes&action={action}"
        return page.together(action, "event", [view.uuid for view in found.events], more)

    def _answer(self) -> str:
        fields = requests.form(_AT_ONCE + 2, _MAX_FIELD * (_AT_ONCE + 2))
        kind = "run" if "run" in fields else "event"
        acts = {"retry": self._service.retry_run} if kind == "run" else self._on_events()
        action = _action(fields.get("action", [""])[0], acts)
        more = fields.get("more", [""])[0]
        done, refused = 0, []
        for each in _uuids(fields.get(kind, [])):
            try:
                acts[action](each)
                done += 1
            except (ConflictError, NotFoundError) as exc:
                refused.append((each, str(exc)))
        following = more if more.startswith("/together?") else None
        return page.done(action, kind, done, refused, following)

    def _on_events(self) -> dict[str, Callable[[str], object]]:
        """What can be done with the event of a uuid."""
        return {name: partial(self._on_event, act) for name, act in ACTIONS.items()}

    def _on_event(self, act: Callable[[Service, orm.EventView], object], uuid: str) -> None:
        act(self._service, orm.event(self._service.database, uuid))


def _action(given: str | list[str], known: Collection[str]) -> str:
    if not isinstance(given, str) or given not in known:
        raise RequestError(f"action is one of {', '.join(known)}")
    return given


def _uuids(given: str | list[str]) -> list[str]:
    uuids = [given] if isinstance(given, str) else given
    if len(uuids) > _AT_ONCE:
        raise RequestError(f"at most {_AT_ONCE} events at once")
    return [requests.only_uuid([uuid]) for uuid in uuids]


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
