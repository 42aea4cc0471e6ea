"""Factories for the tests of a runner: a driver of the runner, and applications to run."""

import json
import sys
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pacifica.dispatcher import orm
from pacifica.dispatcher.applications import Application, Handler, Keep, Retry
from pacifica.dispatcher.applications.command_template import Argument, CommandTemplate
from pacifica.dispatcher.events import Event, Json
from pacifica.dispatcher.execution.workdir import Workdir
from pacifica.dispatcher.telemetry import Record, add_handler, remove_handler
from pacifica.dispatcher.worker.runner import Runner
from tests.factories import accepted_runs, due, make_event, stored_output, view

_REPORT = """
import json, os, sys
with open(os.environ["DISPATCHER_EVENT"], encoding="utf-8") as file:
    event = json.load(file)
report = {
    "environment": dict(os.environ),
    "arguments": sys.argv[1:],
    "stdin": sys.stdin.read(),
    "event": event,
    "directory": os.getcwd(),
    "files": os.listdir(),
    "mode": os.stat(".").st_mode & 0o777,
}
print(json.dumps(report))
"""


@dataclass
class Report:
    """Report of an application about its input and environment."""

    environment: dict[str, str]
    arguments: list[str]
    stdin: str
    event: dict[str, Json]
    directory: str
    files: list[str]
    mode: int


@dataclass
class Driver:
    """A runner, with shortcuts to run applications and inspect the results."""

    database: orm.Database
    runner: Runner

    def offer(self, application: Application, event: Event) -> str:
        """Store an event and publish the application's run; return its uuid."""
        self.runner = replace(
            self.runner, applications={**self.runner.applications, application.name: application}
        )
        [run] = accepted_runs(self.database, event, application.name)
        assert run in due(self.database)
        return run

    def run(self, application: Application, event: Event | None = None) -> orm.RunView:
        """Run the application, and return the ended run."""
        run = self.offer(application, event or make_event())
        self.runner.make_attempt(run)
        return view(self.database, run)

    def again(self, run: str) -> None:
        """Make another attempt at a run that is due."""
        assert due(self.database) == [run]
        self.runner.make_attempt(run)

    def status(self, run: str) -> str:
        return view(self.database, run).status

    def output(self, run: orm.RunView, stream: str = "stdout") -> str:
        pieces = stored_output(self.database, run.uuid, run.attempt, stream)
        return b"".join(piece.data for piece in pieces).decode()

    def report(self, event: Event, *arguments: Argument, **environment: str) -> Report:
        """Run an application that reports its input and environment."""
        script = CommandTemplate(
            sys.executable, (Argument(("-c",)), Argument((_REPORT,)), *arguments)
        )
        run = self.run(Application("report", script, environment=environment), event)
        return Report(**json.loads(self.output(run)))

    def folders(self) -> list[str]:
        """Return the names of the attempts' folders that were kept."""
        folder = self.runner.directory
        return sorted(each.name for each in folder.iterdir()) if folder.exists() else []


def shell(script: str, keep: Keep = Keep.FAILED) -> Application:
    command = CommandTemplate("/bin/sh", (Argument(("-c",)), Argument((script,))))
    return Application("shell", command, keep=keep)


def handler(tmp_path: Path, source: str, name: str) -> Application:
    (tmp_path / "given_handlers.py").write_text(source, encoding="utf-8")
    return Application("handler", Handler("given_handlers", name))


def retrying(script: str, /, **settings: Any) -> Application:  # noqa: ANN401 - any of Retry's fields
    """Return an application with two immediate retries, unless settings override them."""
    return replace(shell(script), retry=Retry(**{"retries": 2, "delay": 0.0, **settings}))


def only_attempt(driver: Driver, run: orm.RunView) -> orm.AttemptView:
    [attempt] = orm.run(driver.database, run.uuid)[1]
    return attempt


@dataclass
class Started:
    """An attempt in its own thread, whose application has started."""

    run: str
    workdir: Workdir
    attempt: Future[None]


@contextmanager
def recorded() -> Iterator[list[Record]]:
    """Record what is emitted within the block."""
    records: list[Record] = []
    add_handler(records.append)
    try:
        yield records
    finally:
        remove_handler(records.append)
