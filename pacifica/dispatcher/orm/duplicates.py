"""Duplicates: compare what is delivered again with the stored event, and record what differs.

Accepting an event computes no digest of its content. That of a stored event is computed, and kept,
when the event is first received again; so events that an older version stored are compared, too.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, TypeVar

from pacifica.dispatcher import events
from pacifica.dispatcher.errors import EventError
from pacifica.dispatcher.events import Event, Json
from pacifica.dispatcher.orm.database import Database
from pacifica.dispatcher.orm.schema import DuplicateRow
from pacifica.dispatcher.orm.statistics import MAX_COUNTED
from pacifica.dispatcher.telemetry import WARNING, emit

MAX_DELIVERIES: Final = 10
"""Number of the latest differing deliveries that are listed for an event."""

_MAX_READ: Final = 16 * 1024**2  # characters of stored events that one request reads, and one event
_MAX_ADDRESS: Final = 100  # characters
_LOT: Final = 100  # events in one statement or transaction
_UNREADABLE: Final = ""  # the content of a stored event that this version does not accept
_COLUMNS: Final = ("event", "content", "number")
_CONTENTS = "SELECT event, content FROM duplicate WHERE event IN ({})"
_SENT = "SELECT sent FROM event WHERE uuid = ?"
_COUNT = "UPDATE duplicate SET number = number + ?, latest = ? WHERE event = ?"
_DELIVERIES = "SELECT event, deliveries FROM duplicate WHERE event IN ({})"
_LIST = "UPDATE duplicate SET deliveries = ? WHERE event = ?"
_TOTAL = """SELECT COUNT(*), COALESCE(SUM(number), 0) FROM (SELECT number FROM duplicate
    WHERE latest IS NOT NULL ORDER BY latest DESC LIMIT ?) counted"""
_LATEST = """SELECT event, latest FROM duplicate WHERE latest IS NOT NULL
    ORDER BY latest DESC LIMIT 1"""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class DifferingDelivery:
    """A delivery whose content differed from the stored event's.

    Attributes:
        received: when, in seconds since the epoch.
        address: the sender's address.
        parts: what differed: `attributes`, `data` or both.
        content: the digest of its content.
    """

    received: float
    address: str
    parts: tuple[str, ...]
    content: str


@dataclass(frozen=True, slots=True)
class Differing:
    """The deliveries of an event whose content differed.

    Attributes:
        number: their number.
        deliveries: the latest `MAX_DELIVERIES` of them, oldest first.
    """

    number: int
    deliveries: tuple[DifferingDelivery, ...]


@dataclass(frozen=True, slots=True)
class DifferingTotal:
    """The differing deliveries of all events.

    Attributes:
        events: number of events that have any, at most `MAX_COUNTED`.
        deliveries: the number of deliveries of these events.
        latest: the event of the latest one, and its time; None without any.
    """

    events: int
    deliveries: int
    latest: tuple[str, float] | None


@dataclass(slots=True)
class _Added:
    number: int = 0
    deliveries: list[Json] = field(default_factory=list)


def compare_duplicates(
    database: Database, duplicates: Sequence[tuple[str, Event]], address: str
) -> list[tuple[str, ...]]:
    """Compare events with the stored ones of the same source and id; record those that differ.

    A power cut may undo the latest records; the death of a process may not.

    Args:
        database: the database.
        duplicates: the uuids of stored events, each with the event that was received.
        address: the sender's address.

    Returns:
        the parts in which each of them differs; none if it is the same or could not be compared.

    Raises:
        DatabaseUnavailableError: the comparison must be repeated.
    """
    stored = _stored_contents(database, dict.fromkeys(uuid for uuid, _ in duplicates))
    now = database.now()
    found: list[tuple[str, ...]] = []
    added: dict[str, _Added] = {}
    for uuid, event in duplicates:
        parts: tuple[str, ...] = ()
        if uuid in stored:
            content = events.content_digest(event)
            parts = events.differing_parts(stored[uuid], content)
        if parts:
            one = added.setdefault(uuid, _Added())
            one.number += 1
            one.deliveries.append([now, address[:_MAX_ADDRESS], list(parts), content])
        found.append(parts)
    for some in _lots(sorted(added)):
        _record(database, {uuid: added[uuid] for uuid in some}, now)
    return found


def differing(database: Database, uuid: str) -> Differing | None:
    """Return the differing deliveries of an event; None if there are none."""
    query = DuplicateRow.select(DuplicateRow.number, DuplicateRow.deliveries)
    query = query.where(DuplicateRow.event == uuid, DuplicateRow.number > 0)
    with database.reading():
        for number, deliveries in query.tuples().execute(database.peewee):
            listed = [
                DifferingDelivery(received, address, tuple(parts), content)
                for received, address, parts, content in deliveries or ()
            ]
            return Differing(number, tuple(listed))
    return None


def differing_total(database: Database) -> DifferingTotal:
    """Count the differing deliveries of all events."""
    with database.reading():
        number, deliveries = database.fetch(_TOTAL, (MAX_COUNTED,)).fetchone()
        latest = database.fetch(_LATEST, ()).fetchone()
    return DifferingTotal(number, int(deliveries), latest and tuple(latest))


def _stored_contents(database: Database, uuids: Collection[str]) -> dict[str, str]:
    """Return the digests of stored events by uuid, without those that are too much to read."""
    found: dict[str, str] = {}
    for some in _lots(uuids):
        with database.reading():
            found |= dict(_of_events(database, _CONTENTS, some))
    computed: list[tuple[str, str, int]] = []
    missing = [uuid for uuid in uuids if uuid not in found]
    left = _MAX_READ
    for uuid in missing:
        if left <= 0:
            emit("duplicates.skipped", WARNING, number=len(missing) - len(computed))
            break
        with database.reading():
            read = database.fetch(_SENT, (uuid,)).fetchall()
        for (sent,) in read:  # none if the file of the database has just been replaced
            left -= len(sent)
            computed.append((uuid, _content_of(sent), 0))
    for rows in _lots(sorted(computed)):
        with database.transaction(durable=False):
            database.insert("duplicate", _COLUMNS, rows, skip_repeats=True)
    return found | {uuid: content for uuid, content, _ in computed}


def _content_of(sent: str) -> str:
    try:
        return events.content_digest(events.parse_event(sent))
    except EventError:
        return _UNREADABLE


def _record(database: Database, added: Mapping[str, _Added], now: float) -> None:
    with database.transaction(durable=False):
        for uuid, one in added.items():  # in order, so that two cannot deadlock
            database.execute(_COUNT, (one.number, now, uuid))
        # All these rows are locked now, so nobody else changes what is read.
        for uuid, listed in _of_events(database, _DELIVERIES, list(added)):
            latest = [*json.loads(listed or "[]"), *added[uuid].deliveries][-MAX_DELIVERIES:]
            database.execute(_LIST, (json.dumps(latest), uuid))


def _of_events(database: Database, sql: str, uuids: Sequence[str]) -> list[tuple[str, str]]:
    found = database.fetch(sql.format(", ".join("?" * len(uuids))), uuids).fetchall()
    return [(uuid, text) for uuid, text in found]


def _lots(items: Iterable[T]) -> Iterator[list[T]]:
    remaining = iter(items)
    while lot := list(islice(remaining, _LOT)):
        yield lot
