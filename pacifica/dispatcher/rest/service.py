"""What the resources work with, and what can be done with an event."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cherrypy

from pacifica.dispatcher import events, orm
from pacifica.dispatcher.adapters import Adapter
from pacifica.dispatcher.applications import Application, matching
from pacifica.dispatcher.errors import ConflictError
from pacifica.dispatcher.publisher import Publisher
from pacifica.dispatcher.rest import requests
from pacifica.dispatcher.rest.live import LivePages
from pacifica.dispatcher.rest.streams import Streams
from pacifica.dispatcher.rest.webhook import Webhook

BY_HAND = ("/dispatch", "org.pacifica.dispatcher.dispatch")
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
        if (event.source, event.type) == BY_HAND:
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
