"""An installation of the dispatcher: its configuration and its tiers as processes."""

import json
import subprocess
import sys
import uuid
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from harness.client import Response, http
from harness.ports import HOST, free_port
from harness.processes import environment, kill_session, launch
from harness.waiting import DEADLINE, DeadlineError, wait_until

PROGRAM: Final = (sys.executable, "-m", "pacifica.dispatcher")

_WORKER: Final = (
    *("worker", "-l", "info"),
    *("--without-gossip", "--without-mingle"),  # no traffic with other workers of the broker
)


def web_command(port: int) -> list[str]:
    """Return the command that starts a web tier."""
    return [*PROGRAM, "-p", str(port)]


def worker_command(
    name: str, concurrency: int, module: str = "pacifica.dispatcher.tasks"
) -> list[str]:
    """Return the command that starts a worker.

    Args:
        name: must be unique on the broker.
        concurrency: the number of pool processes.
        module: defines the tasks.
    """
    options = [*_WORKER, "-c", str(concurrency), "-n", f"{name}@%h"]
    return [sys.executable, "-m", "celery", "-A", module, *options]


@dataclass
class Site:
    """An installation in its own folder.

    Attributes:
        folder: holds the configuration and the log of each process.
        port: the port of its web tier.
        processes: every process started so far.
    """

    folder: Path
    port: int = field(default_factory=free_port)
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        """The address of its web tier."""
        return f"http://{HOST}:{self.port}"

    def configure(self, text: str) -> None:
        """Write config.ini."""
        (self.folder / "config.ini").write_text(text, encoding="utf-8")

    def start(self, *command: str | Path, **variables: str) -> subprocess.Popen[bytes]:
        """Start a command in the folder, with its output in a log file."""
        log = self.log(len(self.processes))
        process = launch(command, self.folder, log, environment(**variables))
        self.processes.append(process)
        return process

    def log(self, number: int) -> Path:
        """Return the log file of a process, numbered by its start."""
        return self.folder / f"process-{number}.log"

    def start_web(self, *options: str, **variables: str) -> subprocess.Popen[bytes]:
        """Start a web tier and wait until it is up."""
        process = self.start(*web_command(self.port), *options, **variables)
        self.wait_listening(process)
        return process

    def start_worker(
        self, *options: str, concurrency: int = 2, **variables: str
    ) -> subprocess.Popen[bytes]:
        """Start a worker with a unique name."""
        command = worker_command(uuid.uuid4().hex[:8], concurrency)
        return self.start(*command, *options, **variables)

    def start_standalone(self) -> subprocess.Popen[bytes]:
        """Start all tiers in one process and wait until the web tier is up."""
        process = self.start(*PROGRAM, "standalone", "-p", str(self.port))
        self.wait_listening(process)
        return process

    def wait_listening(self, process: subprocess.Popen[bytes]) -> None:
        """Wait until the web tier responds."""

        def responds() -> bool:
            assert process.poll() is None, self.logs()
            try:
                return http(f"{self.url}/health/live").status == HTTPStatus.OK
            except OSError:
                return False

        wait_until(responds, "the web tier")

    def post(self, **attributes: object) -> Response:
        """Post an event with defaults for the required attributes."""
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
        """Fetch the status of an event."""
        return http(f"{self.url}/status/{uuid}").json

    def wait_status(self, uuid: str, *wanted: str, timeout: float = DEADLINE) -> Any:  # noqa: ANN401
        """Wait until an event has one of the wanted statuses."""

        def reached() -> Any:  # noqa: ANN401 - JSON
            found = self.status(uuid)
            return found if found["status"] in wanted else None

        try:
            return wait_until(reached, f"{' or '.join(wanted)} of {uuid}", timeout)
        except DeadlineError as exc:
            raise DeadlineError(f"{exc}: {self.status(uuid)}\n{self.logs()}") from exc

    def output(self, run: str, query: str = "") -> str:
        """Fetch the output of a run."""
        return http(f"{self.url}/runs/{run}/output{query}").text

    def logs(self) -> str:
        """Return the output of all processes."""
        return "\n".join(
            self.log(number).read_text(errors="replace") for number in range(len(self.processes))
        )

    def kill_all(self) -> None:
        """Kill every remaining process, and wait until their children have ended."""
        for process in self.processes:
            kill_session(process)
        wait_until(lambda: not self._strays(), "the end of this site's processes")

    def _strays(self) -> list[int]:
        """Find live processes in this folder, such as pool processes whose worker was killed."""
        strays = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if (entry / "cwd").readlink().is_relative_to(self.folder):
                    strays.append(int(entry.name))
            except OSError:
                continue
        return strays
