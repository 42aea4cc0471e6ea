"""The recorder of an outcome: writes it as soon as, and in as much detail as, the database allows.

An outcome waits for a database that is unavailable. One that the database refuses, although it
accepts other writes, is stored in a reduced form that says so. If even that is refused, the attempt
is given back: its run is queued again.
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from pacifica.dispatcher import orm
from pacifica.dispatcher.errors import DatabaseBusyError, DatabaseUnavailableError
from pacifica.dispatcher.execution.capture import Piece
from pacifica.dispatcher.execution.outcome import Outcome, Verdict
from pacifica.dispatcher.telemetry import ERROR, WARNING, emit
from pacifica.dispatcher.worker.lease import Lease
from pacifica.dispatcher.worker.troubles import Trouble, Troubles

_PAUSE: Final = 0.5  # seconds until the next try
_TRIES: Final = 5  # that the database must refuse until the next form is tried
_TRIES_REDUCED: Final = 2
_FULL: Final = re.compile(r"\bfull\b|no space left", re.IGNORECASE)
_MAX_ERROR: Final = 1000  # characters of an error, and of a reason, in a reduced form
_MAX_INTEGER: Final = 2**31 - 1

_NO_OUTPUT: Final = "the database refused the output that was not saved yet"
_BARE: Final = "the database refused the outcome, so its output, result and command are missing"
_GIVEN_BACK: Final = "the database refused the outcome; the run is queued again"


class _RefusedError(Exception):
    """The database refuses a form of the outcome; the message is its reason."""


class _LostError(Exception):
    """The lease was lost, or the attempt belongs to somebody else."""


@dataclass(frozen=True, slots=True)
class Recorder:
    """The recorder of one attempt's outcome.

    Attributes:
        database: the database.
        lease: this worker's lease.
        worker: the uuid of the lease under which the attempt was claimed.
        claim: the right to the attempt.
        troubles: the troubles that this worker has warned of.
    """

    database: orm.Database
    lease: Lease
    worker: str
    claim: orm.Claim
    troubles: Troubles

    def record(
        self, verdict: Verdict, outcome: Outcome, output: list[Piece], due: float
    ) -> orm.State | None:
        """Record the verdict on an attempt, while the lease is held.

        Args:
            verdict: the verdict.
            outcome: the outcome of the attempt.
            output: its output that is not saved yet.
            due: the earliest start of the next attempt, if one follows.

        Returns:
            the run's new state; None if nothing was recorded.
        """
        store = partial(record, self.database, self.claim, verdict, due=due)
        outcome = replace(outcome, error=_storable(outcome.error))
        try:
            return self._in_some_form(store, outcome, output)
        except _LostError:
            emit("outcome.refused", WARNING)
        except _RefusedError as exc:
            emit("outcome.lost", ERROR, reason=str(exc))
        return None

    def _in_some_form(
        self, store: Callable[..., orm.State | None], outcome: Outcome, output: list[Piece]
    ) -> orm.State:
        try:
            return self._write(partial(store, outcome=outcome, output=output), _TRIES)
        except _RefusedError as exc:
            reason = str(exc)
        shown = reason.replace(f" {self.database.name}", "")  # everybody who sees the run reads it
        for reduced in (_without_output(outcome, shown), _bare(outcome, shown)):
            try:
                state = self._write(partial(store, outcome=reduced, output=[]), _TRIES_REDUCED)
            except _RefusedError:
                continue
            emit("outcome.reduced", ERROR, reason=reason)
            return state
        state = self._write(self._give_back, _TRIES_REDUCED)
        emit("outcome.given_back", ERROR, reason=reason)
        return state

    def _give_back(self) -> orm.State | None:
        claim = self.claim
        held = orm.LiveAttempt(claim.run, claim.attempt, claim.application, "", cancelling=False)
        return orm.lose(self.database, held, _GIVEN_BACK)

    def _write(self, write: Callable[[], orm.State | None], tries: int) -> orm.State:
        """Write one form, as soon as the database is available."""
        refusals = 0
        while self.lease.is_held(self.worker):
            try:
                state = write()
            except DatabaseUnavailableError as exc:
                self._wait(exc)
                refusals = refusals + 1 if self._is_refusal(exc) else 0
                reason = first_line(exc)
            except Exception as exc:  # noqa: BLE001 - whatever it is, the run must not stay `running`
                refusals += 1
                reason = first_line(exc)
            else:
                if state is None:
                    break
                return state
            if refusals >= tries:
                raise _RefusedError(reason)
            time.sleep(_PAUSE)
        raise _LostError

    def _is_refusal(self, exc: DatabaseUnavailableError) -> bool:
        # Not every driver tells a refused statement from a server that is unavailable. A lock is
        # released and a full disk emptied some time, although small writes succeed until then.
        passing = isinstance(exc, DatabaseBusyError) or _FULL.search(str(exc))
        return not passing and orm.is_writable(self.database, self.worker)

    def _wait(self, exc: DatabaseUnavailableError) -> None:
        if self.troubles.begins(Trouble.OUTCOME):
            emit("outcome.waiting", WARNING, reason=str(exc))


def record(  # noqa: PLR0913 - all parts of an outcome
    database: orm.Database,
    claim: orm.Claim,
    verdict: Verdict,
    outcome: Outcome,
    output: list[Piece],
    *,
    due: float,
) -> orm.State | None:
    """Record the verdict on an attempt.

    Args:
        database: the database.
        claim: the right to the attempt.
        verdict: the verdict.
        outcome: the outcome of the attempt.
        output: its output that is not saved yet.
        due: the earliest start of the next attempt, if one follows.

    Returns:
        the run's new state; None if the claim was lost, so that nothing changed.
    """
    finish = partial(orm.finish, database, claim, outcome=outcome, output=output)
    postpone = partial(orm.postpone, database, claim, outcome=outcome, output=output, due=due)
    match verdict:
        case Verdict.SUCCEEDED:
            return finish(orm.State.SUCCEEDED)
        case Verdict.FAILED:
            return finish(orm.State.FAILED)
        case Verdict.CANCELLED:
            return finish(orm.State.CANCELLED)
        case Verdict.RETRY:
            return postpone(orm.State.RETRYING)
        case Verdict.RELEASED:
            return postpone(orm.State.QUEUED)


def first_line(exc: Exception) -> str:
    """Return the kind of an error and the first line of its message; the others quote rows."""
    return f"{type(exc).__name__}: {exc}".partition("\n")[0]


def _without_output(outcome: Outcome, reason: str) -> Outcome:
    return replace(outcome, error=_explained(outcome.error, _NO_OUTPUT, reason))


def _bare(outcome: Outcome, reason: str) -> Outcome:
    code = outcome.exit_code
    return Outcome(
        outcome.cause,
        exit_code=None if code is None or abs(code) > _MAX_INTEGER else code,
        signal=outcome.signal,
        error=_explained(outcome.error, _BARE, reason),
    )


def _explained(error: str | None, sentence: str, reason: str) -> str:
    """Join an error, a sentence and its reason to a text that every database can store."""
    text = f"{sentence}: {reason[:_MAX_ERROR]}"
    text = text if error is None else f"{error[:_MAX_ERROR]}; {text}"
    return text.encode("ascii", "backslashreplace").decode().replace("\0", "\\x00")


def _storable(text: str | None) -> str | None:
    """Replace what no database stores as text: NUL and surrogates, as in a path's invalid UTF-8."""
    if text is None:
        return None
    return text.encode(errors="backslashreplace").decode().replace("\0", "\\x00")
