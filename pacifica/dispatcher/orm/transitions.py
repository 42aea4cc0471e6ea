"""User actions on runs: cancel, retry and replay, each a guarded UPDATE."""

from collections.abc import Collection, Mapping, Sequence

from pacifica.dispatcher import events
from pacifica.dispatcher.applications import Application
from pacifica.dispatcher.errors import ConflictError, NotConfiguredError, NotFoundError
from pacifica.dispatcher.events import Event
from pacifica.dispatcher.orm.accept import insert_runs, new_run
from pacifica.dispatcher.orm.database import Database
from pacifica.dispatcher.orm.finish import cancel_waiting
from pacifica.dispatcher.orm.limits import unblock_next
from pacifica.dispatcher.orm.schema import State

_ASK_TO_CANCEL = """UPDATE run SET cancelling = ? WHERE uuid = ? AND state = 'running'"""
_RETRY = """UPDATE run SET state = 'queued', due = ?, finished = NULL, result = NULL, error = NULL,
    failures = 0, crashes = 0, losses = 0, interrupted = NULL, queue = ?, priority = ?, slot = ?
    WHERE uuid = ? AND state IN ('failed', 'cancelled') AND superseded = 0"""
_SENT = "SELECT sent FROM event JOIN run ON run.event = event.uuid WHERE run.uuid = ?"
_STATE = "SELECT state, application, slot, superseded FROM run WHERE uuid = ?"
_RUNS = "SELECT uuid, application, state FROM run WHERE event = ? AND superseded = 0"
_SUPERSEDE = "UPDATE run SET superseded = 1 WHERE event = ? AND application = ?"
_MATCHED = "UPDATE event SET unmatched = 0 WHERE uuid = ?"
_FINAL = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED})


def ask_to_cancel(database: Database, run: str) -> State:
    """Cancel a waiting run, or ask the worker of a running one to end it.

    Returns:
        the run's new state: cancelled, or still running.

    Raises:
        NotFoundError: the run does not exist.
        ConflictError: it has ended.
    """
    while True:
        with database.transaction():
            if database.execute(_ASK_TO_CANCEL, (database.now(), run)):
                return State.RUNNING
        # Another transaction, because the end of an attempt locks its run before the gate.
        with database.transaction():
            database.lock_gate()
            state, application, slot, _ = _state(database, run)
            if cancel_waiting(database, run):
                unblock_next(database, application, slot)
                return State.CANCELLED
        if State(state) in _FINAL:
            raise ConflictError(f"The run has already ended: it is {state}")


def retry(database: Database, run: str, applications: Mapping[str, Application]) -> None:
    """Queue a failed or cancelled run again, with all its retries left.

    Raises:
        NotFoundError: the run does not exist.
        ConflictError: it is in another state or superseded, or its application was removed.
    """
    with database.transaction():
        database.lock_gate()
        state, name, _, superseded = _state(database, run)
        application = applications.get(name)
        if application is None:
            raise NotConfiguredError(f"Application {name} is no longer configured")
        event = events.parse_event(database.fetch(_SENT, (run,)).fetchone()[0])
        today = (application.queue, application.priority, application.slot(event))
        row = (database.now(), *today, run)
        if not database.execute(_RETRY, row):
            if superseded:
                raise ConflictError("The run was superseded by a replay of its event")
            raise ConflictError(f"Only a failed or cancelled run can be retried: it is {state}")


def replay(
    database: Database,
    uuid: str,
    event: Event,
    applications: Sequence[Application],
    only: Collection[str] | None = None,
) -> list[str]:
    """Run an event again: create runs that replace its previous ones.

    Args:
        database: the database.
        uuid: the event's uuid.
        event: the event.
        applications: the applications that it matches with the current rules.
        only: the names of the applications whose runs are replaced and created; None for all.

    Returns:
        the uuids of the new runs.

    Raises:
        ConflictError: some of these runs have not ended, or it matches none of the applications.
    """
    wanted = [each for each in applications if only is None or each.name in only]
    if not wanted:
        raise ConflictError("No application matches this event")
    with database.transaction():
        database.lock_gate()
        runs = database.fetch(_RUNS, (uuid,)).fetchall()
        previous = [each for each in runs if only is None or each[1] in only]
        if any(State(state) not in _FINAL for _, _, state in previous):
            raise ConflictError("Some runs of the event have not ended; cancel them first")
        origins = {application: run for run, application, _ in previous}
        rows = [
            new_run(uuid, event, each, database.now(), origins.get(each.name)) for each in wanted
        ]
        for application in origins:
            database.execute(_SUPERSEDE, (uuid, application))
        if not runs:
            database.execute(_MATCHED, (uuid,))
        insert_runs(database, rows)
    return [str(row[0]) for row in rows]


def _state(database: Database, run: str) -> tuple[str, str, str, int]:
    found = database.fetch(_STATE, (run,)).fetchone()
    if found is None:
        raise NotFoundError(f"Run {run} does not exist")
    return tuple(found)
