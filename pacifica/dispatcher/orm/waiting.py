"""Waiting runs: their number and the reason why they wait."""

import enum
from dataclasses import dataclass
from typing import Any, Final

from pacifica.dispatcher.orm.database import Database
from pacifica.dispatcher.orm.limits import LimitKind
from pacifica.dispatcher.orm.rows import statement, views
from pacifica.dispatcher.orm.schema import RunRow, State
from pacifica.dispatcher.orm.statistics import MAX_COUNTED

_IN_STATE = """(SELECT application, queue, blocked, published, due FROM run
    WHERE state = ? AND superseded = 0 LIMIT ?)"""
_WAITING = f"""SELECT application, queue, blocked, published IS NOT NULL AS in_flight,
    due > ? AS due_later, COUNT(*) AS number FROM (
        SELECT * FROM {_IN_STATE} queued UNION ALL SELECT * FROM {_IN_STATE} retrying) waiting
    GROUP BY 1, 2, 3, 4, 5"""  # noqa: S608 - ours


_UNSERVED = """SELECT COUNT(*) FROM (SELECT uuid FROM run
    WHERE state = ? AND superseded = 0 AND blocked IS NULL AND queued < ? LIMIT ?) waiting
    WHERE NOT EXISTS (SELECT 1 FROM worker)"""
_PATIENCE = 10.0  # seconds; a worker that starts needs less


@dataclass(frozen=True, slots=True)
class WaitingRuns:
    """Runs that wait for the same reason.

    Attributes:
        queue: the Celery queue; empty for the default queue.
        blocked: the kind of the limit that blocks them.
        in_flight: True if their wake-ups are in flight.
        due_later: True if they are not due yet.
    """

    application: str
    queue: str
    blocked: LimitKind | None
    in_flight: bool
    due_later: bool
    number: int


@dataclass(frozen=True, slots=True)
class Takers:
    """The facts that decide whether anybody takes a run.

    Attributes:
        queues: the Celery queues that some worker consumes.
        known: the applications that some worker runs.
        configured: the applications that are configured here.
        default: the name of the default queue.
    """

    queues: frozenset[str]
    known: frozenset[str]
    configured: frozenset[str]
    default: str


class Reason(enum.StrEnum):
    """The reason why a run waits."""

    PAUSED = "paused"
    LIMIT = "limit"
    RATE = "rate"
    LATER = "due later"
    NOT_CONFIGURED = "not configured"
    NO_WORKER = "no worker"
    UNKNOWN = "unknown to workers"
    QUEUED = "queued"
    QUEUE_FULL = "queue full"


_OF_LIMIT: Final[dict[LimitKind | None, Reason]] = {
    LimitKind.PAUSED: Reason.PAUSED,
    LimitKind.CONCURRENCY: Reason.LIMIT,
    LimitKind.RATE: Reason.RATE,
}


def waiting(database: Database) -> list[WaitingRuns]:
    """Count waiting runs by application, queue and reason, at most `MAX_COUNTED` of each state."""
    bounds = (database.now(), State.QUEUED, MAX_COUNTED, State.RETRYING, MAX_COUNTED)
    with database.reading():
        found = views(database, statement(database, RunRow, _WAITING, *bounds), _waiting_runs)
    return sorted(found, key=lambda each: (each.application, -each.number))


def unserved(database: Database, name: str) -> str:
    """Return a warning if runs wait in a database that no worker uses; otherwise "".

    `name` is what the reader may know of the database.
    """
    bounds = (State.QUEUED, database.now() - _PATIENCE, MAX_COUNTED)
    with database.reading():
        [number] = database.fetch(_UNSERVED, bounds).fetchone()
    if not number:
        return ""
    wait = "run waits" if number == 1 else "runs wait"
    return (
        f"{number} {wait} in {name}, which no worker uses; start a worker with the same peewee_url"
    )


def reason(runs: WaitingRuns, takers: Takers) -> Reason:
    """Decide why runs wait."""
    if runs.application not in takers.configured | takers.known:
        return Reason.NOT_CONFIGURED
    if runs.blocked in _OF_LIMIT:
        return _OF_LIMIT[runs.blocked]
    if runs.due_later:
        return Reason.LATER
    if (runs.queue or takers.default) not in takers.queues:
        return Reason.NO_WORKER
    if runs.application not in takers.known:
        return Reason.UNKNOWN
    return Reason.QUEUED if runs.in_flight else Reason.QUEUE_FULL


def _waiting_runs(
    blocked: str | None,
    in_flight: int,
    due_later: int | None,
    **columns: Any,  # noqa: ANN401
) -> WaitingRuns:
    kind = None if blocked is None else LimitKind(blocked)
    return WaitingRuns(
        blocked=kind, in_flight=bool(in_flight), due_later=bool(due_later), **columns
    )
