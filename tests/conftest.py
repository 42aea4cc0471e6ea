"""Fixtures for all tests: sites, brokers and databases."""

import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from harness import Site
from harness.queues import delete_queue
from tests import servers

SERVERS: dict[str, set[str]] = {
    "broker_url": {"files"},
    "database_url": {"sqlite"},
    "each_database": {"sqlite"},
    "mysql_url": set(),
    "postgres_url": set(),
    "server_url": set(),
    "rabbitmq_url": set(),
    "own_rabbitmq": set(),
    "own_redis": set(),
}
"""Fixtures that need a server, with the parameters for which they do not."""


settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")  # the machine also runs the other tests

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell starts what is in its background
    signal.signal(signal.SIGINT, signal.default_int_handler)  # the processes under test inherit it


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that use a broker or database server."""
    for item in items:
        assert isinstance(item, pytest.Function)
        parameters = item.callspec.params if hasattr(item, "callspec") else {}
        if any(
            name in item.fixturenames and parameters.get(name) not in local
            for name, local in SERVERS.items()
        ):
            item.add_marker("server")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """An installation in its own folder, whose processes end with the test."""
    site = Site(tmp_path)
    try:
        yield site
    finally:
        site.kill_all()


@pytest.fixture
def queue(request: pytest.FixtureRequest, site: Site) -> Iterator[str]:
    """A unique queue name.

    The queue and the one named `NAME-other` are deleted from the broker afterwards.
    """
    name = f"test-{uuid.uuid4().hex[:12]}"
    yield name
    site.kill_all()  # a worker would declare its queue again
    if "broker_url" in request.fixturenames:
        url = request.getfixturevalue("broker_url")
    else:
        url = servers.RABBITMQ
    if url in {servers.RABBITMQ, servers.REDIS}:
        for each in (name, f"{name}-other"):
            delete_queue(url, each)


@pytest.fixture(params=["rabbitmq", "redis", "files"])
def broker_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of each broker in turn."""
    return servers.broker(request.param, tmp_path)


@pytest.fixture
def rabbitmq_url(tmp_path: Path) -> str:
    """The URL of RabbitMQ."""
    return servers.broker("rabbitmq", tmp_path)


@pytest.fixture(params=list(servers.DATABASES))
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a new database of each kind in turn."""
    with servers.DATABASES[request.param](tmp_path) as url:
        yield url


@pytest.fixture(params=["postgres", "mysql"])
def server_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a new database on each kind of server in turn."""
    with servers.DATABASES[request.param](tmp_path) as url:
        yield url


@pytest.fixture
def postgres_url() -> Iterator[str]:
    """The URL of a new PostgreSQL database."""
    with servers.postgres() as url:
        yield url


@pytest.fixture
def mysql_url() -> Iterator[str]:
    """The URL of a new MariaDB or MySQL database."""
    with servers.mysql() as url:
        yield url
