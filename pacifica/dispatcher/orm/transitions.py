"""The arrows between the states of a run: one function each, one guarded UPDATE each.

Each says whether it happened. A write of an attempt is guarded by the run, the attempt's number and
the state `running`, so that nobody can record anything for an attempt that is no longer theirs.
What can be found out again after a power cut (what was published, claimed, printed so far) does not
wait for the disk; the end of an attempt does.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from peewee import SqliteDatabase

from pacifica.dispatcher.orm.database import Database
from pacifica.dispatcher.orm.tables import RunRow, State
from pacifica.dispatcher.output import Piece

_ON_THEIR_WAY = "SELECT COUNT(*) FROM run WHERE published > ?"
_ANY_DUE = "SELECT EXISTS (SELECT 1 FROM run WHERE due <= ?)"
_OLD_WAKEUP = "SELECT EXISTS (SELECT 1 FROM run WHERE published <= ?)"
_CLAIM = """UPDATE run SET state = ?, attempt = attempt + 1, published = NULL
    WHERE uuid = ? AND state IN ('queued', 'retrying') AND published IS NOT NULL"""
_CLAIMED = """SELECT run.attempt, run.application, event.uuid, event.sent
    FROM run JOIN event ON event.uuid = run.event WHERE run.uuid = ?"""
_END = """UPDATE run SET state = ?, finished = ?, result = ?, error = ?
    WHERE uuid = ? AND attempt = ? AND state = 'running'"""
_RELEASE = """UPDATE run SET state = 'queued', due = ?
    WHERE uuid = ? AND attempt = ? AND state = 'running'"""
_END_ATTEMPT = """UPDATE attempt SET finished = ?, exit_code = ?, signal_name = ?, error = ?
    WHERE run = ? AND number = ?"""
_ATTEMPT = ("run", "number", "host", "started")
_OUTPUT = ("run", "attempt", "stream", "position", "written", "data")


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to one attempt at a run.

    Attributes:
        run: the run's uuid.
        attempt: the attempt's number, from 1.
        application: the application's name.
        event: the event's uuid.
        sent: the event as it was sent.
    """

    run: str
    attempt: int
    application: str
    event: str
    sent: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended.

    Attributes:
        exit_code: the process's exit code, None when a signal ended it or it never started.
        signal: the name of the signal that ended it.
        result: the application's result, a JSON text.
        error: what went wrong, one sentence for people; None when nothing did.
    """

    exit_code: int | None = None
    signal: str | None = None
    result: str | None = None
    error: str | None = None


def publish(database: Database, window: int) -> tuple[list[str], bool]:
    """Waiting and due → waiting, with a wake-up on its way.

    Args:
        database: where.
        window: how many wake-ups may be on their way at the same time.

    Returns:
        the uuids of the runs that the caller must now send wake-ups for, and whether more are due.
    """
    now = time.time()
    with database.reading():
        if not database.fetch(_ANY_DUE, (now,)).fetchone()[0]:
            return [], False
        if _room(database, window) <= 0:
            return [], True
    with database.transaction(durable=False):
        room = max(0, _room(database, window))
        query = RunRow.select(RunRow.uuid).where(RunRow.due <= now)
        query = query.order_by(RunRow.due, RunRow.uuid).limit(room)
        if not isinstance(database.peewee, SqliteDatabase):
            query = query.for_update("FOR UPDATE SKIP LOCKED")  # type: ignore[arg-type] # peewee takes it
        due = [uuid for (uuid,) in query.tuples().execute(database.peewee)]
        if due:
            change = RunRow.update(due=None, published=now).where(RunRow.uuid.in_(due))
            change.execute(database.peewee)
    return due, len(due) == room


def _room(database: Database, window: int) -> int:
    return window - int(database.fetch(_ON_THEIR_WAY, (0,)).fetchone()[0])


def oldest_wakeup_before(database: Database, before: float) -> bool:
    """Whether a wake-up is on its way that was published before a time."""
    with database.reading():
        return bool(database.fetch(_OLD_WAKEUP, (before,)).fetchone()[0])


def unpublish(database: Database, runs: Sequence[str]) -> int:
    """Waiting, with a wake-up that could not be sent → waiting and due. Gives their number."""
    with database.transaction(durable=False):
        query = RunRow.update(due=RunRow.queued, published=None)
        changed = query.where(RunRow.uuid.in_(runs), RunRow.published.is_null(False))
        return int(changed.execute(database.peewee))


def republish_lost(database: Database, before: float) -> int:
    """Waiting, with a wake-up that was lost → waiting and due.

    Args:
        database: where.
        before: the time before which a wake-up must have been published to be called lost.

    Returns:
        how many there were.
    """
    with database.transaction(durable=False):
        query = RunRow.update(due=RunRow.queued, published=None)
        return int(query.where(RunRow.published <= before).execute(database.peewee))


def claim(database: Database, run: str, host: str) -> Claim | None:
    """Waiting, with a wake-up → running. None when the run is not to be had."""
    now = time.time()
    with database.transaction(durable=False):
        if not database.execute(_CLAIM, (State.RUNNING.value, run)):
            return None
        attempt, application, event, sent = database.fetch(_CLAIMED, (run,)).fetchone()
        database.insert("attempt", _ATTEMPT, [(run, attempt, host, now)])
    return Claim(run, attempt, application, event, sent)


def succeed(database: Database, claim: Claim, outcome: Outcome, output: Iterable[Piece]) -> bool:
    """Running → succeeded."""
    return _end(database, claim, State.SUCCEEDED, outcome, output)


def fail(database: Database, claim: Claim, outcome: Outcome, output: Iterable[Piece]) -> bool:
    """Running → failed."""
    return _end(database, claim, State.FAILED, outcome, output)


def release(database: Database, claim: Claim, outcome: Outcome, output: Iterable[Piece]) -> bool:
    """Running → queued: the attempt was ended for no fault of the application; another follows."""
    now = time.time()
    with database.transaction():
        if not database.execute(_RELEASE, (now, claim.run, claim.attempt)):
            return False
        _end_attempt(database, claim, now, outcome, output)
    return True


def save_output(database: Database, claim: Claim, output: Iterable[Piece]) -> bool:
    """Keep pieces of output while the attempt runs."""
    with database.transaction(durable=False):
        query = RunRow.select().where(
            RunRow.uuid == claim.run, RunRow.attempt == claim.attempt, RunRow.state == State.RUNNING
        )
        if not query.exists(database.peewee):
            return False
        _insert_output(database, claim, output)
    return True


def _end(
    database: Database, claim: Claim, state: State, outcome: Outcome, output: Iterable[Piece]
) -> bool:
    now = time.time()
    with database.transaction():
        ended = (state.value, now, outcome.result, outcome.error, claim.run, claim.attempt)
        if not database.execute(_END, ended):
            return False
        _end_attempt(database, claim, now, outcome, output)
    return True


def _end_attempt(
    database: Database, claim: Claim, now: float, outcome: Outcome, output: Iterable[Piece]
) -> None:
    ended = (now, outcome.exit_code, outcome.signal, outcome.error, claim.run, claim.attempt)
    database.execute(_END_ATTEMPT, ended)
    _insert_output(database, claim, output)


def _insert_output(database: Database, claim: Claim, output: Iterable[Piece]) -> None:
    for piece in output:
        database.insert("output", _OUTPUT, [(claim.run, claim.attempt, *piece)])
