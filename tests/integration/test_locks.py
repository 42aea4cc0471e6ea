"""A frozen host, an operator's lock, a pooler, too few connections: the others continue."""

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import psycopg
import pymysql
import pytest

from harness import DEADLINE, Site, http, wait_until
from tests.servers import RABBITMQ, pgbouncer

CONFIG: Final = """
[database]
peewee_url = {database_url}

[celery]
broker_url = {broker_url}
queue = {queue}

[worker]
lease = 5s

[application:long]
exact.type = long
command = sleep 14

[application:short]
exact.type = short
command = true
concurrency = 4
"""


@contextmanager
def limited_role(url: str, connections: int) -> Iterator[str]:
    """Create a role that may open this many connections; yield the URL with it."""
    name = urlsplit(url).path[1:]
    with psycopg.connect(url, autocommit=True) as server:
        server.execute(f"CREATE ROLE {name} LOGIN CONNECTION LIMIT {connections}".encode())
        server.execute(f"GRANT ALL ON SCHEMA public TO {name}".encode())
        parts = urlsplit(url)
        yield parts._replace(netloc=f"{name}@{parts.hostname}:{parts.port}").geturl()
        server.execute(f"DROP OWNED BY {name}".encode())
        server.execute(f"DROP ROLE {name}".encode())


LOCKED: Final = 11.0
"""Seconds of an operator's lock: more than two leases."""

CONTINUES: Final = 30.0
"""Seconds within which the others continue: the limit of 3 s, tries, and a slow machine."""


def install(site: Site, database_url: str, queue: str) -> None:
    """Write the configuration."""
    site.configure(CONFIG.format(database_url=database_url, broker_url=RABBITMQ, queue=queue))


@contextmanager
def operator(url: str) -> Iterator[tuple[Any, Any]]:
    """Connect to a database as a tool that sets no limits; yield a cursor and the connection."""
    parts = urlsplit(url)
    if parts.scheme == "mysql":
        connection: Any = pymysql.connect(
            host=parts.hostname, port=parts.port, user=parts.username, database=parts.path[1:]
        )
    else:
        connection = psycopg.connect(url)
    with closing(connection), connection.cursor() as cursor:
        yield cursor, connection
        connection.rollback()


LOCKS: Final = {
    "postgres": (
        "LOCK TABLE run IN ACCESS EXCLUSIVE MODE",
        "LOCK TABLE worker IN ACCESS EXCLUSIVE MODE",
        "LOCK TABLE worker IN SHARE MODE",
        "SELECT * FROM worker FOR UPDATE",
        "SELECT * FROM gate FOR UPDATE",
    ),
    "mysql": (
        "LOCK TABLES run WRITE",
        "LOCK TABLES worker WRITE",
        "SELECT * FROM worker FOR UPDATE",
    ),
}


@pytest.mark.parametrize(
    ("server_url", "lock"),
    [(kind, lock) for kind, locks in LOCKS.items() for lock in locks],
    indirect=["server_url"],
)
def test_a_lock_of_an_operator_ends_no_application(
    site: Site, server_url: str, queue: str, lock: str
) -> None:
    install(site, server_url, queue)
    site.start_web()
    site.start_worker()
    event = site.post(type="long").json["uuid"]
    site.wait_status(event, "running")
    with operator(server_url) as (cursor, _):
        cursor.execute(lock)
        released = time.monotonic() + LOCKED
        wait_until(lambda: time.monotonic() > released, "the end of the lock")
    site.wait_status(event, "succeeded")
    assert site.status(event)["runs"][0]["attempt"] == 1
    assert "lease.lost" not in site.logs()


IDLE: Final = {
    "postgresql": """SELECT COUNT(*) FROM pg_stat_activity WHERE state = 'idle in transaction'
        AND datname = current_database() AND clock_timestamp() - state_change > interval '0.3 s'
        AND pid <> pg_backend_pid()""",
    "mysql": """SELECT COUNT(*) FROM information_schema.innodb_trx
        JOIN information_schema.processlist ON id = trx_mysql_thread_id
        WHERE db = DATABASE() AND command = 'Sleep' AND time_ms > 300 AND id <> CONNECTION_ID()""",
}
"""Counts the transactions of clients that say nothing."""


def test_a_host_frozen_inside_a_transaction_does_not_stop_the_others(
    site: Site, server_url: str, queue: str
) -> None:
    install(site, server_url, queue)
    site.start_web()
    frozen, _ = site.start_worker(), site.start_worker()
    started = [site.post(type="short").json["uuid"] for _ in range(2)]
    for each in started:
        site.wait_status(each, "succeeded")
    events = post_many(site, 500)

    def freezes() -> bool:
        os.killpg(frozen.pid, signal.SIGSTOP)
        until = time.monotonic() + 0.5
        wait_until(lambda: time.monotonic() > until, "a silence")
        if ask(server_url, IDLE[urlsplit(server_url).scheme]):
            return True
        os.killpg(frozen.pid, signal.SIGCONT)
        return False

    wait_until(freezes, "a freeze inside a transaction", 2 * DEADLINE)
    done = succeeded(server_url)
    wait_until(lambda: succeeded(server_url) > done + 20, "the other worker", CONTINUES)
    os.killpg(frozen.pid, signal.SIGCONT)
    wait_until(lambda: succeeded(server_url) == 2 + len(events), "all runs", 2 * DEADLINE)


def post_many(site: Site, number: int) -> list[str]:
    """Post short events in one batch; return their uuids."""
    batch = [
        {"specversion": "1.0", "id": str(each), "source": "/batch", "type": "short"}
        for each in range(number)
    ]
    body = json.dumps(batch).encode()
    answer = http(f"{site.url}/receive", body, Content_Type="application/cloudevents-batch+json")
    return [each["uuid"] for each in answer.json["events"]]


def succeeded(url: str) -> int:
    """Return how many runs have succeeded."""
    return int(ask(url, "SELECT COUNT(*) FROM run WHERE state = 'succeeded'"))


def shows_scarcity(site: Site) -> bool:
    """Return True if the web tier or a worker has been refused a connection lately."""
    ready = http(f"{site.url}/health/ready").json
    workers = http(f"{site.url}/workers").json
    return "database" in ready or any(each["scarce"] for each in workers.get("workers", ()))


def ask(url: str, sql: str) -> Any:  # noqa: ANN401 - a column's value
    """Return the only value that a query finds."""
    with operator(url) as (cursor, _):
        cursor.execute(sql)
        return cursor.fetchone()[0]


def test_a_pooler_in_transaction_mode_works(
    site: Site, postgres_url: str, queue: str, tmp_path: Path
) -> None:
    with pgbouncer(postgres_url, tmp_path / "pgbouncer") as url:
        install(site, url, queue)
        for _ in range(3):
            site.start_worker()
        site.start_web()
        events = post_many(site, 100)
        wait_until(lambda: succeeded(postgres_url) == len(events), "all runs", 2 * DEADLINE)
    assert "Traceback" not in site.logs()


def test_too_few_connections_make_work_slower_but_not_stop(
    site: Site, postgres_url: str, queue: str
) -> None:
    with limited_role(postgres_url, 4) as url:
        install(site, url, queue)
        site.start_web()
        site.start_worker(concurrency=6)
        events = post_many(site, 20)
        wait_until(lambda: succeeded(postgres_url) == len(events), "all runs", 2 * DEADLINE)
        wait_until(lambda: shows_scarcity(site), "the word that few connections are left")
    assert "database.exhausted" in site.logs()
    assert "lease.lost" not in site.logs()
