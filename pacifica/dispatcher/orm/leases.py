"""Leases of workers: register, renew and revoke them, and find what each worker holds.

A worker is alive as long as the stamp in its row changes. Stamps are only compared for equality, so
the clocks of two machines need not agree. A peer that sees a stamp unchanged for the length of the
lease deletes the row; the runs of a worker without a row are recovered.
"""

from dataclasses import dataclass
from itertools import chain
from typing import Any

from peewee import PeeweeException, fn

from pacifica.dispatcher.errors import DatabaseUnavailableError
from pacifica.dispatcher.orm.database import Database
from pacifica.dispatcher.orm.rows import column, statement, views
from pacifica.dispatcher.orm.schema import RunRow, WorkerRow

_RENEW = "UPDATE worker SET renewed = ?, skew = ?, scarce = ? WHERE uuid = ?"
_TOUCH = "UPDATE worker SET length = length WHERE uuid = ?"
_LIVE_ATTEMPTS = """SELECT run.uuid AS run, run.attempt, run.application, attempt.handle,
    run.cancelling FROM run
    JOIN attempt ON attempt.run = run.uuid AND attempt.number = run.attempt WHERE run.worker = ?"""


@dataclass(frozen=True, slots=True)
class Registration:
    """The facts that a worker registers.

    Attributes:
        host: its machine's name.
        lock: the name of a file that is locked while any of its processes is alive.
        length: seconds for which its lease outlives its last renewal.
        queues: the Celery queues that it consumes.
        processes: how many attempts it can run at once.
        applications: those that it runs: configured there, in a queue that it consumes.
    """

    host: str
    lock: str
    length: float
    queues: tuple[str, ...]
    processes: int
    applications: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Peer:
    """A worker as other workers see it.

    Attributes:
        uuid: new at each start.
        host: its machine's name.
        lock: the name of a file that is locked while any of its processes is alive.
        renewed: a stamp that changes with every heartbeat: the time.
        length: seconds for which its lease outlives its last renewal.
    """

    uuid: str
    host: str
    lock: str
    renewed: float
    length: float


@dataclass(frozen=True, slots=True)
class LiveAttempt:
    """An attempt that has not ended.

    Attributes:
        run: the run's uuid.
        attempt: its number.
        application: the application's name.
        handle: its stored handle, for the executor; empty if none was stored.
        cancelling: True if a cancel was requested.
    """

    run: str
    attempt: int
    application: str
    handle: str
    cancelling: bool


def register(database: Database, worker: str, registration: Registration) -> None:
    """Start a lease."""
    now = database.now()
    query = WorkerRow.insert(
        uuid=worker,
        host=registration.host,
        lock_name=registration.lock,
        started=now,
        renewed=now,
        length=registration.length,
        queues=registration.queues,
        processes=registration.processes,
        applications=registration.applications,
        skew=database.clock.skew,
        scarce=bool(database.scarcity),
    )
    with database.transaction():
        query.execute(database.peewee)


def renew(database: Database, worker: str) -> bool:
    """Renew a lease; return False if a peer has revoked it."""
    with database.transaction(durable=False):
        row = (database.now(), database.clock.skew, bool(database.scarcity), worker)
        return bool(database.execute(_RENEW, row))


def deregister(database: Database, worker: str) -> None:
    """End a lease; peers recover what the worker still holds."""
    with database.transaction():
        WorkerRow.delete().where(WorkerRow.uuid == worker).execute(database.peewee)


def is_writable(database: Database, worker: str) -> bool:
    """Return True if the database accepts a write, one that changes nothing and concerns no run."""
    try:
        with database.transaction(durable=False):
            database.execute(_TOUCH, (worker,))
    except (DatabaseUnavailableError, PeeweeException):
        return False
    return True


def revoke(database: Database, peer: Peer) -> bool:
    """End a worker's lease and return True, unless it was renewed after `peer` was read.

    Raises:
        DatabaseBusyError: somebody, maybe the worker itself, holds a lock on it.
    """
    same = (WorkerRow.uuid == peer.uuid) & (WorkerRow.renewed == peer.renewed)
    row = WorkerRow.select(WorkerRow.uuid).where(same)
    with database.transaction(wait=False):
        if database.is_server and not row.for_update(nowait=True).execute(database.peewee):
            return False
        return bool(WorkerRow.delete().where(same).execute(database.peewee))


def peers(database: Database) -> list[Peer]:
    """Return all workers that have a lease."""
    lock = WorkerRow.lock_name.alias("lock")
    query = WorkerRow.select(
        WorkerRow.uuid, WorkerRow.host, lock, WorkerRow.renewed, WorkerRow.length
    )
    with database.reading():
        return views(database, query, Peer)


def known_to_workers(database: Database) -> frozenset[str]:
    """Return the applications that some worker runs; the caller has a connection."""
    lists = column(database, WorkerRow.select(WorkerRow.applications))
    return frozenset(chain.from_iterable(lists))


def queues_of_workers(database: Database) -> frozenset[str]:
    """Return the queues that some worker consumes; the caller has a connection."""
    return frozenset(chain.from_iterable(column(database, WorkerRow.select(WorkerRow.queues))))


def lost_workers(database: Database) -> list[str]:
    """Return the uuids of workers that hold runs but no longer have a lease."""
    leased = fn.EXISTS(WorkerRow.select().where(WorkerRow.uuid == RunRow.worker))
    query = RunRow.select(RunRow.worker).where(RunRow.worker.is_null(False), ~leased).distinct()
    with database.reading():
        return column(database, query)


def attempts_of(database: Database, worker: str) -> list[LiveAttempt]:
    """Return the attempts that a worker is running."""
    with database.reading():
        query = statement(database, RunRow, _LIVE_ATTEMPTS, worker)
        return views(database, query, _live_attempt)


def _live_attempt(
    cancelling: float | None,
    handle: str | None,
    **columns: Any,  # noqa: ANN401
) -> LiveAttempt:
    return LiveAttempt(cancelling=cancelling is not None, handle=handle or "", **columns)
