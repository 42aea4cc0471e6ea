"""Addresses that only pages use: editing an event, bulk actions, static files."""

import urllib.parse
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from http import HTTPStatus
from typing import Any, Final

from pacifica.dispatcher import events, orm, page
from pacifica.dispatcher.errors import (
    ConflictError,
    EventError,
    NotFoundError,
    RequestError,
    TooLargeError,
    TooMuchWorkError,
)
from pacifica.dispatcher.intake.receiver import Acted, Receiver, Selection
from pacifica.dispatcher.rest.context import Context
from pacifica.dispatcher.rest.media_types import FORM, HTML
from pacifica.dispatcher.rest.parameters import EVENT as EVENT_ID
from pacifica.dispatcher.rest.parameters import (
    FILTERS,
    RUNS,
    Parameter,
    event_filter,
    read_event_id,
    read_parameters,
    read_run_id,
)
from pacifica.dispatcher.rest.request import Request
from pacifica.dispatcher.rest.response import Response, html_response, see_other
from pacifica.dispatcher.rest.routes import Body, Permission, Resource, operation
from pacifica.dispatcher.rest.schemas import STRING
from pacifica.dispatcher.rules import work

_MAX_AT_ONCE: Final = 500
"""Maximum number of events or runs per request."""

_SEARCH_LIMIT: Final = 2.0  # seconds
_MAX_FIELD: Final = 1024  # bytes of a form field with an id or an address
_OTHER_FIELDS: Final = 4  # action, more, application, state
_FORM_GROWTH: Final = 3  # form encoding turns one byte into up to three
_INDENTATION: Final = 4  # how many times as long an indented event may be
_PAGE: Final = {HTML: STRING}

_ACTIONS: Final[Mapping[str, Callable[[Receiver, str, Selection], Acted]]] = {
    "replay": Receiver.replay,
    "retry": Receiver.retry,
    "cancel": Receiver.cancel,
}
"""The actions on an event."""

_RUN_ACTIONS: Final[Mapping[str, Callable[[Receiver, str], None]]] = {
    "retry": Receiver.retry_run,
}


def _max_edited(context: Context) -> int:
    return _FORM_GROWTH * context.max_event_size


def _max_together(_: Context) -> int:
    return _MAX_FIELD * (_MAX_AT_ONCE + _OTHER_FIELDS)


class Edit(Resource):
    """An editable copy of an event, which becomes a new event with its own id."""

    @operation("Show a copy of an event to edit", query=[EVENT_ID], content=_PAGE)
    def GET(self, request: Request, event: str = "") -> Response:
        """Return the copy with a new id."""
        view = orm.event(self.context.database, read_event_id(event))
        copy = events.parse_event(view.sent).structured() | {"id": str(uuid.uuid4())}
        text = page.pretty(copy, _INDENTATION * len(view.sent))
        return _edit_page(request, view.uuid, text)

    @operation(
        "Store the edited copy as a new event",
        permission=Permission.ACT,
        query=[EVENT_ID],
        body=Body({FORM: STRING}, _max_edited),
        content=_PAGE,
    )
    def POST(self, request: Request, event: str = "") -> Response:
        """Store the copy and redirect to it, or show the form again with the problems."""
        original = orm.event_summary(self.context.database, read_event_id(event)).uuid
        [text] = request.form(1).get("sent", [""])
        limit = self.context.max_event_size
        if len(text.encode()) > limit:
            raise TooLargeError(f"Event larger than {limit} bytes (max_event_size)")
        try:
            copy = events.parse_event(text)
        except EventError as exc:
            problems = [str(each) for each in exc.problems] or [str(exc)]
            return _edit_page(request, original, text, problems, HTTPStatus.BAD_REQUEST)
        accepted = self.context.receiver.accept_edited(original, copy, self.context.database.now())
        if accepted.duplicate:
            known = "An event with this source and id already exists; choose another id"
            return _edit_page(request, original, text, [known], HTTPStatus.CONFLICT)
        return see_other(f"/events/{accepted.uuid}")


class Together(Resource):
    """Bulk actions on several events or runs, after a confirmation."""

    @operation("Ask for confirmation of a bulk action", query=None, content=_PAGE)
    def GET(self, request: Request) -> Response:
        """Ask about the selected events, all that match a filter, or a group of runs."""
        query = request.parameters()
        if "group" in query:
            return html_response(request, self._about_failures(query["group"][0]))
        return html_response(request, self._about_events(query))

    @operation(
        "Perform a bulk action",
        permission=Permission.ACT,
        query=None,
        body=Body({FORM: STRING}, _max_together),
        content=_PAGE,
    )
    def POST(self, request: Request) -> Response:
        """Act on each separately, so that a refusal does not affect the others."""
        fields = request.form(_MAX_AT_ONCE + _OTHER_FIELDS)
        kind = "run" if "run" in fields else "event"
        action = _action(fields.get("action", []), _RUN_ACTIONS if kind == "run" else _ACTIONS)
        selection = _selection(fields)
        done, refused = 0, []
        applications = Counter[str]()
        with work.limited():
            for each in _ids(kind, fields.get(kind, [])):
                try:
                    if kind == "run":
                        _RUN_ACTIONS[action](self.context.receiver, each)
                    else:
                        acted = _ACTIONS[action](self.context.receiver, each, selection)
                        applications.update(acted.applications)
                    done += 1
                except (ConflictError, NotFoundError, TooMuchWorkError) as exc:
                    refused.append((each, str(exc)))
        more = fields.get("more", [""])[0]
        following = more if more.startswith("/together?") else None
        shown = page.done(
            action, kind, done, applications=applications, refused=refused, more=following
        )
        return html_response(request, shown)

    def _about_failures(self, group: str) -> page.Html:
        for each in orm.failure_groups(self.context.database):
            if each.group == group:
                return page.together("retry", "run", each.runs, None)
        raise NotFoundError("No such group among the recent failures; reload the page")

    def _about_events(self, query: dict[str, list[str]]) -> page.Html:
        action = _action(query.pop("action", []), _ACTIONS)
        selected = query.pop("event", [])
        selection = _selection(query)
        ask = partial(page.together, action, "event", fields=asdict(selection), only=str(selection))
        if query.pop("all", None) is None:
            return ask(_ids("event", selected), None)
        filters = {name: texts for name, texts in query.items() if any(texts)}
        chosen = read_parameters(filters, _FILTERS)
        uuids, before = orm.search_uuids(
            self.context.database,
            event_filter(self.context.database, chosen),
            _MAX_AT_ONCE,
            _SEARCH_LIMIT,
        )
        return ask(uuids, before and _more(filters, before, action))


class Static(Resource):
    """A static file of the pages."""

    @operation(
        "Load a static file of the pages", permission=Permission.OPEN, query=None, database=False
    )
    def GET(self, request: Request, name: Sequence[str]) -> Response:
        """Return the file for browsers to keep: its address changes with its content."""
        file = "/".join(name)
        if file not in page.assets():
            raise NotFoundError(f"Nothing at {request.path[:200]}")
        content, kind, tag = page.asset(file)
        headers = {
            "Content-Type": kind,
            "Cache-Control": "max-age=31536000, immutable",
            "ETag": f'"{tag}"',
            "X-Content-Type-Options": "nosniff",
        }
        return Response(body=content, headers=headers)


_SELECTION: Final[Mapping[str, Parameter]] = {each.name: each for each in RUNS}
_FILTERS: Final[Mapping[str, Parameter]] = {each.name: each for each in FILTERS}


def _edit_page(
    request: Request,
    original: str,
    text: str,
    problems: Sequence[str] = (),
    status: HTTPStatus = HTTPStatus.OK,
) -> Response:
    return html_response(request, page.edit(original, text, problems), status)


def _more(filters: Mapping[str, list[str]], before: str, action: str) -> str:
    given: dict[str, Any] = {name: texts[0] for name, texts in filters.items()}
    following = urllib.parse.urlencode({**given, "before": before, "all": "yes", "action": action})
    return f"/together?{following}"


def _selection(fields: Mapping[str, list[str]]) -> Selection:
    given = {name: texts for name, texts in fields.items() if name in _SELECTION and any(texts)}
    return Selection(**read_parameters(given, _SELECTION))


def _action(given: Sequence[str], known: Collection[str]) -> str:
    if len(given) != 1 or given[0] not in known:
        raise RequestError(f"Invalid action: expected one of {', '.join(known)}")
    return given[0]


def _ids(kind: str, given: Sequence[str]) -> list[str]:
    if len(given) > _MAX_AT_ONCE:
        raise RequestError(f"{len(given)} {kind}s selected; select at most {_MAX_AT_ONCE}")
    read = read_run_id if kind == "run" else read_event_id
    return [read(each) for each in given]
