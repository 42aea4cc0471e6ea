"""Claims: the right to one attempt at a run, and the data saved while the attempt runs."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from pacifica.dispatcher.applications import Application
from pacifica.dispatcher.errors import NotConfiguredError
from pacifica.dispatcher.execution.capture import Piece
from pacifica.dispatcher.execution.outcome import Outcome
from pacifica.dispatcher.orm.database import Database
from pacifica.dispatcher.orm.schema import RunRow, State

_CLAIM = """UPDATE run SET state = 'running', attempt = attempt + 1, published = NULL, worker = ?
    WHERE uuid = ? AND state IN ('queued', 'retrying') AND published IS NOT NULL"""
_CLAIMED = """SELECT run.attempt, run.application, run.slot, run.failures, event.uuid, event.sent
    FROM run JOIN event ON event.uuid = run.event WHERE run.uuid = ?"""
_PACE = """UPDATE pace SET free_at = ? + CASE WHEN free_at > ? THEN free_at ELSE ? END
    WHERE application = ?"""
_ATTEMPT = ("run", "number", "host", "worker", "handle", "started")
_NOTE = """UPDATE attempt SET command = ?, progress = ?, progress_text = ?, last_line = ?
    WHERE run = ? AND number = ?"""
_OUTPUT = ("run", "attempt", "stream", "position", "written", "data")
_DROP_OUTPUT = """DELETE FROM output
    WHERE run = ? AND attempt = ? AND stream = ? AND position = ?"""


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to one attempt at a run.

    Attributes:
        run: the run's uuid.
        attempt: the attempt's number, from 1.
        application: the application's name.
        limited: True if the application has a concurrency limit.
        slot: the slot of its application that the run occupies.
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
class Claimant:
    """A process of a worker that claims runs.

    Attributes:
        worker: the worker's uuid.
        host: its machine's name.
        handle: returns the handle of an attempt, given the run's uuid and the attempt's number.
        applications: all configured applications; it claims runs of no others.
    """

    worker: str
    host: str
    handle: Callable[[str, int], str]
    applications: Mapping[str, Application]


def claim(database: Database, run: str, claimant: Claimant) -> Claim | None:
    """Move a waiting run with a wake-up to running; return None if it is not available.

    Raises:
        NotConfiguredError: the claimant does not know the run's application; nothing changed.
    """
    now = database.now()
    with database.transaction(durable=database.is_server):  # or it may be forgotten
        if not database.execute(_CLAIM, (claimant.worker, run)):
            return None
        attempt, name, *rest = database.fetch(_CLAIMED, (run,)).fetchone()
        application = claimant.applications.get(name)
        if application is None:
            raise NotConfiguredError(f"Application {name} is not configured on {claimant.host}")
        handle = claimant.handle(run, attempt)
        begun = (run, attempt, claimant.host, claimant.worker, handle, now)
        database.insert("attempt", _ATTEMPT, [begun])
        if application.rate is not None:
            _keep_pace(database, name, application.rate.interval, now)
    return Claim(run, attempt, name, application.concurrency is not None, *rest)


def exists(database: Database, run: str) -> bool:
    """Return True if the database has a run with this uuid."""
    with database.reading():
        return database.fetch("SELECT 1 FROM run WHERE uuid = ?", (run,)).fetchone() is not None


def save_output(
    database: Database, claim: Claim, output: Iterable[Piece], outcome: Outcome
) -> bool:
    """Save the output, command and progress of a running attempt; return False if it has ended."""
    with database.transaction(durable=False):
        query = RunRow.select().where(
            RunRow.uuid == claim.run, RunRow.attempt == claim.attempt, RunRow.state == State.RUNNING
        )
        if not query.exists(database.peewee):
            return False
        insert_output(database, claim, output)
        database.execute(_NOTE, (*notes_row(outcome), claim.run, claim.attempt))
    return True


def insert_output(database: Database, claim: Claim, output: Iterable[Piece]) -> None:
    """Insert pieces of output inside a transaction, and delete those that are empty now.

    Their times are by this host's clock, and are converted to the database's.
    """
    offset = database.clock.convert(0.0)
    for piece in output:
        if piece.data:
            stamped = piece._replace(written=piece.written + offset)
            database.insert("output", _OUTPUT, [(claim.run, claim.attempt, *stamped)])
        else:
            database.execute(_DROP_OUTPUT, (claim.run, claim.attempt, *piece[:2]))


def notes_row(outcome: Outcome) -> tuple[object, ...]:
    """Return the values of `command`, `progress`, `progress_text` and `last_line`."""
    command = None if outcome.command is None else json.dumps(outcome.command)
    progress = outcome.progress
    reported = (None, None) if progress is None else (progress.percent, progress.text)
    return (command, *reported, outcome.last_line)


def _keep_pace(database: Database, application: str, interval: float, now: float) -> None:
    if not database.execute(_PACE, (interval, now, now, application)):
        first = [(application, now + interval)]
        if not database.insert("pace", ("application", "free_at"), first, skip_repeats=True):
            database.execute(_PACE, (interval, now, now, application))
