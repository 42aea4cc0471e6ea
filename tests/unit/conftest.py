"""Fixtures for the unit tests: databases, processes and a sender."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from functools import cache
from pathlib import Path

import pytest

from pacifica.dispatcher import orm, telemetry
from pacifica.dispatcher.execution.process import ORIGIN, origin
from pacifica.dispatcher.log_limit import LogLimit
from pacifica.dispatcher.telemetry import Record
from tests import servers
from tests.factories import Postbox, Start, wait_executed

PREPARED = {"gate", "compatibility", "schema_migration"}
"""The tables that are not empty in a new database."""


@pytest.fixture
def url(tmp_path: Path) -> str:
    """The URL of a SQLite database that does not exist yet."""
    return f"sqlite:///{tmp_path / 'db.sqlite3'}"


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of an empty database, to copy: that is faster than preparing one."""
    file = tmp_path_factory.mktemp("prepared") / "db.sqlite3"
    database = orm.Database(f"sqlite:///{file}")
    database.prepare(attempts=1, wait=0)
    database.close()
    return file


@pytest.fixture
def database(prepared: Path, url: str) -> Iterator[orm.Database]:
    """An empty SQLite database, ready for use."""
    shutil.copy(prepared, url.removeprefix("sqlite:///"))
    database = orm.Database(url)
    yield database
    database.close()


@pytest.fixture(scope="session")
def prepared_urls() -> Iterator[Callable[[str], str]]:
    """Create one prepared database per kind of server, and return its URL."""
    with ExitStack() as stack:

        @cache
        def prepare(kind: str) -> str:
            url = stack.enter_context(servers.DATABASES[kind](Path()))
            with closing(orm.Database(url)) as database:
                database.prepare(attempts=1, wait=0)
            return url

        yield prepare


@pytest.fixture(params=list(servers.DATABASES))
def each_database(request: pytest.FixtureRequest) -> Iterator[orm.Database]:
    """An empty database of each kind in turn, ready for use."""
    if request.param == "sqlite":
        yield request.getfixturevalue("database")
        return
    url = request.getfixturevalue("prepared_urls")(request.param)
    with closing(orm.Database(url)) as database:
        yield database
        with database.transaction():
            for table in {*database.peewee.get_tables()} - PREPARED:
                database.execute(f"DELETE FROM {table}", ())  # noqa: S608 - our names


@pytest.fixture
def start() -> Iterator[Start]:
    """Start an idle process, with marks in its environment."""
    started: list[subprocess.Popen[bytes]] = []

    def start(**marks: str) -> subprocess.Popen[bytes]:
        environment = {**os.environ, ORIGIN: str(origin()), **marks}
        process = subprocess.Popen(["sleep", "600"], env=environment, start_new_session=bool(marks))
        started.append(process)
        wait_executed(process.pid)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def emitted() -> Iterator[list[Record]]:
    """All records of telemetry that are emitted from here on."""
    kept: list[Record] = []
    telemetry.add_handler(kept.append)
    yield kept
    telemetry.remove_handler(kept.append)


@pytest.fixture
def postbox() -> Postbox:
    """A sender with unlimited room."""
    return Postbox()


@pytest.fixture(autouse=True)
def _handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restore the handlers of telemetry, which a command line replaces, and forget its lines."""
    monkeypatch.setattr(telemetry, "_handlers", [*telemetry._handlers])  # noqa: SLF001
    monkeypatch.setattr(telemetry, "_limit", LogLimit())
