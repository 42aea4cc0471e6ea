"""Servers started by the harness, on free ports and with all their files in one folder."""

import asyncio
import os
import shutil
import signal
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, Final

from harness.ports import free_port, listens
from harness.processes import launch
from harness.waiting import DEADLINE, until

_RABBITMQ: Final = "/usr/lib/rabbitmq/bin"
_DIRECTORIES: Final = (
    "/usr/sbin",
    "/usr/local/sbin",
    *map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)),
)


class UnavailableError(Exception):
    """A server is not installed on this machine, or cannot be set up."""


def program(name: str) -> str:
    """Find a server's program.

    Raises:
        UnavailableError: it is not installed.
    """
    # Debian's RabbitMQ wrapper on PATH would run it as another user, with that user's files.
    path = os.pathsep.join([_RABBITMQ, os.environ.get("PATH", ""), *_DIRECTORIES])
    found = shutil.which(name, path=path)
    if found is None:
        raise UnavailableError(f"{name} is not installed")
    return found


class Server(ABC):
    """A broker or database.

    Attributes:
        programs: the programs it needs.
        can_fail: True if it is a process, which can be stopped and restarted.
        fast_stop: the signal that stops it without waiting for its clients.
    """

    programs: ClassVar[tuple[str, ...]] = ()
    can_fail = True
    fast_stop = signal.SIGTERM

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        """Create its folder and choose its port."""
        self.folder = folder
        self.environment = dict(environment)
        self.port = free_port()
        folder.mkdir()

    @property
    @abstractmethod
    def url(self) -> str:
        """Its address, as in a configuration."""

    def prepare(self) -> None:  # noqa: B027 - not every server needs it
        """Create its files; called once."""

    @abstractmethod
    async def start(self) -> None:
        """Start it and wait until it accepts connections."""

    @abstractmethod
    async def stop(self, number: signal.Signals) -> None:
        """Stop it with a signal and wait until it has ended."""

    async def close(self) -> None:
        """Stop it permanently."""
        await self.stop(signal.SIGKILL)

    @classmethod
    def missing(cls) -> str:
        """Return the reason why it cannot run on this machine; empty if it can."""
        try:
            for name in cls.programs:
                program(name)
        except UnavailableError as exc:
            return str(exc)
        return ""


class FileServer(Server):
    """A broker or database that is a file or folder."""

    can_fail = False

    async def start(self) -> None:
        """Do nothing."""

    async def stop(self, number: signal.Signals) -> None:
        """Do nothing."""


class ProcessServer(Server):
    """A broker or database that is a process."""

    _process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> list[str]:
        """Return the command that runs it in the foreground."""

    def user(self) -> str | None:
        """Return the user that it must run as; None for the current one."""
        return None

    async def start(self) -> None:
        """Start it and wait until it accepts connections."""

        def is_up() -> bool:
            if self._process is None or self._process.poll() is not None:
                # After a kill, the first attempts may fail because of files of the killed process.
                self._process = self.spawn(self.command())
            return listens(self.port)

        await until(is_up, f"{type(self).__name__}, see {self.folder}", DEADLINE)

    async def stop(self, number: signal.Signals) -> None:
        """Stop it with a signal and wait until it has ended."""
        process = self._process
        if process is None:
            return
        process.send_signal(number)
        what = f"the end of {process.args!r}"
        await until(lambda: process.poll() is not None, what, DEADLINE)
        self._process = None

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, such as SIGSTOP."""
        assert self._process is not None
        self._process.send_signal(number)

    def run(self, command: list[str]) -> None:
        """Run a program to its end.

        Raises:
            UnavailableError: the program failed.
        """
        code = self.spawn(command).wait(DEADLINE)
        if code:
            raise UnavailableError(f"{command[0]} exited with {code}: {self._log.read_text()}")

    def spawn(self, command: list[str]) -> subprocess.Popen[bytes]:
        """Start a program as the server's user."""
        return launch(command, self.folder, self._log, self.environment, self.user())

    @property
    def _log(self) -> Path:
        return self.folder / "server.log"


async def start_together(*servers: Server) -> None:
    """Prepare and start servers concurrently."""

    async def start(server: Server) -> None:
        await asyncio.to_thread(server.prepare)
        await server.start()

    await asyncio.gather(*map(start, servers))


@contextmanager
def running(server: Server) -> Iterator[None]:
    """Run a server."""
    asyncio.run(start_together(server))
    try:
        yield
    finally:
        asyncio.run(server.close())
