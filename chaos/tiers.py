"""The dispatcher's tiers as processes, which are started again when they end."""

import asyncio
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from chaos.journal import Journal, now
from chaos.processes import marked
from chaos.servers import QUEUE, Server, free_port, listens
from chaos.waiting import until

CONCURRENCY: Final = 8
LEASE: Final = 15.0

_START_WITHIN: Final = 60.0
_STOP_WITHIN: Final = 45.0
_OVERRIDES: Final = ("DISPATCHER_", "PEEWEE_URL", "BROKER_URL")

KINDS: Final[Mapping[str, tuple[str, ...]]] = {
    "plain": ("plain",),
    "stubborn": ("stubborn",),
    "stray": ("stray",),
    "flaky": ("flaky",),
    "pair": ("pair-one", "pair-two"),
}
"""The last word of an event's type, and the applications that it matches."""


def environment(**more: str) -> dict[str, str]:
    """The environment without what would reach into the tiers."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(_OVERRIDES)}
    return inherited | more


@dataclass
class Tier:
    """A web server or worker.

    Attributes:
        name: unique in its site.
        command: what starts it.
        folder: its working directory.
        environment: its environment.
        port: where it listens; 0 for a worker.
        starts: when it was started, each time.
        frozen: whether it was made to stand still.
        pause: seconds until it is started again after the end that comes next.
        own_ends: how often it ended without having been made to.
    """

    name: str
    command: list[str]
    folder: Path
    environment: dict[str, str]
    port: int = 0
    starts: list[float] = field(default_factory=list)
    frozen: bool = False
    pause: float | None = None
    own_ends: int = 0
    _process: subprocess.Popen[bytes] | None = None
    _watcher: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        """Its main process's number."""
        assert self._process is not None
        return self._process.pid

    @property
    def identity(self) -> str:
        """Its name, and which start of it this is."""
        return f"{self.name}.{len(self.starts)}"

    @property
    def lives(self) -> bool:
        """Whether its main process lives and does not stand still."""
        return self._process is not None and self._process.poll() is None and not self.frozen

    def start(self) -> None:
        """Start it."""
        self.starts.append(now())
        with (self.folder / f"{self.name}.log").open("ab") as log:
            self._process = subprocess.Popen(
                self.command,
                cwd=self.folder,
                env={**self.environment, "CHAOS_WORKER": self.identity},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def watch(self) -> None:
        """Start it again from now on whenever it has ended."""
        self._watcher = asyncio.create_task(self._watch())

    def signal(self, number: signal.Signals, *, group: bool = False) -> None:
        """Send a signal to its main process, or to its pool's processes too."""
        (os.killpg if group else os.kill)(self.pid, number)

    def stand_still(self) -> None:
        """Freeze its main process and its pool's processes."""
        self.frozen = True
        self.signal(signal.SIGSTOP, group=True)

    def go_on(self) -> None:
        """Let it go on."""
        self.signal(signal.SIGCONT, group=True)
        self.frozen = False

    def leave(self) -> None:
        """Start it no more."""
        if self._watcher is not None:
            self._watcher.cancel()

    async def stop(self) -> bool:
        """Ask it to stop for good; whether it did."""
        self.leave()
        process = self._process
        if process is None or process.poll() is not None:
            return True
        process.terminate()
        await until(lambda: process.poll() is not None, f"the end of {self.name}", _STOP_WITHIN)
        return True

    async def _watch(self) -> None:
        while True:
            await until(
                lambda: self._process and self._process.poll() is not None, "", float("inf")
            )
            if self.pause is None:
                self.own_ends += 1
            await asyncio.sleep(self.pause or 0)
            self.pause = None
            self.start()


class Site:
    """An installation: two web servers, two workers that share a folder, and one elsewhere.

    Attributes:
        mark: the value of CHAOS_SITE in the environment of all that belongs to it.
    """

    def __init__(self, folder: Path, mark: str, broker: Server, database: Server) -> None:
        """Write the configurations."""
        self.folder, self.mark, self.broker, self.database = folder, mark, broker, database
        self.journal = Journal(folder / "journal")
        here, elsewhere = self._place("here"), self._place("elsewhere")
        self.webs = [self._web(f"web-{number}", here) for number in (1, 2)]
        self.workers = [
            self._worker("one", here),
            self._worker("two", here),
            self._worker("other", elsewhere),
        ]
        self.other = self.workers[-1]
        self.tiers = [*self.webs, *self.workers]

    async def start(self) -> None:
        """Start all tiers, and wait for the web servers and for the pools."""
        for tier in self.tiers:
            tier.start()
        await until(self._is_up, f"the tiers, see {self.folder}", _START_WITHIN)
        for tier in self.tiers:
            tier.watch()

    def leave(self) -> None:
        """Start no tier any more."""
        for tier in self.tiers:
            tier.leave()

    async def stop(self) -> list[str]:
        """Stop all tiers; those that did not stop."""
        done = await asyncio.gather(*(tier.stop() for tier in self.tiers), return_exceptions=True)
        return [
            tier.name for tier, stopped in zip(self.tiers, done, strict=True) if stopped is not True
        ]

    def _is_up(self) -> bool:
        logs = [(each.folder / f"{each.name}.log").read_text() for each in self.workers]
        return all(listens(web.port) for web in self.webs) and all(" ready." in log for log in logs)

    def _place(self, name: str) -> Path:
        """A folder with a configuration, as a machine of its own would have."""
        place = self.folder / name
        place.mkdir()
        (place / "config.ini").write_text(self._configuration(place), encoding="utf-8")
        return place

    def _configuration(self, place: Path) -> str:
        text = (
            f"[database]\npeewee_url = {self.database.url}\n"
            "connect_attempts = 1000\nconnect_wait = 500ms\n"
            f"[celery]\nbroker_url = {self.broker.url}\nqueue = {QUEUE}\n"
            f"[worker]\ndirectory = {place / 'runs'}\nstop_grace = 1s\nlease = {LEASE:g}s\n"
        )
        program = shlex.join(
            [sys.executable, "-I", "-S", str(Path(__file__).parent / "application.py")]
        )
        for kind, applications in KINDS.items():
            for application in applications:
                text += (
                    f"[application:{application}]\nexact.type = chaos.{kind}\n"
                    f"command = {program} {kind} {{id}} {{data.seconds}}\n"
                    f"env.CHAOS_JOURNAL = {self.journal.path}\n"
                    "kill_after = 1s\nmax_crashes = 1000\nretries = 3\nretry_delay = 200ms\n"
                )
        return text

    def _web(self, name: str, folder: Path) -> Tier:
        port = free_port()
        command = [sys.executable, "-m", "pacifica.dispatcher", "-p", str(port)]
        return Tier(name, command, folder, environment(CHAOS_SITE=self.mark), port)

    def _worker(self, name: str, folder: Path) -> Tier:
        command = [
            *(sys.executable, "-m", "celery", "-A", "pacifica.dispatcher.tasks", "worker"),
            *("--without-gossip", "--without-mingle", "-l", "info"),
            *("-c", str(CONCURRENCY), "-n", f"{name}-{self.mark}@%h"),
        ]
        return Tier(name, command, folder, environment(CHAOS_SITE=self.mark))

    def applications(self) -> list[int]:
        """The processes of applications that live."""
        return [each.pid for each in marked(CHAOS_SITE=self.mark, DISPATCHER_RUN="")]
