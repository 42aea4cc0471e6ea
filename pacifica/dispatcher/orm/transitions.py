"""The arrows between the states of a run: one function each, one guarded UPDATE each.

Each says whether it happened. A write of an attempt is guarded by the run, the attempt's number and
the state `running`, so that nobody can record anything for an attempt that is no longer theirs.
What can be found out again after a power cut (what was published, printed so far) does not wait for
the disk; the end of an attempt does, and a claim where the database can die alone. Where the end of
an attempt frees a place for another run of its application, both are one transaction, which is
alone (see `orm.publish`).
"""

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pacifica.dispatcher import events
from pacifica.dispatcher.applications import Application
from pacifica.dispatcher.errors import ConflictError, NotFoundError
from pacifica.dispatcher.events import Event
from pacifica.dispatcher.lines import Progress
from pacifica.dispatcher.orm.accept import insert_runs, new_run
from pacifica.dispatcher.orm.database import Database
from pacifica.dispatcher.orm.publish import concurrency_limit, release_held_back
from pacifica.dispatcher.orm.tables import RunRow, State
from pacifica.dispatcher.orm.workers import Held
from pacifica.dispatcher.output import Piece

_CLAIM = """UPDATE run SET state = 'running', attempt = attempt + 1, published = NULL, worker = ?
    WHERE uuid = ? AND state IN ('queued', 'retrying') AND published IS NOT NULL"""
_CLAIMED = """SELECT run.attempt, run.application, run.slot, run.failures, event.uuid, event.sent
    FROM run JOIN event ON event.uuid = run.event WHERE run.uuid = ?"""
_PACE = """UPDATE pace SET free_at = ? + CASE WHEN free_at > ? THEN free_at ELSE ? END
    WHERE application = ?"""
_END = """UPDATE run SET state = ?, finished = ?, result = ?, error = ?, worker = NULL,
    cancelling = NULL, failures = failures + ?
    WHERE uuid = ? AND attempt = ? AND state = 'running'"""
_WAIT = """UPDATE run SET state = ?, due = ?, error = ?, worker = NULL, failures = failures + ?
    WHERE uuid = ? AND attempt = ? AND state = 'running'"""
_CRASH = """UPDATE run SET state = 'queued', due = ?, worker = NULL, crashes = crashes + 1
    WHERE uuid = ? AND attempt = ? AND state = 'running'"""
_CRASHED = "SELECT crashes, cancelling, slot FROM run WHERE uuid = ?"
_GIVE_UP = """UPDATE run SET state = ?, finished = ?, error = ?, due = NULL, cancelling = NULL
    WHERE uuid = ?"""
_CANCEL_WAITING = """UPDATE run SET state = 'cancelled', finished = ?, error = ?, due = NULL,
    blocked = NULL, published = NULL WHERE uuid = ? AND state IN ('queued', 'retrying')"""
_CANCEL_ASKED = """UPDATE run SET state = 'cancelled', finished = ?, error = ?, due = NULL,
    cancelling = NULL WHERE uuid = ? AND cancelling IS NOT NULL"""
_ASK_TO_CANCEL = """UPDATE run SET cancelling = ? WHERE uuid = ? AND state = 'running'"""
_RETRY = """UPDATE run SET state = 'queued', due = ?, finished = NULL, result = NULL, error = NULL,
    failures = 0, crashes = 0, queue = ?, priority = ?, slot = ?
    WHERE uuid = ? AND state IN ('failed', 'cancelled') AND superseded = 0"""
_SENT = "SELECT sent FROM event JOIN run ON run.event = event.uuid WHERE run.uuid = ?"
_STATE = "SELECT state, application, slot, superseded FROM run WHERE uuid = ?"
_RUNS = "SELECT uuid, application, state FROM run WHERE event = ? AND superseded = 0"
_SUPERSEDE = "UPDATE run SET superseded = 1 WHERE event = ?"
_MATCHED = "UPDATE event SET unmatched = 0 WHERE uuid = ?"
_NOTE = """UPDATE attempt SET command = ?, progress = ?, progress_text = ?, last_line = ?
    WHERE run = ? AND number = ?"""
_END_ATTEMPT = """UPDATE attempt SET finished = ?, exit_code = ?, signal_name = ?, error = ?,
    command = ?, progress = ?, progress_text = ?, last_line = ? WHERE run = ? AND number = ?"""
_CRASH_ATTEMPT = "UPDATE attempt SET finished = ?, error = ? WHERE run = ? AND number = ?"
_ATTEMPT = ("run", "number", "host", "worker", "pid", "started")
_OUTPUT = ("run", "attempt", "stream", "position", "written", "data")
_DROP_OUTPUT = """DELETE FROM output
    WHERE run = ? AND attempt = ? AND stream = ? AND position = ?"""
_CANCELLED = "it was cancelled"


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to one attempt at a run.

    Attributes:
        run: the run's uuid.
        attempt: the attempt's number, from 1.
        application: the application's name.
        limited: whether it has a limit of how many of its runs go on at once.
        slot: the place of its application's that the run takes.
        failures: how many attempts at the run have failed.
        event: the event's uuid.
        sent: the event as it was sent.
    """

    run: str
    attempt: int
    application: str
    limited: bool
    slot: str
    failures: int
    event: str
    sent: str


@dataclass(frozen=True, slots=True)
class Notes:
    """What is known of an attempt beside its outcome, while it goes on and after.

    Attributes:
        command: the argument list that was executed.
        progress: what it said last of how far it is.
        last_line: what it wrote last on standard error, at most `lines.MAX_SHOWN` characters.
    """

    command: Sequence[str] | None = None
    progress: Progress | None = None
    last_line: str | None = None

    def row(self) -> tuple[object, ...]:
        """The values of their columns."""
        command = None if self.command is None else json.dumps(self.command)
        progress = self.progress
        told = (None, None) if progress is None else (progress.percent, progress.text)
        return (command, *told, self.last_line)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended.

    Attributes:
        exit_code: the process's exit code, None when a signal ended it or it never started.
        signal: the name of the signal that ended it.
        result: the application's result, a JSON text.
        error: what went wrong, one sentence for people; None when nothing did.
        notes: what else there is to say.
    """

    exit_code: int | None = None
    signal: str | None = None
    result: str | None = None
    error: str | None = None
    notes: Notes = Notes()


@dataclass(frozen=True, slots=True)
class Claimant:
    """Who claims: a process of a worker.

    Attributes:
        worker: the worker's uuid.
        host: its machine's name.
        pid: the process's number.
        applications: all that are configured, for their limits.
    """

    worker: str
    host: str
    pid: int
    applications: Mapping[str, Application]


def claim(database: Database, run: str, claimant: Claimant) -> Claim | None:
    """Waiting, with a wake-up → running. None when the run is not to be had."""
    now = time.time()
    with database.transaction(durable=database.is_server):  # or it could forget what runs
        if not database.execute(_CLAIM, (claimant.worker, run)):
            return None
        attempt, name, *rest = database.fetch(_CLAIMED, (run,)).fetchone()
        begun = (run, attempt, claimant.host, claimant.worker, claimant.pid, now)
        database.insert("attempt", _ATTEMPT, [begun])
        application = claimant.applications.get(name)
        if application is not None and application.rate is not None:
            _keep_pace(database, name, application.rate.interval, now)
    limited = application is not None and application.concurrency is not None
    return Claim(run, attempt, name, limited, *rest)


def _keep_pace(database: Database, application: str, interval: float, now: float) -> None:
    if not database.execute(_PACE, (interval, now, now, application)):
        first = [(application, now + interval)]
        if not database.insert("pace", ("application", "free_at"), first, skip_repeats=True):
            database.execute(_PACE, (interval, now, now, application))


def succeed(database: Database, claim: Claim, outcome: Outcome, output: Iterable[Piece]) -> bool:
    """Running → succeeded; `output` is what is still to be kept of what the attempt wrote."""
    return _end(database, claim, State.SUCCEEDED, outcome, output)


def fail(database: Database, claim: Claim, outcome: Outcome, output: Iterable[Piece]) -> bool:
    """Running → failed."""
    return _end(database, claim, State.FAILED, outcome, output)


def cancel(database: Database, claim: Claim, outcome: Outcome, output: Iterable[Piece]) -> bool:
    """Running → cancelled."""
    return _end(database, claim, State.CANCELLED, outcome, output)


def retry_later(
    database: Database, claim: Claim, outcome: Outcome, output: Iterable[Piece], due: float
) -> bool:
    """Running → retrying: the attempt failed; another follows when it is due."""
    return _wait(database, claim, (State.RETRYING.value, due, outcome.error, 1), outcome, output)


def release(
    database: Database, claim: Claim, outcome: Outcome, output: Iterable[Piece], due: float
) -> bool:
    """Running → queued: the attempt was ended for no fault of the application; another follows."""
    return _wait(database, claim, (State.QUEUED.value, due, None, 0), outcome, output)


def crash(database: Database, held: Held, error: str, max_crashes: int) -> State | None:
    """Running → queued: the attempt's worker, or its process, died.

    Args:
        database: where.
        held: the attempt.
        error: what happened, for people.
        max_crashes: how many such deaths fail the run. One that was being cancelled is cancelled.

    Returns:
        the run's new state; None when it was no longer running that attempt.
    """
    now = time.time()
    with database.transaction():
        database.alone()
        if not database.execute(_CRASH, (now, held.run, held.attempt)):
            return None
        database.execute(_CRASH_ATTEMPT, (now, error, held.run, held.attempt))
        crashes, cancelling, slot = database.fetch(_CRASHED, (held.run,)).fetchone()
        release_held_back(database, concurrency_limit(held.application, slot), 1)
        if cancelling is not None:
            state, said = State.CANCELLED, _CANCELLED
        elif crashes >= max_crashes:
            state, said = State.FAILED, f"{error}, for the {crashes}. time (max_crashes)"
        else:
            return State.QUEUED
        database.execute(_GIVE_UP, (state.value, now, said, held.run))
        return state


def ask_to_cancel(database: Database, run: str) -> State:
    """Queued or retrying → cancelled; of a running one, its worker is told to end it.

    Returns:
        the run's state now: cancelled, or still running.

    Raises:
        NotFoundError: there is no such run.
        ConflictError: it has ended.
    """
    now = time.time()
    with database.transaction():
        database.alone()
        state, application, slot, _ = _state(database, run)
        if database.execute(_CANCEL_WAITING, (now, _CANCELLED, run)):
            release_held_back(database, concurrency_limit(application, slot), 1)
            return State.CANCELLED
        if database.execute(_ASK_TO_CANCEL, (now, run)):
            return State.RUNNING
    raise ConflictError(f"the run has ended: it is {state}")


def retry(database: Database, run: str, applications: Mapping[str, Application]) -> None:
    """Failed or cancelled → queued: the same run, with all its retries before it again.

    Raises:
        NotFoundError: there is no such run.
        ConflictError: it is in another state, was superseded, or its application is gone.
    """
    with database.transaction():
        database.alone()
        state, name, _, superseded = _state(database, run)
        application = applications.get(name)
        if application is None:
            raise ConflictError(f"its application {name} is not configured any more")
        event = events.parse(database.fetch(_SENT, (run,)).fetchone()[0])
        today = (application.queue, application.priority, application.slot(event))
        row = (time.time(), *today, run)
        if not database.execute(_RETRY, row):
            if superseded:
                raise ConflictError("a replay of its event has taken its place")
            raise ConflictError(f"only a failed or cancelled run can be retried: it is {state}")


def replay(
    database: Database, uuid: str, event: Event, applications: Sequence[Application]
) -> list[str]:
    """Run applications for an event again: new runs, which take the place of the former ones.

    Args:
        database: where.
        uuid: the event's.
        event: itself.
        applications: those that it matches today.

    Returns:
        the uuids of the new runs.

    Raises:
        ConflictError: some of its runs have not ended, or it matches nothing.
    """
    if not applications:
        raise ConflictError("no application matches this event")
    with database.transaction():
        database.alone()
        former = database.fetch(_RUNS, (uuid,)).fetchall()
        if any(State(state) not in _FINAL for _, _, state in former):
            raise ConflictError("some of its runs have not ended; cancel them first")
        origins = {application: run for run, application, _ in former}
        now = time.time()
        rows = [new_run(uuid, event, each, now, origins.get(each.name)) for each in applications]
        database.execute(_SUPERSEDE if former else _MATCHED, (uuid,))
        insert_runs(database, rows)
    return [str(row[0]) for row in rows]


_FINAL = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED})


def save_output(database: Database, claim: Claim, output: Iterable[Piece], notes: Notes) -> bool:
    """Keep pieces of output, and what else is known, while the attempt runs."""
    with database.transaction(durable=False):
        query = RunRow.select().where(
            RunRow.uuid == claim.run, RunRow.attempt == claim.attempt, RunRow.state == State.RUNNING
        )
        if not query.exists(database.peewee):
            return False
        _insert_output(database, claim, output)
        database.execute(_NOTE, (*notes.row(), claim.run, claim.attempt))
    return True


def _state(database: Database, run: str) -> tuple[str, str, str, int]:
    """How a run stands; until the transaction ends, nobody else changes it."""
    locked = f"{_STATE} FOR UPDATE" if database.is_server else _STATE
    found = database.fetch(locked, (run,)).fetchone()
    if found is None:
        raise NotFoundError(f"there is no run {run}")
    return tuple(found)


def _end(
    database: Database, claim: Claim, state: State, outcome: Outcome, output: Iterable[Piece]
) -> bool:
    now = time.time()
    failed = int(state is State.FAILED)
    ended = (state.value, now, outcome.result, outcome.error, failed, claim.run, claim.attempt)
    with database.transaction():
        return _leave(database, claim, (_END, ended), outcome, output, now=now)


def _wait(
    database: Database,
    claim: Claim,
    waits: tuple[object, ...],
    outcome: Outcome,
    output: Iterable[Piece],
) -> bool:
    now = time.time()
    change = (_WAIT, (*waits, claim.run, claim.attempt))
    with database.transaction():
        left = _leave(database, claim, change, outcome, output, now=now)
        if left:
            database.execute(_CANCEL_ASKED, (now, _CANCELLED, claim.run))
        return left


def _leave(  # noqa: PLR0913 - what changes, what is kept, and when
    database: Database,
    claim: Claim,
    change: tuple[str, Sequence[object]],
    outcome: Outcome,
    output: Iterable[Piece],
    *,
    now: float,
) -> bool:
    """Leave the state `running`, and let the next run of a limited application go."""
    if claim.limited:
        database.alone()
    if not database.execute(*change):
        return False
    ended = (now, outcome.exit_code, outcome.signal, outcome.error, *outcome.notes.row())
    database.execute(_END_ATTEMPT, (*ended, claim.run, claim.attempt))
    _insert_output(database, claim, output)
    if claim.limited:
        release_held_back(database, concurrency_limit(claim.application, claim.slot), 1)
    return True


def _insert_output(database: Database, claim: Claim, output: Iterable[Piece]) -> None:
    for piece in output:
        if piece.data:
            database.insert("output", _OUTPUT, [(claim.run, claim.attempt, *piece)])
        else:
            database.execute(_DROP_OUTPUT, (claim.run, claim.attempt, *piece[:2]))
