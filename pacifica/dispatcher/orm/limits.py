"""Limits: restrictions on the publishing of due runs, and the runs that each one blocks.

A blocked run is not a candidate until its limit is checked again and has room. Functions that
block or unblock runs need the gate (`Database.lock_gate`).
"""

import enum
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pacifica.dispatcher.applications import Application, Rate
from pacifica.dispatcher.errors import DatabaseBusyError
from pacifica.dispatcher.orm.database import Database
from pacifica.dispatcher.orm.leases import known_to_workers
from pacifica.dispatcher.orm.rows import column
from pacifica.dispatcher.orm.schema import RunRow

_ANY_BLOCKED = "SELECT EXISTS (SELECT 1 FROM run WHERE blocked IS NOT NULL)"
_NEXT_APPLICATION = "SELECT MIN(application) FROM run WHERE blocked = ? AND application > ?"
_NEXT_SLOT = "SELECT MIN(slot) FROM run WHERE blocked = ? AND application = ? AND slot > ?"
_PAUSED = "SELECT application FROM pause"
_PUBLISHED = "SELECT COUNT(*) FROM run WHERE published IS NOT NULL AND application = ?"
# One statement: a run that is claimed between two would be counted twice.
_TAKEN = """SELECT application, slot, COUNT(*) FROM (
    SELECT uuid, application, slot FROM run WHERE published IS NOT NULL
    UNION SELECT uuid, application, slot FROM run WHERE worker IS NOT NULL) taken
    GROUP BY application, slot"""
_FREE_AT = "SELECT free_at FROM pace WHERE application = ?"


class LimitKind(enum.StrEnum):
    """A kind of limit, as the column `blocked` stores it."""

    PAUSED = "paused"
    CONCURRENCY = "concurrency"
    RATE = "rate"
    UNKNOWN = "unknown"  # no worker runs the application


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit of an application.

    Attributes:
        kind: its kind.
        application: the application's name.
        slot: the slot that a concurrency limit counts; other limits apply to all slots.
    """

    kind: LimitKind
    application: str
    slot: str = ""


class Limits:
    """The remaining room within the applications' limits."""

    def __init__(
        self, database: Database, applications: Mapping[str, Application], now: float
    ) -> None:
        """Prepare to read each limit once, when it is needed; `admit` keeps the numbers up to date.

        Args:
            database: the database; the caller has a connection.
            applications: all configured applications, by name.
            now: the time of the check.
        """
        self._database = database
        self._applications = applications
        self._now = now
        self._taken: Counter[tuple[str, str]] | None = None
        self._starts: dict[str, int] = {}
        self._pauses: frozenset[str] | None = None

    def admit(self, name: str, slot: str) -> LimitKind | None:
        """Let one more run start, or return the kind of the limit that forbids it."""
        if name in self._paused():
            return LimitKind.PAUSED
        application = self._applications[name]
        if application.rate and self._starts_left(name, application.rate) < 1:
            return LimitKind.RATE
        if application.concurrency is not None:
            if application.concurrency <= self._counted()[name, slot]:
                return LimitKind.CONCURRENCY
            self._counted()[name, slot] += 1
        if application.rate:
            self._starts[name] -= 1
        return None

    def any_rate_has_room(self) -> bool:
        """Return True if some application with a rate may start an attempt now."""
        return any(number > 0 for _, number in self._rates())

    def unblock_by_rate(self) -> None:
        """Unblock as many runs as the rates allow to start now."""
        for name, number in self._rates():
            if number > 0:
                unblock(self._database, Limit(LimitKind.RATE, name), number)

    def reconsider(self, limit: Limit) -> None:
        """Unblock as many runs as the limit has room for."""
        room = self._room(limit)
        if room > 0:
            unblock(self._database, limit, None if room == math.inf else int(room))

    def _room(self, limit: Limit) -> float:
        if limit.kind is LimitKind.PAUSED:
            return 0 if limit.application in self._paused() else math.inf
        if limit.kind is LimitKind.UNKNOWN:
            return math.inf if limit.application in known_to_workers(self._database) else 0
        application = self._applications.get(limit.application)
        return 0 if application is None else self._room_of(application, limit)

    def _room_of(self, application: Application, limit: Limit) -> float:
        if limit.kind is LimitKind.CONCURRENCY:
            if application.concurrency is None:
                return math.inf
            return application.concurrency - self._counted()[limit.application, limit.slot]
        if application.rate is None:
            return math.inf
        return self._starts_left(limit.application, application.rate)

    def _rates(self) -> Iterator[tuple[str, int]]:
        for name, application in self._applications.items():
            if application.rate:
                yield name, self._starts_left(name, application.rate)

    def _paused(self) -> frozenset[str]:
        if self._pauses is None:
            rows = self._database.fetch(_PAUSED, ()).fetchall()
            self._pauses = frozenset(name for (name,) in rows)
        return self._pauses

    def _counted(self) -> Counter[tuple[str, str]]:
        if self._taken is None:
            rows = self._database.fetch(_TAKEN, ()).fetchall()
            self._taken = Counter({(name, slot): number for name, slot, number in rows})
        return self._taken

    def _starts_left(self, name: str, rate: Rate) -> int:
        """Apply the generic cell rate algorithm (ITU-T I.371, A.1).

        A start moves the application's `free_at`, so published runs are counted separately, and
        first: a run that starts in between is counted twice rather than not at all.
        """
        if name not in self._starts:
            [(published,)] = self._database.fetch(_PUBLISHED, (name,)).fetchall()
            row = self._database.fetch(_FREE_AT, (name,)).fetchone()
            since = self._now - (row[0] if row else 0.0)
            conforming = min(rate.burst, math.floor(since / rate.interval) + rate.burst)
            self._starts[name] = conforming - published
        return self._starts[name]


def any_blocked(database: Database) -> bool:
    """Return True if some run is blocked."""
    return bool(database.fetch(_ANY_BLOCKED, ()).fetchone()[0])


def block(database: Database, kind: LimitKind, runs: Sequence[str]) -> None:
    """Block runs by this kind of limit of their application (and slot)."""
    query = RunRow.update(blocked=kind).where(RunRow.uuid.in_(runs))
    query.execute(database.peewee)


def unblock(database: Database, limit: Limit, number: int | None) -> None:
    """Unblock the oldest runs that a limit blocks; all of them if number is None.

    With a number, runs that somebody has locked are left to `reconsider`.
    """
    blocked = _blocked_by(limit)
    if number is not None:
        oldest = RunRow.select(RunRow.uuid).where(blocked).order_by(RunRow.due, RunRow.uuid)
        free = column(database, database.skipping_locked(oldest.limit(number)))
        blocked = RunRow.uuid.in_(free)
    RunRow.update(blocked=None).where(blocked).execute(database.peewee)


def unblock_next(database: Database, application: str, slot: str) -> None:
    """Unblock the oldest run that waits for this slot of its application."""
    unblock(database, Limit(LimitKind.CONCURRENCY, application, slot), 1)


def reconsider(database: Database, applications: Mapping[str, Application]) -> None:
    """Unblock all runs whose limits have room.

    The end of an attempt unblocks the next run; this function handles limits that were
    changed in the configuration, and workers that died in between.
    """
    with database.reading():
        if not any_blocked(database):
            return
    with database.reading():
        in_use = [*_limits_in_use(database)]
    try:
        _reconsider(database, applications, in_use)
    except DatabaseBusyError:  # somebody holds a run; the other limits need not wait for it
        for limit in in_use:
            with suppress(DatabaseBusyError):
                _reconsider(database, applications, [limit])


def _reconsider(
    database: Database, applications: Mapping[str, Application], in_use: Sequence[Limit]
) -> None:
    with database.transaction(durable=False):
        database.lock_gate()
        limits = Limits(database, applications, database.now())
        for limit in in_use:
            limits.reconsider(limit)


def _limits_in_use(database: Database) -> Iterator[Limit]:
    """Find the limits that block runs by a loose index scan: one look-up for each limit."""
    for kind in LimitKind:
        application = ""
        while application := _next(database, _NEXT_APPLICATION, (kind, application)):
            slot = ""
            yield Limit(kind, application)
            while kind is LimitKind.CONCURRENCY and (
                slot := _next(database, _NEXT_SLOT, (kind, application, slot))
            ):
                yield Limit(kind, application, slot)


def _next(database: Database, sql: str, after: Sequence[str]) -> str:
    return database.fetch(sql, after).fetchone()[0] or ""


def _blocked_by(limit: Limit) -> Any:  # noqa: ANN401 - peewee is untyped
    found = (RunRow.blocked == limit.kind) & (RunRow.application == limit.application)
    if limit.kind is LimitKind.CONCURRENCY:
        found &= RunRow.slot == limit.slot
    return found
