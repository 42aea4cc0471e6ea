"""The receiver: accepts events from any source and acts on them."""

import json
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from pacifica.dispatcher import events, orm
from pacifica.dispatcher.applications import Application, matching
from pacifica.dispatcher.errors import ConflictError, NotFoundError
from pacifica.dispatcher.events import Event, Json
from pacifica.dispatcher.intake.group_commit import GroupCommit
from pacifica.dispatcher.orm import Arrival, State
from pacifica.dispatcher.rules import work
from pacifica.dispatcher.telemetry import WARNING, emit

DISPATCHED: Final = ("/dispatch", "org.pacifica.dispatcher.dispatch")
"""Source and type of the event of a manual dispatch."""

_NAMED: Final = 10  # differing events of a request, each with a line in the log
_SHOWN: Final = 200  # characters of a source or an id in the log
_TO_RETRY: Final = frozenset({State.FAILED, State.CANCELLED})
_TO_CANCEL: Final = frozenset({State.QUEUED, State.RUNNING, State.RETRYING})


@dataclass(frozen=True, slots=True)
class Selection:
    """The runs of an event on which to act; None means any.

    Attributes:
        application: their application.
        state: their state; `unmatched` for an event without runs.
    """

    application: str | None = None
    state: str | None = None

    def __str__(self) -> str:
        """Return a restriction in words, or nothing."""
        of = self.application and f" of application {self.application}"
        return f"{of or ''}{(self.state and f' in state {self.state}') or ''}"

    def includes(self, run: orm.RunView) -> bool:
        """Return True if a run is selected; a superseded one never is."""
        return (
            not run.superseded
            and self.application in {None, run.application}
            and self.state in {None, run.status}
        )

    def applications(self, runs: Sequence[orm.RunView]) -> Collection[str] | None:
        """Return the names of the applications to replay, or None for all."""
        if self.state is None or (self.state == "unmatched" and not runs):
            return None if self.application is None else {self.application}
        return {each.application for each in runs if self.includes(each)}


ALL: Final = Selection()
"""All runs of an event."""


@dataclass(frozen=True, slots=True)
class Acted:
    """The result of an action on an event.

    Attributes:
        event: the event's id.
        status: the event's status afterwards.
        runs: the ids of the runs that were created or changed.
        applications: the number of these runs by application.
    """

    event: str
    status: str
    runs: Sequence[str]
    applications: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Receiver:
    """A receiver of events, and of actions on them.

    Attributes:
        database: stores the events and runs.
        applications: all configured applications, by name.
        commit: stores the events of several threads together.
        wake: called when runs have become due.
    """

    database: orm.Database
    applications: Mapping[str, Application]
    commit: GroupCommit
    wake: Callable[[], None]

    def accept(self, arrived: Sequence[Event], now: float, address: str) -> list[orm.Accepted]:
        """Store events with a run for each application that they match: all of them or none.

        Duplicates are compared with the stored events.

        Args:
            arrived: the events.
            now: seconds since the epoch; an event that has expired by then gets no runs.
            address: the sender's address.

        Raises:
            DatabaseUnavailableError: nothing was stored, or duplicates were not compared.
            TooMuchWorkError: the rules take too long for these events; nothing was stored.
        """
        with work.limited():
            arrivals = [self._arrival(event, now) for event in arrived]
        return self._compared(arrived, self._store(arrivals), address)

    def dispatch(self, name: str, arguments: Sequence[str]) -> orm.Accepted:
        """Dispatch an application manually, for an event whose data is the arguments.

        Raises:
            NotFoundError: no such application, or it may not be dispatched.
        """
        application = self.applications.get(name)
        if application is None or not application.dispatch:
            raise NotFoundError(f"No application {name[:100]!r} with dispatch = yes")
        [accepted] = self._store([Arrival(_dispatched(name, arguments), (application,))])
        return accepted

    def accept_edited(self, original: str, event: Event, now: float) -> orm.Accepted:
        """Store a changed copy of a stored event as a new event.

        Raises:
            NotFoundError: no such original.
        """
        view = orm.event_summary(self.database, original)
        expired = event.expired(now)
        matched = () if expired else self._matching_again(event, view)
        [accepted] = self._store([Arrival(event, matched, expired)])
        return accepted

    def replay(self, event: str, selection: Selection = ALL) -> Acted:
        """Replay an event with the current rules; the new runs supersede its previous ones.

        With a selection, only runs of the selected applications are superseded and created. One
        that is no longer configured stands for all applications without a run for this event,
        because it may have been renamed.

        Raises:
            NotFoundError: no such event.
            ConflictError: it matches nothing, or some of the runs have not ended.
        """
        view = orm.event(self.database, event)
        sent = events.parse_event(view.sent)
        only = selection.applications(view.runs)
        known = {run.application for run in view.runs}
        if only is not None and not known.intersection(only) <= self.applications.keys():
            only = {*only, *(self.applications.keys() - known)}
        runs = orm.replay(self.database, event, sent, self._matching_again(sent, view), only)
        emit("event.replayed", event=event, runs=" ".join(runs))
        return self._acted(event, runs)

    def retry(self, event: str, selection: Selection = ALL) -> Acted:
        """Retry the selected runs of an event that have failed or were cancelled.

        Raises:
            NotFoundError: no such event.
            ConflictError: none of these runs can be retried.
        """
        runs = self._each_run(event, selection, self._retry_run, _TO_RETRY)
        emit("event.retried", event=event, runs=" ".join(runs))
        return self._acted(event, runs)

    def cancel(self, event: str, selection: Selection = ALL) -> Acted:
        """Cancel the selected runs of an event that have not ended.

        Raises:
            NotFoundError: no such event.
            ConflictError: all of them have ended.
        """
        runs = self._each_run(event, selection, self._cancel_run, _TO_CANCEL)
        emit("event.cancelling", event=event, runs=" ".join(runs))
        return self._acted(event, runs)

    def retry_run(self, run: str) -> None:
        """Retry one run.

        Raises:
            NotFoundError: no such run.
            ConflictError: it has neither failed nor been cancelled, or is superseded.
        """
        self._retry_run(run)
        self.wake()
        emit("run.retried", run=run)

    def cancel_run(self, run: str) -> None:
        """Cancel one run.

        Raises:
            NotFoundError: no such run.
            ConflictError: it has ended.
        """
        self._cancel_run(run)
        emit("run.cancelling", run=run)

    def pause(self, application: str) -> None:
        """Start no attempts of an application until it is resumed.

        Raises:
            NotFoundError: no such application is configured.
        """
        self._check_configured(application)
        orm.pause(self.database, application)
        emit("application.paused", application=application)

    def resume(self, application: str) -> None:
        """Let an application start attempts again, even one that is no longer configured.

        Raises:
            NotFoundError: no such application is configured or paused.
        """
        if application not in orm.paused(self.database):
            self._check_configured(application)
        orm.resume(self.database, application)
        self.wake()
        emit("application.resumed", application=application)

    def _arrival(self, event: Event, now: float) -> Arrival:
        expired = event.expired(now)
        matched = () if expired else matching(self.applications.values(), event)
        return Arrival(event, matched, expired)

    def _store(self, arrivals: Sequence[Arrival]) -> list[orm.Accepted]:
        accepted = self.commit.accept(arrivals) if arrivals else []
        self.wake()
        _emit_accepted(accepted)
        return accepted

    def _compared(
        self, arrived: Sequence[Event], accepted: list[orm.Accepted], address: str
    ) -> list[orm.Accepted]:
        again = [index for index, each in enumerate(accepted) if each.duplicate]
        if not again:
            return accepted
        duplicates = [(accepted[index].uuid, arrived[index]) for index in again]
        parts = orm.compare_duplicates(self.database, duplicates, address)
        _emit_differing(duplicates, parts, address)
        differing = {index for index, each in zip(again, parts, strict=True) if each}
        return [replace(each, differs=index in differing) for index, each in enumerate(accepted)]

    def _retry_run(self, run: str) -> None:
        orm.retry(self.database, run, self.applications)

    def _cancel_run(self, run: str) -> None:
        orm.ask_to_cancel(self.database, run)

    def _each_run(
        self,
        event: str,
        selection: Selection,
        act: Callable[[str], None],
        states: Collection[State],
    ) -> list[str]:
        # Another request may act on a run first; fail only if no run is left to act on.
        expected = " or ".join(sorted(states))
        refused = ConflictError(f"None of the runs{selection} of event {event} is {expected}")
        acted: list[str] = []
        for run in orm.event_summary(self.database, event).runs:
            if run.status in states and selection.includes(run):
                try:
                    act(run.uuid)
                except ConflictError as exc:
                    refused = exc
                else:
                    acted.append(run.uuid)
        if not acted:
            raise refused
        return acted

    def _acted(self, event: str, runs: Sequence[str]) -> Acted:
        self.wake()
        view = orm.event_summary(self.database, event)
        changed = Counter(each.application for each in view.runs if each.uuid in runs)
        return Acted(event, view.status, runs, changed)

    def _matching_again(self, event: Event, view: orm.EventSummary) -> list[Application]:
        # A manually dispatched event matches no rule; the applications of its runs count instead.
        if (event.source, event.type) != DISPATCHED:
            return list(matching(self.applications.values(), event))
        before = {run.application for run in view.runs}
        return [
            each for each in self.applications.values() if each.dispatch and each.name in before
        ]

    def _check_configured(self, application: str) -> None:
        if application not in self.applications:
            raise NotFoundError(f"No application {application[:100]!r} is configured")


def _emit_accepted(accepted: Sequence[orm.Accepted]) -> None:
    # A batch is one log line: one for each of thousands of events would be useless.
    if len(accepted) == 1:
        [one] = accepted
        emit(
            "event.accepted",
            event=one.uuid,
            applications=" ".join(one.applications) or None,
            duplicate=one.duplicate or None,
            expired=one.expired or None,
        )
    elif accepted:
        emit(
            "events.accepted",
            first=accepted[0].uuid,
            number=len(accepted),
            duplicates=sum(each.duplicate for each in accepted),
            unmatched=sum(not each.applications for each in accepted),
        )


def _emit_differing(
    duplicates: Sequence[tuple[str, Event]], parts: Sequence[tuple[str, ...]], address: str
) -> None:
    differing = [each for each in zip(duplicates, parts, strict=True) if each[1]]
    for (known, event), differs in differing[:_NAMED]:
        emit(
            "event.differs",
            WARNING,
            event=known,
            source=event.source[:_SHOWN],
            id=event.id[:_SHOWN],
            address=address,
            parts=" ".join(differs),
        )
    if len(differing) > _NAMED:
        emit("events.differ", WARNING, number=len(differing), address=address)


def _dispatched(name: str, arguments: Sequence[str]) -> Event:
    source, kind = DISPATCHED
    data: list[Json] = [_integer_or_text(each) for each in arguments]
    document = {
        "specversion": "1.0",
        "id": str(uuid.uuid4()),
        "source": source,
        "type": kind,
        "subject": name,
        "time": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "data": data,
    }
    return events.parse_event(json.dumps(document))


def _integer_or_text(text: str) -> int | str:
    digits = text.removeprefix("-")
    return int(text) if digits.isascii() and digits.isdigit() and len(digits) <= _DIGITS else text


_DIGITS: Final = 1000
