"""The real commands as processes: on free ports, in a folder and with a queue of their own."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil
from kombu import Connection
from kombu.exceptions import OperationalError

from benchmarks import client, empty
from pacifica.dispatcher.config import CelerySettings
from pacifica.dispatcher.tasks import Broker, celery_configuration

BROKERS: Final = {
    "RabbitMQ": CelerySettings().broker_url,
    "Redis": "redis://127.0.0.1:6379/0",
    "files": "filesystem://",
}

_ROOT: Final = Path(__file__).parent.parent
_WORKER: Final = (
    *("worker", "--loglevel", "INFO", "--pool", "prefork"),
    *("--without-mingle", "--without-gossip"),  # other workers of the broker are not asked
)
_START_WITHIN: Final = 30.0
_STOP_WITHIN: Final = 20.0
_OVERRIDES: Final = ("DISPATCHER_CONFIG", "BROKER_URL", "PEEWEE_URL")


@dataclass(frozen=True, slots=True)
class Server:
    """A process that serves HTTP."""

    url: str
    pid: int


@dataclass(frozen=True, slots=True)
class Site:
    """A folder with a configuration, where tiers run."""

    folder: Path
    celery: CelerySettings

    def web(self) -> AbstractContextManager[Server]:
        """Run the web tier."""
        return _server(["pacifica.dispatcher"], self.folder)

    def standalone(self) -> AbstractContextManager[Server]:
        """Run everything on one machine."""
        return _server(["pacifica.dispatcher", "standalone"], self.folder)

    def worker(self, processes: int = 2) -> AbstractContextManager[int]:
        """Run a worker with this many pool processes; gives its process id."""
        options = (*self._options, "--concurrency", str(processes))
        return _process(["celery", "-A", "pacifica.dispatcher.tasks", *options], self.folder)

    def empty_worker(self, times: Path) -> AbstractContextManager[int]:
        """Run a worker of the same options whose tasks note the time in a file."""
        environment = {
            "PYTHONPATH": str(_ROOT),
            empty.CONFIGURATION: json.dumps(celery_configuration(self.celery)),
            empty.TIMES: str(times),
        }
        command = ["celery", "-A", "benchmarks.empty", *self._options, "--concurrency", "2"]
        return _process(command, self.folder, environment)

    def publish(self, count: int) -> None:
        """Send wake-ups of runs that do not exist."""
        broker = Broker(self.celery)
        for _ in range(count):
            broker.send(str(uuid.uuid4()), "")
        broker.close()

    @property
    def _options(self) -> tuple[str, ...]:
        return (*_WORKER, "--hostname", f"{self.celery.queue}@%h")


@contextmanager
def site(folder: Path, broker: str, command: str) -> Iterator[Site]:
    """Make a site; its queue is deleted afterwards.

    Args:
        folder: an existing folder.
        broker: a key of BROKERS.
        command: what the only application runs.
    """
    queue = f"bench-{uuid.uuid4().hex[:12]}"
    url = f"filesystem://localhost{folder / 'broker'}" if broker == "files" else BROKERS[broker]
    (folder / "config.ini").write_text(
        f"[celery]\nbroker_url = {url}\nqueue = {queue}\n"
        f"[application:bench]\nexact.type = {client.TYPE}\ncommand = {command}\n",
        encoding="utf-8",
    )
    try:
        yield Site(folder, CelerySettings(url, queue))
    finally:
        if broker != "files" and reachable(broker):
            with Connection(url) as connection:
                channel: Any = connection.default_channel
                channel.exchange_declare(queue, "direct", durable=True, auto_delete=False)
                channel.queue_declare(queue, durable=True, auto_delete=False)
                channel.queue_bind(queue, queue, queue)
                channel.queue_delete(queue)
                for exchange in (
                    queue,
                    *(f"{each}dispatcher-{queue}.pidbox" for each in ("", "reply.")),
                ):
                    channel.exchange_delete(exchange)


def reachable(broker: str) -> bool:
    """Whether a broker answers."""
    if broker == "files":
        return True
    try:
        with Connection(BROKERS[broker], connect_timeout=2) as connection:
            connection.ensure_connection(max_retries=1, timeout=2)
    except (OSError, OperationalError):
        return False
    return True


def resident(pid: int) -> tuple[float, float]:
    """The resident memory of a process and of all its children, in MiB."""
    listed = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid=,rss="], stdout=subprocess.PIPE, check=True, text=True
    )
    processes = [tuple(map(int, line.split())) for line in listed.stdout.splitlines()]
    own = sum(size for process, _, size in processes if process == pid)
    children = sum(size for _, parent, size in processes if parent == pid)
    return own / 1024, children / 1024


def processor_time(pid: int) -> float:
    """The seconds of processor time that a worker took so far, its own children included.

    Not included are the applications, which lead sessions of their own.
    """
    times = [each.cpu_times() for each in _own(pid)]
    return float(sum(each.user + each.system for each in times))


def processes(pid: int) -> int:
    """How many processes a worker has."""
    return len(_own(pid))


def _own(pid: int) -> list[psutil.Process]:
    worker = psutil.Process(pid)
    return [worker, *(each for each in worker.children() if each.name() == worker.name())]


def until(condition: Callable[[], bool], every: float, patience: float) -> None:
    """Wait for a condition."""
    end = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < end, f"nothing came of it in {patience:g} s"
        time.sleep(every)


def bare_server(folder: Path) -> AbstractContextManager[Server]:
    """Run the bare CherryPy handler."""
    return _server(["benchmarks.bare"], folder, {"PYTHONPATH": str(_ROOT)})


@contextmanager
def _server(
    module: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None
) -> Iterator[Server]:
    port = _free_port()
    with _process([*module, "--port", str(port)], folder, environment) as pid:
        until(lambda: _listens(port), every=0.02, patience=_START_WITHIN)
        yield Server(f"http://127.0.0.1:{port}", pid)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _listens(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def _process(
    module: Sequence[str],
    folder: Path,
    environment: Mapping[str, str] | None = None,
) -> Iterator[int]:
    inherited = {name: value for name, value in os.environ.items() if name not in _OVERRIDES}
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *module],
            cwd=folder,
            env={**inherited, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield process.pid
    finally:
        process.terminate()
        try:
            with suppress(subprocess.TimeoutExpired):
                process.wait(_STOP_WITHIN)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
