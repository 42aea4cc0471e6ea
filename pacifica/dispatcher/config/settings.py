"""The settings as frozen values, and their defaults."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pacifica.dispatcher.adapters import Adapter
from pacifica.dispatcher.applications import Application


@dataclass(frozen=True, slots=True)
class DatabaseSettings:
    """Section [database].

    Attributes:
        peewee_url: a peewee connection URL.
        connect_attempts: how often an unreachable database is tried at start.
        connect_wait: seconds between these attempts.
    """

    peewee_url: str = field(default="sqlite:///db.sqlite3", repr=False)
    connect_attempts: int = 10
    connect_wait: float = 20.0


@dataclass(frozen=True, slots=True)
class CelerySettings:
    """Section [celery].

    Attributes:
        broker_url: a Celery broker URL; `filesystem:///folder` for a folder of this machine.
        queue: the queue that wake-ups go through.
    """

    broker_url: str = field(default="pyamqp://guest:guest@127.0.0.1:5672//", repr=False)
    queue: str = "default"


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Section [server].

    Attributes:
        address: the address to listen on.
        port: the TCP port.
        threads: how many requests are served at once.
        streams: how many answers may stay open beside them, each with a thread of its own.
        max_event_size: bytes that a request's body may have.
    """

    address: str = "127.0.0.1"
    port: int = 8069
    threads: int = 10
    streams: int = 50
    max_event_size: int = 1024**2


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """Section [worker].

    Attributes:
        directory: where working directories are made.
        stop_grace: seconds that running applications get when the worker is asked to stop.
        lease: seconds without a heartbeat after which what the worker runs is taken up by others.
    """

    directory: Path = Path("runs")
    stop_grace: float = 30.0
    lease: float = 15.0


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    """Section [webhook]: senders that ask before they deliver.

    Attributes:
        allowed_origins: the names of those that may; `*` among them stands for all.
        rate: how many requests a minute they are told they may send; `*` for any number.
        callback_hosts: hosts, some with a port, that may ask to be called back.
    """

    allowed_origins: frozenset[str] = frozenset()
    rate: str = "*"
    callback_hosts: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that an operator can set.

    Attributes:
        file: the INI file that was read, None when there is none.
        applications: all applications by name, the built-in ones included.
        adapters: all adapters by name.
    """

    file: Path | None
    database: DatabaseSettings
    celery: CelerySettings
    server: ServerSettings
    worker: WorkerSettings
    webhook: WebhookSettings
    applications: Mapping[str, Application]
    adapters: Mapping[str, Adapter]

    @property
    def home(self) -> Path:
        """The folder of the configuration file: what it names relatively is looked for here."""
        return (self.file.parent if self.file else Path()).absolute()
