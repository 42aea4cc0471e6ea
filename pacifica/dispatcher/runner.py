"""The straight line of one attempt: claim, prepare, run, record."""

import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from pacifica.dispatcher import events, orm
from pacifica.dispatcher.applications import Application, Keep
from pacifica.dispatcher.errors import (
    ApplicationError,
    DatabaseUnavailableError,
    DiskFullError,
    EventError,
)
from pacifica.dispatcher.invocation import (
    command_line,
    environment,
    shown_command,
    what_went_wrong,
)
from pacifica.dispatcher.lease import MARKS, Lease, marks
from pacifica.dispatcher.lines import Progress
from pacifica.dispatcher.output import Capture, Piece
from pacifica.dispatcher.process import Cause, Ended, Limits, Stop, execute
from pacifica.dispatcher.workplace import Workplace

_log = logging.getLogger(__name__)

_RECORD_AGAIN: Final = 0.5  # seconds until an outcome that the database did not take is tried again
_ROOM_AGAIN: Final = 30.0  # seconds until an attempt for which there was no room is followed

Arrow = Callable[[orm.Database, orm.Claim, orm.Outcome, list[Piece]], bool]
"""A transition that leaves the state `running`; it says whether the attempt was still ours."""


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What is made of an attempt's end: which way its run goes, and whether it failed."""

    arrow: Arrow
    outcome: orm.Outcome
    failed: bool = False


@dataclass(slots=True)
class _Attempt:
    """An attempt that is under way.

    Attributes:
        command: what is executed, for people; None before the event was read.
    """

    claim: orm.Claim
    application: Application
    workplace: Workplace
    command: list[str] | None = None


@dataclass(frozen=True, slots=True)
class Runner:
    """Runs applications.

    Attributes:
        database: where runs are claimed and recorded.
        applications: what may be run, by name.
        directory: where working directories are made.
        home: where the modules of handlers are looked for first.
        host: this machine's name.
        stop: a request to end what runs, so that it is taken up elsewhere.
        lease: the right to run anything.
    """

    database: orm.Database
    applications: Mapping[str, Application]
    directory: Path
    home: Path
    host: str
    stop: Stop
    lease: Lease

    def run(self, uuid: str) -> None:
        """Make one attempt at a run, if it is to be had; a wake-up that came late or twice is not.

        Raises:
            DatabaseUnavailableError: the run could not be claimed; its wake-up counts as lost.
        """
        worker = self.lease.worker
        if self.stop.requested() or self.stop.orphaned() or not self.lease.is_held(worker):
            orm.unpublish(self.database, [uuid])
            return
        claimant = orm.Claimant(worker, self.host, os.getpid(), self.applications)
        claim = orm.claim(self.database, uuid, claimant)
        if claim is None:
            _log.info("run %s is not to be had: its wake-up came late or twice", uuid)
            return
        application = self.applications.get(claim.application)
        if application is None:
            error = f"no application {claim.application} is configured on {self.host}"
            verdict = _Verdict(orm.fail, orm.Outcome(error=error), failed=True)
            self._record(worker, claim, verdict, [])
            return
        workplace = Workplace.of(self.directory, claim.run, claim.attempt)
        attempt = _Attempt(claim, application, workplace)
        capture = Capture(application.max_output, partial(self._save_output, attempt))
        verdict = self._attempt(worker, attempt, capture)
        output = capture.finish()
        notes = orm.Notes(attempt.command, capture.progress, capture.last_line())
        verdict = replace(verdict, outcome=replace(verdict.outcome, notes=notes))
        self._record(worker, claim, verdict, output)
        said = verdict.outcome.error or "it succeeded"
        _log.info("run %s: attempt %d of %s: %s", uuid, claim.attempt, application.name, said)
        if application.keep is Keep.NEVER or (
            application.keep is Keep.FAILED and not verdict.failed
        ):
            workplace.remove()

    def _attempt(self, worker: str, attempt: _Attempt, capture: Capture) -> _Verdict:
        claim, application, workplace = attempt.claim, attempt.application, attempt.workplace
        try:
            event = events.parse(claim.sent)
            workplace.make(event)
            arguments = command_line(application, event, self.home)
            attempt.command = shown_command(application, arguments)
            ended = execute(
                arguments,
                directory=workplace.directory,
                environment=environment(
                    application, event, workplace, marks(worker, claim.run, claim.attempt)
                ),
                marks=MARKS,
                stdin=workplace.event,
                limits=Limits(application.timeout, application.kill_after),
                interruption=_Interruption(self.stop, self.lease, worker, workplace),
                sink=capture,
            )
        except EventError as exc:
            error = f"the event can no longer be read: {exc}"
            return _failure(claim, application, orm.Outcome(error=error))
        except ApplicationError as exc:
            return _failure(claim, application, orm.Outcome(error=str(exc)))
        except DiskFullError as exc:
            return _release(orm.Outcome(error=str(exc)), _ROOM_AGAIN)
        except Exception as exc:  # noqa: BLE001 - a run must not stay `running` for a fault of ours
            _log.exception("run %s: attempt %d", claim.run, claim.attempt)
            error = f"the worker failed: {exc!r}"
            return _failure(claim, application, orm.Outcome(error=error))
        return _judge(ended, claim, workplace, application)

    def _record(
        self, worker: str, claim: orm.Claim, verdict: _Verdict, output: list[Piece]
    ) -> None:
        """Record how an attempt ended, as soon as the database takes it, while it is ours."""
        waiting = False
        while self.lease.is_held(worker):
            try:
                if verdict.arrow(self.database, claim, verdict.outcome, output):
                    return
                break
            except DatabaseUnavailableError as exc:
                if not waiting:
                    _log.warning("run %s: its outcome waits: %s", claim.run, exc)
                waiting = True
                time.sleep(_RECORD_AGAIN)
        _log.warning("run %s: attempt %d is no longer ours", claim.run, claim.attempt)

    def _save_output(
        self, attempt: _Attempt, pieces: list[Piece], progress: Progress | None
    ) -> bool:
        claim, notes = attempt.claim, orm.Notes(attempt.command, progress)
        try:
            return orm.save_output(self.database, claim, pieces, notes)
        except DatabaseUnavailableError as exc:
            _log.warning("run %s: its output waits: %s", claim.run, exc)
            return False


@dataclass(frozen=True, slots=True)
class _Interruption:
    """What may end an attempt before its time."""

    stop: Stop
    lease: Lease
    worker: str
    workplace: Workplace

    def fileno(self) -> int:
        return self.stop.fileno()

    def cause(self) -> Cause | None:
        if not self.lease.is_held(self.worker):
            return Cause.LOST
        if self.stop.orphaned():
            return Cause.ORPHANED
        if self.workplace.cancel_asked():
            return Cause.CANCELLED
        return Cause.STOPPED if self.stop.requested() else None


def _judge(
    ended: Ended, claim: orm.Claim, workplace: Workplace, application: Application
) -> _Verdict:
    """What is made of the end of a process."""
    error = what_went_wrong(ended, application)
    outcome = partial(orm.Outcome, exit_code=ended.exit_code, signal=ended.signal)
    match ended.cause:
        case Cause.CANCELLED:
            return _Verdict(orm.cancel, outcome(error=error))
        case Cause.STOPPED | Cause.ORPHANED | Cause.LOST:
            return _release(outcome(error=error), 0)
    try:
        result = workplace.read_result()
    except ApplicationError as exc:
        said = f"{error}; {exc}" if error else str(exc)
        return _failure(claim, application, outcome(error=said))
    if error:
        return _failure(claim, application, outcome(error=error, result=result))
    return _Verdict(orm.succeed, outcome(result=result))


def _failure(claim: orm.Claim, application: Application, outcome: orm.Outcome) -> _Verdict:
    wait = application.retry.wait(claim.failures + 1, outcome.exit_code)
    if wait is None:
        return _Verdict(orm.fail, outcome, failed=True)
    return _Verdict(partial(orm.retry_later, due=time.time() + wait), outcome, failed=True)


def _release(outcome: orm.Outcome, wait: float) -> _Verdict:
    return _Verdict(partial(orm.release, due=time.time() + wait), outcome)
