"""From due to published: which waiting runs may go now, within window, order and limits.

Whatever decides who goes, or frees a place for another, does so alone (`Database.alone`), so that
limits hold however many publishers there are. A run that a limit holds back is marked with that
limit's name and is not looked at again before the limit has room.
"""

import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from pacifica.dispatcher.applications import Application, Rate
from pacifica.dispatcher.orm.database import Database
from pacifica.dispatcher.orm.tables import RunRow

_LINE = """SELECT queue, priority FROM run WHERE blocked IS NULL AND due IS NOT NULL
    AND (queue > ? OR (queue = ? AND priority > ?)) ORDER BY queue, priority LIMIT 1"""
_CANDIDATES = """SELECT uuid, application, slot FROM run WHERE blocked IS NULL
    AND queue = ? AND priority = ? AND due <= ? ORDER BY due, uuid LIMIT ?"""
_ANY_BLOCKED = "SELECT EXISTS (SELECT 1 FROM run WHERE blocked IS NOT NULL)"
_NEXT_LIMIT = "SELECT MIN(blocked) FROM run WHERE blocked > ?"
_HELD_BACK = "SELECT application, slot FROM run WHERE blocked = ? LIMIT 1"
_FIRST = "SELECT uuid FROM run WHERE blocked = ? ORDER BY due, uuid LIMIT ?"
_PUBLISHED = "SELECT queue, COUNT(*) FROM run WHERE published IS NOT NULL GROUP BY queue"
_WOKEN = "SELECT COUNT(*) FROM run WHERE published IS NOT NULL AND application = ?"
_TAKEN = """SELECT application, slot, COUNT(*) FROM (
    SELECT uuid, application, slot FROM run WHERE published IS NOT NULL
    UNION SELECT uuid, application, slot FROM run WHERE worker IS NOT NULL) taken
    GROUP BY application, slot"""
_WAKEUPS = """SELECT queue, COUNT(*), MIN(published) FROM run WHERE published IS NOT NULL
    GROUP BY queue"""
_LOST = """SELECT uuid FROM run WHERE queue = ? AND published <= ?
    ORDER BY published, uuid LIMIT ?"""
_PAUSED = "SELECT application FROM pause"
_FREE_AT = "SELECT free_at FROM pace WHERE application = ?"
_CHUNK: Final = 300
"""Candidates that are looked at together, at the least: some may be held back."""


class WakeUp(NamedTuple):
    """What is sent for a run; an empty queue is that of the installation."""

    run: str
    queue: str


def publish(
    database: Database, window: int, applications: Mapping[str, Application]
) -> tuple[list[WakeUp], bool]:
    """Waiting and due → waiting, with a wake-up on its way.

    Those of the highest priority go first, of the same priority the oldest.

    Args:
        database: where.
        window: how many wake-ups may be on their way at the same time, in each queue.
        applications: all that are configured, for their limits.

    Returns:
        the wake-ups that the caller must send now, and whether more runs wait for room or a limit.
    """
    now = time.time()
    with database.reading():
        waiting = bool(database.fetch(_ANY_BLOCKED, ()).fetchone()[0])
        if not (waiting and _Limits(database, applications, now).paces_allow()):
            due = [
                line
                for line in _lines(database)
                if database.fetch(_CANDIDATES, (*line, now, 1)).fetchone()
            ]
            on_their_way = _on_their_way(database) if due else {}
            if all(on_their_way[queue] >= window for queue, _ in due):
                return [], waiting or bool(due)
    with database.transaction(durable=False):
        database.alone()
        publication = _Publication(database, applications, now)
        full = publication.fill(window)
    return publication.wakeups, full or waiting or publication.blocked


class _Publication:
    """One pass over the candidates, inside a transaction that is alone."""

    def __init__(
        self, database: Database, applications: Mapping[str, Application], now: float
    ) -> None:
        self.wakeups: list[WakeUp] = []
        self.blocked = False
        self._database = database
        self._now = now
        self._limits = _Limits(database, applications, now)

    def fill(self, window: int) -> bool:
        """Choose candidates; gives whether a queue's window got full."""
        self._limits.release_paced()
        on_their_way = _on_their_way(self._database)
        full = False
        for queue, priority in sorted(_lines(self._database), key=lambda line: (line[0], -line[1])):
            room = window - on_their_way[queue]
            chosen = self._choose(queue, priority, room)
            on_their_way[queue] += chosen
            full = full or chosen >= room
        return full

    def _choose(self, queue: str, priority: int, room: int) -> int:
        chosen = 0
        while chosen < room:
            line = (queue, priority, self._now, max(_CHUNK, room - chosen))
            candidates = self._database.fetch(_CANDIDATES, line).fetchall()
            going: list[str] = []
            held_back: dict[str, list[str]] = {}
            for uuid, application, slot in candidates:
                if chosen + len(going) == room:
                    break
                limit = self._limits.admit(application, slot)
                (going if limit is None else held_back.setdefault(limit, [])).append(uuid)
            self._update(going, due=None, published=self._now)
            for limit, runs in held_back.items():
                self._update(runs, blocked=limit)
                self.blocked = True
            self.wakeups += (WakeUp(uuid, queue) for uuid in going)
            chosen += len(going)
            if not held_back:
                break
        return chosen

    def _update(self, runs: Sequence[str], **values: object) -> None:
        if runs:
            query = RunRow.update(**values).where(RunRow.uuid.in_(runs))
            query.execute(self._database.peewee)


class _Limits:
    """How much room the applications' limits have, inside a transaction that is alone."""

    def __init__(
        self, database: Database, applications: Mapping[str, Application], now: float
    ) -> None:
        self._database = database
        self._applications = applications
        self._now = now
        self._taken: Counter[tuple[str, str]] | None = None
        self._starts: dict[str, int] = {}
        self._pauses: frozenset[str] | None = None

    def admit(self, name: str, slot: str) -> str | None:
        """Let one more run of an application go; or give the name of the limit that forbids it."""
        if name in self._paused():
            return pause_limit(name)
        application = self._applications.get(name)
        if application is None:
            return None
        if application.rate and self._starts_left(name, application.rate) < 1:
            return _rate_limit(name)
        if application.concurrency is not None:
            if self._places_left(name, slot, application.concurrency) < 1:
                return concurrency_limit(name, slot)
            self._counted()[name, slot] += 1
        if application.rate:
            self._starts[name] -= 1
        return None

    def paces_allow(self) -> bool:
        """Whether some application that has a rate may start an attempt now."""
        return any(
            application.rate and self._starts_left(name, application.rate) > 0
            for name, application in self._applications.items()
        )

    def release_paced(self) -> None:
        """Make those candidates again whose application may start some by now."""
        for name, application in self._applications.items():
            if application.rate and (number := self._starts_left(name, application.rate)) > 0:
                release_held_back(self._database, _rate_limit(name), number)

    def reconsider(self, limit: str) -> None:
        """Make those candidates again that a limit holds back and has room for."""
        name, slot = self._database.fetch(_HELD_BACK, (limit,)).fetchone()
        application = self._applications.get(name)
        room: float = math.inf
        if limit == pause_limit(name):
            room = 0 if name in self._paused() else math.inf
        elif application is not None and limit == _rate_limit(name) and application.rate:
            room = self._starts_left(name, application.rate)
        elif application is not None and limit == concurrency_limit(name, slot):
            room = self._places_left(name, slot, application.concurrency or math.inf)
        if room > 0:
            release_held_back(self._database, limit, None if room == math.inf else int(room))

    def _paused(self) -> frozenset[str]:
        if self._pauses is None:
            rows = self._database.fetch(_PAUSED, ()).fetchall()
            self._pauses = frozenset(name for (name,) in rows)
        return self._pauses

    def _places_left(self, name: str, slot: str, concurrency: float) -> float:
        return concurrency - self._counted()[name, slot]

    def _counted(self) -> Counter[tuple[str, str]]:
        """How many runs of each application and slot are running or about to.

        It is one statement, or a run that is claimed meanwhile would count twice.
        """
        if self._taken is None:
            rows = self._database.fetch(_TAKEN, ()).fetchall()
            self._taken = Counter({(name, slot): number for name, slot, number in rows})
        return self._taken

    def _starts_left(self, name: str, rate: Rate) -> int:
        """How many attempts may start now: the generic cell rate algorithm (ITU-T I.371, A.1).

        A start moves the application's `free_at`, so those that are on their way count apart. They
        are counted first: one that starts meanwhile then counts twice, rather than not at all.
        """
        if name not in self._starts:
            [(woken,)] = self._database.fetch(_WOKEN, (name,)).fetchall()
            row = self._database.fetch(_FREE_AT, (name,)).fetchone()
            since = self._now - (row[0] if row else 0.0)
            conforming = min(rate.burst, math.floor(since / rate.interval) + rate.burst)
            self._starts[name] = conforming - woken
        return self._starts[name]


def concurrency_limit(application: str, slot: str) -> str:
    """The name, as `blocked` has it, of the limit of how many runs go on at once."""
    return f"concurrency {application} {slot}".rstrip()


def pause_limit(application: str) -> str:
    """The name, as `blocked` has it, of what holds back the runs of a paused application."""
    return f"paused {application}"


def _rate_limit(application: str) -> str:
    return f"rate {application}"


def release_held_back(database: Database, limit: str, number: int | None) -> None:
    """Make the first of those that a limit holds back candidates again; None for all of them.

    Inside a transaction that is alone.
    """
    if number is None:
        query = RunRow.update(blocked=None).where(RunRow.blocked == limit)
    else:
        first = [uuid for (uuid,) in database.fetch(_FIRST, (limit, number)).fetchall()]
        query = RunRow.update(blocked=None).where(RunRow.uuid.in_(first))
    query.execute(database.peewee)


def reconsider(database: Database, applications: Mapping[str, Application]) -> None:
    """Make all those candidates again that no limit holds back any more.

    The end of an attempt does that for the next one; this is for limits that were changed in the
    configuration, and for a worker that died in between.
    """
    with database.reading():
        if not database.fetch(_ANY_BLOCKED, ()).fetchone()[0]:
            return
    with database.transaction(durable=False):
        database.alone()
        limits = _Limits(database, applications, time.time())
        limit = ""
        while (limit := database.fetch(_NEXT_LIMIT, (limit,)).fetchone()[0]) is not None:
            limits.reconsider(limit)


def unpublish(database: Database, runs: Sequence[str]) -> int:
    """Waiting, with a wake-up that could not be sent → waiting and due. Gives their number."""
    with database.transaction(durable=False):
        return _make_due(database, runs)


class OnTheirWay(NamedTuple):
    """The wake-ups that are on their way in one queue: how many, and when the oldest was sent."""

    queue: str
    number: int
    oldest: float


def wakeups_on_their_way(database: Database) -> list[OnTheirWay]:
    """Of each queue that has any, the wake-ups that were published and not acted on."""
    with database.reading():
        return [OnTheirWay(*row) for row in database.fetch(_WAKEUPS, ()).fetchall()]


def republish_lost(database: Database, queue: str, number: int, before: float) -> int:
    """Waiting, with a wake-up that was lost → waiting and due.

    Args:
        database: where.
        queue: the queue that lost some.
        number: how many; the oldest are taken for the lost ones.
        before: the time before which a wake-up must have been published to be called lost.

    Returns:
        how many there were.
    """
    with database.transaction(durable=False):
        lost = [uuid for (uuid,) in database.fetch(_LOST, (queue, before, number)).fetchall()]
        return _make_due(database, lost)


def _make_due(database: Database, runs: Sequence[str]) -> int:
    database.alone()
    query = RunRow.update(due=RunRow.queued, published=None)
    waiting = query.where(RunRow.uuid.in_(runs), RunRow.published.is_null(False))
    return int(waiting.execute(database.peewee))


def _lines(database: Database) -> list[tuple[str, int]]:
    """The queues and priorities in which runs are due, now or later: a loose scan of the index."""
    lines: list[tuple[str, int]] = []
    line = ("", -1)
    while found := database.fetch(_LINE, (line[0], *line)).fetchone():
        line = (found[0], found[1])
        lines.append(line)
    return lines


def _on_their_way(database: Database) -> Counter[str]:
    return Counter(dict(database.fetch(_PUBLISHED, ()).fetchall()))
