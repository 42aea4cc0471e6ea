"""Orphans: waiting runs that no worker takes. Report them, block them or move them.

A run is an orphan if its application is not configured, or if it waits in a queue that no worker
consumes. Tiers may have different configurations, so none relies on its own alone: workers register
the applications that they run.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from peewee import fn

from pacifica.dispatcher.applications import Application
from pacifica.dispatcher.orm.database import Database
from pacifica.dispatcher.orm.leases import known_to_workers, queues_of_workers
from pacifica.dispatcher.orm.limits import LimitKind
from pacifica.dispatcher.orm.rows import column
from pacifica.dispatcher.orm.schema import RunRow, State
from pacifica.dispatcher.orm.statistics import MAX_COUNTED
from pacifica.dispatcher.telemetry import WARNING, emit

_NEXT = "SELECT MIN(application) FROM run WHERE application > ?"
_NEXT_QUEUE = """SELECT MIN(queue) FROM run
    WHERE blocked IS NULL AND due IS NOT NULL AND queue > ?"""
_IN_FLIGHT = "SELECT DISTINCT queue FROM run WHERE published IS NOT NULL AND queue <> ''"
_WAITING = (State.QUEUED, State.RETRYING)
_NOT_CONFIGURED: Final = "not configured; add it, or cancel its runs and replay their events"
_LOT: Final = 1000  # runs that one statement changes


@dataclass(frozen=True, slots=True)
class Orphans:
    """The waiting runs of an application that no worker takes.

    Attributes:
        application: its name.
        number: their number, counted up to `MAX_COUNTED` in each state.
        reason: the reason, with the remedy.
    """

    application: str
    number: int
    reason: str


def orphans(
    database: Database, applications: Mapping[str, Application], default: str
) -> list[Orphans]:
    """Find the applications whose runs wait although no known tier would take them.

    Args:
        database: the database.
        applications: the caller's configured applications; those of live workers count, too.
        default: the name of the default queue.
    """
    used = {each.queue or default for each in applications.values()} | {default}
    with database.reading():
        unknown = _waiting_elsewhere(database, {*applications, *known_to_workers(database)})
        found = [Orphans(name, number, _NOT_CONFIGURED) for name, number in unknown]
        unserved = _queues(database) - used - queues_of_workers(database)
        return found + [
            Orphans(name, number, f"no worker consumes queue {queue}; start one")
            for queue in sorted(unserved)
            for name in applications
            if (number := len(_in_queue(database, name, queue, MAX_COUNTED)))
        ]


def report_orphans(
    database: Database, applications: Mapping[str, Application], default: str
) -> None:
    """Log the orphans, when a tier starts."""
    for each in orphans(database, applications, default):
        emit(
            "runs.orphaned",
            WARNING,
            application=each.application,
            number=each.number,
            reason=each.reason,
        )


def block_unknown(database: Database, applications: Mapping[str, Application]) -> None:
    """Block the due runs of applications that neither the caller nor any worker knows.

    Otherwise every publisher would read them again and again.
    """
    with database.reading():
        known = {*applications, *known_to_workers(database)}
        unknown = _waiting_elsewhere(database, known)
    due = RunRow.select(RunRow.uuid).where(
        RunRow.due.is_null(False), RunRow.blocked.is_null(), RunRow.state.in_(_WAITING)
    )
    for name, _ in unknown:
        query = due.where(RunRow.application == name).limit(_LOT)
        more = True
        while more:
            with database.transaction(durable=False):
                database.lock_gate()
                lot = column(database, query)
                blocking = RunRow.update(blocked=LimitKind.UNKNOWN).where(RunRow.uuid.in_(lot))
                blocking.execute(database.peewee)
            more = len(lot) == _LOT


def move(
    database: Database, applications: Mapping[str, Application], default: str
) -> list[tuple[str, int]]:
    """Move waiting runs from queues that no worker consumes to their application's queue.

    Args:
        database: the database.
        applications: the caller's applications.
        default: the name of the default queue.

    Returns:
        the applications whose runs were moved, each with their number.
    """
    with database.reading():
        served = queues_of_workers(database)
        unserved = _queues(database) - served
        if default not in served:
            unserved.add("")
    moved = []
    for queue in unserved:
        for each in applications.values():
            if each.queue != queue and (each.queue or default) in served:
                number = _move(database, each, queue)
                moved += [(each.name, number)] if number else []
    return moved


def _move(database: Database, application: Application, queue: str) -> int:
    number = 0
    while True:
        with database.transaction(durable=False):
            database.lock_gate()
            lot = _in_queue(database, application.name, queue, _LOT)
            moving = RunRow.update(
                queue=application.queue,
                priority=application.priority,
                due=fn.COALESCE(RunRow.due, RunRow.queued),
                published=None,
            )
            moving.where(RunRow.uuid.in_(lot)).execute(database.peewee)
        number += len(lot)
        if len(lot) < _LOT:
            return number


def _queues(database: Database) -> set[str]:
    """Find the queues, other than the default one, of runs that are due or in flight."""
    found = {queue for (queue,) in database.fetch(_IN_FLIGHT, ()).fetchall()}
    return found | {*_each(database, _NEXT_QUEUE)}


def _waiting_elsewhere(database: Database, known: set[str]) -> list[tuple[str, int]]:
    """Find the applications that are not known but have waiting runs, with the runs' number."""
    names = [name for name in _each(database, _NEXT) if name not in known]
    numbers = [(name, sum(_number(database, name, state) for state in _WAITING)) for name in names]
    return [(name, number) for name, number in numbers if number]


def _each(database: Database, sql: str) -> Iterator[str]:
    """Find all values of a column by a loose scan of its index: one look-up for each."""
    value = ""
    while value := database.fetch(sql, (value,)).fetchone()[0] or "":
        yield value


def _number(database: Database, application: str, state: State) -> int:
    query = RunRow.select().where(
        RunRow.application == application, RunRow.state == state, RunRow.superseded == 0
    )
    return int(query.limit(MAX_COUNTED).count(database.peewee))


def _in_queue(database: Database, application: str, queue: str, limit: int) -> list[str]:
    query = RunRow.select(RunRow.uuid).where(
        RunRow.application == application, RunRow.state.in_(_WAITING), RunRow.queue == queue
    )
    return column(database, query.limit(limit))
