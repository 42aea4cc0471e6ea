"""Accepting events: each with its runs in one transaction; a repeat is recognised."""

import hashlib
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import itemgetter

from pacifica.dispatcher.applications import Application
from pacifica.dispatcher.events import Event
from pacifica.dispatcher.orm.database import Database
from pacifica.dispatcher.orm.queries import status_of
from pacifica.dispatcher.orm.search import digest
from pacifica.dispatcher.orm.tables import EventRow, RunRow, State, new_uuid

_EVENT = (
    *("uuid", "identity", "source", "id", "type", "subject", "received", "sent"),
    *("type_hash", "source_hash", "unmatched"),
)
_RUN = (
    *("uuid", "event", "application", "state", "attempt", "due", "queued"),
    *("queue", "priority", "slot", "origin"),
)
Matched = tuple[Event, Sequence[Application]]
"""An event and the applications that it is for."""

_CHUNK = 500
"""Rows looked up by one statement; databases limit the parameters of one."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of one event.

    Attributes:
        uuid: the event's uuid; of a repeat, that of the first.
        status: the event's status.
        duplicate: whether an event of the same source and id was there before.
        applications: the applications of its runs.
    """

    uuid: str
    status: str
    duplicate: bool
    applications: tuple[str, ...]


def accept(database: Database, events: Sequence[Matched]) -> list[Accepted]:
    """Store events and a run for each of their applications; all of them, or none.

    Args:
        database: where to.
        events: each event with the applications that it matched.

    Raises:
        DatabaseUnavailableError: nothing was stored.
    """
    now = time.time()
    rows = [
        (
            *(new_uuid(), _identity(e), e.source, e.id, e.type, e.text("subject"), now, e.sent),
            *(digest(e.type), digest(e.source), int(not applications)),
        )
        for e, applications in events
    ]
    with database.transaction():
        in_one_order = sorted(rows, key=itemgetter(1))  # so that two batches cannot deadlock
        added = database.insert("event", _EVENT, in_one_order, skip_repeats=True)
        first = (
            {row[1]: row[0] for row in rows}
            if added == len(rows)
            else _first_uuids(database, [row[1] for row in rows])
        )
        insert_runs(
            database,
            [
                new_run(row[0], event, application, now)
                for row, (event, applications) in zip(rows, events, strict=True)
                if first[row[1]] == row[0]
                for application in applications
            ],
        )
    return [
        Accepted(
            row[0], State.QUEUED if matched else "unmatched", False, tuple(a.name for a in matched)
        )
        if first[row[1]] == row[0]
        else _duplicate(database, first[row[1]])
        for row, (_, matched) in zip(rows, events, strict=True)
    ]


def new_run(
    uuid: str, event: Event, application: Application, now: float, origin: str | None = None
) -> tuple[object, ...]:
    """A row for `insert_runs`: a run that is due at once, for the event of this uuid."""
    return (
        *(new_uuid(), uuid, application.name, State.QUEUED.value, 0, now, now),
        *(application.queue, application.priority, application.slot(event), origin),
    )


def insert_runs(database: Database, rows: Sequence[tuple[object, ...]]) -> None:
    """Insert runs inside a transaction."""
    if rows:
        database.insert("run", _RUN, rows)


def _identity(event: Event) -> str:
    return hashlib.sha256(f"{event.source}\0{event.id}".encode()).hexdigest()


def _first_uuids(database: Database, identities: Iterable[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    remaining = iter(identities)
    while chunk := list(islice(remaining, _CHUNK)):
        query = EventRow.select(EventRow.identity, EventRow.uuid)
        found |= dict(query.where(EventRow.identity.in_(chunk)).tuples().execute(database.peewee))
    return found


def _duplicate(database: Database, uuid: str) -> Accepted:
    with database.reading():
        query = RunRow.select(RunRow.application, RunRow.state)
        query = query.where(RunRow.event == uuid, RunRow.superseded == 0)
        runs = list(query.order_by(RunRow.uuid).tuples().execute(database.peewee))
    return Accepted(uuid, status_of([state for _, state in runs]), True, tuple(n for n, _ in runs))
