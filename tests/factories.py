"""Factories and test doubles shared by several tests."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from harness import DEADLINE, wait_until
from pacifica.dispatcher import events, orm
from pacifica.dispatcher.applications import Application
from pacifica.dispatcher.applications.command_template import CommandTemplate
from pacifica.dispatcher.errors import BrokerUnavailableError
from pacifica.dispatcher.events import Event, Json
from pacifica.dispatcher.execution.capture import Piece
from pacifica.dispatcher.execution.handles import local_handle

T = TypeVar("T")

Start = Callable[..., subprocess.Popen[bytes]]
"""The type of the `start` fixture."""


class Postbox:
    """A sender that keeps every message, and fails when it is full."""

    def __init__(self) -> None:
        """Start empty, with unlimited room."""
        self.sent: list[str] = []
        self.queues: list[str] = []
        self.room: int | None = None
        self.refused = 0
        self.closed = False

    def send(self, run: str, queue: str) -> None:
        if self.room == 0:
            self.refused += 1
            raise BrokerUnavailableError("the postbox is full")
        if self.room is not None:
            self.room -= 1
        self.sent.append(run)
        self.queues.append(queue)

    def check(self) -> None:
        if self.room == 0:
            raise BrokerUnavailableError("the postbox is full")

    def close(self) -> None:
        self.closed = True


def wait_executed(pid: int) -> None:
    """Wait until a child process has executed its program, or has ended.

    `Popen` may return during exec, while the environment still reads empty. The dispatcher takes
    such a process for an adopted orphan.
    """
    if sys.platform != "linux":
        return
    folder = Path(f"/proc/{pid}")

    def executed() -> bool:
        with suppress(ProcessLookupError):  # some kernels raise this for a zombie
            environment = (folder / "environ").read_bytes()
            state = (folder / "stat").read_bytes().rpartition(b") ")[2][:1]
            return bool(environment) or state == b"Z"
        return True

    wait_until(executed, f"process {pid} to execute")


def make_event(number: object = 1, /, **members: Json) -> Event:
    """Make an event with this id; members are merged into the document."""
    document = {"specversion": "1.0", "id": str(number), "source": "/tests", "type": "org.example"}
    return events.parse_event(json.dumps({**document, **members}))


def app(name: str = "app", /, **settings: Any) -> Application:  # noqa: ANN401 - any of its fields
    """Make an application, which runs `true` by default."""
    return Application(name, **{"target": CommandTemplate("true", ()), **settings})


def apps(*names: str) -> list[Application]:
    """Make an application for each name."""
    return [app(name) for name in names]


def registration(host: str, lock: str, length: float = 15.0) -> orm.Registration:
    """Make the registration of a worker."""
    return orm.Registration(host, lock, length, ("default",), 1, ("app", "other"))


def claimant(
    worker: str = "worker", *applications: Application, host: str = "host", pid: int = 1
) -> orm.Claimant:
    """Make a claimant, as a pool process of a worker would."""
    return orm.Claimant(worker, host, lambda *_: local_handle(pid), _Catalogue(applications))


class _Catalogue(Mapping[str, Application]):
    """These applications, and one without limits for every other name."""

    def __init__(self, applications: Iterable[Application]) -> None:
        self._given = {each.name: each for each in applications}

    def __getitem__(self, name: str) -> Application:
        return self._given.get(name) or app(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._given)

    def __len__(self) -> int:
        return len(self._given)


def stored(database: orm.Database, number: object, *applications: str, **members: Json) -> str:
    """Store an event; return its uuid."""
    [accepted] = orm.accept(
        database, [orm.Arrival(make_event(number, **members), apps(*applications))]
    )
    return accepted.uuid


def superseded_event(database: orm.Database, *applications: str) -> str:
    """Store an event, fail its run, and replay it for these applications; return its uuid."""
    claim = claimed_run(database)
    orm.finish(database, claim, orm.State.FAILED, orm.Outcome(), [])
    orm.replay(database, claim.event, make_event(), apps(*applications))
    return claim.event


def accept_runs(database: orm.Database, application: Application, *numbers: object) -> list[str]:
    """Store an event for each number; return the uuids of their runs."""
    accepted = orm.accept(
        database, [orm.Arrival(make_event(number), [application]) for number in numbers]
    )
    return [orm.event(database, each.uuid).runs[0].uuid for each in accepted]


def accepted_runs(database: orm.Database, event: Event, *applications: str) -> list[str]:
    """Store an event; return the uuids of its runs."""
    [accepted] = orm.accept(database, [orm.Arrival(event, apps(*applications))])
    return [run.uuid for run in orm.event(database, accepted.uuid).runs]


def due(database: orm.Database, window: int = 1000, *applications: Application) -> list[str]:
    """Publish; return the runs to wake up."""
    wakeups, _ = orm.publish(database, window, configured(database, *applications))
    return [wakeup.run for wakeup in wakeups]


def configured(database: orm.Database, *applications: Application) -> dict[str, Application]:
    """Return these applications by name, and one without limits for any other that has runs."""
    with database.reading():
        rows = database.fetch("SELECT DISTINCT application FROM run", ()).fetchall()
    return {each.name: each for each in [*apps(*(name for (name,) in rows)), *applications]}


def published_run(database: orm.Database, number: object = 1, application: str = "app") -> str:
    """Store an event and publish its run; return the run's uuid."""
    [run] = accepted_runs(database, make_event(number), application)
    assert run in due(database)
    return run


def claimed_run(database: orm.Database, number: object = 1) -> orm.Claim:
    """Store an event, publish its run and claim it."""
    claim = orm.claim(database, published_run(database, number), claimant())
    assert claim is not None
    return claim


def claimed(
    database: orm.Database, run: str, *applications: Application, worker: str = "worker"
) -> orm.Claim:
    """Claim a published run."""
    claim = orm.claim(database, run, claimant(worker, *applications))
    assert claim is not None
    return claim


def claim_next(
    database: orm.Database, *applications: Application, worker: str = "worker"
) -> orm.Claim:
    """Publish and claim the only run that is due."""
    [run] = due(database, 1000, *applications)
    return claimed(database, run, *applications, worker=worker)


def view(database: orm.Database, run: str) -> orm.RunView:
    """Return the current state of a run."""
    return orm.run(database, run)[0]


def stored_output(database: orm.Database, run: str, attempt: int, *streams: str) -> list[Piece]:
    """Return the stored output of an attempt, by default of both streams."""
    extents = dict.fromkeys(streams or ("stdout", "stderr"), (0, 2**28))
    return orm.output_part(database, run, attempt, extents, 2**30)


def count(database: orm.Database, table: str) -> int:
    """Count the rows of a table."""
    with database.reading():
        return int(database.fetch(f"SELECT COUNT(*) FROM {table}", ()).fetchone()[0])  # noqa: S608


def change(database: orm.Database, sql: str, parameters: Sequence[object] = ()) -> None:
    """Change rows directly, bypassing the transitions."""
    with database.transaction():
        database.execute(sql, parameters)


def at_once(*acts: Callable[[], T]) -> list[T]:
    """Call functions at the same moment, each in its own thread; return their results in order."""
    barrier = threading.Barrier(len(acts))

    def act(function: Callable[[], T]) -> T:
        barrier.wait(DEADLINE)
        return function()

    with ThreadPoolExecutor(len(acts)) as pool:
        return [each.result(DEADLINE) for each in [pool.submit(act, each) for each in acts]]
