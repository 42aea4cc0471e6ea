"""The dispatcher's tiers as processes that are restarted when they end."""

import asyncio
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from chaos.journal import Journal, now
from harness import Proxy, free_port, listens, until
from harness.databases import PgBouncer, PostgreSQL
from harness.processes import environment, kill_marked, launch, marked
from harness.servers import Server, start_together
from harness.tiers import web_command, worker_command

CONCURRENCY: Final = 8
QUEUE: Final = "default"
LEASE: Final = 8.0

_START_TIMEOUT: Final = 60.0
_STOP_TIMEOUT: Final = 45.0
_POOL_SIZE: Final = 20
_LOST: Final = "lease.lost "
_READY: Final = " ready."
_SHIFTED: Final = str(Path(__file__).with_name("clock"))
"""A folder with a module that lets a file move the clock of a tier."""

KINDS: Final[Mapping[str, tuple[str, ...]]] = {
    "plain": ("plain",),
    "stubborn": ("stubborn",),
    "stray": ("stray",),
    "flaky": ("flaky",),
    "pair": ("pair-one", "pair-two"),
}
"""The last word of an event's type, and the applications that match."""


@dataclass
class Tier:
    """A web server or worker.

    Attributes:
        name: unique in its site.
        command: the command that starts it.
        folder: its working directory.
        environment: its environment.
        port: the port it listens on; 0 for a worker.
        starts: the times of its starts.
        ready: the times at which a worker said that it was ready, by the index of the start.
        frozen: True while it is frozen.
        pause: seconds between its next end and restart; None if no end is planned.
        unexpected_exits: the starts whose end was not planned.
        links: the proxies through which it reaches the servers.
        via: the proxy or pooler through which only it reaches the database, if any.
        is_cut: True while nothing passes through its links.
    """

    name: str
    command: list[str]
    folder: Path
    environment: dict[str, str]
    port: int = 0
    starts: list[float] = field(default_factory=list)
    ready: dict[int, float] = field(default_factory=dict)
    frozen: bool = False
    pause: float | None = None
    unexpected_exits: list[str] = field(default_factory=list)
    links: Sequence[Proxy] = ()
    via: Proxy | PgBouncer | None = None
    is_cut: bool = False
    _process: subprocess.Popen[bytes] | None = None
    _watcher: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        """The process id of its main process."""
        assert self._process is not None
        return self._process.pid

    @property
    def identity(self) -> str:
        """Its name and start number."""
        return f"{self.name}.{len(self.starts)}"

    @property
    def is_running(self) -> bool:
        """True if its main process is running and not frozen."""
        return self._process is not None and self._process.poll() is None and not self.frozen

    @property
    def is_free(self) -> bool:
        """True if it is running and nothing is done to it."""
        return self.is_running and self.pause is None and not self.is_cut

    @property
    def is_ready(self) -> bool:
        """True if it accepts requests, or said as a worker that it accepts wake-ups."""
        if self.port:
            return listens(self.port)
        return _READY in self.log(self.identity).read_text(errors="replace")

    @property
    def gateway(self) -> int | None:
        """The process through which only it reaches the database; None if it does so directly."""
        return None if self.via is None else self.via.pid

    def start(self) -> None:
        """Start it."""
        self.starts.append(now())
        variables = {**self.environment, "CHAOS_WORKER": self.identity}
        self._process = launch(self.command, self.folder, self.log(self.identity), variables)

    def log(self, identity: str) -> Path:
        """Return the log file of one of its starts."""
        return self.folder / f"{identity}.log"

    def end(self, number: signal.Signals, *, pause: float, group: bool = False) -> None:
        """End it with a signal; it is restarted after a pause."""
        self.pause = pause
        self.signal(number, group=group)

    def watch(self) -> None:
        """Restart it whenever it ends."""
        self._watcher = asyncio.create_task(self._watch())

    def signal(self, number: signal.Signals, *, group: bool = False) -> None:
        """Send a signal to its main process, or to its whole process group."""
        (os.killpg if group else os.kill)(self.pid, number)

    def freeze(self) -> None:
        """Suspend its main process and its pool processes."""
        self.frozen = True
        self.signal(signal.SIGSTOP, group=True)

    def thaw(self) -> None:
        """Resume it, unless it has ended."""
        with suppress(ProcessLookupError):
            self.signal(signal.SIGCONT, group=True)
        self.frozen = False

    def cut(self) -> None:
        """Let nothing pass between it and the servers."""
        self.is_cut = True
        for link in self.links:
            link.cut()

    def heal(self) -> None:
        """Connect it to the servers again."""
        for link in self.links:
            link.heal()
        self.is_cut = False

    def stop_restarting(self) -> None:
        """Stop restarting it."""
        if self._watcher is not None:
            self._watcher.cancel()

    async def stop(self) -> bool:
        """Terminate it for good; return True when it has ended."""
        self.stop_restarting()
        process = self._process
        if process is None or process.poll() is not None:
            return True
        process.terminate()
        await until(lambda: process.poll() is not None, f"the end of {self.name}", _STOP_TIMEOUT)
        return True

    async def _watch(self) -> None:
        while True:
            await until(self._has_ended, "", float("inf"))
            if self.pause is None:
                self.unexpected_exits.append(self.identity)
            await asyncio.sleep(self.pause or 0)
            self.pause = None
            self.start()

    def _has_ended(self) -> bool:
        """Return True if its main process has ended; note the time at which it became ready."""
        number = len(self.starts) - 1
        if not self.port and number not in self.ready and self.is_ready:
            self.ready[number] = now()
        return self._process is not None and self._process.poll() is not None


class Site:
    """Two hosts: a web server and two workers on one, a web server and a worker on the other.

    The tiers of the other host reach the servers through proxies, and a worker of the first one
    reaches PostgreSQL through a pooler.

    Attributes:
        mark: the value of CHAOS_SITE in the environment of all its processes.
        other: the worker of the other host.
        pooled: the worker that uses the pooler, if any.
        elsewhere: all tiers of the other host.
        names: the names of all applications.
    """

    def __init__(self, folder: Path, mark: str, broker: Server, database: Server) -> None:
        """Write the configuration files."""
        self.folder, self.mark, self.broker, self.database = folder, mark, broker, database
        self.journal = Journal(folder / "journal")
        self.names = [name for names in KINDS.values() for name in names]
        here, elsewhere = self._place("here"), self._place("elsewhere")
        web, one = self._web("web-1", here), self._worker("one", here)
        two, self.other = self._worker("two", here), self._worker("other", elsewhere)
        # Of a configuration of its own, because the rules of the web server decide on runs.
        self.elsewhere = [self._web("web-2", self._place("elsewhere-web")), self.other]
        self._clock = elsewhere / "clock"
        for tier in self.elsewhere if database.can_fail else ():  # SQLite has the host's clock
            path = os.pathsep.join(filter(None, (_SHIFTED, os.environ.get("PYTHONPATH"))))
            tier.environment |= {"PYTHONPATH": path, "CHAOS_CLOCK": str(self._clock)}
        self.webs, self.workers = [web, self.elsewhere[0]], [one, two, self.other]
        self.tiers = [*self.webs, *self.workers]
        self.pooled = two if isinstance(database, PostgreSQL) else None

    async def start(self) -> None:
        """Start all tiers and wait until they are ready."""
        for tier in self.elsewhere:
            await asyncio.to_thread(self._link, tier)
        if self.pooled:
            await self._pool(self.pooled)
        for tier in self.tiers:
            tier.start()
        await until(self._is_up, f"the tiers, see {self.folder}", _START_TIMEOUT)
        for tier in self.tiers:
            tier.watch()

    def stop_restarting(self) -> None:
        """Stop restarting the tiers."""
        for tier in self.tiers:
            tier.stop_restarting()

    async def stop(self) -> list[str]:
        """Stop all tiers; return the names of those that did not stop."""
        done = await asyncio.gather(*(tier.stop() for tier in self.tiers), return_exceptions=True)
        return [
            tier.name for tier, stopped in zip(self.tiers, done, strict=True) if stopped is not True
        ]

    async def disconnect(self) -> None:
        """End the proxies and the pooler."""
        for tier in self.tiers:
            for link in tier.links:
                link.down()
            if isinstance(tier.via, PgBouncer):
                await tier.via.close()

    def move_clock(self, ahead: float) -> None:
        """Set the other host's clock this many seconds ahead."""
        self._clock.write_text(f"{ahead}", encoding="ascii")

    def configure_elsewhere(self, without: str) -> None:
        """Write the configuration of the other host's worker, without an application if given."""
        self._configure(self.other.folder, without)

    async def kill_all_of(self, identity: str) -> None:
        """Kill all processes of one start of a worker."""
        await kill_marked(CHAOS_SITE=self.mark, CHAOS_WORKER=identity)

    def lost_leases(self) -> dict[str, int]:
        """Count the leases that each start of a worker has lost."""
        identities = [
            (worker, f"{worker.name}.{number}")
            for worker in self.workers
            for number in range(1, len(worker.starts) + 1)
        ]
        logs = ((each, worker.log(each)) for worker, each in identities)
        return {each: log.read_text(errors="replace").count(_LOST) for each, log in logs}

    def _is_up(self) -> bool:
        return all(tier.is_ready for tier in self.tiers)

    def _link(self, tier: Tier) -> None:
        """Connect a tier to the servers through proxies of its own."""
        links = []
        for variable, server in (("BROKER_URL", self.broker), ("PEEWEE_URL", self.database)):
            if server.can_fail:
                proxy = Proxy(server.port)
                proxy.up()
                links.append(proxy)
                tier.environment[variable] = proxy.url(server.url)
                tier.via = proxy if server is self.database else None
        tier.links = links

    async def _pool(self, tier: Tier) -> None:
        """Connect a tier to PostgreSQL through a pooler."""
        marked = environment(CHAOS_SITE=self.mark)
        target = urlsplit(self.database.url)
        pooler = PgBouncer(self.folder / "pgbouncer", target, marked, connections=_POOL_SIZE)
        await start_together(pooler)
        tier.environment["PEEWEE_URL"], tier.via = pooler.url, pooler

    def _place(self, name: str) -> Path:
        """Create a folder with a configuration, which stands for a host."""
        place = self.folder / name
        place.mkdir()
        self._configure(place)
        return place

    def _configure(self, place: Path, without: str = "") -> None:
        text = (
            f"[database]\npeewee_url = {self.database.url}\n"
            "connect_attempts = 1000\nconnect_wait = 500ms\n"
            f"[celery]\nbroker_url = {self.broker.url}\nqueue = {QUEUE}\n"
            f"[worker]\ndirectory = {place / 'runs'}\nstop_grace = 1s\nlease = {LEASE:g}s\n"
        )
        for kind, applications in KINDS.items():
            for application in applications:
                text += self._application(application, kind) if application != without else ""
        (place / "config.ini").write_text(text, encoding="utf-8")

    def _application(self, name: str, kind: str) -> str:
        program = shlex.join(
            [sys.executable, "-I", "-S", str(Path(__file__).parent / "application.py")]
        )
        return (
            f"[application:{name}]\nexact.type = chaos.{kind}\n"
            f"command = {program} {kind} {{id}} {{data.seconds}}\n"
            f"env.CHAOS_JOURNAL = {self.journal.path}\n"
            "kill_after = 1s\nmax_crashes = 1000\nretries = 3\nretry_delay = 200ms\n"
        )

    def _web(self, name: str, folder: Path) -> Tier:
        port = free_port()
        return Tier(name, web_command(port), folder, environment(CHAOS_SITE=self.mark), port)

    def _worker(self, name: str, folder: Path) -> Tier:
        command = worker_command(f"{name}-{self.mark}", CONCURRENCY)
        return Tier(name, command, folder, environment(CHAOS_SITE=self.mark))

    def applications(self) -> list[int]:
        """Return the process ids of running applications."""
        return [each.pid for each in marked(CHAOS_SITE=self.mark, DISPATCHER_RUN="")]
