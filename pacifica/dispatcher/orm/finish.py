"""The end of an attempt and the end of a run.

`end_run` writes every final state and posts a notice to the outbox in the same transaction.
`_postpone_run` is the only other transition from `running`. Both are guarded by the run's state
and, for an attempt, by its number, so a worker that lost the run cannot record anything. If the end
of an attempt lets another run of its application start, both change in one transaction, which then
locks the gate (see `orm.publish`).

An attempt that is interrupted has crashed if its application can be the cause, and is lost
otherwise. Only crashes fail a run. Both counts start again after an hour without an interruption.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from pacifica.dispatcher.execution.capture import Piece
from pacifica.dispatcher.execution.ended import Cause
from pacifica.dispatcher.execution.outcome import Outcome
from pacifica.dispatcher.orm.claims import Claim, insert_output, notes_row
from pacifica.dispatcher.orm.database import Database
from pacifica.dispatcher.orm.leases import LiveAttempt
from pacifica.dispatcher.orm.limits import unblock_next
from pacifica.dispatcher.orm.outbox import post
from pacifica.dispatcher.orm.schema import State

_END = """UPDATE run SET state = ?, finished = ?, result = ?, error = ?, worker = NULL, due = NULL,
    published = NULL, blocked = NULL, cancelling = NULL, failures = failures + ?
    WHERE uuid = ? AND """
_END_WAITING = _END + "state IN ('queued', 'retrying')"
_END_RUNNING = _END + "state = 'running' AND attempt = ?"
_POSTPONE = """UPDATE run SET state = ?, due = ?, error = ?, worker = NULL, failures = failures + ?
    WHERE uuid = ? AND state = 'running' AND attempt = ? AND cancelling IS NULL"""
_CLOSE_ATTEMPT = """UPDATE attempt SET finished = ?, exit_code = ?, signal_name = ?, error = ?,
    command = ?, progress = ?, progress_text = ?, last_line = ? WHERE run = ? AND number = ?"""
_INTERRUPT_ATTEMPT = "UPDATE attempt SET finished = ?, error = ? WHERE run = ? AND number = ?"
_INTERRUPTED = """SELECT crashes, losses, interrupted, cancelling, slot FROM run
    WHERE uuid = ? AND state = 'running' AND attempt = ?"""
_COUNT = "UPDATE run SET crashes = ?, losses = ?, interrupted = ? WHERE uuid = ?"
_CANCELLED = "cancelled"

_PEACE: Final = 3600.0  # seconds without an interruption after which earlier ones are forgotten
_FREE_LOSSES: Final = (
    3  # that delay nothing; a run that takes its worker down must not starve others
)
_LOSS_DELAYS: Final = (60.0, 120.0, 240.0, 480.0, 900.0)  # seconds after each further one


@dataclass(frozen=True, slots=True)
class Transition:
    """A transition of a run to another state.

    Attributes:
        run: the run's uuid.
        attempt: the number of the attempt that ends; None if the run is waiting.
        now: the time.
        failures: the number to add to its failures.
    """

    run: str
    attempt: int | None
    now: float
    failures: int = 0


@dataclass(frozen=True, slots=True)
class _Interruptions:
    """A running run's interruptions, up to now."""

    crashes: int
    losses: int
    cancelling: float | None
    slot: str

    @property
    def delay(self) -> float:
        """Seconds until the run may start again."""
        further = self.losses - _FREE_LOSSES
        return _LOSS_DELAYS[min(further, len(_LOSS_DELAYS)) - 1] if further > 0 else 0.0


def finish(
    database: Database, claim: Claim, state: State, outcome: Outcome, output: Iterable[Piece]
) -> State | None:
    """Move a running run to a final state.

    Args:
        database: the database.
        claim: the right to the attempt that ends the run.
        state: succeeded, failed or cancelled.
        outcome: how the attempt ended.
        output: the output of the attempt that is not stored yet.

    Returns:
        the run's new state; None if the claim was lost and nothing changed.
    """
    change = Transition(
        claim.run, claim.attempt, database.now(), failures=int(state is State.FAILED)
    )
    with database.transaction():
        if not end_run(database, change, state, outcome.error, outcome.result):
            return None
        _close_attempt(database, claim, outcome, output, change.now)
    return state


def postpone(  # noqa: PLR0913 - as `finish`, and a time
    database: Database,
    claim: Claim,
    state: State,
    outcome: Outcome,
    output: Iterable[Piece],
    *,
    due: float,
) -> State | None:
    """Move a running run back to waiting, or to cancelled if a cancel was requested.

    It counts as a loss if the worker's main process has died.

    Args:
        database: the database.
        claim: the right to the attempt that has ended.
        state: retrying after a failure of the application, otherwise queued.
        outcome: how the attempt ended.
        output: the output of the attempt that is not stored yet.
        due: when the next attempt may start.

    Returns:
        the run's new state; None if the claim was lost and nothing changed.
    """
    retrying = state is State.RETRYING
    change = Transition(claim.run, claim.attempt, database.now(), failures=int(retrying))
    error = outcome.error if retrying else None
    with database.transaction():
        lost = _loss(database, change) if outcome.cause is Cause.ORPHANED else None
        new_state = _postpone_run(database, change, state, error, due + (lost.delay if lost else 0))
        if new_state is not None:
            if lost is not None:
                _count(database, change, lost)
            _close_attempt(database, claim, outcome, output, change.now)
    return new_state


def crash(database: Database, attempt: LiveAttempt, error: str, max_crashes: int) -> State | None:
    """Record that an attempt died with its worker's process, which its application may have killed.

    Args:
        database: the database.
        attempt: the attempt that died.
        error: what happened, to show to users.
        max_crashes: the number of crashes that fails the run; until then it is queued again. 0 if
            no other attempt may follow because of the error.

    Returns:
        the run's new state; None if the attempt had ended and nothing changed.
    """
    change = Transition(attempt.run, attempt.attempt, database.now())
    with database.transaction():
        before = _interruptions(database, change)
        if before is None:
            return None
        counted = replace(before, crashes=before.crashes + 1)
        if counted.crashes < max_crashes or counted.cancelling is not None:
            state = _postpone_run(database, change, State.QUEUED, None, change.now)
        else:
            reason = _crashed(counted.crashes, max_crashes) if max_crashes else error
            state = State.FAILED if end_run(database, change, State.FAILED, reason) else None
        if state is not None:
            _close_interrupted(database, attempt, change, counted, error)
    return state


def lose(database: Database, attempt: LiveAttempt, error: str) -> State | None:
    """Record that an attempt was lost through no fault of its application; queue its run again.

    Args:
        database: the database.
        attempt: the attempt that was lost.
        error: what happened, to show to users.

    Returns:
        the run's new state; None if the attempt had ended and nothing changed.
    """
    change = Transition(attempt.run, attempt.attempt, database.now())
    with database.transaction():
        counted = _loss(database, change)
        if counted is None:
            return None
        due = change.now + counted.delay
        state = _postpone_run(database, change, State.QUEUED, None, due)
        if state is not None:
            _close_interrupted(database, attempt, change, counted, error)
    return state


def cancel_waiting(database: Database, run: str) -> bool:
    """Move a waiting run to cancelled, inside a transaction; return False if it is not waiting."""
    return end_run(database, Transition(run, None, database.now()), State.CANCELLED, _CANCELLED)


def end_run(
    database: Database,
    change: Transition,
    state: State,
    error: str | None,
    result: str | None = None,
) -> bool:
    """Write a final state and its notice, inside a transaction; return False if nothing changed."""
    guard = (_END_WAITING, ()) if change.attempt is None else (_END_RUNNING, (change.attempt,))
    sql, attempt = guard
    row = (state.value, change.now, result, error, change.failures, change.run)
    if not database.execute(sql, (*row, *attempt)):
        return False
    post(database, change.run)
    return True


def _postpone_run(
    database: Database, change: Transition, state: State, error: str | None, due: float
) -> State | None:
    row = (state.value, due, error, change.failures, change.run, change.attempt)
    if database.execute(_POSTPONE, row):
        return state
    return State.CANCELLED if end_run(database, change, State.CANCELLED, _CANCELLED) else None


def _interruptions(database: Database, change: Transition) -> _Interruptions | None:
    found = database.fetch(_INTERRUPTED, (change.run, change.attempt)).fetchone()
    if found is None:
        return None
    crashes, losses, last, *rest = found
    if last is None or abs(change.now - last) >= _PEACE:
        crashes = losses = 0
    return _Interruptions(crashes, losses, *rest)


def _loss(database: Database, change: Transition) -> _Interruptions | None:
    before = _interruptions(database, change)
    return None if before is None else replace(before, losses=before.losses + 1)


def _count(database: Database, change: Transition, counted: _Interruptions) -> None:
    database.execute(_COUNT, (counted.crashes, counted.losses, change.now, change.run))


def _close_interrupted(
    database: Database,
    attempt: LiveAttempt,
    change: Transition,
    counted: _Interruptions,
    error: str,
) -> None:
    _count(database, change, counted)
    database.execute(_INTERRUPT_ATTEMPT, (change.now, error, change.run, change.attempt))
    database.lock_gate()
    unblock_next(database, attempt.application, counted.slot)


def _close_attempt(
    database: Database, claim: Claim, outcome: Outcome, output: Iterable[Piece], now: float
) -> None:
    ended = (now, outcome.exit_code, outcome.signal, outcome.error, *notes_row(outcome))
    database.execute(_CLOSE_ATTEMPT, (*ended, claim.run, claim.attempt))
    insert_output(database, claim, output)
    if claim.limited:  # the gate last: nobody waits for a row while others wait for it
        database.lock_gate()
        unblock_next(database, claim.application, claim.slot)


def _crashed(crashes: int, max_crashes: int) -> str:
    times = "time" if crashes == 1 else "times"
    return f"crashed {crashes} {times} (max_crashes = {max_crashes})"
