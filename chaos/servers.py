"""Brokers and databases of the suite's own: on free ports, with all their files in its folder."""

import asyncio
import os
import random
import shutil
import signal
import socket
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from kombu import Connection

from chaos.waiting import until

QUEUE: Final = "default"

_HOST: Final = "127.0.0.1"
_START_WITHIN: Final = 60.0
_STOP_WITHIN: Final = 30.0
_PORTS: Final = range(20_000, 30_000)
"""Below those that the system gives to outgoing connections: a client that keeps on knocking at a
server which is away would else, one day, be given the server's own port, and talk to itself."""

_PLACES: Final = (
    "/usr/sbin",
    "/usr/local/sbin",
    "/usr/lib/rabbitmq/bin",
    *map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)),
)


class UnavailableError(Exception):
    """A server cannot be had on this machine."""


def free_port() -> int:
    """A TCP port that nobody listens on."""
    while True:
        port = random.choice(_PORTS)  # noqa: S311 - no secret
        with socket.socket() as probe, suppress(OSError):
            probe.bind((_HOST, port))
            return port


def listens(port: int) -> bool:
    """Whether somebody listens on a port."""
    with socket.socket() as probe:
        return probe.connect_ex((_HOST, port)) == 0


def _program(name: str) -> str:
    # The plain program of RabbitMQ comes before the one on PATH: that may be Debian's wrapper,
    # which runs it as another user and with that user's files.
    first = [place for place in _PLACES if "rabbitmq" in place]
    path = os.pathsep.join([*first, os.environ.get("PATH", ""), *_PLACES])
    found = shutil.which(name, path=path)
    if found is None:
        raise UnavailableError(f"there is no program {name}")
    return found


class Server(ABC):
    """A server process that can be stopped, killed and started again.

    Attributes:
        url: where the tiers find it.
        can_fail: whether it has a process at all.
    """

    can_fail = True
    fast_stop = signal.SIGTERM

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        """Find its programs, choose its port.

        Raises:
            UnavailableError: a program is not installed.
        """
        self.folder = folder
        self.environment = dict(environment)
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir()

    @property
    @abstractmethod
    def url(self) -> str:
        """Where the tiers find it."""

    @abstractmethod
    def command(self) -> list[str]:
        """What starts it, in the foreground."""

    def prepare(self) -> None:  # noqa: B027 - not every server needs it
        """Make the files that it needs; called once."""

    def user(self) -> str | None:
        """The user that it must run as; None for this one."""
        return None

    async def start(self) -> None:
        """Start it and wait until it listens."""

        def is_up() -> bool:
            if self._process is None or self._process.poll() is not None:
                # The first attempts after a kill may find what the last process has left behind.
                self._process = self._spawn(self.command())
            return listens(self.port)

        await until(is_up, f"{type(self).__name__}, see {self.folder}", _START_WITHIN)

    async def stop(self, number: signal.Signals) -> None:
        """End it with a signal, and wait for that."""
        process = self._process
        if process is None:
            return
        process.send_signal(number)
        await until(
            lambda: process.poll() is not None, f"the end of {process.args!r}", _STOP_WITHIN
        )
        self._process = None

    async def close(self) -> None:
        """Stop it for good."""
        await self.stop(signal.SIGKILL)

    def run(self, command: list[str]) -> None:
        """Run a program to its end."""
        code = self._spawn(command).wait(_START_WITHIN)
        if code:
            raise UnavailableError(f"{command[0]} ended with {code}: {self._log.read_text()}")

    @property
    def _log(self) -> Path:
        return self.folder / "server.log"

    def _spawn(self, command: list[str]) -> subprocess.Popen[bytes]:
        user = self.user()
        with self._log.open("ab") as log:
            return subprocess.Popen(
                command,
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                user=user,
                group=user,
                extra_groups=None if user is None else (),
            )


class RabbitMQ(Server):
    """RabbitMQ, with a port mapper of its own, so that the machine's is not asked."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        """Find its programs, choose its ports."""
        super().__init__(folder, environment)
        self._server, self._mapper_program = _program("rabbitmq-server"), _program("epmd")
        self._mapper_port = free_port()
        self._mapper: subprocess.Popen[bytes] | None = None
        files = {
            "CONF_ENV_FILE": "environment",
            "CONFIG_FILE": "rabbitmq.conf",
            "ADVANCED_CONFIG_FILE": "advanced.config",
            "ENABLED_PLUGINS_FILE": "plugins",
            "MNESIA_BASE": "mnesia",
            "LOG_BASE": "log",
            "PID_FILE": "pid",
        }
        self.environment |= {f"RABBITMQ_{name}": str(folder / to) for name, to in files.items()}
        self.environment |= {
            "HOME": str(folder),
            "ERL_EPMD_PORT": str(self._mapper_port),
            "ERL_EPMD_ADDRESS": _HOST,
            "RABBITMQ_NODENAME": f"chaos-{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            # The script then turns into the server instead of staying as its parent.
            "RUNNING_UNDER_SYSTEMD": "1",
        }

    @property
    def url(self) -> str:
        """Where the tiers find it."""
        return f"pyamqp://guest:guest@{_HOST}:{self.port}//"

    def command(self) -> list[str]:
        """What starts it."""
        return [self._server]

    def prepare(self) -> None:
        """Write its configuration, start the port mapper."""
        (self.folder / "environment").touch()
        (self.folder / "plugins").write_text("[].\n")
        (self.folder / "rabbitmq.conf").write_text(f"listeners.tcp.1 = {_HOST}:{self.port}\n")
        port = str(self._mapper_port)
        self._mapper = self._spawn([self._mapper_program, "-port", port, "-address", _HOST])

    async def close(self) -> None:
        """Stop it and its port mapper."""
        await super().close()
        if self._mapper is not None:
            self._mapper.kill()
            self._mapper.wait()


class Redis(Server):
    """Redis, which keeps nothing on disk."""

    @property
    def url(self) -> str:
        """Where the tiers find it."""
        return f"redis://{_HOST}:{self.port}/0"

    def command(self) -> list[str]:
        """What starts it."""
        return [_program("redis-server"), "--port", str(self.port), "--bind", _HOST, "--save", ""]


class Files(Server):
    """The broker that is a folder."""

    can_fail = False

    @property
    def url(self) -> str:
        """Where the tiers find it."""
        return f"filesystem://localhost{self.folder}"

    def command(self) -> list[str]:
        """Nothing starts it."""
        raise NotImplementedError

    async def start(self) -> None:
        """It is always there."""


class PostgreSQL(Server):
    """PostgreSQL; it refuses to run as root."""

    fast_stop = signal.SIGINT

    @property
    def url(self) -> str:
        """Where the tiers find it."""
        return f"postgresql://dispatcher@{_HOST}:{self.port}/postgres"

    def command(self) -> list[str]:
        """What starts it."""
        settings = {"listen_addresses": _HOST, "unix_socket_directories": ""}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        data = str(self.folder / "data")
        return [_program("postgres"), "-D", data, "-p", str(self.port), *options]

    def prepare(self) -> None:
        """Make its data directory."""
        user = self.user()
        if user is not None:
            shutil.chown(self.folder, user)
        options = ["-U", "dispatcher", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
        self.run([_program("initdb"), "-D", str(self.folder / "data"), *options])

    def user(self) -> str | None:
        """The user that it must run as."""
        return "postgres" if os.geteuid() == 0 else None


class MariaDB(Server):
    """MariaDB, for what speaks to MySQL."""

    @property
    def url(self) -> str:
        """Where the tiers find it."""
        return f"mysql://dispatcher@{_HOST}:{self.port}/dispatcher"

    def command(self) -> list[str]:
        """What starts it."""
        return [
            *(_program("mariadbd"), "--no-defaults", *self._options()),
            *(f"--port={self.port}", f"--bind-address={_HOST}", "--skip-name-resolve"),
            *(f"--socket={self.folder / 'socket'}", f"--pid-file={self.folder / 'pid'}"),
            *(f"--init-file={self.folder / 'init.sql'}", "--innodb-buffer-pool-size=64M"),
        ]

    def prepare(self) -> None:
        """Make its data directory."""
        (self.folder / "init.sql").write_text(
            "CREATE DATABASE IF NOT EXISTS dispatcher CHARACTER SET utf8mb4;\n"
            f"CREATE USER IF NOT EXISTS dispatcher@'{_HOST}';\n"
            f"GRANT ALL ON dispatcher.* TO dispatcher@'{_HOST}';\n"
        )
        method = "--auth-root-authentication-method=normal"
        self.run([_program("mariadb-install-db"), "--no-defaults", *self._options(), method])

    def _options(self) -> list[str]:
        user = ["--user=root"] if os.geteuid() == 0 else []
        return [*user, f"--datadir={self.folder / 'data'}"]


class SQLite(Server):
    """The database that is a file."""

    can_fail = False

    @property
    def url(self) -> str:
        """Where the tiers find it."""
        return f"sqlite:///{self.folder / 'db.sqlite3'}"

    def command(self) -> list[str]:
        """Nothing starts it."""
        raise NotImplementedError

    async def start(self) -> None:
        """It is always there."""


BROKERS: Final[Mapping[str, type[Server]]] = {
    "rabbitmq": RabbitMQ,
    "redis": Redis,
    "files": Files,
}
DATABASES: Final[Mapping[str, type[Server]]] = {
    "postgres": PostgreSQL,
    "mysql": MariaDB,
    "sqlite": SQLite,
}
_PROGRAMS: Final = {
    "rabbitmq": ("rabbitmq-server", "epmd"),
    "redis": ("redis-server",),
    "postgres": ("postgres", "initdb"),
    "mysql": ("mariadbd", "mariadb-install-db"),
}


def missing(name: str) -> str:
    """Why a broker or database cannot be had on this machine; empty when it can."""
    try:
        for program in _PROGRAMS.get(name, ()):
            _program(program)
    except UnavailableError as exc:
        return str(exc)
    return ""


async def start_together(*servers: Server) -> None:
    """Prepare and start servers at the same time."""

    async def start(server: Server) -> None:
        await asyncio.to_thread(server.prepare)
        await server.start()

    await asyncio.gather(*map(start, servers))


def purge(broker: Server) -> int:
    """Throw away the wake-ups that lie in the queue; how many there were."""
    if isinstance(broker, Files):
        messages = list((broker.folder / "messages").glob(f"*.{QUEUE}.msg"))
        for message in messages:
            message.unlink(missing_ok=True)
        return len(messages)
    with Connection(broker.url, connect_timeout=2) as connection:
        channel: Any = connection.default_channel
        return int(channel.queue_purge(QUEUE) or 0)
