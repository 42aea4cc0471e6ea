"""Workers with their running attempts, and queues with their waiting runs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pacifica.dispatcher.execution.handles import local_pid
from pacifica.dispatcher.orm.database import Database
from pacifica.dispatcher.orm.rows import views
from pacifica.dispatcher.orm.schema import LAST_ATTEMPT, AttemptRow, RunRow, WorkerRow
from pacifica.dispatcher.orm.waiting import Takers, WaitingRuns

_WORKERS = WorkerRow.select(
    *(WorkerRow.uuid, WorkerRow.host, WorkerRow.started, WorkerRow.renewed, WorkerRow.length),
    *(WorkerRow.queues, WorkerRow.processes, WorkerRow.applications, WorkerRow.skew),
    WorkerRow.scarce,
).order_by(WorkerRow.host, WorkerRow.started)
_RUNNING = (
    RunRow.select(
        *(RunRow.worker, RunRow.uuid.alias("run"), RunRow.event, RunRow.application),
        *(RunRow.attempt, AttemptRow.handle, AttemptRow.started),
    )
    .join(AttemptRow, on=LAST_ATTEMPT)
    .where(RunRow.worker.is_null(False))
    .order_by(AttemptRow.started)
)


@dataclass(frozen=True, slots=True)
class RunningAttempt:
    """An attempt that has not ended; `pid` is the worker process that runs it."""

    run: str
    event: str
    application: str
    attempt: int
    pid: int | None
    started: float


@dataclass(frozen=True, slots=True)
class WorkerView:
    """A worker that has a lease; times are seconds since the epoch.

    Attributes:
        renewed: its last heartbeat.
        length: seconds for which its lease outlives the last heartbeat.
        queues: the Celery queues that it consumes.
        processes: how many attempts it can run at once.
        applications: those that it runs.
        skew: seconds by which its host's clock is ahead of the database's.
        scarce: True if the database has refused one of its connections in the last minute.
        running: the attempts that it is running.
    """

    uuid: str
    host: str
    started: float
    renewed: float
    length: float
    queues: tuple[str, ...]
    processes: int
    applications: tuple[str, ...]
    skew: float
    scarce: bool
    running: tuple[RunningAttempt, ...]


@dataclass(frozen=True, slots=True)
class Queue:
    """A Celery queue.

    Attributes:
        published: wake-ups in flight.
        due: runs that wait for room in it, for a limit or for their due time.
        workers: how many workers consume it.
    """

    queue: str
    published: int
    due: int
    workers: int


def queues(
    workers: Sequence[WorkerView], waiting: Sequence[WaitingRuns], default: str
) -> list[Queue]:
    """Return the queues that any worker consumes or any run waits in, by name.

    Args:
        workers: all workers.
        waiting: all waiting runs.
        default: the name of the default queue.
    """
    served = [queue for worker in workers for queue in worker.queues]
    names = {default, *served, *(each.queue or default for each in waiting)}
    numbers = {name: {True: 0, False: 0} for name in names}
    for each in waiting:
        numbers[each.queue or default][each.in_flight] += each.number
    return [
        Queue(name, numbers[name][True], numbers[name][False], served.count(name))
        for name in sorted(names)
    ]


def takers(workers: Sequence[WorkerView], configured: Iterable[str], default: str) -> Takers:
    """Return the facts that decide whether anybody takes a run.

    Args:
        workers: all workers.
        configured: the applications that are configured here.
        default: the name of the default queue.
    """
    return Takers(
        queues=frozenset(queue for worker in workers for queue in worker.queues),
        known=frozenset(name for worker in workers for name in worker.applications),
        configured=frozenset(configured),
        default=default,
    )


def worker_views(database: Database) -> list[WorkerView]:
    """Return the workers that have a lease, each with its running attempts."""
    with database.reading():
        rows: list[dict[str, Any]] = views(database, _WORKERS, dict)
        running = views(database, _RUNNING, _of_worker)
    of_each: dict[str, list[RunningAttempt]] = {}
    for worker, attempt in running:
        of_each.setdefault(worker, []).append(attempt)
    return [WorkerView(running=tuple(of_each.get(row["uuid"], ())), **row) for row in rows]


def _of_worker(
    worker: str,
    handle: str | None,
    **columns: Any,  # noqa: ANN401
) -> tuple[str, RunningAttempt]:
    return worker, RunningAttempt(pid=local_pid(handle), **columns)


def hosts(database: Database) -> str:
    """Return the hosts of the workers that use the database, for the log."""
    with database.reading():
        found = {host for (host,) in database.fetch("SELECT host FROM worker", ())}
    return ", ".join(sorted(found)) or "none"
