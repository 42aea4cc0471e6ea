"""What the unit tests share: a database of their own, events, and runs in a given state."""

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest

from pacifica.dispatcher import events, orm
from pacifica.dispatcher.applications import Application
from pacifica.dispatcher.command import Command
from pacifica.dispatcher.errors import BrokerUnavailableError
from pacifica.dispatcher.events import Event, Json

T = TypeVar("T")

DEADLINE = 10.0
"""Seconds after which something that was waited for has not happened."""


@pytest.fixture
def url(tmp_path: Path) -> str:
    """The URL of a database that nobody has made yet."""
    return f"sqlite:///{tmp_path / 'db.sqlite3'}"


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a database that is ready for use: to copy it is quicker than to prepare one."""
    file = tmp_path_factory.mktemp("prepared") / "db.sqlite3"
    database = orm.Database(f"sqlite:///{file}")
    database.prepare(attempts=1, wait=0)
    database.close()
    return file


@pytest.fixture
def database(prepared: Path, url: str) -> Iterator[orm.Database]:
    """An empty database, ready for use."""
    shutil.copy(prepared, url.removeprefix("sqlite:///"))
    database = orm.Database(url)
    yield database
    database.close()


@pytest.fixture
def each_database(database_url: str) -> Iterator[orm.Database]:
    """An empty database of each kind in turn, ready for use."""
    database = orm.Database(database_url)
    database.prepare(attempts=1, wait=0)
    yield database
    database.close()


Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a process that does nothing for long, with marks in its environment."""
    started: list[subprocess.Popen[bytes]] = []

    def start(**marks: str) -> "subprocess.Popen[bytes]":
        environment = {**os.environ, **marks}
        process = subprocess.Popen(["sleep", "600"], env=environment, start_new_session=bool(marks))
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


class Postbox:
    """A sender that keeps what it is given, until it is told to fail."""

    def __init__(self) -> None:
        """Take everything; `room` says how many more are taken, if there is a limit."""
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

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def postbox() -> Postbox:
    """A sender that takes everything so far."""
    return Postbox()


def accept_runs(database: orm.Database, application: Application, *numbers: object) -> list[str]:
    """Store an event for each number; gives the uuids of their runs."""
    accepted = orm.accept(database, [(make_event(number), [application]) for number in numbers])
    return [orm.event(database, each.uuid).runs[0].uuid for each in accepted]


def make_event(number: object = 1, /, **members: Json) -> Event:
    """An event; its id is the number, and members replace or add to what it has."""
    document = {"specversion": "1.0", "id": str(number), "source": "/tests", "type": "org.example"}
    return events.parse(json.dumps({**document, **members}))


def app(name: str = "app", /, **settings: Any) -> Application:  # noqa: ANN401 - any of its fields
    """An application that is never run, unless a way to run it is given."""
    return Application(name, **{"way": Command("true", ()), **settings})


def apps(*names: str) -> list[Application]:
    """Applications of these names."""
    return [app(name) for name in names]


def stored(database: orm.Database, number: object, *applications: str, **members: str) -> str:
    """The uuid of a new event."""
    [accepted] = orm.accept(database, [(make_event(number, **members), apps(*applications))])
    return accepted.uuid


def superseded_event(database: orm.Database, *applications: str) -> str:
    """The uuid of an event whose run failed, and which was replayed for these applications."""
    claim = claimed_run(database)
    orm.fail(database, claim, orm.Outcome(), [])
    orm.replay(database, claim.event, make_event(), apps(*applications))
    return claim.event


def due(database: orm.Database, window: int = 1000, *applications: Application) -> list[str]:
    """Publish; gives the runs whose wake-ups are to be sent."""
    limits = {each.name: each for each in applications}
    return [wakeup.run for wakeup in orm.publish(database, window, limits)[0]]


def claimant(worker: str = "worker", *applications: Application) -> orm.Claimant:
    """A process of a worker."""
    return orm.Claimant(worker, "host", 1, {each.name: each for each in applications})


def accepted_runs(database: orm.Database, event: Event, *applications: str) -> list[str]:
    """Store an event; gives the uuids of its runs."""
    [accepted] = orm.accept(database, [(event, apps(*applications))])
    return [run.uuid for run in orm.event(database, accepted.uuid).runs]


def published_run(database: orm.Database, number: object = 1, application: str = "app") -> str:
    """The uuid of a new run whose wake-up is on its way."""
    [run] = accepted_runs(database, make_event(number), application)
    assert run in due(database)
    return run


def claimed_run(database: orm.Database, number: object = 1) -> orm.Claim:
    """The claim of a new run."""
    claim = orm.claim(database, published_run(database, number), claimant())
    assert claim is not None
    return claim


def claimed(
    database: orm.Database, run: str, *applications: Application, worker: str = "worker"
) -> orm.Claim:
    """The claim of a run whose wake-up is on its way."""
    claim = orm.claim(database, run, claimant(worker, *applications))
    assert claim is not None
    return claim


def claim_next(
    database: orm.Database, *applications: Application, worker: str = "worker"
) -> orm.Claim:
    """The claim of the only run that may go now."""
    [run] = due(database, 1000, *applications)
    return claimed(database, run, *applications, worker=worker)


def view(database: orm.Database, run: str) -> orm.RunView:
    """A run as it stands."""
    return orm.run(database, run)[0]


def count(database: orm.Database, table: str) -> int:
    """How many rows a table has."""
    with database.reading():
        return int(database.fetch(f"SELECT COUNT(*) FROM {table}", ()).fetchone()[0])  # noqa: S608


def change(database: orm.Database, sql: str, parameters: Sequence[object] = ()) -> None:
    """Change rows behind the transitions' back."""
    with database.transaction():
        database.execute(sql, parameters)


def at_once(*acts: Callable[[], T]) -> list[T]:
    """Do things in as many threads, at the same moment; gives what each returned, in order."""
    barrier = threading.Barrier(len(acts))
    results: dict[int, T] = {}

    def act(index: int) -> None:
        barrier.wait(DEADLINE)
        results[index] = acts[index]()

    threads = [threading.Thread(target=act, args=(index,)) for index in range(len(acts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    return [results[index] for index in range(len(acts))]
