"""The resources: what has an address, and what its methods do."""

import re
import socket
import time
import urllib.parse
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

import cherrypy

from pacifica.dispatcher import events, orm, page
from pacifica.dispatcher.adapters import Adapter
from pacifica.dispatcher.applications import Application, explain, matching
from pacifica.dispatcher.errors import ConflictError, NotFoundError
from pacifica.dispatcher.events import Json
from pacifica.dispatcher.leftovers import MAX_FILES, Leftover, leftovers, open_leftover
from pacifica.dispatcher.publisher import Publisher
from pacifica.dispatcher.rest import answers, follow, openapi, requests, transcript
from pacifica.dispatcher.rest.live import LivePages
from pacifica.dispatcher.rest.requests import Query
from pacifica.dispatcher.rest.streams import Streams
from pacifica.dispatcher.rest.webhook import Webhook
from pacifica.dispatcher.workplace import Workplace

_BY_HAND = ("/dispatch", "org.pacifica.dispatcher.dispatch")
"""Source and type of the event that stands for a run by hand."""

_TO_RETRY = (orm.State.FAILED, orm.State.CANCELLED)
_TO_CANCEL = (orm.State.QUEUED, orm.State.RUNNING, orm.State.RETRYING)


@dataclass(frozen=True, slots=True)
class Service:
    """What the resources work with.

    Attributes:
        database: where events are stored and asked for.
        applications: all that are configured, by name.
        publisher: is woken when something was stored.
        max_event_size: bytes that a body may have.
        intake: takes events into the database.
        webhook: who may deliver, of those that ask.
        default_queue: the Celery queue of applications that name none.
        streams: the places of answers that stay open.
        directory: where workers make their working directories, as far as it is seen from here.
        adapters: those that are configured, by name.
        live: what is shown to those who look at pages now.
    """

    database: orm.Database
    applications: Mapping[str, Application]
    publisher: Publisher
    max_event_size: int
    intake: orm.Intake
    webhook: Webhook
    default_queue: str
    streams: Streams
    directory: Path
    adapters: Mapping[str, Adapter]
    live: LivePages = field(default_factory=LivePages)

    def received(self) -> events.Received:
        """The events of the request at hand."""
        return events.receive(
            requests.content_type(),
            requests.body(self.max_event_size),
            cherrypy.request.header_list,
        )

    def accept(self, arrived: Sequence[events.Event], now: float) -> list[orm.Accepted]:
        """Store events with a run for every application that they match.

        Args:
            arrived: the events.
            now: seconds since the epoch; what has expired by then gets no run.
        """
        return self.store(
            [
                (
                    event,
                    () if event.expired(now) else matching(self.applications.values(), event),
                )
                for event in arrived
            ]
        )

    def store(self, matched: Sequence[orm.Matched]) -> list[orm.Accepted]:
        """Store events with a run for each of their applications."""
        accepted = self.intake.accept(matched) if matched else []
        self.publisher.wake()
        return accepted

    def replay(self, view: orm.EventView) -> list[str]:
        """Run what an event matches today, in the place of its former runs; gives the new ones.

        Raises:
            ConflictError: it matches nothing, or some of its runs have not ended.
        """
        event = events.parse(view.sent)
        matched = self.matching(event, [run.application for run in view.runs])
        runs = orm.replay(self.database, view.uuid, event, matched)
        self.publisher.wake()
        return runs

    def retry(self, view: orm.EventView) -> list[str]:
        """Retry those runs of an event that failed or were cancelled; gives them.

        Raises:
            ConflictError: there are none that can be retried.
        """
        retried = self._of_each(
            view, lambda run: orm.retry(self.database, run, self.applications), _TO_RETRY
        )
        self.publisher.wake()
        return retried

    def retry_run(self, run: str) -> None:
        """Retry one run.

        Raises:
            ConflictError: it neither failed nor was cancelled, or a replay has taken its place.
            NotFoundError: there is none.
        """
        orm.retry(self.database, run, self.applications)
        self.publisher.wake()

    def cancel(self, view: orm.EventView) -> list[str]:
        """Cancel those runs of an event that have not ended; gives them.

        Raises:
            ConflictError: all have ended.
        """
        return self._of_each(view, lambda run: orm.ask_to_cancel(self.database, run), _TO_CANCEL)

    @staticmethod
    def _of_each(
        view: orm.EventView, act: Callable[[str], object], states: Collection[str]
    ) -> list[str]:
        """Act on the runs of an event that are in these states; others may be quicker."""
        acted: list[str] = []
        refused = ConflictError(f"none of its runs is {' or '.join(states)}")
        for run in view.runs:
            if run.status in states and not run.superseded:
                try:
                    act(run.uuid)
                except ConflictError as exc:
                    refused = exc
                else:
                    acted.append(run.uuid)
        if not acted:
            raise refused
        return acted

    def matching(self, event: events.Event, before: Sequence[str]) -> list[Application]:
        """What an event matches today; one that was dispatched by hand has what it had before."""
        if (event.source, event.type) == _BY_HAND:
            return [
                each for each in self.applications.values() if each.dispatch and each.name in before
            ]
        return list(matching(self.applications.values(), event))


ACTIONS: Mapping[str, Callable[[Service, orm.EventView], list[str]]] = {
    "replay": Service.replay,
    "retry": Service.retry,
    "cancel": Service.cancel,
}
"""What can be done with an event."""


class Resource:
    """Something that has an address; each HTTP method is one of its methods."""

    def __init__(self, service: Service) -> None:
        """Give it what it works with."""
        self._service = service


class Receive(Resource):
    """One event, or a batch; senders put tokens of their own into the query."""

    def OPTIONS(self, /, **_: str | list[str]) -> bytes:  # noqa: N802 - CherryPy's name
        """Tell a sender whether it may deliver; one that can be called back is told by that."""
        webhook, headers = self._service.webhook, cherrypy.request.headers
        permission = webhook.permission(headers.get("WebHook-Request-Origin", ""))
        callback = headers.get("WebHook-Request-Callback", "")
        if permission and webhook.may_call(callback):
            cherrypy.request.hooks.attach("on_end_request", partial(webhook.call, callback))
        else:
            cherrypy.response.headers.update(permission)
        return answers.answer_nothing()

    def POST(self, /, **_: str | list[str]) -> bytes:  # noqa: N802 - CherryPy's name
        """Store what arrives and answer 202; from then on it is not lost."""
        return _accepted(self._service, self._service.received(), time.time())


class Adapted(Resource):
    """What a sender delivers that does not speak CloudEvents."""

    def POST(self, /, *path: str, **_: str | list[str]) -> bytes:  # noqa: N802 - CherryPy's name
        """Store the events that its adapter makes of it, as any others."""
        name = path[0] if len(path) == 1 else ""
        adapter = self._service.adapters.get(name)
        if adapter is None:
            raise NotFoundError("there is no adapter of this name: see [adapter:NAME]")
        request, now = cherrypy.request, time.time()
        received = adapter.receive(
            requests.content_type(),
            requests.body(self._service.max_event_size),
            request.header_list,
            now,
        )
        return _accepted(self._service, received, now)


def _accepted(service: Service, received: events.Received, now: float) -> bytes:
    """Store what was received, and tell the sender what became of it."""
    accepted = service.accept(received.events, now)
    cherrypy.response.status = HTTPStatus.ACCEPTED
    if not received.batch:
        cherrypy.response.headers["Location"] = f"/status/{accepted[0].uuid}"
    if requests.wants_reply():
        return answers.answer_nothing()
    if requests.prefers_text():
        return answers.answer_text("".join(f"{each.uuid}\n" for each in accepted))
    documents = [
        answers.accepted_document(each, expired=event.expired(now))
        for each, event in zip(accepted, received.events, strict=True)
    ]
    return answers.answer_json({"events": documents} if received.batch else documents[0])


class Events(Receive):
    """The events: POST one, GET the newest."""

    def GET(self, /, **query: str | list[str]) -> bytes | Iterator[bytes]:  # noqa: N802 - CherryPy's name
        """A page of the events that are asked for, newest first."""
        found, following = self.found(query)
        if following:
            cherrypy.response.headers["Link"] = f'</events?{following}>; rel="next"'
        documents = [answers.status_document(view) for view in found.events]
        return answers.answer_json({"events": documents})

    def found(self, query: Query, patience: float = orm.PATIENCE) -> tuple[orm.Found, str | None]:
        """The events that are asked for, and what to ask for the next page, if there may be one.

        Args:
            query: the parameters.
            patience: seconds that a search takes before it is gone on with on the next page.
        """
        readers: requests.Readers = {
            "status": requests.status,
            "state": requests.status,
            "type": str,
            "source": str,
            "application": str,
            "text": str,
            "since": requests.moment,
            "until": requests.moment,
            "before": requests.cursor,
            "limit": requests.limit,
        }
        asked = requests.parameters(query, readers)
        limit = asked.pop("limit", requests.DEFAULT_LIMIT)
        found = orm.search(self._service.database, orm.EventFilter(**asked), limit, patience)
        following = urllib.parse.urlencode({**query, "before": found.before})
        return found, following if found.before else None


class Event(Resource):
    """One event."""

    def GET(self, /, *path: str, **query: str | list[str]) -> bytes | Iterator[bytes]:  # noqa: N802 - CherryPy's name
        """The event as it was sent, and its runs."""
        requests.parameters(query, {})
        view = orm.event(self._service.database, requests.only_uuid(path))
        return answers.answer_json_text(answers.event_text(view))

    def POST(self, /, *path: str, **query: str | list[str]) -> bytes:  # noqa: N802 - CherryPy's name
        """Replay the event, or cancel or retry those of its runs that can be."""
        requests.parameters(query, {})
        action = requests.action(path, *ACTIONS)
        view = orm.event(self._service.database, requests.only_uuid(path[:1]))
        runs = ACTIONS[action](self._service, view)
        status = orm.event(self._service.database, view.uuid).status
        cherrypy.response.status = HTTPStatus.ACCEPTED
        cherrypy.response.headers["Location"] = f"/status/{view.uuid}"
        return answers.answer_json(answers.acted_document(view.uuid, status, runs))


class Status(Resource):
    """What became of an event."""

    def GET(self, /, *path: str, **query: str | list[str]) -> bytes:  # noqa: N802 - CherryPy's name
        """The event's status, its result when it has one run only, and its runs."""
        requests.parameters(query, {})
        view = orm.event(self._service.database, requests.only_uuid(path))
        if requests.prefers_text():
            result = answers.only_result(view)
            return answers.answer_text(
                f"{view.status if result is None else answers.dumps(result)}\n"
            )
        return answers.answer_json(answers.status_document(view))


class Dispatch(Resource):
    """An application that is run by hand."""

    def GET(self, /, *path: str, **query: str | list[str]) -> bytes:  # noqa: N802 - CherryPy's name
        """Make an event of the arguments, and a run of the application for it."""
        requests.parameters(query, {})
        application = self._service.applications.get(path[0]) if path else None
        if application is None or not application.dispatch:
            raise NotFoundError("there is no application of this name with dispatch = yes")
        event = _dispatched(application.name, path[1:])
        [accepted] = self._service.store([(event, [application])])
        cherrypy.response.status = HTTPStatus.ACCEPTED
        cherrypy.response.headers["Location"] = f"/status/{accepted.uuid}"
        return answers.answer_text(accepted.uuid)


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


class Applications(Resource):
    """What is configured, and how it does."""

    def GET(self, /, **query: str | list[str]) -> bytes | Iterator[bytes]:  # noqa: N802 - CherryPy's name
        """Each application: its rule, its limits, its runs by state, how long they take.

        And what the last failures have in common.
        """
        requests.parameters(query, {})
        return answers.answer_json(
            {
                "applications": self._documents(*self._service.applications),
                "failures": answers.failures_document(orm.failures(self._service.database)),
            }
        )

    def _documents(self, *names: str) -> list[Json]:
        database = self._service.database
        summaries, paused = orm.summaries(database, names), orm.paused(database)
        return [
            answers.application_document(
                self._service.applications[name], summaries[name], paused.get(name)
            )
            for name in names
        ]


class OneApplication(Applications):
    """One application."""

    def GET(self, /, *path: str, **query: str | list[str]) -> bytes | Iterator[bytes]:  # noqa: N802 - CherryPy's name
        """How it does."""
        requests.parameters(query, {})
        return answers.answer_json(self._documents(self._name(path))[0])

    def POST(self, /, *path: str, **query: str | list[str]) -> bytes:  # noqa: N802 - CherryPy's name
        """Pause it, or resume it."""
        requests.parameters(query, {})
        action = requests.action(path, "pause", "resume")
        name = self._name(path[:1])
        if action == "pause":
            orm.pause(self._service.database, name)
        else:
            orm.resume(self._service.database, name)
            self._service.publisher.wake()
        return answers.answer_json(self._documents(name)[0])

    def _name(self, path: Sequence[str]) -> str:
        if len(path) != 1 or path[0] not in self._service.applications:
            raise NotFoundError("no application of this name is configured")
        return path[0]


class Workers(Resource):
    """Who runs applications, and what waits for them."""

    def GET(self, /, **query: str | list[str]) -> bytes | Iterator[bytes]:  # noqa: N802 - CherryPy's name
        """The workers that live, their queues, and what waits and why."""
        requests.parameters(query, {})
        workers, waiting = (
            orm.worker_views(self._service.database),
            orm.waiting(self._service.database),
        )
        return answers.answer_json(
            answers.workers_document(workers, waiting, self._service.default_queue)
        )


class Explain(Resource):
    """Why an event would run an application, or would not; nothing is stored."""

    def POST(self, /, **query: str | list[str]) -> bytes:  # noqa: N802 - CherryPy's name
        """For each application, clause by clause; of a batch, for each event."""
        requests.parameters(query, {})
        received = self._service.received()
        applications, now = self._service.applications.values(), time.time()
        documents = [
            answers.explained_document(explain(applications, event, now))
            for event in received.events
        ]
        return answers.answer_json({"events": documents} if received.batch else documents[0])


class Live(Resource):
    """Whether this process answers."""

    def GET(self, /, **query: str | list[str]) -> bytes:  # noqa: N802 - CherryPy's name
        """Always 200."""
        requests.parameters(query, {})
        return answers.answer_json({"status": "ok"})


class Ready(Resource):
    """Whether events can be stored now."""

    def GET(self, /, **query: str | list[str]) -> bytes:  # noqa: N802 - CherryPy's name
        """200, or 503 with the reason."""
        requests.parameters(query, {})
        self._service.database.check()
        return answers.answer_json({"status": "ok"})


class Description(Resource):
    """What the addresses take and answer."""

    def GET(self, /, **query: str | list[str]) -> bytes:  # noqa: N802 - CherryPy's name
        """The OpenAPI document."""
        requests.parameters(query, {})
        return answers.answer_json(openapi.DOCUMENT)


def _never() -> bool:
    return False


RESOURCES: Mapping[str, type[Resource]] = {
    "": Events,
    "events": Events,
    "events/": Event,
    "receive": Receive,
    "receive/": Adapted,
    "status/": Status,
    "dispatch/": Dispatch,
    "runs/": Runs,
    "applications": Applications,
    "applications/": OneApplication,
    "workers": Workers,
    "explain": Explain,
    "health/live": Live,
    "health/ready": Ready,
    "openapi.json": Description,
}
"""What stands at each path; below those that end with a slash, the rest is its own to read."""


def _dispatched(name: str, arguments: Sequence[str]) -> events.Event:
    """The event that stands for a run by hand; its data are the arguments."""
    return events.parse(
        answers.dumps(
            {
                "specversion": "1.0",
                "id": str(uuid.uuid4()),
                "source": _BY_HAND[0],
                "type": _BY_HAND[1],
                "subject": name,
                "time": answers.timestamp(datetime.now(UTC).timestamp()),
                "data": [_integer_or_text(each) for each in arguments],
            }
        )
    )


def _integer_or_text(text: str) -> int | str:
    return int(text) if re.fullmatch(r"-?\d{1,1000}", text, re.ASCII) else text
