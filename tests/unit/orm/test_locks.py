"""Locks that others hold: what waits for them, for how long, and what continues meanwhile."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import psycopg
import pymysql
import pytest

from pacifica.dispatcher import orm
from pacifica.dispatcher.errors import DatabaseBusyError
from tests.factories import (
    accept_runs,
    app,
    at_once,
    claimed,
    configured,
    due,
    published_run,
    registration,
    view,
)

FREED: Final = 20.0
"""Seconds within which work continues after a host has vanished inside a transaction.

The server ends the transaction after three; a busy machine needs longer to notice.
"""

WAIT: Final = 30.0
"""Seconds that this host waits for a lock."""

PROMPT: Final = 10.0
"""Seconds within which work continues that waits for nobody."""


@pytest.fixture
def server(server_url: str) -> Iterator[orm.Database]:
    """A database on a server, ready for use."""
    with closing(orm.Database(server_url, waits=orm.Waits(lock=WAIT))) as database:
        database.prepare(attempts=1, wait=0)
        yield database


@pytest.fixture
def peer(server: orm.Database) -> Iterator[orm.Database]:
    """The same database, as another host uses it."""
    with closing(orm.Database(url_of(server))) as database:
        yield database


def url_of(database: orm.Database) -> str:
    """Return the URL of a database whose user has no password."""
    return database.name


@contextmanager
def operator(database: orm.Database) -> Iterator[Any]:
    """Connect as a tool that sets no limits, inside a transaction; yield a function of SQL."""
    url = urlsplit(url_of(database))
    if url.scheme == "mysql":
        connection: Any = pymysql.connect(
            host=url.hostname, port=url.port, user=url.username, database=url.path[1:]
        )
    else:
        connection = psycopg.connect(url.geturl())
    with closing(connection), connection.cursor() as cursor:
        yield cursor.execute
        connection.rollback()


def frozen(database: orm.Database) -> AbstractContextManager[None]:
    """Begin a transaction whose process says nothing any more."""
    return database.transaction()


def seconds(since: float) -> float:
    return time.monotonic() - since


def test_a_host_that_vanishes_with_the_gate_stops_others_for_seconds(
    server: orm.Database, peer: orm.Database
) -> None:
    accept_runs(server, app(), 1)
    began = time.monotonic()
    vanished = frozen(peer)
    vanished.__enter__()
    peer.lock_gate()
    while not (published := publish_patiently(server)):
        assert seconds(began) < FREED
    assert len(published) == 1
    with pytest.raises(Exception, match="unavailable"):  # the server has ended it
        vanished.__exit__(None, None, None)


def publish_patiently(database: orm.Database) -> list[str]:
    """Publish as the publisher does: it tries again."""
    try:
        return due(database)
    except DatabaseBusyError:
        return []


def test_a_run_that_somebody_has_locked_keeps_no_other_from_being_published(
    server: orm.Database,
) -> None:
    held, *others = accept_runs(server, app(), 1, 2, 3)
    with operator(server) as execute:
        execute("SELECT * FROM run WHERE uuid = %s FOR UPDATE", (held,))
        with pytest.raises(DatabaseBusyError):
            due(server)
        began = time.monotonic()
        published = skipping_locked(server)
        took = seconds(began)
    assert sorted(published) == sorted(others)
    assert took < PROMPT
    assert due(server) == [held]


@pytest.mark.parametrize("number", [10, 60, 200])
def test_locked_runs_keep_no_others_from_being_published(server: orm.Database, number: int) -> None:
    # If most of a table is concerned, MariaDB reads it from end to end, and locks what it reads.
    held, *others = accept_runs(server, app(), *range(number))
    with operator(server) as execute:
        execute("SELECT * FROM run WHERE uuid = %s FOR UPDATE", (held,))
        assert len(skipping_locked(server)) == len(others)


def skipping_locked(database: orm.Database) -> list[str]:
    """Publish, leaving out what others have locked."""
    return [
        each.run for each in orm.publish(database, 1000, configured(database), skip_locked=True)[0]
    ]


def test_a_waiting_run_that_somebody_has_locked_keeps_no_other_from_its_turn(
    server: orm.Database,
) -> None:
    one_at_a_time = app(concurrency=1)
    accept_runs(server, one_at_a_time, 1, 2, 3)
    [run] = due(server, 1000, one_at_a_time)
    claim = claimed(server, run, one_at_a_time)
    waiting = [each for each in runs_of(server) if each != run]
    with operator(server) as execute:
        execute("SELECT * FROM run WHERE uuid = %s FOR UPDATE", (waiting[0],))
        assert orm.finish(server, claim, orm.State.SUCCEEDED, orm.Outcome(), []) is not None
        assert due(server, 1000, one_at_a_time) == [waiting[1]]


def runs_of(database: orm.Database) -> list[str]:
    """Return the uuids of all runs, the oldest first."""
    with database.reading():
        return [uuid for (uuid,) in database.fetch("SELECT uuid FROM run ORDER BY uuid", ())]


def test_a_limit_is_reconsidered_although_a_run_of_another_is_locked(
    server: orm.Database,
) -> None:
    names = ("first", "second")
    for name in names:
        orm.pause(server, name)
        accept_runs(server, app(name), name)
    assert due(server) == []
    first, second = (run_of(server, name) for name in names)
    with server.transaction():
        server.execute("DELETE FROM pause", ())
    with operator(server) as execute:
        execute("SELECT * FROM run WHERE uuid = %s FOR UPDATE", (first,))
        orm.reconsider(server, {"app": app()})
        assert skipping_locked(server) == [second]
    orm.reconsider(server, {"app": app()})
    assert due(server) == [first]


def run_of(database: orm.Database, application: str) -> str:
    """Return the uuid of the only run of an application."""
    with database.reading():
        sql = "SELECT uuid FROM run WHERE application = ?"
        return str(database.fetch(sql, (application,)).fetchone()[0])


def test_the_outcome_of_a_locked_run_waits_without_the_gate(
    server: orm.Database, peer: orm.Database
) -> None:
    limited = app(concurrency=5)
    claim = claimed(server, published_run(server), limited)
    accept_runs(server, app("other"), 2)
    with operator(server) as execute:
        execute("SELECT * FROM run WHERE uuid = %s FOR UPDATE", (claim.run,))
        with pytest.raises(DatabaseBusyError, match="busy"):
            orm.finish(peer, claim, orm.State.SUCCEEDED, orm.Outcome(), [])
        assert len(due(server)) == 1
    assert orm.finish(peer, claim, orm.State.SUCCEEDED, orm.Outcome(), []) is not None
    assert view(server, claim.run).status == "succeeded"


def test_a_locked_lease_is_not_revoked(server: orm.Database) -> None:
    orm.register(server, "worker", registration("host", "lock"))
    [lease] = orm.peers(server)
    with operator(server) as execute:
        execute("SELECT * FROM worker FOR UPDATE")
        began = time.monotonic()
        with pytest.raises(DatabaseBusyError):
            orm.revoke(server, lease)
        assert seconds(began) < PROMPT
    assert orm.revoke(server, lease)


def test_a_locked_file_is_busy_and_a_lease_in_it_is_not_revoked(
    prepared: Path, tmp_path: Path
) -> None:
    file = tmp_path / "db.sqlite3"
    file.write_bytes(prepared.read_bytes())
    with (
        closing(orm.Database(f"sqlite:///{file}", waits=orm.Waits(lock=0.2))) as database,
        closing(sqlite3.connect(file, isolation_level=None)) as tool,
    ):
        orm.register(database, "worker", registration("host", "lock"))
        [lease] = orm.peers(database)
        tool.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseBusyError, match="busy: database is locked"):
            orm.renew(database, "worker")
        with pytest.raises(DatabaseBusyError, match="busy: database is locked"):
            orm.revoke(database, lease)
        assert orm.peers(database) == [lease]
        tool.execute("ROLLBACK")
        assert orm.renew(database, "worker")


def test_a_server_without_connections_makes_work_slower_but_ends_none(
    postgres_url: str,
) -> None:
    with closing(orm.Database(postgres_url)) as database:
        database.prepare(attempts=1, wait=0)
    name = urlsplit(postgres_url).path[1:]
    with psycopg.connect(postgres_url, autocommit=True) as server:
        server.execute(f"CREATE ROLE {name} LOGIN CONNECTION LIMIT 2".encode())
        server.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {name}".encode())
        server.execute(f"GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {name}".encode())
        try:
            url = urlsplit(postgres_url)._replace(netloc=f"{name}@127.0.0.1:5432").geturl()
            processes = [orm.Database(url, connections=1, reap=True) for _ in range(4)]
            accepted = at_once(*(partial(accept_some, each) for each in processes))
            assert accepted == [5] * 4
            assert any(each.scarcity for each in processes)
            for each in processes:
                each.close()
        finally:
            server.execute(f"DROP OWNED BY {name}".encode())
            server.execute(f"DROP ROLE {name}".encode())


def accept_some(database: orm.Database) -> int:
    """Accept events one by one, as a process would; return how many."""
    return len([accept_runs(database, app(), new_uuid) for new_uuid in map(str, range(5))])


def test_an_idle_connection_is_given_back(server_url: str) -> None:
    with closing(orm.Database(server_url, reap=True)) as database:
        database.prepare(attempts=1, wait=0)
        assert connections(database) == 1
        database.peewee._unused = 1  # noqa: SLF001 - a second has passed
        database.peewee.close_unused()
        assert connections(database) == 0


def test_connections_that_an_outage_has_closed_are_not_given_back_again(server_url: str) -> None:
    with closing(orm.Database(server_url)) as database:
        database.prepare(attempts=1, wait=0)
        database.peewee.close_unused()
        database.peewee.close_idle()
        database.peewee.close_unused()
        assert connections(database) == 0


def connections(database: orm.Database) -> int:
    """Return the number of idle connections."""
    return len(database.peewee._connections)  # noqa: SLF001 - the pool does not say
