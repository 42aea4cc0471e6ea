"""Outages: an error says whether a database is unavailable to every client or maybe only to us."""

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from harness.servers import running
from pacifica.dispatcher import orm
from pacifica.dispatcher.errors import DatabaseUnavailableError
from tests.servers import pgbouncer, private, proxied


def unavailable(database: orm.Database) -> DatabaseUnavailableError:
    """Use a database that does not work, twice; return the second error."""
    for _ in range(2):  # the first may be that of a connection that was closed
        with pytest.raises(DatabaseUnavailableError) as caught:
            database.check_setup()
    return caught.value


def test_a_file_that_cannot_be_opened_is_unavailable_to_all() -> None:
    with pytest.raises(DatabaseUnavailableError) as caught:
        orm.Database("sqlite:////no/such/folder/db.sqlite3").check()
    assert caught.value.for_all


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user@127.0.0.1:1/name",
        "postgresql:///name?host=/no/such/folder",
        "mysql://user@127.0.0.1:1/name",
    ],
)
def test_a_server_that_was_never_reached_may_be_available_to_others(url: str) -> None:
    with pytest.raises(DatabaseUnavailableError) as caught:
        orm.Database(url, kept=True).check()
    assert not caught.value.for_all


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that servers may use as another user, and with a short name for sockets."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.mark.parametrize("kind", ["postgres", "mysql"])
def test_a_server_that_is_down_is_unavailable_to_all(folder: Path, kind: str) -> None:
    server = private(kind, folder)
    with closing(orm.Database(server.url, kept=True)) as database:
        with running(server):
            database.prepare(attempts=100, wait=0.1)
        assert unavailable(database).for_all


@pytest.mark.parametrize("server_url", ["postgres", "mysql"], indirect=True)
def test_a_server_whose_proxy_is_down_may_be_available_to_others(server_url: str) -> None:
    with (
        proxied(server_url) as (proxy, url),
        closing(orm.Database(url, kept=True)) as database,
    ):
        database.check_setup()
        proxy.down()
        assert not unavailable(database).for_all


def test_a_server_whose_pooler_is_down_may_be_available_to_others(
    folder: Path, postgres_url: str
) -> None:
    with ExitStack() as pooler:
        url = pooler.enter_context(pgbouncer(postgres_url, folder / "pooler"))
        with closing(orm.Database(url, kept=True)) as database:
            database.check_setup()
            pooler.close()
            assert not unavailable(database).for_all


def test_the_socket_of_a_server_is_direct(folder: Path) -> None:
    server = private("mysql", folder)
    url = f"mysql://root@localhost/dispatcher?unix_socket={folder / 'mysql' / 'socket'}"
    with running(server), closing(orm.Database(url, kept=True)) as database:
        database.prepare(attempts=100, wait=0.1)
        assert database.peewee.server == (socket.AF_UNIX, str(folder / "mysql" / "socket"))


@contextmanager
def hanging_up(port: int = 0) -> Iterator[int]:
    """Accept connections and close them at once; yield the port."""
    with socket.create_server(("127.0.0.1", port)) as server, ThreadPoolExecutor(1) as pool:

        def hang_up() -> None:
            with suppress(OSError):  # shut down
                while True:
                    server.accept()[0].close()

        pool.submit(hang_up)
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
def test_a_server_that_hangs_up_may_still_serve_others(scheme: str) -> None:
    with hanging_up() as port, pytest.raises(DatabaseUnavailableError) as caught:
        orm.Database(f"{scheme}://user@127.0.0.1:{port}/name").check()
    assert not caught.value.for_all


def test_a_refusal_by_another_address_of_the_server_proves_nothing(folder: Path) -> None:
    server = private("postgres", folder)
    places = f"host=127.0.0.2,127.0.0.1&port={server.port},{server.port}"
    with closing(
        orm.Database(f"postgresql://dispatcher@/postgres?{places}", kept=True)
    ) as database:
        with running(server):
            database.prepare(attempts=100, wait=0.1)
        with hanging_up(server.port):
            error = unavailable(database)
        assert "refused" in str(error)
        assert not error.for_all
        assert unavailable(database).for_all


def test_a_database_that_is_missing_on_its_server_may_be_available_to_others(
    postgres_url: str,
) -> None:
    with pytest.raises(DatabaseUnavailableError) as caught:
        orm.Database(f"{postgres_url}_missing").check()
    assert not caught.value.for_all
