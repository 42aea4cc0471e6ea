"""How things stand: counts, durations, what waits and why, who works.

What is counted is counted up to a number, so that it costs the same however much is stored.
"""

import enum
import hashlib
import json
import math
import re
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from pacifica.dispatcher.orm.database import Database
from pacifica.dispatcher.orm.search import uuid_at
from pacifica.dispatcher.orm.tables import State

MOST: Final = 10_000
"""What is counted is counted up to this number."""

GROUPED: Final = 500
"""Failed runs that are looked at for what they have in common."""

_DAY: Final = 86_400.0
_MEASURED: Final = 100  # attempts that succeeded, of which the durations are taken
_MINUTES: Final = 60
_NUMBER: Final = re.compile(r"\d+")
_ENDED: Final = (State.SUCCEEDED, State.FAILED)

_COUNT = """SELECT ? AS application, ? AS state, COUNT(*) FROM (SELECT 1 FROM run
    WHERE {condition} AND state = ? AND superseded = 0 LIMIT ?) counted"""
_FAILED_SINCE = """SELECT COUNT(*) FROM (SELECT 1 FROM run WHERE application = ?
    AND state = 'failed' AND superseded = 0 AND event >= ? LIMIT ?) counted"""
_ENDS = """SELECT run.uuid, run.state, attempt.started, attempt.finished FROM run
    JOIN attempt ON attempt.run = run.uuid AND attempt.number = run.attempt
    WHERE run.application = ? AND run.state = ? AND run.superseded = 0
    ORDER BY run.event DESC LIMIT ?"""
_HISTORY = """SELECT ROUND((? - queued) / 60 - 0.5) AS minute, state, COUNT(*) FROM (
    SELECT queued, state FROM run WHERE uuid >= ? AND superseded = 0
    ORDER BY uuid DESC LIMIT ?) recent GROUP BY minute, state"""
_UNMATCHED_HISTORY = """SELECT ROUND((? - received) / 60 - 0.5) AS minute, COUNT(*) FROM (
    SELECT received FROM event WHERE unmatched = 1 AND uuid >= ?
    ORDER BY uuid DESC LIMIT ?) recent GROUP BY minute"""
_FAILED = """SELECT run.uuid, run.application, attempt.exit_code, attempt.signal_name, run.error,
    attempt.last_line, run.finished FROM run
    LEFT JOIN attempt ON attempt.run = run.uuid AND attempt.number = run.attempt
    WHERE run.state = 'failed' AND run.superseded = 0 ORDER BY run.event DESC LIMIT ?"""
_WAITING = """SELECT application, queue, blocked, published IS NOT NULL, due > ?, COUNT(*) FROM (
    SELECT application, queue, blocked, published, due FROM run
    WHERE state = ? AND superseded = 0 LIMIT ?) waiting GROUP BY 1, 2, 3, 4, 5"""
_WORKERS = """SELECT uuid, host, started, renewed, length, queues, processes FROM worker
    ORDER BY host, started"""
_RUNNING = """SELECT run.worker, run.uuid, run.event, run.application, run.attempt, attempt.pid,
    attempt.started FROM run JOIN attempt ON attempt.run = run.uuid AND attempt.number = run.attempt
    WHERE run.worker IS NOT NULL ORDER BY attempt.started"""


@dataclass(frozen=True, slots=True)
class End:
    """How the last attempt of a run ended; times are seconds since the epoch."""

    run: str
    status: str
    started: float
    finished: float

    @property
    def duration(self) -> float:
        """Seconds."""
        return max(0.0, self.finished - self.started)


@dataclass(frozen=True, slots=True)
class Summary:
    """How an application does.

    Attributes:
        runs: how many it has in each state, `MOST` at the most; superseded ones do not count.
        failed_today: how many runs for events of the last 24 hours have failed, `MOST` at the most.
        median: seconds that half of its last hundred successes took at the most; None without one.
        p95: likewise for 95 of a hundred.
        last_success: when it ended.
    """

    runs: dict[str, int]
    failed_today: int
    median: float | None
    p95: float | None
    last_success: float | None


@dataclass(frozen=True, slots=True)
class Failures:
    """Failed runs that have something in common.

    Attributes:
        how: the exit code, the signal, or what else ended the last attempt.
        last_line: what the application wrote last on standard error, its numbers masked.
        runs: their uuids, the one that failed last first.
        finished: when that did, in seconds since the epoch.
    """

    application: str
    how: str
    last_line: str
    runs: tuple[str, ...]
    finished: float

    @property
    def group(self) -> str:
        """What names the group: a digest of what its runs have in common."""
        common = json.dumps([self.application, self.how, self.last_line])
        return hashlib.sha256(common.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Minute:
    """What became, by now, of the events of one minute: runs by state, and events without one."""

    ago: int
    numbers: dict[str, int]


@dataclass(frozen=True, slots=True)
class Waiting:
    """Runs that wait for the same reason.

    Attributes:
        queue: the Celery queue; empty for the installation's.
        blocked: the name of the limit that holds them back.
        published: whether their wake-ups are on their way.
        later: whether they are not due yet.
    """

    application: str
    queue: str
    blocked: str | None
    published: bool
    later: bool
    number: int


class Reason(enum.StrEnum):
    """Why a run waits."""

    PAUSED = "paused"
    LIMIT = "limit"
    RATE = "rate"
    LATER = "due later"
    NO_WORKER = "no worker"
    QUEUED = "queued"
    QUEUE_FULL = "queue full"


def reason(each: Waiting, served: Collection[str], default: str) -> Reason:
    """Why runs wait.

    Args:
        each: the runs.
        served: the Celery queues that some worker takes wake-ups from.
        default: the installation's queue.
    """
    for limit, why in _LIMITS.items():
        if each.blocked and each.blocked.startswith(limit):
            return why
    if each.later:
        return Reason.LATER
    if (each.queue or default) not in served:
        return Reason.NO_WORKER
    return Reason.QUEUED if each.published else Reason.QUEUE_FULL


_LIMITS: Final = {"paused ": Reason.PAUSED, "concurrency ": Reason.LIMIT, "rate ": Reason.RATE}


@dataclass(frozen=True, slots=True)
class Running:
    """An attempt that goes on; `pid` is that of the worker's process which makes it."""

    run: str
    event: str
    application: str
    attempt: int
    pid: int | None
    started: float


@dataclass(frozen=True, slots=True)
class WorkerView:
    """A worker that has a lease; times are seconds since the epoch, by its host's clock.

    Attributes:
        renewed: its last heartbeat.
        length: seconds for which its lease outlives that.
        queues: the Celery queues that it takes wake-ups from.
        processes: how many attempts it can make at once.
        running: what it is running.
    """

    uuid: str
    host: str
    started: float
    renewed: float
    length: float
    queues: tuple[str, ...]
    processes: int
    running: tuple[Running, ...]


@dataclass(frozen=True, slots=True)
class Queue:
    """A Celery queue.

    Attributes:
        published: wake-ups that are on their way.
        due: runs that wait for room in it, for a limit or for their time.
        workers: how many take from it.
    """

    queue: str
    published: int
    due: int
    workers: int


def queues(workers: Sequence[WorkerView], waiting: Sequence[Waiting], default: str) -> list[Queue]:
    """The queues that some worker takes from or something waits in, by name.

    Args:
        workers: the workers that live.
        waiting: what waits.
        default: the installation's queue.
    """
    served = [queue for worker in workers for queue in worker.queues]
    names = {default, *served, *(each.queue or default for each in waiting)}
    numbers = {name: {True: 0, False: 0} for name in names}
    for each in waiting:
        numbers[each.queue or default][each.published] += each.number
    return [
        Queue(name, numbers[name][True], numbers[name][False], served.count(name))
        for name in sorted(names)
    ]


def run_counts(database: Database) -> dict[str, int]:
    """How many runs there are in each state, `MOST` at the most; superseded ones do not count."""
    return _counts(database, [("", "1 = 1")]).get("", {})


def summaries(database: Database, applications: Sequence[str]) -> dict[str, Summary]:
    """How each of these applications does."""
    counts = _counts(database, [(name, "application = ?") for name in applications])
    today = uuid_at(time.time() - _DAY)
    with database.reading():
        found = {}
        for name in applications:
            failed = database.fetch(_FAILED_SINCE, (name, today, MOST)).fetchone()[0]
            successes = _ends(database, name, State.SUCCEEDED, _MEASURED)
            durations = sorted(end.duration for end in successes)
            found[name] = Summary(
                counts.get(name, {}),
                failed,
                _quantile(durations, 0.5),
                _quantile(durations, 0.95),
                max((end.finished for end in successes), default=None),
            )
    return found


def ends(database: Database, application: str, limit: int) -> list[End]:
    """How the last runs of an application ended that succeeded or failed, the last one first."""
    with database.reading():
        found = [end for state in _ENDED for end in _ends(database, application, state, limit)]
    return sorted(found, key=lambda end: end.finished, reverse=True)[:limit]


def failures(database: Database) -> list[Failures]:
    """What the last failed runs, `GROUPED` at the most, have in common: the most frequent first."""
    groups: dict[tuple[str, str, str], list[tuple[float, str]]] = {}
    with database.reading():
        rows = database.fetch(_FAILED, (GROUPED,)).fetchall()
    for run, name, exit_code, signal, error, last_line, finished in rows:
        how = signal or (error if exit_code is None else f"exit code {exit_code}")
        masked = _NUMBER.sub("#", last_line or "")
        groups.setdefault((name, how or "", masked), []).append((finished, run))
    found = []
    for common, ended in groups.items():
        ended.sort(reverse=True)
        found.append(Failures(*common, tuple(run for _, run in ended), ended[0][0]))
    return sorted(found, key=lambda each: (-len(each.runs), each.application))


def history(database: Database) -> list[Minute]:
    """The last sixty minutes, the first one first; of very many runs the newest ones."""
    now = time.time()
    since = uuid_at(now - _MINUTES * 60)
    minutes: list[dict[str, int]] = [{} for _ in range(_MINUTES)]
    with database.reading():
        runs = database.fetch(_HISTORY, (now, since, MOST)).fetchall()
        unmatched = database.fetch(_UNMATCHED_HISTORY, (now, since, MOST)).fetchall()
    for minute, state, number in [*runs, *((ago, "unmatched", n) for ago, n in unmatched)]:
        if 0 <= minute < _MINUTES:
            minutes[int(minute)][state] = number
    return [Minute(ago, numbers) for ago, numbers in reversed(list(enumerate(minutes)))]


def waiting(database: Database) -> list[Waiting]:
    """What waits, by application, queue and reason; `MOST` runs of each state at the most."""
    now = time.time()
    with database.reading():
        rows = [
            row
            for state in (State.QUEUED, State.RETRYING)
            for row in database.fetch(_WAITING, (now, state.value, MOST)).fetchall()
        ]
    found: dict[tuple[str, str, str | None, bool, bool], int] = {}
    for name, queue, blocked, published, later, number in rows:
        key = (name, queue, blocked, bool(published), bool(later))
        found[key] = found.get(key, 0) + number
    ordered = sorted(found.items(), key=lambda item: (item[0][0], -item[1]))
    return [Waiting(*key, number) for key, number in ordered]


def worker_views(database: Database) -> list[WorkerView]:
    """The workers that have a lease, and what each is running."""
    with database.reading():
        rows = database.fetch(_WORKERS, ()).fetchall()
        running = database.fetch(_RUNNING, ()).fetchall()
    of_each: dict[str, list[Running]] = {}
    for worker, *attempt in running:
        of_each.setdefault(worker, []).append(Running(*attempt))
    return [
        WorkerView(
            uuid=uuid,
            host=host,
            started=started,
            renewed=renewed,
            length=length,
            queues=tuple(queues.split()),
            processes=processes,
            running=tuple(of_each.get(uuid, ())),
        )
        for uuid, host, started, renewed, length, queues, processes in rows
    ]


def _counts(database: Database, wanted: Sequence[tuple[str, str]]) -> dict[str, dict[str, int]]:
    """Runs by name and state, all of them asked for at once: a name, and its condition in SQL."""
    parts, values = [], []
    for name, condition in wanted:
        for state in State:
            parts.append(_COUNT.format(condition=condition))
            values += [name, state.value, *[name] * condition.count("?"), state.value, MOST]
    found: dict[str, dict[str, int]] = {}
    if parts:
        with database.reading():
            rows = database.fetch(" UNION ALL ".join(parts), values).fetchall()
        for name, state, number in rows:
            if number:
                found.setdefault(name, {})[state] = number
    return found


def _ends(database: Database, application: str, state: State, limit: int) -> list[End]:
    rows: Iterable[tuple[str, str, float, float]] = database.fetch(
        _ENDS, (application, state.value, limit)
    ).fetchall()
    return [End(*row) for row in rows if row[3] is not None]


def _quantile(ordered: Sequence[float], part: float) -> float | None:
    """The value that this part of an ordered sample does not pass: the nearest rank."""
    if not ordered:
        return None
    return ordered[math.ceil(part * len(ordered)) - 1]
