"""Running one application on one event here and now, without any tier."""

import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from pacifica.dispatcher.applications import Application
from pacifica.dispatcher.errors import ApplicationError, DiskFullError
from pacifica.dispatcher.events import Event
from pacifica.dispatcher.invocation import command_line, environment, what_went_wrong
from pacifica.dispatcher.lease import MARKS, marks
from pacifica.dispatcher.orm import new_uuid
from pacifica.dispatcher.process import Cause, Limits, Stop, execute
from pacifica.dispatcher.workplace import Workplace


@dataclass(frozen=True, slots=True)
class Tried:
    """How it went.

    Attributes:
        error: what went wrong; None when nothing did.
        result: the application's result, a JSON text.
        directory: its working directory.
    """

    error: str | None
    result: str | None
    directory: str


def try_out(application: Application, event: Event, home: Path, directory: Path) -> Tried:
    """Run an application on an event; what it writes is shown as it comes. Ctrl-C ends it.

    Args:
        application: which.
        event: what for.
        home: where the modules of handlers are looked for first.
        directory: where its files are made.
    """
    mark = marks("here", new_uuid(), 1)
    workplace = Workplace.of(directory.absolute(), mark["DISPATCHER_RUN"], 1)
    interruption = _CtrlC()
    try:
        workplace.make(event)
        ended = execute(
            command_line(application, event, home),
            directory=workplace.directory,
            environment=environment(application, event, workplace, mark),
            marks=MARKS,
            stdin=workplace.event,
            limits=Limits(application.timeout, application.kill_after),
            interruption=interruption,
            sink=_Shown(),
        )
        error = what_went_wrong(ended, application)
        return Tried(error, workplace.read_result(), workplace.directory)
    except (ApplicationError, DiskFullError) as exc:
        return Tried(str(exc), None, workplace.directory)
    finally:
        interruption.close()


class _Shown:
    """Shows output as it comes."""

    def write(self, stream: str, data: bytes) -> None:
        out = sys.stdout if stream == "stdout" else sys.stderr
        out.buffer.write(data)
        out.flush()

    def tick(self) -> None:
        """Nothing is to be done."""


class _CtrlC:
    """An interruption that Ctrl-C makes."""

    def __init__(self) -> None:
        self._stop = Stop()
        self._former = signal.signal(signal.SIGINT, self._ask)

    def fileno(self) -> int:
        return self._stop.fileno()

    def cause(self) -> Cause | None:
        return Cause.CANCELLED if self._stop.requested() else None

    def close(self) -> None:
        signal.signal(signal.SIGINT, self._former)
        self._stop.close()

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        self._stop.request()
