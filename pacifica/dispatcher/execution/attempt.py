"""One attempt at a run as a value, with its command line and its environment."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from pacifica.dispatcher.applications import Application, Handler
from pacifica.dispatcher.events import Event, canonical
from pacifica.dispatcher.execution.marks import marks
from pacifica.dispatcher.execution.workdir import Workdir

_TRACE: Final = ("traceparent", "tracestate")
"""Attributes with environment variables of their own (CloudEvents "Distributed Tracing")."""

_NOT_INHERITED: Final = (
    *("CE_", "DISPATCHER_", "CELERY_", "_MP_", "PEEWEE_URL", "BROKER_URL"),
    *map(str.upper, _TRACE),
)
"""What the names of variables begin with that applications do not inherit."""

_MAX_ARGUMENT: Final = 1000  # characters of an argument that are shown
_MAX_ARGUMENTS: Final = 100
_HANDLER_MAIN: Final = "pacifica.dispatcher.execution.handler_main"


@dataclass(frozen=True)
class Attempt:
    """One attempt at a run.

    Attributes:
        run: the run's uuid.
        number: the attempt's number, from 1.
        worker: uuid of the worker that makes it.
        application: the application to run.
        event: the event to run it for.
        workdir: the attempt's files.
        home: directory searched for the modules of handlers.
    """

    run: str
    number: int
    worker: str
    application: Application
    event: Event
    workdir: Workdir
    home: Path

    @cached_property
    def marks(self) -> dict[str, str]:
        """The variables that distinguish the attempt's processes from all others."""
        return marks(self.worker, self.run, self.number)

    @cached_property
    def command_line(self) -> Sequence[str]:
        """The program and its arguments.

        Raises:
            ApplicationError: the event lacks a placeholder, or its value would act as an option.
        """
        target = self.application.target
        if isinstance(target, Handler):
            return [sys.executable, "-P", "-m", _HANDLER_MAIN, str(self.home), str(target)]
        return [target.program, *target.fill(self.event)]

    @property
    def shown_command(self) -> list[str]:
        """The command line for display: a handler's name, or the arguments, shortened.

        Raises:
            ApplicationError: as for `command_line`.
        """
        target = self.application.target
        if isinstance(target, Handler):
            return [str(target)]
        shown = [
            each if len(each) <= _MAX_ARGUMENT else f"{each[:_MAX_ARGUMENT]}…"
            for each in self.command_line
        ]
        return shown if len(shown) <= _MAX_ARGUMENTS else [*shown[:_MAX_ARGUMENTS], "…"]

    @property
    def environment(self) -> dict[str, str]:
        """The variables of the event and the application, in addition to inherited ones."""
        attributes = self.event.attributes
        return {
            **{name.upper(): canonical(attributes[name]) for name in _TRACE if name in attributes},
            **self.application.environment,
            **{f"CE_{name.upper()}": canonical(value) for name, value in attributes.items()},
            "DISPATCHER_EVENT": self.workdir.event,
            "DISPATCHER_RESULT": self.workdir.result,
            **self.marks,
            "DISPATCHER_APPLICATION": self.application.name,
        }


def inherited() -> dict[str, str]:
    """Return the variables of this process that applications inherit."""
    return {name: text for name, text in os.environ.items() if not name.startswith(_NOT_INHERITED)}
