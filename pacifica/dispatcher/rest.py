"""CherryPy resources: HTTP in, JSON out; an error becomes its status in one table."""

import json
import logging
import re
import sys
import urllib.parse
import uuid as uuids
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final

import cherrypy

from pacifica.dispatcher import events, orm
from pacifica.dispatcher.applications import Application, matching
from pacifica.dispatcher.command import Command
from pacifica.dispatcher.errors import (
    DatabaseUnavailableError,
    DispatcherError,
    EventError,
    NotFoundError,
    Problem,
    UnsupportedFormatError,
)
from pacifica.dispatcher.events import Json
from pacifica.dispatcher.publisher import Publisher

_log = logging.getLogger(__name__)

_PROBLEM: Final = "application/problem+json"
_DRAINED: Final = 16 * 1024**2
_MAX_LOGGED: Final = 1000
_MAX_LIMIT: Final = 500
_STREAMS: Final = ("stdout", "stderr")
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class RequestError(DispatcherError):
    """A request that cannot be answered as it was made: a parameter, an argument."""


class UuidError(DispatcherError):
    """What stands in place of a uuid is none."""


class TooLargeError(DispatcherError):
    """The request's body is larger than an event may be."""


_STATUS: Final[Mapping[type[DispatcherError], HTTPStatus]] = {
    EventError: HTTPStatus.BAD_REQUEST,
    RequestError: HTTPStatus.BAD_REQUEST,
    NotFoundError: HTTPStatus.NOT_FOUND,
    TooLargeError: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    UnsupportedFormatError: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    UuidError: HTTPStatus.UNPROCESSABLE_ENTITY,
    DatabaseUnavailableError: HTTPStatus.SERVICE_UNAVAILABLE,
}


@dataclass(frozen=True, slots=True)
class Service:
    """What the resources work with.

    Attributes:
        database: where events are stored and asked for.
        applications: all that are configured, by name.
        publisher: is woken when something was stored.
        max_event_size: bytes that a body may have.
    """

    database: orm.Database
    applications: Mapping[str, Application]
    publisher: Publisher
    max_event_size: int

    def accept(self, arrived: Sequence[events.Event]) -> list[orm.Accepted]:
        """Store events with a run for every application that they match."""
        return self.store(
            [
                (event, [each.name for each in matching(self.applications.values(), event)])
                for event in arrived
            ]
        )

    def store(self, matched: Sequence[tuple[events.Event, Sequence[str]]]) -> list[orm.Accepted]:
        """Store events with a run for each of the applications named."""
        accepted = orm.accept(self.database, matched) if matched else []
        self.publisher.wake()
        return accepted


class _Resource:
    """One kind of thing that has an address."""

    exposed = True

    def __init__(self, service: Service) -> None:
        self._service = service


class Receive(_Resource):
    """POST: one event, or a batch."""

    def POST(self) -> bytes:  # noqa: N802 - CherryPy's name
        """Store what arrives and answer 202; from then on it is not lost."""
        received = events.receive(
            cherrypy.request.headers.get("Content-Type", ""), _body(self._service.max_event_size)
        )
        accepted = self._service.accept(received.events)
        cherrypy.response.status = HTTPStatus.ACCEPTED
        if not received.batch:
            cherrypy.response.headers["Location"] = f"/status/{accepted[0].uuid}"
        if _wants_reply():
            cherrypy.response.headers.pop("Content-Type", None)
            return b""
        if _prefers_text():
            return _text("".join(f"{each.uuid}\n" for each in accepted))
        answers: list[Json] = [_accepted(each) for each in accepted]
        return _json({"events": answers} if received.batch else answers[0])


class Events(Receive):
    """The events: POST one, GET a page of them, or one by its uuid."""

    def GET(self, *path: str, **query: str) -> bytes:  # noqa: N802 - CherryPy's name
        """One event as it was sent and its runs; without a uuid the newest ones."""
        if path:
            return self._one(*path, **query)
        limit = _limit(query.pop("limit", "50"))
        wanted = _event_filter(query)
        found = orm.events(self._service.database, wanted, limit)
        if len(found) == limit:
            asked = {**query, "limit": str(limit), "before": found[-1].uuid}
            link = f'</events?{urllib.parse.urlencode(asked)}>; rel="next"'
            cherrypy.response.headers["Link"] = link
        return _json({"events": [_status(view) for view in found]})

    def _one(self, uuid: str, *rest: str, **query: str) -> bytes:
        _nothing_more(rest, query)
        view = orm.event(self._service.database, _uuid(uuid))
        head: Json = {"uuid": view.uuid, "status": view.status, "received": _time(view.received)}
        runs = _dumps([_run(each) for each in view.runs])
        return _encoded(f'{_dumps(head)[:-1]}, "event": {view.sent}, "runs": {runs}}}')


class Root(Events):
    """The top: what Events does, without single events."""

    def GET(self, **query: str) -> bytes:  # type: ignore[override] # noqa: N802
        """The newest events."""
        return super().GET(**query)


class Status(_Resource):
    """GET /status/UUID: what became of an event."""

    def GET(self, uuid: str = "", *rest: str, **query: str) -> bytes:  # noqa: N802 - CherryPy's name
        """The event's status, its result when it has one run only, and its runs."""
        _nothing_more(rest, query)
        view = orm.event(self._service.database, _uuid(uuid))
        if _prefers_text():
            result = _only_result(view)
            return _text(f"{view.status if result is None else _dumps(result)}\n")
        return _json(_status(view))


class Dispatch(_Resource):
    """GET /dispatch/APPLICATION/ARGUMENT/…: run an application by hand."""

    def GET(self, application: str = "", *arguments: str, **query: str) -> bytes:  # noqa: N802
        """Make an event of the arguments, and a run of this application for it."""
        _nothing_more((), query)
        named = self._service.applications.get(application)
        if named is None or not named.dispatch:
            raise NotFoundError("there is no application of this name with dispatch = yes")
        sent = _dumps(
            {
                "specversion": "1.0",
                "id": str(uuids.uuid4()),
                "source": "/dispatch",
                "type": "org.pacifica.dispatcher.dispatch",
                "subject": application,
                "time": _time(datetime.now(UTC).timestamp()),
                "data": [_integer_or_text(each) for each in arguments],
            }
        )
        [accepted] = self._service.store([(events.parse(sent), [application])])
        cherrypy.response.status = HTTPStatus.ACCEPTED
        cherrypy.response.headers["Location"] = f"/status/{accepted.uuid}"
        return _text(accepted.uuid)


class Runs(_Resource):
    """GET /runs/UUID and /runs/UUID/output."""

    def GET(self, uuid: str = "", part: str = "", *rest: str, **query: str) -> bytes:  # noqa: N802
        """The run with its attempts, or the output of one."""
        if rest or part not in {"", "output"}:
            raise NotFoundError("there is nothing at this address")
        view, attempts = orm.run(self._service.database, _uuid(uuid))
        if part == "output":
            return self._output(view, query)
        _nothing_more(rest, query)
        return _json({**_run(view), "event": view.event, "attempts": [_times(a) for a in attempts]})

    def _output(self, view: orm.RunView, query: dict[str, str]) -> bytes:
        stream = query.pop("stream", None)
        attempt = query.pop("attempt", str(view.attempt))
        _nothing_more((), query)
        if stream not in {None, *_STREAMS}:
            raise RequestError(f"stream is {' or '.join(_STREAMS)}")
        if not re.fullmatch(r"\d{1,9}", attempt, re.ASCII):
            raise RequestError("attempt is the number of an attempt, from 1")
        parts: list[bytes] = []
        ends = dict.fromkeys(_STREAMS, 0)
        for piece in orm.output(self._service.database, view.uuid, int(attempt), stream):
            missing = piece.position - ends[piece.stream]
            if missing:
                parts.append(f"\n[… {missing} bytes of {piece.stream} were not kept …]\n".encode())
            parts.append(piece.data)
            ends[piece.stream] = piece.position + len(piece.data)
        return _text(b"".join(parts).decode(errors="replace"))


class Applications(_Resource):
    """GET /applications: what is configured."""

    def GET(self, *path: str, **query: str) -> bytes:  # noqa: N802 - CherryPy's name
        """Each application with its rule and the number of its runs by state."""
        _nothing_more(path, query)
        counts = orm.application_counts(self._service.database)
        return _json(
            {
                "applications": [
                    {
                        "name": each.name,
                        "rule": [_rule(one) for one in each.rule],
                        "way": "command" if isinstance(each.way, Command) else "handler",
                        "dispatch": each.dispatch,
                        "runs": dict(counts.get(each.name, {})),
                    }
                    for each in self._service.applications.values()
                ]
            }
        )


class Live(_Resource):
    """GET /health/live: this process answers."""

    def GET(self) -> bytes:  # noqa: N802 - CherryPy's name
        """Always 200."""
        return _json({"status": "ok"})


class Ready(_Resource):
    """GET /health/ready: events can be stored now."""

    def GET(self) -> bytes:  # noqa: N802 - CherryPy's name
        """200, or 503 with the reason."""
        self._service.database.check()
        return _json({"status": "ok"})


class Health:
    """What /health/… hangs on."""

    def __init__(self, service: Service) -> None:
        """Hang the two resources."""
        self.live = Live(service)
        self.ready = Ready(service)


def resources(service: Service) -> Root:
    """The tree of all resources."""
    root: Any = Root(service)
    root.receive = Receive(service)
    root.events = Events(service)
    root.status = Status(service)
    root.dispatch = Dispatch(service)
    root.runs = Runs(service)
    root.applications = Applications(service)
    root.health = Health(service)
    return root  # type: ignore[no-any-return]


def configuration() -> dict[str, dict[str, object]]:
    """CherryPy's configuration of the tree."""
    return {
        "/": {
            "request.dispatch": cherrypy.dispatch.MethodDispatcher(),
            "request.process_request_body": False,
            "request.show_tracebacks": False,
            "request.error_response": _answer_exception,
            "error_page.default": _answer_http_error,
            "hooks.before_finalize": _without_padding,
            "tools.log_headers.on": False,
            "tools.log_tracebacks.on": False,
            "tools.trailing_slash.on": False,
        }
    }


def _answer_exception() -> None:
    exc = sys.exc_info()[1]
    status = next((_STATUS[kind] for kind in type(exc).__mro__ if kind in _STATUS), None)
    if status is None:
        _log.error("a request failed: %s", cherrypy.request.path_info[:200], exc_info=exc)
        status, detail = HTTPStatus.INTERNAL_SERVER_ERROR, "the dispatcher failed; its log says how"
    else:
        detail = str(exc)
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        cherrypy.response.headers["Retry-After"] = "5"
    problems = exc.problems if isinstance(exc, EventError) else ()
    reasons = "; ".join([detail, *map(str, problems)])[:_MAX_LOGGED]
    _log.info("answered %d to %s: %s", status, cherrypy.request.remote.ip, reasons)
    cherrypy.response.status = status
    cherrypy.response.body = [_problem(status, detail, problems)]


def _answer_http_error(status: str, message: str, **_: object) -> bytes:
    return _problem(HTTPStatus(int(status[:3])), message)


def _without_padding() -> None:
    """Undo what CherryPy does for browsers of old: blanks up to 512 bytes around an error."""
    response = cherrypy.response
    if response.headers.get("Content-Type") == _PROBLEM:
        response.body = [b"".join(response.body).strip(b" \n") + b"\n"]
        response.headers.pop("Content-Length", None)


def _problem(status: HTTPStatus, detail: str, problems: Sequence[Problem] = ()) -> bytes:
    """RFC 9457, section 3."""
    cherrypy.response.headers["Content-Type"] = _PROBLEM
    document: dict[str, Json] = {
        "type": "about:blank",
        "title": status.phrase,
        "status": status.value,
        "detail": detail,
    }
    if problems:
        document["errors"] = [
            {"pointer": f"#{each.where}", "detail": each.what} for each in problems
        ]
    return _encoded(_dumps(document))


def _body(limit: int) -> bytes:
    """The request's body.

    Raises:
        TooLargeError: it is larger than the limit; what comes is read on for a while, so that the
            sender gets to see the answer.
        RequestError: it ended before its Content-Length.
    """
    request = cherrypy.request
    length = int(request.headers.get("Content-Length") or -1)
    chunked = "chunked" in request.headers.get("Transfer-Encoding", "").lower()
    if length < 0 and not chunked:
        return b""
    wanted = min(length, limit + 1) if length >= 0 else limit + 1
    body: bytes = request.rfile.read(wanted)
    if len(body) > limit:
        drained = len(body)
        while drained < min(length if length >= 0 else _DRAINED, _DRAINED):
            more = request.rfile.read(min(64 * 1024, _DRAINED - drained))
            if not more:
                break
            drained += len(more)
        cherrypy.response.headers["Connection"] = "close"
        raise TooLargeError(f"an event may have {limit} bytes here (max_event_size)")
    if len(body) < length:
        raise RequestError("the body ended before its Content-Length")
    return body


def _wants_reply() -> bool:
    """Whether the sender takes the body for an event and so must get none (Knative)."""
    preferences = cherrypy.request.headers.get("Prefer", "")
    return any(each.strip().lower() == "reply" for each in preferences.split(","))


def _prefers_text() -> bool:
    accept = cherrypy.request.headers.get("Accept", "")
    if "text/" not in accept:
        return False
    accepted = [str(each.value) for each in cherrypy.request.headers.elements("Accept")]
    offered = [
        each for each in accepted if each in {"text/plain", "text/*", "application/json", "*/*"}
    ]
    return bool(offered) and offered[0].startswith("text/")


def _uuid(text: str) -> str:
    if not _UUID.fullmatch(text.lower()):
        raise UuidError("a uuid looks like 01a20997-c0e5-77ee-8e00-a2944b68dfdf")
    return text.lower()


def _nothing_more(rest: Sequence[str], query: Mapping[str, str]) -> None:
    if rest:
        raise NotFoundError("there is nothing at this address")
    if query:
        raise RequestError(f"unknown parameter {next(iter(query))[:80]!r}")


def _limit(text: str) -> int:
    if not re.fullmatch(r"\d{1,4}", text, re.ASCII) or not 1 <= int(text) <= _MAX_LIMIT:
        raise RequestError(f"limit is a number from 1 to {_MAX_LIMIT}")
    return int(text)


def _event_filter(query: Mapping[str, Any]) -> orm.EventFilter:
    readers: dict[str, Callable[[str], Any]] = {
        "status": _known_status,
        "type": str,
        "source": str,
        "application": str,
        "since": _moment,
        "until": _moment,
        "before": _uuid,
    }
    found = {}
    for name, text in query.items():
        if name not in readers:
            raise RequestError(
                f"unknown parameter {name[:80]!r}; known: {', '.join(readers)}, limit"
            )
        if not isinstance(text, str):
            raise RequestError(f"{name} is given twice")
        found[name] = readers[name](text)
    return orm.EventFilter(**found)


def _known_status(text: str) -> str:
    known = ["unmatched", *orm.State]
    if text not in known:
        raise RequestError(f"status is one of {', '.join(known)}")
    return text


def _moment(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise RequestError("a time looks like 2026-11-23T16:57:37Z") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _integer_or_text(text: str) -> int | str:
    return int(text) if re.fullmatch(r"-?\d{1,1000}", text, re.ASCII) else text


def _accepted(accepted: orm.Accepted) -> Json:
    return {
        "uuid": accepted.uuid,
        "status": accepted.status,
        "duplicate": accepted.duplicate,
        "applications": list(accepted.applications),
    }


def _status(view: orm.EventView) -> Json:
    return {
        "uuid": view.uuid,
        "status": view.status,
        "result": _only_result(view),
        "event": dict(events.parse(view.sent).attributes),
        "received": _time(view.received),
        "runs": [_run(each) for each in view.runs],
    }


def _only_result(view: orm.EventView) -> Json:
    return view.runs[0].result if len(view.runs) == 1 else None


def _run(view: orm.RunView) -> dict[str, Json]:
    run = _times(view)
    del run["event"]
    return run


def _times(view: orm.RunView | orm.AttemptView) -> dict[str, Json]:
    return {
        name: _time(value) if name in {"queued", "started", "finished"} else value
        for name, value in asdict(view).items()
    }


def _time(seconds: float | None) -> str | None:
    """An RFC 3339 timestamp in UTC."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def _rule(one: object) -> Json:
    return {type(one).__name__.lower(): {getattr(one, "attribute"): getattr(one, "value")}}  # noqa: B009


def _dumps(value: Json) -> str:
    return json.dumps(value, allow_nan=False)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8") + b"\n"


def _json(value: Json) -> bytes:
    cherrypy.response.headers["Content-Type"] = "application/json"
    return _encoded(_dumps(value))


def _text(text: str) -> bytes:
    cherrypy.response.headers["Content-Type"] = "text/plain; charset=utf-8"
    cherrypy.response.headers["X-Content-Type-Options"] = "nosniff"
    return text.encode("utf-8")
