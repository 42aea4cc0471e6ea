"""The measured tiers, each with its own folder and queue."""

import json
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

import harness
from benchmarks import client, empty, store
from harness import listens, wait_until
from harness.processes import ending
from harness.queues import connection_error, delete_queue
from harness.tiers import worker_command
from pacifica.dispatcher.broker.configuration import celery_configuration
from pacifica.dispatcher.broker.connection import BrokerConnection
from pacifica.dispatcher.config import CelerySettings

BROKERS: Final = {
    "RabbitMQ": CelerySettings().broker_url,
    "Redis": "redis://127.0.0.1:6379/0",
    "files": "filesystem://",
}

_ROOT: Final = Path(__file__).parent.parent


@dataclass(frozen=True, slots=True)
class Server:
    """A process that serves HTTP."""

    url: str
    pid: int


class Site(harness.Site):
    """An installation whose tiers end with a context."""

    def __init__(
        self, folder: Path, celery: CelerySettings | None = None, database_url: str | None = None
    ) -> None:
        """Use a folder, and the SQLite database in it by default; a worker needs `celery`."""
        super().__init__(folder)
        self.database_url = database_url or store.url_in(folder)
        self.celery = celery or CelerySettings()

    @contextmanager
    def web(self) -> Iterator[Server]:
        """Run the web tier."""
        with ending(self.start_web()) as process:
            yield Server(self.url, process.pid)

    @contextmanager
    def standalone(self) -> Iterator[Server]:
        """Run all tiers in one process."""
        with ending(self.start_standalone()) as process:
            yield Server(self.url, process.pid)

    @contextmanager
    def worker(self, processes: int = 2) -> Iterator[int]:
        """Run a worker; yield its process id."""
        with ending(self.start_worker(concurrency=processes)) as process:
            yield process.pid

    @contextmanager
    def empty_worker(self, times: Path) -> Iterator[None]:
        """Run a worker whose tasks only record the time in a file."""
        variables = {
            "PYTHONPATH": str(_ROOT),
            empty.CONFIGURATION: json.dumps(celery_configuration(self.celery)),
            empty.TIMES: str(times),
        }
        command = worker_command(self.celery.queue, 2, "benchmarks.empty")
        with ending(self.start(*command, **variables)):
            yield

    def publish(self, count: int) -> None:
        """Send wake-ups for runs that do not exist."""
        broker = BrokerConnection(self.celery)
        for _ in range(count):
            broker.send(str(uuid.uuid4()), "")
        broker.close()


@contextmanager
def site(
    folder: Path, broker: str, command: str, database_url: str | None = None
) -> Iterator[Site]:
    """Configure a site; delete its queue afterwards.

    Args:
        folder: an existing folder.
        broker: a key of BROKERS.
        command: the command of its only application.
        database_url: the database; SQLite in the folder by default.
    """
    queue = f"bench-{uuid.uuid4().hex[:12]}"
    url = f"filesystem://localhost{folder / 'broker'}" if broker == "files" else BROKERS[broker]
    site = Site(folder, CelerySettings(url, queue), database_url)
    site.configure(
        f"[database]\npeewee_url = {site.database_url}\n"
        f"[celery]\nbroker_url = {url}\nqueue = {queue}\n"
        f"[application:bench]\nexact.type = {client.TYPE}\ncommand = {command}\n"
    )
    try:
        yield site
    finally:
        if broker != "files" and reachable(broker):
            delete_queue(url, queue)


@contextmanager
def bare_server(folder: Path) -> Iterator[Server]:
    """Run the bare CherryPy handler."""
    site = Site(folder)
    command = (sys.executable, "-m", "benchmarks.bare", "--port", str(site.port))
    with ending(site.start(*command, PYTHONPATH=str(_ROOT))) as process:
        wait_until(lambda: listens(site.port), "the bare CherryPy server")
        yield Server(site.url, process.pid)


def reachable(broker: str) -> bool:
    """Return True if a broker responds."""
    return broker == "files" or connection_error(BROKERS[broker]) is None


def resident(pid: int) -> tuple[float, float]:
    """Return the resident memory of a process, and of all its children combined, in MiB."""
    process = psutil.Process(pid)
    children = sum(each.memory_info().rss for each in process.children())
    return process.memory_info().rss / 1024**2, children / 1024**2


def processor_time(pid: int) -> float:
    """Return the processor time in seconds of a worker and its pool, without its applications."""
    times = [each.cpu_times() for each in _own(pid)]
    return float(sum(each.user + each.system for each in times))


def processes(pid: int) -> int:
    """Count a worker and its pool processes."""
    return len(_own(pid))


def _own(pid: int) -> list[psutil.Process]:
    worker = psutil.Process(pid)
    return [worker, *(each for each in worker.children() if each.name() == worker.name())]
