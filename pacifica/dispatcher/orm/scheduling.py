"""Scheduling: choose the due runs to publish, within the window, priorities and limits.

Each function that publishes a run, or lets another start, locks the gate first
(`Database.lock_gate`), so limits hold with any number of publishers. A run that a limit blocks is
not checked again until that limit has room (see `limits`).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from pacifica.dispatcher.applications import Application
from pacifica.dispatcher.orm.database import Database
from pacifica.dispatcher.orm.leases import known_to_workers
from pacifica.dispatcher.orm.limits import LimitKind, Limits, any_blocked, block
from pacifica.dispatcher.orm.rows import column
from pacifica.dispatcher.orm.schema import RunRow

_LINE = """SELECT queue, priority FROM run WHERE blocked IS NULL AND due IS NOT NULL
    AND (queue > ? OR (queue = ? AND priority > ?)) ORDER BY queue, priority LIMIT 1"""
_CANDIDATES = """SELECT uuid, application, slot FROM run WHERE blocked IS NULL
    AND queue = ? AND priority = ? AND due <= ? AND COALESCE(application, '') IN ({known})
    ORDER BY due, uuid LIMIT ?"""  # no bare column, lest another index be used
_IN_FLIGHT = """SELECT queue, COUNT(*) AS number, MIN(published) AS oldest FROM run
    WHERE published IS NOT NULL GROUP BY queue"""
_PUBLISH = "UPDATE run SET due = NULL, published = ? WHERE uuid IN ({runs})"
_GIVEN = "SELECT application FROM run WHERE uuid = ? AND published IS NOT NULL"
_DECLINE = "UPDATE run SET published = NULL, due = ?, blocked = ? WHERE uuid = ?"
_DECLINED: Final = 1.0  # seconds until a run is offered again after a worker did not know it
_CHUNK: Final = 300  # minimum of candidates to read at once, because limits may block some


class WakeUp(NamedTuple):
    """The message to send for a run; an empty queue means the default queue."""

    run: str
    queue: str


class InFlight(NamedTuple):
    """The wake-ups in flight in a queue: their number, and when the oldest was published."""

    queue: str
    number: int
    oldest: float


def publish(
    database: Database,
    window: int,
    applications: Mapping[str, Application],
    *,
    skip_locked: bool = False,
) -> tuple[list[WakeUp], bool]:
    """Move due runs to published, the highest priority first, then the oldest.

    Args:
        database: the database.
        window: the maximum number of wake-ups in flight in each queue.
        applications: all configured applications, by name; runs of others are left to publishers
            that know their limits.
        skip_locked: True to leave out the runs that others have locked, which costs a statement.

    Returns:
        the wake-ups to send now, and True if more runs wait for room or for a limit.

    Raises:
        DatabaseBusyError: somebody has locked one of the runs.
    """
    publication = _Publication(database, applications, database.now(), skip_locked=skip_locked)
    with database.reading():
        blocked = any_blocked(database)
        if not (blocked and publication.any_rate_has_room()):
            due = publication.due_lines()
            in_flight = _numbers(_in_flight(database) if due else [])
            if all(in_flight[queue] >= window for queue, _ in due):
                return [], blocked or bool(due)
    full = publication.fill(window)
    return publication.wakeups, full or blocked or publication.blocked


class _Publication:
    """One pass over the candidates."""

    def __init__(
        self,
        database: Database,
        applications: Mapping[str, Application],
        now: float,
        *,
        skip_locked: bool,
    ) -> None:
        self.wakeups: list[WakeUp] = []
        self._skip_locked = skip_locked
        self.blocked = False
        self._database = database
        self._now = now
        self._known = tuple(applications)
        self._applications = applications
        self._limits = Limits(database, applications, now)

    def any_rate_has_room(self) -> bool:
        """Return True if some application with a rate may start an attempt now."""
        return Limits(self._database, self._applications, self._now).any_rate_has_room()

    def due_lines(self) -> list[tuple[str, int]]:
        """Return the queues and priorities in which some run is due."""
        return [line for line in lines(self._database) if self._due(line, 1)]

    def fill(self, window: int) -> bool:
        """Publish candidates; return True if the window of some queue is full."""
        with self._database.transaction(durable=False):
            self._database.lock_gate()
            return self._fill(window)

    def _fill(self, window: int) -> bool:
        self._limits.unblock_by_rate()
        in_flight = _numbers(_in_flight(self._database))
        full = False
        for queue, priority in sorted(lines(self._database), key=lambda line: (line[0], -line[1])):
            room = window - in_flight[queue]
            published = self._fill_line((queue, priority), room)
            in_flight[queue] += published
            full = full or published >= room
        return full

    def _fill_line(self, line: tuple[str, int], room: int) -> int:
        published = 0
        while published < room:
            left = room - published
            candidates = self._candidates(line, max(_CHUNK, left))
            admitted, blocked = self._admit(candidates, left)
            self._publish(admitted, line[0])
            for kind, runs in blocked.items():
                block(self._database, kind, runs)
            published += len(admitted)
            if not blocked:
                break
            self.blocked = True
        return published

    def _admit(
        self, candidates: Sequence[tuple[str, str, str]], room: int
    ) -> tuple[list[str], dict[LimitKind, list[str]]]:
        admitted: list[str] = []
        blocked: dict[LimitKind, list[str]] = {}
        for uuid, application, slot in candidates:
            if len(admitted) == room:
                break
            kind = self._limits.admit(application, slot)
            (admitted if kind is None else blocked.setdefault(kind, [])).append(uuid)
        return admitted, blocked

    def _publish(self, runs: Sequence[str], queue: str) -> None:
        if runs:
            sql = _PUBLISH.format(runs=", ".join("?" * len(runs)))
            self._database.execute(sql, (self._now, *runs))
            self.wakeups += (WakeUp(uuid, queue) for uuid in runs)

    def _candidates(self, line: tuple[str, int], number: int) -> list[tuple[str, str, str]]:
        found = self._due(line, number)
        if not self._skip_locked or not found:
            return found
        runs = RunRow.select(RunRow.uuid).where(RunRow.uuid.in_([uuid for uuid, *_ in found]))
        free = {*column(self._database, self._database.skipping_locked(runs))}
        return [each for each in found if each[0] in free]

    def _due(self, line: tuple[str, int], number: int) -> list[tuple[str, str, str]]:
        if not self._known:
            return []
        sql = _CANDIDATES.format(known=", ".join("?" * len(self._known)))
        values = (*line, self._now, *self._known, number)
        found: list[tuple[str, str, str]] = self._database.fetch(sql, values).fetchall()
        return found


def wakeups_in_flight(database: Database) -> list[InFlight]:
    """Return the wake-ups that were published but not yet claimed, by queue."""
    with database.reading():
        return _in_flight(database)


def decline(database: Database, run: str) -> bool:
    """Give back the wake-up of a run whose application the caller does not know.

    The run is offered again after a second, because another worker of its queue may know it; if
    none does, it is blocked until one starts (`reconsider`), and the result is False.
    """
    with database.transaction(durable=False):
        database.lock_gate()
        found = database.fetch(_GIVEN, (run,)).fetchone()
        if found is None:
            return True  # it was cancelled or published again in between
        known = found[0] in known_to_workers(database)
        due = database.now() + _DECLINED
        database.execute(_DECLINE, (due, None if known else LimitKind.UNKNOWN.value, run))
    return known


def unpublish(database: Database, runs: Sequence[str]) -> int:
    """Make runs due again after their wake-ups could not be sent; return their number."""
    with database.transaction(durable=False):
        return _make_due(database, runs)


def republish_lost(database: Database, queue: str, number: int, before: float) -> int:
    """Make runs due again after their wake-ups were lost; return their number.

    Args:
        database: the database.
        queue: the queue that lost wake-ups.
        number: how many it lost; the oldest are assumed to be the lost ones.
        before: the time before which a wake-up must have been published to count as lost.
    """
    published = RunRow.select(RunRow.uuid).order_by(RunRow.published, RunRow.uuid)
    lost = published.where(RunRow.queue == queue, RunRow.published <= before).limit(number)
    with database.transaction(durable=False):
        return _make_due(database, column(database, lost))


def _make_due(database: Database, runs: Sequence[str]) -> int:
    database.lock_gate()
    query = RunRow.update(due=RunRow.queued, published=None)
    waiting = query.where(RunRow.uuid.in_(runs), RunRow.published.is_null(False))
    return int(waiting.execute(database.peewee))


def lines(database: Database) -> list[tuple[str, int]]:
    """Find the queues and priorities of due runs, now or later, by a loose scan of the index."""
    lines: list[tuple[str, int]] = []
    line = ("", -1)
    while found := database.fetch(_LINE, (line[0], *line)).fetchone():
        line = (found[0], found[1])
        lines.append(line)
    return lines


def _in_flight(database: Database) -> list[InFlight]:
    return [InFlight(*row) for row in database.fetch(_IN_FLIGHT, ()).fetchall()]


def _numbers(in_flight: Sequence[InFlight]) -> Counter[str]:
    return Counter({each.queue: each.number for each in in_flight})
