"""Accept events: store each with its runs in one transaction, and recognise duplicates."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import itemgetter
from typing import Any

from pacifica.dispatcher.applications import Application
from pacifica.dispatcher.errors import TooLargeError
from pacifica.dispatcher.events import Event
from pacifica.dispatcher.orm.database import Database, row_size
from pacifica.dispatcher.orm.schema import MAX_SHORT, EventRow, RunRow, State
from pacifica.dispatcher.orm.search import digest
from pacifica.dispatcher.orm.uuid7 import new_uuid
from pacifica.dispatcher.orm.views import status_of

_EVENT = (
    *("uuid", "identity", "source", "id", "type", "subject", "received", "sent"),
    *("type_hash", "source_hash", "unmatched", "expired", "attributes"),
)
_RUN = (
    *("uuid", "event", "application", "state", "attempt", "due", "queued"),
    *("queue", "priority", "slot", "origin"),
)
_CHUNK = 500  # identities in one statement; databases limit its parameters


@dataclass(frozen=True, slots=True)
class Arrival:
    """An event to accept.

    Attributes:
        event: the event.
        applications: the applications to run for it; none if it has expired.
        expired: True if its `expirytime` had passed on arrival.
    """

    event: Event
    applications: Sequence[Application]
    expired: bool = False


@dataclass(frozen=True, slots=True)
class Accepted:
    """The receipt for one event.

    Attributes:
        uuid: the event's uuid; for a duplicate, that of the first event.
        status: the event's status.
        duplicate: True if an event with the same source and id was already stored.
        applications: the applications of its runs.
        expired: True if it is new and had already expired, so it has no runs.
        differs: True for a duplicate whose content is not that of the first event.
    """

    uuid: str
    status: str
    duplicate: bool
    applications: tuple[str, ...]
    expired: bool = False
    differs: bool = False


def accept(database: Database, arrivals: Sequence[Arrival]) -> list[Accepted]:
    """Store events and a run for each of their applications: all of them or none.

    Raises:
        DatabaseUnavailableError: nothing was stored.
        TooLargeError: the database does not take one of them; nothing was stored.
    """
    rows = [_event_row(arrival, database.now()) for arrival in arrivals]
    _check_sizes(rows, database.max_row())
    with database.transaction():
        in_one_order = sorted(rows, key=itemgetter(1))  # so that two batches cannot deadlock
        added = database.insert("event", _EVENT, in_one_order, skip_repeats=True)
        first = (
            {row[1]: row[0] for row in rows}
            if added == len(rows)
            else _first_uuids(database, [row[1] for row in rows])
        )
        runs = [
            new_run(uuid, arrival.event, application, database.now())
            for (uuid, identity, *_), arrival in zip(rows, arrivals, strict=True)
            if first[identity] == uuid
            for application in arrival.applications
        ]
        insert_runs(database, runs)
    return [
        _new(uuid, arrival) if first[identity] == uuid else _duplicate(database, first[identity])
        for (uuid, identity, *_), arrival in zip(rows, arrivals, strict=True)
    ]


def new_run(
    uuid: str, event: Event, application: Application, now: float, origin: str | None = None
) -> tuple[object, ...]:
    """Return a row for `insert_runs`: a run of the event with this uuid, due now."""
    return (
        *(new_uuid(now), uuid, application.name, State.QUEUED.value, 0, now, now),
        *(application.queue, application.priority, application.slot(event), origin),
    )


def insert_runs(database: Database, rows: Sequence[tuple[object, ...]]) -> None:
    """Insert runs inside a transaction."""
    if rows:
        database.insert("run", _RUN, rows)


def _event_row(arrival: Arrival, now: float) -> tuple[Any, ...]:
    event = arrival.event
    return (
        *(new_uuid(now), _identity(event), event.source, event.id, event.type),
        *(event.text("subject"), now, event.sent, digest(event.type), digest(event.source)),
        *(int(not arrival.applications), int(arrival.expired), _attributes(event)),
    )


def _attributes(event: Event) -> str | None:
    return json.dumps(dict(event.attributes)) if len(event.sent) > MAX_SHORT else None


def _check_sizes(rows: Iterable[tuple[Any, ...]], limit: int) -> None:
    for row in rows:
        size = row_size(row)
        if size > limit:
            raise TooLargeError(
                f"The event needs {size} bytes in the database, which takes {limit}"
            )


def _identity(event: Event) -> str:
    return hashlib.sha256(f"{event.source}\0{event.id}".encode()).hexdigest()


def _first_uuids(database: Database, identities: Iterable[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    remaining = iter(identities)
    while chunk := list(islice(remaining, _CHUNK)):
        query = EventRow.select(EventRow.identity, EventRow.uuid)
        found |= dict(query.where(EventRow.identity.in_(chunk)).tuples().execute(database.peewee))
    return found


def _new(uuid: str, arrival: Arrival) -> Accepted:
    names = tuple(each.name for each in arrival.applications)
    status = State.QUEUED.value if names else "unmatched"
    return Accepted(uuid, status, duplicate=False, applications=names, expired=arrival.expired)


def _duplicate(database: Database, uuid: str) -> Accepted:
    with database.reading():
        query = RunRow.select(RunRow.application, RunRow.state)
        query = query.where(RunRow.event == uuid, RunRow.superseded == 0)
        runs = list(query.order_by(RunRow.uuid).tuples().execute(database.peewee))
    names, status = tuple(name for name, _ in runs), status_of([state for _, state in runs])
    return Accepted(uuid, status, duplicate=True, applications=names)
