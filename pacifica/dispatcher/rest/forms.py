"""What only pages need: forms by which an event is edited, or several things are acted on."""

import time
import uuid
from collections.abc import Callable, Collection, Sequence
from functools import partial
from http import HTTPStatus
from typing import Final

import cherrypy

from pacifica.dispatcher import events, orm, page
from pacifica.dispatcher.errors import ConflictError, EventError, NotFoundError
from pacifica.dispatcher.rest import answers, requests
from pacifica.dispatcher.rest.requests import RequestError, TooLargeError
from pacifica.dispatcher.rest.resources import Events, Resource
from pacifica.dispatcher.rest.service import ACTIONS, Service

_AT_ONCE: Final = 500
"""Events that something is done with in one request."""

_PATIENCE: Final = 2.0  # seconds that it may take to find them
_MAX_FIELD: Final = 1024  # bytes of a field that holds a uuid, or an address
_ENCODED: Final = 3
"""How much longer a text may get when a form encodes it."""


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


class Together(Events):
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
        found, following = self.found({**wanted, "limit": str(_AT_ONCE)}, _PATIENCE)
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
