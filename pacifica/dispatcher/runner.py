"""The straight line of one attempt: claim, prepare, run, record."""

import logging
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from pacifica.dispatcher import events, orm
from pacifica.dispatcher.applications import Application, Handler, Keep
from pacifica.dispatcher.errors import (
    ApplicationError,
    DatabaseUnavailableError,
    EventError,
)
from pacifica.dispatcher.events import Event, canonical
from pacifica.dispatcher.output import Capture, Piece
from pacifica.dispatcher.process import Cause, Ended, Limits, Stop, execute
from pacifica.dispatcher.workplace import Workplace

_log = logging.getLogger(__name__)

_NOT_INHERITED: Final = ("CE_", "DISPATCHER_", "CELERY_", "_MP_", "PEEWEE_URL", "BROKER_URL")


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
    """

    database: orm.Database
    applications: Mapping[str, Application]
    directory: Path
    home: Path
    host: str
    stop: Stop

    def run(self, uuid: str) -> None:
        """Make one attempt at a run, if it is to be had; a wake-up that came late or twice is not.

        Raises:
            DatabaseUnavailableError: the run could not be claimed, or its outcome not be recorded.
        """
        if self.stop.requested():
            orm.unpublish(self.database, [uuid])
            return
        claim = orm.claim(self.database, uuid, self.host)
        if claim is None:
            _log.info("run %s is not to be had: its wake-up came late or twice", uuid)
            return
        application = self.applications.get(claim.application)
        if application is None:
            error = f"no application {claim.application} is configured on {self.host}"
            orm.fail(self.database, claim, orm.Outcome(error=error), [])
            return
        workplace = Workplace(self.directory / f"{claim.run}.{claim.attempt}")
        capture = Capture(application.max_output, partial(self._save_output, claim))
        try:
            ended = self._execute(claim, application, workplace, capture)
            arrow, outcome = _judge(ended, workplace, application)
        except ApplicationError as exc:
            arrow, outcome = orm.fail, orm.Outcome(error=str(exc))
        if not arrow(self.database, claim, outcome, capture.finish()):
            _log.warning("run %s: attempt %d is no longer ours", uuid, claim.attempt)
        said = outcome.error or "it succeeded"
        _log.info("run %s: attempt %d of %s: %s", uuid, claim.attempt, application.name, said)
        if application.keep is Keep.NEVER or (
            application.keep is Keep.FAILED and arrow is not orm.fail
        ):
            workplace.remove()

    def _save_output(self, claim: orm.Claim, pieces: list[Piece]) -> bool:
        try:
            return orm.save_output(self.database, claim, pieces)
        except DatabaseUnavailableError as exc:
            _log.warning("run %s: its output waits: %s", claim.run, exc)
            return False

    def _execute(
        self, claim: orm.Claim, application: Application, workplace: Workplace, capture: Capture
    ) -> Ended:
        try:
            event = events.parse(claim.sent)
        except EventError as exc:
            raise ApplicationError(f"the event can no longer be read: {exc}") from exc
        workplace.make(event)
        return execute(
            _command_line(application, event, self.home),
            directory=workplace.directory,
            environment=_environment(claim, application, event, workplace),
            stdin=workplace.event,
            limits=Limits(application.timeout, application.kill_after),
            stop=self.stop,
            sink=capture,
        )


Arrow = Callable[[orm.Database, orm.Claim, orm.Outcome, list[Piece]], bool]


def _command_line(application: Application, event: Event, home: Path) -> list[str]:
    way = application.way
    if isinstance(way, Handler):
        target = f"{way.module}:{way.name}"
        return [sys.executable, "-P", "-m", "pacifica.dispatcher.handler", str(home), target]
    return [way.program, *way.fill(event)]


def _environment(
    claim: orm.Claim, application: Application, event: Event, workplace: Workplace
) -> dict[str, str]:
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(_NOT_INHERITED)
    }
    attributes = {f"CE_{name.upper()}": canonical(v) for name, v in event.attributes.items()}
    return {
        **inherited,
        **application.environment,
        **attributes,
        "DISPATCHER_EVENT": workplace.event,
        "DISPATCHER_RESULT": workplace.result,
        "DISPATCHER_RUN": claim.run,
        "DISPATCHER_ATTEMPT": str(claim.attempt),
        "DISPATCHER_APPLICATION": application.name,
    }


def _judge(
    ended: Ended, workplace: Workplace, application: Application
) -> tuple[Arrow, orm.Outcome]:
    """Which arrow an attempt's end takes, and what is recorded of it."""
    outcome = partial(orm.Outcome, exit_code=ended.exit_code, signal=ended.signal)
    error = _error(ended, application)
    if ended.cause is Cause.STOPPED:
        return orm.release, outcome(error=error)
    try:
        result = workplace.read_result()
    except ApplicationError as exc:
        return orm.fail, outcome(error=f"{error}; {exc}" if error else str(exc))
    return (orm.fail if error else orm.succeed), outcome(error=error, result=result)


def _error(ended: Ended, application: Application) -> str | None:
    """What the end of a process says went wrong, for people."""
    match ended:
        case Ended(cause=Cause.STOPPED):
            return "the worker was stopped; the run is taken up again"
        case Ended(cause=Cause.TIMED_OUT):
            return f"it took longer than {application.timeout:g} s"
        case Ended(signal=str(name)):
            return f"it was ended by {name}"
        case Ended(exit_code=0):
            return None
        case _:
            return f"it ended with exit code {ended.exit_code}"
