"""How an application is started for an event, and what the end of its process says."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from pacifica.dispatcher.applications import Application, Handler
from pacifica.dispatcher.events import Event, canonical
from pacifica.dispatcher.process import Cause, Ended
from pacifica.dispatcher.workplace import Workplace

_TRACE: Final = ("traceparent", "tracestate")
"""Attributes that have names of their own in an environment (CloudEvents "Distributed Tracing")."""

_NOT_INHERITED: Final = (
    *("CE_", "DISPATCHER_", "CELERY_", "_MP_", "PEEWEE_URL", "BROKER_URL"),
    *map(str.upper, _TRACE),
)

_MAX_ARGUMENT: Final = 1000  # characters of an argument that are shown
_MAX_ARGUMENTS: Final = 100

_SAID: Final = {
    Cause.CANCELLED: "it was cancelled",
    Cause.STOPPED: "the worker was stopped; the run is taken up again",
    Cause.ORPHANED: "the worker died; the run is taken up again",
    Cause.LOST: "the worker lost its lease; the run is taken up again",
}


def command_line(application: Application, event: Event, home: Path) -> list[str]:
    """The program and its arguments.

    Args:
        application: what is to be run.
        event: what for.
        home: where the modules of handlers are looked for first.

    Raises:
        ApplicationError: the event lacks a placeholder, or would smuggle in an option.
    """
    way = application.way
    if isinstance(way, Handler):
        target = f"{way.module}:{way.name}"
        return [sys.executable, "-P", "-m", "pacifica.dispatcher.handler", str(home), target]
    return [way.program, *way.fill(event)]


def shown_command(application: Application, arguments: Sequence[str]) -> list[str]:
    """A command line as people see it: a handler by its name, long arguments shortened.

    Args:
        application: what is run.
        arguments: what `command_line` made for it.
    """
    way = application.way
    if isinstance(way, Handler):
        return [f"{way.module}:{way.name}"]
    shown = [
        each if len(each) <= _MAX_ARGUMENT else f"{each[:_MAX_ARGUMENT]}…" for each in arguments
    ]
    return shown if len(shown) <= _MAX_ARGUMENTS else [*shown[:_MAX_ARGUMENTS], "…"]


def environment(
    application: Application, event: Event, workplace: Workplace, marks: Mapping[str, str]
) -> dict[str, str]:
    """All of the environment: this process's own, the application's and the event's.

    Args:
        application: what is to be run.
        event: what for.
        workplace: its files.
        marks: what tells this attempt from all others.
    """
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(_NOT_INHERITED)
    }
    attributes = {f"CE_{name.upper()}": canonical(v) for name, v in event.attributes.items()}
    trace = {
        name.upper(): canonical(event.attributes[name])
        for name in _TRACE
        if name in event.attributes
    }
    return {
        **inherited,
        **trace,
        **application.environment,
        **attributes,
        "DISPATCHER_EVENT": workplace.event,
        "DISPATCHER_RESULT": workplace.result,
        **marks,
        "DISPATCHER_APPLICATION": application.name,
    }


def what_went_wrong(ended: Ended, application: Application) -> str | None:
    """What the end of a process says went wrong, for people."""
    match ended:
        case Ended(cause=cause) if cause in _SAID:
            return _SAID[cause]
        case Ended(cause=Cause.TIMED_OUT):
            return f"it took longer than {application.timeout:g} s"
        case Ended(signal=str(name)):
            return f"it was ended by {name}"
        case Ended(exit_code=0):
            return None
        case _:
            return f"it ended with exit code {ended.exit_code}"
