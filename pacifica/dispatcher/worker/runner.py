"""The runner: claims a due run, carries out one attempt at it and records the outcome."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from pacifica.dispatcher import events, orm
from pacifica.dispatcher.applications import Application, Keep
from pacifica.dispatcher.errors import EventError, NotConfiguredError
from pacifica.dispatcher.execution.attempt import Attempt
from pacifica.dispatcher.execution.capture import Capture, Piece
from pacifica.dispatcher.execution.ended import Cause
from pacifica.dispatcher.execution.executor import Executor
from pacifica.dispatcher.execution.outcome import Outcome, Verdict, decide
from pacifica.dispatcher.execution.perform import perform
from pacifica.dispatcher.execution.process import StopRequest
from pacifica.dispatcher.execution.progress import Progress
from pacifica.dispatcher.execution.workdir import Workdir
from pacifica.dispatcher.telemetry import DEBUG, ERROR, INFO, WARNING, bound, emit
from pacifica.dispatcher.worker.cancellations import Cancellations
from pacifica.dispatcher.worker.lease import Lease
from pacifica.dispatcher.worker.recorder import Recorder
from pacifica.dispatcher.worker.roster import Roster
from pacifica.dispatcher.worker.troubles import Trouble, Troubles

_NO_ROOM_DELAY: Final = 30.0  # seconds until the next attempt if the disk had no room for this one


@dataclass(frozen=True, slots=True)
class Runner:
    """The maker of attempts in one process of a worker.

    Attributes:
        database: the database in which runs are claimed and recorded.
        applications: all configured applications, by name.
        directory: the parent of the attempts' folders.
        home: the directory searched first for the modules of handlers.
        host: this machine's name.
        executor: the executor that carries out attempts.
        stop: the request to end attempts, so that another worker takes up their runs.
        lease: this worker's lease.
        cancellations: the requests to cancel this worker's attempts.
        roster: the runs that this worker's processes work on.
        troubles: the troubles that this worker has warned of.
    """

    database: orm.Database
    applications: Mapping[str, Application]
    directory: Path
    home: Path
    host: str
    executor: Executor
    stop: StopRequest
    lease: Lease
    cancellations: Cancellations
    roster: Roster
    troubles: Troubles

    def make_attempt(self, run: str) -> None:
        """Make one attempt at a run, unless its wake-up is stale.

        Raises:
            DatabaseUnavailableError: the run could not be claimed; its wake-up counts as lost.
        """
        with self.roster.working_on(run):
            self._make_attempt(run)

    def _make_attempt(self, run: str) -> None:
        worker = self.lease.worker
        if self.stop.requested() or self.stop.orphaned() or not self.lease.is_held(worker):
            orm.unpublish(self.database, [run])
            return
        claimant = orm.Claimant(worker, self.host, self.executor.handle, self.applications)
        try:
            claim = orm.claim(self.database, run, claimant)
        except NotConfiguredError as exc:
            others = orm.decline(self.database, run)
            emit(
                "run.declined",
                INFO if others else WARNING,
                run=run,
                worker=worker,
                reason=str(exc),
            )
            return
        if claim is None:
            if orm.exists(self.database, run):
                emit("run.already_claimed", DEBUG, run=run)
            else:  # another installation shares the queue, or a tier has another file
                emit("run.unknown", WARNING, run=run, database=self.database.name)
            return
        with bound(
            event=claim.event,
            run=run,
            attempt=claim.attempt,
            application=claim.application,
            worker=worker,
        ):
            emit("run.started")
            began = time.monotonic()
            state, error = self._carry_out(claim, worker)
            duration = time.monotonic() - began
            emit("run.finished", state=state, error=error, duration=duration)

    def _carry_out(self, claim: orm.Claim, worker: str) -> tuple[orm.State | None, str | None]:
        """Return the run's new state, None if the claim was lost, and the attempt's error."""
        recorder = Recorder(self.database, self.lease, worker, claim, self.troubles)
        application = self.applications[claim.application]
        workdir = Workdir.of(self.directory, claim.run, claim.attempt)
        outcome, output = self._execute(claim, worker, application, workdir)
        wait = application.retry.wait(claim.failures + 1, outcome.exit_code)
        verdict = decide(outcome, may_retry=wait is not None)
        if verdict is Verdict.RELEASED:
            wait = self._wait_for_room(outcome) if outcome.lack else 0.0
        due = self.database.now() + (wait or 0.0)
        state = recorder.record(verdict, outcome, output, due)
        failed = verdict in {Verdict.FAILED, Verdict.RETRY}
        if application.keep is Keep.NEVER or (application.keep is Keep.FAILED and not failed):
            workdir.remove()
        return state, outcome.error

    def _wait_for_room(self, outcome: Outcome) -> float:
        if self.troubles.begins(Trouble[str(outcome.lack).upper()]):
            emit("disk.full", WARNING, lack=outcome.lack, reason=outcome.error)
        return _NO_ROOM_DELAY

    def _execute(
        self, claim: orm.Claim, worker: str, application: Application, workdir: Workdir
    ) -> tuple[Outcome, list[Piece]]:
        """Return the attempt's outcome and its output that is not saved yet."""
        try:
            event = events.parse_event(claim.sent)
        except EventError as exc:
            error = f"cannot read the stored event: {exc}"
            return Outcome(Cause.NOT_STARTED, error=error), []
        attempt = Attempt(claim.run, claim.attempt, worker, application, event, workdir, self.home)
        saver = _Saver(self.database, claim, attempt, self.troubles)
        capture = Capture(application.max_output, saver.save)
        interruption = _Interruption(self, claim, worker)
        try:
            outcome = perform(attempt, self.executor, capture, interruption.cause)
        except Exception as exc:  # noqa: BLE001 - a bug here must not leave the run `running`
            emit("attempt.failed", ERROR, exception=exc)
            outcome = Outcome(Cause.NOT_STARTED, error=f"internal error of the worker: {exc!r}")
        output = capture.finish()
        outcome = replace(outcome, progress=capture.progress, last_line=capture.last_line())
        return outcome, output


@dataclass(frozen=True, slots=True)
class _Saver:
    """The saver of a running attempt's output; what cannot be saved now is saved later."""

    database: orm.Database
    claim: orm.Claim
    attempt: Attempt
    troubles: Troubles

    def save(self, pieces: list[Piece], progress: Progress | None) -> bool:
        known = Outcome(command=self.attempt.shown_command, progress=progress)
        try:
            return orm.save_output(self.database, self.claim, pieces, known)
        except Exception as exc:  # noqa: BLE001 - no reason to end the application
            if self.troubles.begins(Trouble.OUTPUT):
                emit("output.waiting", WARNING, reason=str(exc))
            return False


@dataclass(frozen=True, slots=True)
class _Interruption:
    """The reasons to end an attempt early."""

    runner: Runner
    claim: orm.Claim
    worker: str

    def cause(self) -> Cause | None:
        runner, claim = self.runner, self.claim
        if not runner.lease.is_held(self.worker):
            return Cause.LOST
        if runner.stop.orphaned():
            return Cause.ORPHANED
        if runner.cancellations.requested(claim.run, claim.attempt):
            return Cause.CANCELLED
        return Cause.STOPPED if runner.stop.requested() else None
