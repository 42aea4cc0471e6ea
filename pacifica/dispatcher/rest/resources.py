"""The resources: what has an address, and what its methods do."""

import re
import time
import urllib.parse
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus

import cherrypy

from pacifica.dispatcher import events, orm
from pacifica.dispatcher.applications import explain
from pacifica.dispatcher.errors import NotFoundError
from pacifica.dispatcher.events import Json
from pacifica.dispatcher.rest import answers, openapi, requests
from pacifica.dispatcher.rest.requests import Query
from pacifica.dispatcher.rest.service import ACTIONS, BY_HAND, Service


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


def _dispatched(name: str, arguments: Sequence[str]) -> events.Event:
    """The event that stands for a run by hand; its data are the arguments."""
    return events.parse(
        answers.dumps(
            {
                "specversion": "1.0",
                "id": str(uuid.uuid4()),
                "source": BY_HAND[0],
                "type": BY_HAND[1],
                "subject": name,
                "time": answers.timestamp(datetime.now(UTC).timestamp()),
                "data": [_integer_or_text(each) for each in arguments],
            }
        )
    )


def _integer_or_text(text: str) -> int | str:
    return int(text) if re.fullmatch(r"-?\d{1,1000}", text, re.ASCII) else text
