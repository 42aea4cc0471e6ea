"""The brokers and databases of this machine, for tests against real servers."""

import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final, NoReturn
from urllib.parse import urlsplit

import psycopg
import pymysql
import pytest

from harness import DEADLINE, Proxy
from harness.databases import DATABASES as SERVERS
from harness.databases import PgBouncer
from harness.queues import connection_error
from harness.servers import Server, running

RABBITMQ: Final = os.environ.get("TEST_RABBITMQ_URL", "pyamqp://guest:guest@127.0.0.1:5672//")
REDIS: Final = os.environ.get("TEST_REDIS_URL", "redis://127.0.0.1:6379/0")

_POSTGRES: Final = os.environ.get(
    "TEST_POSTGRES_URL", "postgresql://postgres@127.0.0.1:5432/postgres"
)
_MYSQL: Final = os.environ.get("TEST_MYSQL_URL", "mysql://root@127.0.0.1:3306/mysql")


def absent(server: str, exc: Exception) -> NoReturn:
    """Skip a test whose server is missing; fail it in CI."""
    reason = f"{server} is not available: {exc}"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def broker(kind: str, folder: Path) -> str:
    """Return the URL of a broker, or skip the test if it does not respond."""
    if kind == "files":
        return f"filesystem://localhost{folder / 'broker'}"
    url = RABBITMQ if kind == "rabbitmq" else REDIS
    exc = connection_error(url)
    if exc is not None:
        absent(kind, exc)
    return url


@contextmanager
def sqlite(folder: Path) -> Iterator[str]:
    """Yield the URL of a new SQLite database."""
    yield f"sqlite:///{folder / 'db.sqlite3'}"


@contextmanager
def postgres(_: Path | None = None) -> Iterator[str]:
    """Create a PostgreSQL database, and drop it afterwards."""
    name = _name()
    try:
        server = psycopg.connect(_POSTGRES, autocommit=True, connect_timeout=int(DEADLINE))
    except psycopg.OperationalError as exc:
        absent("PostgreSQL", exc)
    with server:
        server.execute(f"CREATE DATABASE {name}".encode())
        yield urlsplit(_POSTGRES)._replace(path=f"/{name}").geturl()
        server.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@contextmanager
def mysql(_: Path | None = None) -> Iterator[str]:
    """Create a MySQL database, and drop it afterwards."""
    name = _name()
    url = urlsplit(_MYSQL)
    try:
        server = pymysql.connect(
            host=url.hostname or "127.0.0.1",
            port=url.port or 3306,
            user=url.username or "root",
            password=url.password or "",
            connect_timeout=DEADLINE,
            autocommit=True,
        )
    except pymysql.OperationalError as exc:
        absent("MariaDB or MySQL", exc)
    with server, server.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name}")
        yield url._replace(path=f"/{name}").geturl()
        cursor.execute(f"DROP DATABASE {name}")


def private(kind: str, folder: Path) -> Server:
    """Return a database server of the test's own, which it may stop, or skip the test."""
    chosen = SERVERS[kind]
    if reason := chosen.missing():
        absent(kind, OSError(reason))
    return chosen(folder / kind, os.environ)


@contextmanager
def pgbouncer(url: str, folder: Path) -> Iterator[str]:
    """Start PgBouncer in transaction mode before a database; yield the URL through it."""
    if reason := PgBouncer.missing():
        absent("PgBouncer", OSError(reason))
    server = PgBouncer(folder, urlsplit(url))
    with running(server):
        yield server.url


@contextmanager
def proxied(url: str) -> Iterator[tuple[Proxy, str]]:
    """Start a proxy before a server; yield it and the URL through it."""
    server = urlsplit(url)
    assert server.port is not None, f"{url} names no port"
    proxy = Proxy(server.port)
    proxy.up()
    try:
        login, _, _ = server.netloc.rpartition("@")
        yield proxy, server._replace(netloc=f"{login}@127.0.0.1:{proxy.port}").geturl()
    finally:
        proxy.down()


def _name() -> str:
    return f"test_{uuid.uuid4().hex[:12]}"


DATABASES: Final[Mapping[str, Callable[[Path], AbstractContextManager[str]]]] = {
    "sqlite": sqlite,
    "postgres": postgres,
    "mysql": mysql,
}
