"""What several tests use: free ports, waiting with a deadline, real servers, and running tiers."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import pytest

from pacifica.dispatcher import orm

T = TypeVar("T")

PROGRAM = [sys.executable, "-m", "pacifica.dispatcher"]
WORKER = [sys.executable, "-m", "celery", "-A", "pacifica.dispatcher.tasks", "worker"]


def registration(host: str, lock: str, length: float = 15.0) -> orm.Registration:
    """What a worker says of itself."""
    return orm.Registration(host, lock, length, ("default",), 1)


def free_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], T], what: str = "this", timeout: float = 30.0) -> T:
    """Wait until a condition gives something true; give that."""
    deadline = time.monotonic() + timeout
    pause = 0.01
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited {timeout:g} s in vain for {what}"
        time.sleep(pause)
        pause = min(pause * 1.5, 0.2)
    return found


def absent(server: str, exc: Exception) -> NoReturn:
    """Skip a test for want of a server; in CI that is a failure."""
    reason = f"{server} does not answer: {exc}"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@dataclass(frozen=True)
class Answer:
    """An HTTP answer."""

    status: int
    headers: Message
    body: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401 - JSON
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()


def http(url: str, body: bytes | None = None, method: str | None = None, **headers: str) -> Answer:
    """Send a request; header names have underscores for hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, body, named, method=method)  # noqa: S310 - our own server
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return Answer(answer.status, answer.headers, answer.read())
    except urllib.error.HTTPError as exc:
        with exc:
            return Answer(exc.code, exc.headers, exc.read())


@dataclass
class Site:
    """An installation in its own folder: its configuration, and its tiers as real processes."""

    folder: Path
    port: int = field(default_factory=free_port)
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Where its web tier listens."""
        return f"http://127.0.0.1:{self.port}"

    def configure(self, text: str) -> None:
        """Write config.ini."""
        (self.folder / "config.ini").write_text(text, encoding="utf-8")

    def start(self, *arguments: str | Path, **environment: str) -> subprocess.Popen[bytes]:
        """Start a program in the folder; what it prints goes to a file there."""
        with self.log(len(self.processes)).open("wb") as log:
            process = subprocess.Popen(
                arguments,
                cwd=self.folder,
                env=_environment() | environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def log(self, number: int) -> Path:
        """The file that holds what the process of this number printed."""
        return self.folder / f"process-{number}.log"

    def start_web(self, *options: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start a web tier and wait until it listens."""
        process = self.start(*PROGRAM, "-p", str(self.port), *options, **environment)
        self.wait_listening(process)
        return process

    def start_worker(self, *options: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start a worker."""
        name = f"{uuid.uuid4().hex[:8]}@%h"
        quick = ("--without-gossip", "--without-mingle", "-c", "2", "-n", name)
        return self.start(*WORKER, *quick, "-l", "info", *options, **environment)

    def start_standalone(self) -> subprocess.Popen[bytes]:
        """Start everything in one and wait until it listens."""
        process = self.start(*PROGRAM, "standalone", "-p", str(self.port))
        self.wait_listening(process)
        return process

    def wait_listening(self, process: subprocess.Popen[bytes]) -> None:
        """Wait until the web tier answers."""

        def answers() -> bool:
            assert process.poll() is None, self.logs()
            try:
                return http(f"{self.url}/health/live").status == 200
            except OSError:
                return False

        wait_until(answers, "the web tier")

    def post(self, **attributes: object) -> Answer:
        """Post an event; what is not given is filled in."""
        event = {
            "specversion": "1.0",
            "id": uuid.uuid4().hex,
            "source": "/tests",
            "type": "test",
            **attributes,
        }
        body = json.dumps(event).encode()
        return http(f"{self.url}/receive", body, Content_Type="application/cloudevents+json")

    def status(self, uuid: str) -> Any:  # noqa: ANN401 - JSON
        """What became of an event."""
        return http(f"{self.url}/status/{uuid}").json

    def wait_status(self, uuid: str, *wanted: str, timeout: float = 30.0) -> Any:  # noqa: ANN401
        """Wait until an event has one of the statuses."""

        def reached() -> Any:  # noqa: ANN401 - JSON
            found = self.status(uuid)
            return found if found["status"] in wanted else None

        try:
            return wait_until(reached, f"{' or '.join(wanted)} of {uuid}", timeout)
        except AssertionError as exc:
            raise AssertionError(f"{exc}: {self.status(uuid)}\n{self.logs()}") from exc

    def output(self, run: str, query: str = "") -> str:
        """What a run printed."""
        return http(f"{self.url}/runs/{run}/output{query}").text

    def logs(self) -> str:
        """All that the processes printed."""
        return "\n".join(
            self.log(number).read_text(errors="replace") for number in range(len(self.processes))
        )

    def kill_all(self) -> None:
        """End every process that is left, with all of its group."""
        for process in self.processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        wait_until(lambda: not self._strays(), "the end of this site's processes")

    def _strays(self) -> list[int]:
        """Processes of this folder that live on, such as pool processes whose worker was killed."""
        mine = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if (entry / "cwd").readlink().is_relative_to(self.folder):
                    mine.append(int(entry.name))
            except OSError:
                continue
        return mine


def _environment() -> dict[str, str]:
    """The environment without what would reach into the site."""
    ours = ("DISPATCHER_", "PEEWEE_URL", "BROKER_URL")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


class Proxy:
    """A TCP proxy that can be cut: to its clients the server behind it then is away."""

    def __init__(self, port: int) -> None:
        """Forward a free port to a port of this machine, once `up` is called."""
        self.port = free_port()
        self.target = port
        self._process: subprocess.Popen[bytes] | None = None

    def up(self) -> None:
        """Forward."""
        command = [sys.executable, str(Path(__file__).with_name("proxy.py"))]
        self._process = subprocess.Popen([*command, str(self.port), str(self.target)])
        wait_until(self._listens, "the proxy")

    def down(self) -> None:
        """Cut all connections and refuse new ones."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


@contextmanager
def redis_server(folder: Path, port: int) -> Iterator[str]:
    """A Redis server of the test's own."""
    program = shutil.which("redis-server")
    if program is None:
        absent("Redis", FileNotFoundError("redis-server"))
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    process = subprocess.Popen([program, *options], stdout=subprocess.DEVNULL)

    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    try:
        wait_until(listens, "Redis")
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.kill()
        process.wait()
