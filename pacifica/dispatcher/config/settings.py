"""The settings as immutable values with their defaults."""

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
        connect_attempts: the number of attempts to reach the database at startup.
        connect_wait: seconds between these attempts.
    """

    peewee_url: str = field(default="sqlite:///db.sqlite3", repr=False)
    connect_attempts: int = 10
    connect_wait: float = 20.0


@dataclass(frozen=True, slots=True)
class CelerySettings:
    """Section [celery].

    Attributes:
        broker_url: a Celery broker URL; `filesystem:///directory` for a local directory.
        queue: the queue for wake-ups.
        ca_bundle: a file of the authorities that may sign the broker's certificate; None for those
            of the system.
        verify: False if any certificate is taken.
    """

    broker_url: str = field(default="pyamqp://guest:guest@127.0.0.1:5672//", repr=False)
    queue: str = "default"
    ca_bundle: Path | None = None
    verify: bool = True


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Section [server].

    Attributes:
        address: the address to listen on.
        port: the TCP port.
        threads: the number of requests served simultaneously.
        streams: the number of additional streamed responses, each with a thread of its own.
        max_event_size: the maximum size of a request's body in bytes.
        head_timeout: seconds that clients have to send the head of a request, and in which they
            may send bodies and take responses more slowly than `min_rate`.
        min_rate: bytes per second at which clients must send bodies and take responses.
        keep_alive: seconds for which idle connections are kept.
        connections_per_address: the maximum number of connections of one client; 0 for any number.
        path: the path under which a proxy shows `/`, such as `/dispatcher`; "" without one.
    """

    address: str = "127.0.0.1"
    port: int = 8069
    threads: int = 10
    streams: int = 50
    max_event_size: int = 1024**2
    head_timeout: float = 10.0
    min_rate: int = 1024
    keep_alive: float = 75.0
    connections_per_address: int = 250
    path: str = ""


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """Section [worker].

    Attributes:
        directory: the parent of all working directories.
        stop_grace: seconds that running applications have to finish when the worker stops.
        lease: seconds without a heartbeat after which other workers take over its runs.
        kill_helper: a program that signals processes of other users, with its first arguments.
    """

    directory: Path = Path("runs")
    stop_grace: float = 30.0
    lease: float = 15.0
    kill_helper: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    """Section [webhook]: senders that ask for permission before they deliver.

    Attributes:
        allowed_origins: the names of permitted senders; `*` permits all.
        rate: the requests per minute granted to them; `*` for any number.
        callback_hosts: hosts that may ask for a callback, optionally with a port.
    """

    allowed_origins: frozenset[str] = frozenset()
    rate: str = "*"
    callback_hosts: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings.

    Attributes:
        file: the INI file; None if the defaults apply.
        applications: all applications by name, including the built-in ones.
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
        """Return the directory of the configuration file, which its relative paths refer to."""
        return (self.file.parent if self.file else Path()).absolute()
