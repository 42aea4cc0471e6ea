"""The workers' leases, what each worker holds, and what becomes of it when the worker is lost.

A worker lives as long as the stamp in its row goes on changing. The stamp is only ever compared for
being the same, so that the clocks of two machines need not agree. Who has seen it unchanged for a
lease's length takes the row away; the runs of a worker that has no row are recovered.
"""

import time
from dataclasses import dataclass

from pacifica.dispatcher.orm.database import Database

_RENEW = "UPDATE worker SET renewed = ? WHERE uuid = ?"
_REMOVE = "DELETE FROM worker WHERE uuid = ?"
_TAKE = "DELETE FROM worker WHERE uuid = ? AND renewed = ?"
_PEERS = "SELECT uuid, host, lock_name, renewed, length FROM worker"
_HELD = """SELECT run.uuid, run.attempt, run.application, attempt.pid, run.cancelling
    FROM run JOIN attempt ON attempt.run = run.uuid AND attempt.number = run.attempt
    WHERE run.worker = ?"""
_LOST = """SELECT DISTINCT worker FROM run WHERE worker IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM worker WHERE worker.uuid = run.worker)"""
_WORKER = (
    *("uuid", "host", "lock_name", "started", "renewed"),
    *("length", "queues", "processes"),
)


@dataclass(frozen=True, slots=True)
class Registration:
    """What a worker says of itself.

    Attributes:
        host: its machine's name.
        lock: the name of a file that is locked while one of its processes lives.
        length: seconds for which its lease outlives its last renewal.
        queues: the Celery queues that it takes wake-ups from.
        processes: how many attempts it can make at once.
    """

    host: str
    lock: str
    length: float
    queues: tuple[str, ...]
    processes: int


@dataclass(frozen=True, slots=True)
class Peer:
    """A worker's row.

    Attributes:
        uuid: made anew with every start.
        host: its machine's name.
        lock: the name of a file that is locked while one of its processes lives.
        renewed: a stamp that changes with every heartbeat; its seconds are for people.
        length: seconds for which its lease outlives its last renewal.
    """

    uuid: str
    host: str
    lock: str
    renewed: float
    length: float


@dataclass(frozen=True, slots=True)
class Held:
    """An attempt that goes on.

    Attributes:
        run: the run's uuid.
        attempt: its number.
        application: the application's name.
        pid: of the process of the worker that makes it.
        cancelling: whether somebody asked to cancel it.
    """

    run: str
    attempt: int
    application: str
    pid: int
    cancelling: bool


def register(database: Database, worker: str, registration: Registration) -> None:
    """Begin a lease."""
    now = time.time()
    said = (registration.length, " ".join(registration.queues), registration.processes)
    row = (worker, registration.host, registration.lock, now, now, *said)
    with database.transaction():
        database.insert("worker", _WORKER, [row])


def renew(database: Database, worker: str) -> bool:
    """Keep a lease. False when it is lost: others took it."""
    with database.transaction(durable=False):
        return bool(database.execute(_RENEW, (time.time(), worker)))


def leave(database: Database, worker: str) -> None:
    """End a lease; what is still held under it is recovered by others."""
    with database.transaction():
        database.execute(_REMOVE, (worker,))


def take(database: Database, peer: Peer) -> bool:
    """End the lease of a worker that was not renewed since it was looked at. Says whether."""
    with database.transaction():
        return bool(database.execute(_TAKE, (peer.uuid, peer.renewed)))


def peers(database: Database) -> list[Peer]:
    """All workers that have a lease."""
    with database.reading():
        return [Peer(*row) for row in database.fetch(_PEERS, ()).fetchall()]


def lost(database: Database) -> list[str]:
    """The workers that hold runs and have no lease any more."""
    with database.reading():
        return [uuid for (uuid,) in database.fetch(_LOST, ()).fetchall()]


def held(database: Database, worker: str) -> list[Held]:
    """What a worker is running."""
    with database.reading():
        rows = database.fetch(_HELD, (worker,)).fetchall()
    return [
        Held(run, attempt, name, pid, asked is not None) for run, attempt, name, pid, asked in rows
    ]
