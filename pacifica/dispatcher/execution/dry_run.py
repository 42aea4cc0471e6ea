"""Dry run: one attempt at an application for one event, without server, worker or broker."""

import signal
import sys
import uuid
from pathlib import Path
from types import FrameType
from typing import Self

from pacifica.dispatcher.applications import Application
from pacifica.dispatcher.events import Event
from pacifica.dispatcher.execution.attempt import Attempt
from pacifica.dispatcher.execution.ended import Cause
from pacifica.dispatcher.execution.local import LocalExecutor
from pacifica.dispatcher.execution.outcome import Outcome
from pacifica.dispatcher.execution.perform import perform
from pacifica.dispatcher.execution.process import StopRequest, restore_signals
from pacifica.dispatcher.execution.workdir import Workdir


def dry_attempt(application: Application, event: Event, home: Path, directory: Path) -> Attempt:
    """Return an attempt that is not recorded in a database.

    Args:
        application: the application to run.
        event: the event to run it for.
        home: directory searched first for the modules of handlers.
        directory: directory for the attempt's files.
    """
    run = str(uuid.uuid4())
    workdir = Workdir.of(directory.absolute(), run, 1)
    return Attempt(run, 1, "here", application, event, workdir, home)


def dry_run(attempt: Attempt) -> Outcome:
    """Carry out an attempt and print its output as it arrives; Ctrl-C cancels it."""
    restore_signals()
    with _CtrlC() as ctrl_c:
        return perform(attempt, LocalExecutor(ctrl_c.stop), _Echo(), ctrl_c.cause)


class _Echo:
    def write(self, stream: str, data: bytes) -> None:
        out = sys.stdout if stream == "stdout" else sys.stderr
        out.buffer.write(data)
        out.flush()

    def tick(self) -> None:
        """Do nothing."""


class _CtrlC:
    def __init__(self) -> None:
        self.stop = StopRequest()

    def __enter__(self) -> Self:
        self._previous = signal.signal(signal.SIGINT, self._request)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._previous)
        self.stop.close()

    def cause(self) -> Cause | None:
        return Cause.CANCELLED if self.stop.requested() else None

    def _request(self, _number: int, _frame: FrameType | None) -> None:
        self.stop.request()
