"""Writing the answer to the current request: JSON, plain text, pages, problems (RFC 9457)."""

import json
import logging
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from http import HTTPStatus
from typing import BinaryIO, Final
from urllib.parse import quote

import cherrypy

from pacifica.dispatcher import events, orm, page
from pacifica.dispatcher.applications import Application, Explained
from pacifica.dispatcher.command import Command
from pacifica.dispatcher.errors import (
    ConflictError,
    DatabaseUnavailableError,
    DispatcherError,
    EventError,
    NotFoundError,
    Problem,
    SignatureError,
    UnsupportedFormatError,
)
from pacifica.dispatcher.events import Json
from pacifica.dispatcher.leftovers import Leftover, chunks
from pacifica.dispatcher.rest.requests import (
    ForeignSiteError,
    RequestError,
    TooLargeError,
    UuidError,
    prefers_html,
)
from pacifica.dispatcher.rest.streams import TooManyStreamsError

_log = logging.getLogger(__name__)

PROBLEM: Final = "application/problem+json"

TIMES: Final = frozenset({"queued", "started", "finished", "due"})
"""The members of views that are times."""

_POLICY: Final = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_MAX_LOGGED: Final = 1000
_OUR_FAULT: Final = HTTPStatus.INTERNAL_SERVER_ERROR
_RETRY_AFTER: Final = 5  # seconds

_STATUS: Final[Mapping[type[DispatcherError], HTTPStatus]] = {
    EventError: HTTPStatus.BAD_REQUEST,
    RequestError: HTTPStatus.BAD_REQUEST,
    SignatureError: HTTPStatus.FORBIDDEN,
    ForeignSiteError: HTTPStatus.FORBIDDEN,
    NotFoundError: HTTPStatus.NOT_FOUND,
    ConflictError: HTTPStatus.CONFLICT,
    TooLargeError: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    UnsupportedFormatError: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    UuidError: HTTPStatus.UNPROCESSABLE_ENTITY,
    DatabaseUnavailableError: HTTPStatus.SERVICE_UNAVAILABLE,
    TooManyStreamsError: HTTPStatus.SERVICE_UNAVAILABLE,
}


def answer_json(value: Json) -> bytes:
    """Answer with JSON."""
    return answer_json_text(dumps(value))


def answer_json_text(text: str) -> bytes:
    """Answer with a text that is JSON already."""
    cherrypy.response.headers["Content-Type"] = "application/json"
    return f"{text}\n".encode()


def answer_as_it_comes(chunks: Iterator[bytes], content_type: str) -> Iterator[bytes]:
    """Answer with chunks that are sent as they are made, and kept by nobody on the way."""
    headers = cherrypy.response.headers
    headers["Content-Type"] = content_type
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Cache-Control"] = "no-store"
    headers["X-Accel-Buffering"] = "no"  # nginx would wait for more
    cherrypy.response.stream = True
    return chunks


def answer_file(file: BinaryIO, name: str) -> Iterator[bytes]:
    """Answer with a file to be saved, which no browser shall show; it is closed at the end."""
    size = os.fstat(file.fileno()).st_size
    headers = cherrypy.response.headers
    headers["Content-Type"] = "application/octet-stream"
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(name, safe='')}"
    headers["Content-Length"] = str(size)
    cherrypy.response.stream = True
    cherrypy.request.hooks.attach("on_end_request", file.close)
    return chunks(file, size)


def answer_text(text: str) -> bytes:
    """Answer with plain text, which no browser shall take for anything else."""
    cherrypy.response.headers["Content-Type"] = "text/plain; charset=utf-8"
    cherrypy.response.headers["X-Content-Type-Options"] = "nosniff"
    return text.encode("utf-8")


def answer_page(text: str) -> bytes:
    """Answer with a page that loads nothing from elsewhere and is shown in no frame."""
    headers = cherrypy.response.headers
    headers["Content-Type"] = "text/html;charset=utf-8"
    headers["Content-Security-Policy"] = _POLICY
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Referrer-Policy"] = "same-origin"
    headers["Cache-Control"] = "no-store"
    headers["Vary"] = "Accept"
    return text.encode()


def answer_nothing() -> bytes:
    """Answer with an empty body."""
    cherrypy.response.headers.pop("Content-Type", None)
    return b""


def answer_exception() -> None:
    """Answer with the problem that the exception at hand is; log what is our fault in full."""
    exc = sys.exc_info()[1]
    status = _status_of(exc)
    if status is HTTPStatus.INTERNAL_SERVER_ERROR:
        _log.error("a request failed: %r", cherrypy.request.path_info[:200], exc_info=exc)
        detail = "the dispatcher failed; its log says how"
    else:
        detail = str(exc)
    problems = exc.problems if isinstance(exc, EventError) else ()
    reasons = "; ".join([detail, *map(str, problems)])[:_MAX_LOGGED]
    _log.info("answered %d to %s: %s", status, cherrypy.request.remote.ip, reasons)
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        cherrypy.response.headers["Retry-After"] = str(_RETRY_AFTER)
    cherrypy.response.status = status
    cherrypy.response.body = [_problem(status, detail, problems)]


def _status_of(exc: BaseException | None) -> HTTPStatus:
    """The status of an answer that says what is wrong; 500 for what is our fault."""
    kinds = type(exc).__mro__
    return next((_STATUS[kind] for kind in kinds if kind in _STATUS), _OUR_FAULT)


def answer_http_error(status: str, message: str, **_: object) -> bytes:
    """Answer with the problem that an HTTPError of CherryPy's is."""
    return _problem(HTTPStatus(int(status[:3])), message)


def without_padding() -> None:
    """Undo what CherryPy does for browsers of old: blanks up to 512 bytes around an error."""
    response = cherrypy.response
    if response.headers.get("Content-Type") == PROBLEM:
        response.body = [b"".join(response.body).strip(b" \n") + b"\n"]
        response.headers.pop("Content-Length", None)


def _problem(status: HTTPStatus, detail: str, problems: Sequence[Problem] = ()) -> bytes:
    """A page for who prefers it, else JSON."""
    if prefers_html():
        return answer_page(page.problem(status.phrase, "; ".join([detail, *map(str, problems)])))
    cherrypy.response.headers["Content-Type"] = PROBLEM
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
    return f"{dumps(document)}\n".encode()


def accepted_document(accepted: orm.Accepted, *, expired: bool) -> Json:
    """What a sender is told of its event; of one that is new and had expired, that it had."""
    document: dict[str, Json] = {
        "uuid": accepted.uuid,
        "status": accepted.status,
        "duplicate": accepted.duplicate,
        "applications": list(accepted.applications),
    }
    if expired and not accepted.duplicate:
        document["expired"] = True
    return document


def status_document(view: orm.EventView) -> Json:
    """What became of an event; of one that has no run because it had expired, that it had."""
    event = events.parse(view.sent)
    document: dict[str, Json] = {
        "uuid": view.uuid,
        "status": view.status,
        "result": only_result(view),
        "event": dict(event.attributes),
        "received": timestamp(view.received),
        "runs": [run_document(each) for each in view.runs],
    }
    if not view.runs and event.expired(view.received):
        document["expired"] = True
    return document


def event_text(view: orm.EventView) -> str:
    """An event just as it was sent, with its runs, as a JSON text."""
    head = dumps({"uuid": view.uuid, "status": view.status, "received": timestamp(view.received)})
    runs = dumps([run_document(each) for each in view.runs])
    return f'{head[:-1]}, "event": {view.sent}, "runs": {runs}}}'


def only_result(view: orm.EventView) -> Json:
    """The result of an event's only run; None when it has none or several.

    Runs whose place others have taken in a replay do not count.
    """
    results = [run.result for run in view.runs if not run.superseded]
    return results[0] if len(results) == 1 else None


def explained_document(explained: Sequence[Explained]) -> Json:
    """Why an event is for each application, or is not."""
    return {"applications": [each.document() for each in explained]}


def acted_document(uuid: str, status: str, runs: Sequence[str]) -> Json:
    """What is told of a replay, a retry or a cancel of an event: the runs that it made or hit."""
    return {"uuid": uuid, "status": status, "runs": list(runs)}


def run_document(view: orm.RunView) -> dict[str, Json]:
    """A run, without the event that it belongs to."""
    document = _with_times(view)
    del document["event"]
    return document


def attempts_document(view: orm.RunView, attempts: Sequence[orm.AttemptView]) -> Json:
    """A run with its attempts."""
    return {**_with_times(view), "attempts": [_with_times(each) for each in attempts]}


def application_document(
    application: Application, summary: orm.Summary, paused: float | None
) -> Json:
    """An application, and how it does; times of day as timestamps, durations in seconds."""
    rate = application.rate
    return {
        "name": application.name,
        "rule": [each.document() for each in application.rule],
        "way": "command" if isinstance(application.way, Command) else "handler",
        "command": str(application.way),
        "dispatch": application.dispatch,
        "queue": application.queue,
        "priority": application.priority,
        "concurrency": application.concurrency,
        "rate": None if rate is None else {"interval": rate.interval, "burst": rate.burst},
        "timeout": application.timeout,
        "paused": timestamp(paused),
        "runs": dict(summary.runs),
        "failed_today": summary.failed_today,
        "median": summary.median,
        "p95": summary.p95,
        "last_success": timestamp(summary.last_success),
    }


def failures_document(failures: Sequence[orm.Failures]) -> list[Json]:
    """What failed runs have in common."""
    return [_with_times(each) for each in failures]


def workers_document(
    workers: Sequence[orm.WorkerView], waiting: Sequence[orm.Waiting], default: str
) -> Json:
    """The workers, the queues, and what waits and why; `default` is the installation's queue."""
    served = {queue for worker in workers for queue in worker.queues}
    return {
        "workers": [_worker_document(each) for each in workers],
        "queues": [asdict(each) for each in orm.queues(workers, waiting, default)],
        "waiting": [
            {
                "application": each.application,
                "queue": each.queue or default,
                "reason": orm.reason(each, served, default),
                "number": each.number,
            }
            for each in waiting
        ],
    }


def _worker_document(worker: orm.WorkerView) -> Json:
    return {
        "uuid": worker.uuid,
        "host": worker.host,
        "started": timestamp(worker.started),
        "renewed": timestamp(worker.renewed),
        "lease": worker.length,
        "queues": list(worker.queues),
        "processes": worker.processes,
        "running": [_with_times(each) for each in worker.running],
    }


def files_document(files: Sequence[Leftover], reason: str | None) -> Json:
    """The files of an attempt, or why there are none."""
    documents: list[Json] = [
        {"name": each.name, "size": each.size, "modified": timestamp(each.modified)}
        for each in files
    ]
    return {"files": documents, "reason": reason}


def timestamp(seconds: float | None) -> str | None:
    """Seconds since the epoch as an RFC 3339 timestamp in UTC."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def dumps(value: Json) -> str:
    """The JSON text of a value."""
    return json.dumps(value, allow_nan=False)


def _with_times(
    view: orm.RunView | orm.AttemptView | orm.Running | orm.Failures,
) -> dict[str, Json]:
    return {
        name: timestamp(value) if name in TIMES else value for name, value in asdict(view).items()
    }
