"""Runs and attempts as stored, and checks of the guarantees in docs/reliability.md."""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, TypeVar

import pytest

from pacifica.dispatcher import orm
from pacifica.dispatcher.applications import Application, Rate, Retry
from pacifica.dispatcher.applications.command_template import Argument
from pacifica.dispatcher.execution.capture import Piece
from pacifica.dispatcher.worker.recovery import recover_wakeups
from tests.factories import app, registration

T = TypeVar("T")
Mapped = Mapping[str, Application]

WAITING = ("queued", "retrying")
FINAL = ("succeeded", "failed", "cancelled")
LATER = 1000.0
HOST = "host"
TABLES = ("output", "attempt", "run", "event", "worker", "pace", "outbox")

databases = pytest.mark.parametrize("database_url", ["sqlite", "postgres"], indirect=True)


def by_name(*applications: Application) -> dict[str, Application]:
    """Map applications by name, as the configuration does."""
    return {each.name: each for each in applications}


KEY = Argument.parse("{data.key}")
INITIAL = by_name(
    app("plain", retry=Retry(1, delay=LATER), max_crashes=2),
    app("single", concurrency=1, max_crashes=2, priority=9),
    app("keyed", concurrency=1, concurrency_key=KEY, queue="other", retry=Retry(2, delay=LATER)),
    app("pair", concurrency=2, max_crashes=1, priority=1),
    app("paced", rate=Rate(1, 3600.0), concurrency=2),
)
CONFIGURATIONS = (
    INITIAL,
    INITIAL
    | by_name(
        replace(INITIAL["plain"], concurrency=1),
        replace(INITIAL["single"], concurrency=3),
        replace(INITIAL["keyed"], concurrency_key=None, queue=""),
    ),
    INITIAL
    | by_name(
        replace(INITIAL["single"], concurrency=None, priority=0),
        replace(INITIAL["pair"], concurrency=1, priority=5),
        replace(INITIAL["keyed"], concurrency=2),
    ),
    {name: each for name, each in INITIAL.items() if name not in {"pair", "keyed"}},
)


class Row(NamedTuple):
    """A row of the table `run`."""

    uuid: str
    event: str
    application: str
    state: str
    attempt: int
    due: float | None
    published: float | None
    blocked: str | None
    queue: str
    priority: int
    slot: str
    worker: str | None
    crashes: int
    failures: int
    cancelling: float | None
    finished: float | None
    result: str | None
    error: str | None
    origin: str | None
    superseded: int

    @property
    def place(self) -> tuple[str, str]:
        """The concurrency slot that the run takes while it is published or running."""
        return self.application, self.slot

    @property
    def takes_place(self) -> bool:
        """True while the run takes its slot."""
        return self.published is not None or self.worker is not None

    def is_ready(self, now: float) -> bool:
        """True if only a full window keeps the run from being published."""
        return self.due is not None and self.due <= now and self.blocked is None


class AttemptRow(NamedTuple):
    """A row of the table `attempt`."""

    run: str
    number: int
    worker: str
    handle: str
    finished: float | None


def read_runs(database: orm.Database) -> dict[str, Row]:
    """Read all runs in one snapshot."""
    with database.reading():
        found = database.fetch(f"SELECT {', '.join(Row._fields)} FROM run", ())  # noqa: S608
        return {row[0]: Row(*row) for row in found.fetchall()}


def read_attempts(database: orm.Database) -> dict[str, list[AttemptRow]]:
    """Read all attempts, grouped by run, in order."""
    attempts: dict[str, list[AttemptRow]] = defaultdict(list)
    columns = ", ".join(AttemptRow._fields)
    with database.reading():
        found = database.fetch(f"SELECT {columns} FROM attempt ORDER BY run, number", ())  # noqa: S608
        for row in found.fetchall():
            attempts[row[0]].append(AttemptRow(*row))
    return attempts


def clear(database: orm.Database) -> None:
    """Delete all rows."""
    with database.transaction(durable=False):
        for table in TABLES:
            database.execute(f"DELETE FROM {table}", ())  # noqa: S608


def pass_time(database: orm.Database) -> None:
    """Move all due times and rate limits into the past."""
    with database.transaction(durable=False):
        database.execute("UPDATE run SET due = due - 100000 WHERE due IS NOT NULL", ())
        database.execute("UPDATE pace SET free_at = 0", ())


def concurrency_of(applications: Mapped, name: str) -> int | None:
    """Return the concurrency limit of an application."""
    application = applications.get(name)
    return None if application is None else application.concurrency


def check_form(row: Row) -> None:
    """Check that a run is in exactly one of the four valid forms."""
    columns = ("due", "published", "blocked", "worker", "cancelling", "finished")
    set_columns = {column for column in columns if getattr(row, column) is not None}
    if row.state in FINAL:
        assert set_columns == {"finished"}, row
    elif row.state == "running":
        assert set_columns - {"cancelling"} == {"worker"}, row
    else:
        assert row.state in WAITING, row
        assert set_columns in ({"due"}, {"due", "blocked"}, {"published"}), row
    assert row.blocked in {None, orm.LimitKind.RATE, orm.LimitKind.CONCURRENCY}, row


def check_attempts(row: Row, attempts: Sequence[AttemptRow]) -> None:
    """Check that each attempt has a row, and only the last one of a running run is unfinished."""
    assert [each.number for each in attempts] == list(range(1, row.attempt + 1)), row
    unfinished = [each.number for each in attempts if each.finished is None]
    assert unfinished == ([row.attempt] if row.state == "running" else []), row
    if row.state == "running":
        assert attempts[-1].worker == row.worker, row


def taken(rows: Iterable[Row]) -> Counter[tuple[str, str]]:
    """Count the runs in each slot."""
    return Counter(row.place for row in rows if row.takes_place)


def check_blocked(rows: Iterable[Row], applications: Mapped) -> None:
    """Check that a concurrency limit blocks runs only while its slots are taken."""
    rows, now = list(rows), time.time()
    occupied = taken(rows)
    for row in rows:
        concurrency = concurrency_of(applications, row.application)
        if row.blocked == orm.LimitKind.CONCURRENCY and concurrency is not None:
            coming = sum(
                each.place == row.place
                and each.due is not None
                and each.due <= now
                and each.blocked != row.blocked
                for each in rows
            )
            assert occupied[row.place] + coming >= concurrency, "blocked although a slot is free"


def record(
    how: str, database: orm.Database, claim: orm.Claim, applications: Mapped, piece: Piece
) -> tuple[str, bool]:
    """Record the end of an attempt.

    Returns:
        the state that follows, and True if the database accepted it.
    """
    now = time.time()
    if how == "failed":
        application = applications.get(claim.application)
        wait = None if application is None else application.retry.wait(claim.failures + 1, 1)
        how = "failed" if wait is None else "retrying"
    outcome = orm.Outcome(error="attempt failed")
    if how == "succeeded":
        outcome = orm.Outcome(exit_code=0, result="1")
    if how in FINAL:
        state = orm.State(how)
        return how, orm.finish(database, claim, state, outcome, [piece]) is not None
    state = orm.State.RETRYING if how == "retrying" else orm.State.QUEUED
    due = now if how == "released" else now + LATER
    left = orm.postpone(database, claim, state, outcome, [piece], due=due)
    return state.value, left is not None


ENDS = ("failed", "released", "succeeded", "cancelled", "put off")


def settle(
    database: orm.Database,
    applications: Mapped,
    crash: Callable[[orm.LiveAttempt], object],
    publish: Callable[[], list[orm.WakeUp]],
    finish: Callable[[str, str], object],
) -> None:
    """Lose all wake-ups and workers, then finish every run with one healthy worker.

    Args:
        database: the database to settle.
        applications: the configuration.
        crash: record the crash of a lost worker's attempt.
        publish: publish the runs that are due.
        finish: execute a published run as the given worker.
    """
    for peer in orm.peers(database):
        assert orm.revoke(database, peer)
    for worker in orm.lost_workers(database):
        for held in orm.attempts_of(database, worker):
            crash(held)
    assert orm.lost_workers(database) == []
    recover_wakeups(database, lambda _: 0, 0)
    orm.reconsider(database, applications)
    worker = orm.new_uuid()
    orm.register(database, worker, registration(HOST, "lock"))
    remaining = _unfinished(database)
    while remaining:
        pass_time(database)
        for wakeup in publish():
            finish(wakeup.run, worker)
        before, remaining = remaining, _unfinished(database)
        assert remaining < before, "no run finished in this round"
    orm.deregister(database, worker)


def _unfinished(database: orm.Database) -> int:
    return sum(row.state not in FINAL for row in read_runs(database).values())
