"""Fixtures of all tests: a site of its own, real brokers and databases."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pymysql
import pytest
from kombu import Connection
from kombu.exceptions import OperationalError

from tests.support import Site, absent

RABBITMQ = os.environ.get("TEST_RABBITMQ_URL", "pyamqp://guest:guest@127.0.0.1:5672//")
REDIS = os.environ.get("TEST_REDIS_URL", "redis://127.0.0.1:6379/0")
POSTGRES = os.environ.get("TEST_POSTGRES_URL", "postgresql://postgres@127.0.0.1:5432/postgres")
MYSQL = os.environ.get("TEST_MYSQL_URL", "mysql://root@127.0.0.1:3306/mysql")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """An installation in a folder of its own, whose processes end with the test."""
    site = Site(tmp_path)
    try:
        yield site
    finally:
        site.kill_all()


@pytest.fixture
def queue(request: pytest.FixtureRequest, site: Site) -> Iterator[str]:
    """The name of a queue that no other test uses.

    It is deleted from the broker afterwards, and so is that of this name with `-other`.
    """
    name = f"test-{uuid.uuid4().hex[:12]}"
    yield name
    site.kill_all()  # a worker would declare its queue again
    url = (
        request.getfixturevalue("broker_url") if "broker_url" in request.fixturenames else RABBITMQ
    )
    if url not in {RABBITMQ, REDIS}:
        return
    with Connection(url, connect_timeout=2) as connection:
        channel: Any = connection.default_channel
        for each in (name, f"{name}-other"):
            channel.queue_delete(each)
            if url == RABBITMQ:
                for exchange in (
                    each,
                    f"dispatcher-{each}.pidbox",
                    f"reply.dispatcher-{each}.pidbox",
                ):
                    channel.exchange_delete(exchange)
            else:
                channel.client.delete(f"_kombu.binding.{each}", f"_kombu.binding_permanent.{each}")


@pytest.fixture(params=["rabbitmq", "redis", "files"])
def broker_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Each broker in turn."""
    return broker(request.param, tmp_path)


@pytest.fixture
def rabbitmq_url(tmp_path: Path) -> str:
    """RabbitMQ."""
    return broker("rabbitmq", tmp_path)


def broker(kind: str, folder: Path) -> str:
    """The URL of a broker, after a look whether it answers."""
    if kind == "files":
        return f"filesystem://localhost{folder / 'broker'}"
    url = RABBITMQ if kind == "rabbitmq" else REDIS
    try:
        with Connection(url, connect_timeout=2) as connection:
            connection.ensure_connection(max_retries=1, timeout=2)
    except (OSError, OperationalError) as exc:
        absent(kind, exc)
    return url


@pytest.fixture(params=["sqlite", "postgres", "mysql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A fresh database of each kind in turn; it is dropped afterwards."""
    makers = {"sqlite": _sqlite, "postgres": _postgres, "mysql": _mysql}
    yield from makers[request.param](tmp_path)


@pytest.fixture
def postgres_url() -> Iterator[str]:
    """A fresh database on PostgreSQL."""
    yield from _postgres(None)


def _sqlite(folder: Path) -> Iterator[str]:
    yield f"sqlite:///{folder / 'db.sqlite3'}"


def _postgres(_: Path | None) -> Iterator[str]:
    name = f"test_{uuid.uuid4().hex[:12]}"
    try:
        server = psycopg.connect(POSTGRES, autocommit=True, connect_timeout=2)
    except psycopg.OperationalError as exc:
        absent("PostgreSQL", exc)
    with server:
        server.execute(f"CREATE DATABASE {name}".encode())
        yield urlsplit(POSTGRES)._replace(path=f"/{name}").geturl()
        server.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def _mysql(_: Path) -> Iterator[str]:
    name = f"test_{uuid.uuid4().hex[:12]}"
    url = urlsplit(MYSQL)
    try:
        server = pymysql.connect(
            host=url.hostname or "127.0.0.1",
            port=url.port or 3306,
            user=url.username or "root",
            password=url.password or "",
            connect_timeout=2,
            autocommit=True,
        )
    except pymysql.OperationalError as exc:
        absent("MariaDB or MySQL", exc)
    with server, server.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name}")
        yield url._replace(path=f"/{name}").geturl()
        cursor.execute(f"DROP DATABASE {name}")
