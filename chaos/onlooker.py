"""An operator's view of the database: open transactions, and locks."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import psutil
import psycopg
import pymysql

from harness.databases import MariaDB, PostgreSQL, SQLite
from harness.servers import Server

LOCKS: Final[Mapping[type[Server], Sequence[str]]] = {
    PostgreSQL: (
        "LOCK TABLE run IN ACCESS EXCLUSIVE MODE",
        "LOCK TABLE worker IN ACCESS EXCLUSIVE MODE",
        "LOCK TABLE worker IN SHARE MODE",
        "SELECT * FROM worker FOR UPDATE",
        "SELECT * FROM gate FOR UPDATE",
    ),
    MariaDB: (
        "LOCK TABLES run WRITE",
        "LOCK TABLES worker WRITE",
        "SELECT * FROM worker FOR UPDATE",
        "SELECT * FROM gate FOR UPDATE",
    ),
    SQLite: ("BEGIN IMMEDIATE",),
}
"""Statements that lock what every tier needs."""

_WAITS: Final = ("SELECT * FROM gate FOR UPDATE", "SELECT * FROM worker FOR UPDATE", "SELECT 1")
GATES: Final[Mapping[type[Server], Sequence[str]]] = {
    PostgreSQL: _WAITS,
    MariaDB: _WAITS,
    SQLite: ("BEGIN IMMEDIATE", "BEGIN IMMEDIATE", "SELECT 1"),
}
"""Statements that make others wait inside their transactions, and one that does not."""

_UNFINISHED: Final = "SELECT uuid FROM run ORDER BY finished IS NOT NULL, uuid LIMIT 10"
_SILENT: Final[Mapping[type[Server], str]] = {
    PostgreSQL: "SELECT client_port FROM pg_stat_activity WHERE state = 'idle in transaction'",
    MariaDB: """SELECT SUBSTRING_INDEX(host, ':', -1) FROM information_schema.innodb_trx
        JOIN information_schema.processlist ON id = trx_mysql_thread_id WHERE command = 'Sleep'""",
}
"""Queries for the ports of clients that say nothing inside a transaction."""

_SQLITE_WRITER: Final = 120
"""The byte of SQLite's shared memory that a writer locks."""

_ERRORS: Final = (psycopg.Error, pymysql.Error, sqlite3.Error)


@contextmanager
def _connected(database: Server) -> Iterator[Any]:
    """Connect as a tool that sets no limits; yield a cursor inside a transaction."""
    parts = urlsplit(database.url)
    connection: Any
    match database:
        case MariaDB():
            connection = pymysql.connect(
                host=parts.hostname, port=parts.port, user="operator", database=parts.path[1:]
            )
            # Else InnoDB also locks the gaps between rows.
            connection.query("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
        case SQLite():
            # An operator's lock is taken in one thread and given back in another.
            connection = sqlite3.connect(
                parts.path[1:], isolation_level=None, timeout=30, check_same_thread=False
            )
        case _:
            connection = psycopg.connect(database.url)
    with closing(connection), closing(connection.cursor()) as cursor:
        yield cursor


@asynccontextmanager
async def locked(database: Server, statement: str) -> AsyncIterator[None]:
    """Execute a statement that locks something, and keep its transaction open.

    If the server ends in the meantime, so does the lock.
    """
    async with _held(database, lambda cursor: cursor.execute(statement)):
        yield


@asynccontextmanager
async def rows_locked(database: Server) -> AsyncIterator[None]:
    """Lock the rows of some runs, mostly of unfinished ones."""

    def lock(cursor: Any) -> None:  # noqa: ANN401 - a cursor
        cursor.execute(_UNFINISHED)
        uuids = [row[0] for row in cursor.fetchall()]
        marks = ", ".join(["%s"] * len(uuids))
        cursor.execute(f"SELECT uuid FROM run WHERE uuid IN ({marks}) FOR UPDATE", uuids)  # noqa: S608

    async with _held(database, lock):
        yield


@asynccontextmanager
async def _held(database: Server, act: Callable[[Any], object]) -> AsyncIterator[None]:
    connected = _connected(database)

    def begin() -> None:
        with suppress(*_ERRORS):
            act(connected.__enter__())

    def end() -> None:
        with suppress(*_ERRORS):
            connected.__exit__(None, None, None)

    await asyncio.to_thread(begin)
    try:
        yield
    finally:
        await asyncio.to_thread(end)


def is_in_transaction(
    database: Server, pids: Collection[int], gateway: int | None, after: float
) -> bool:
    """Return True if a suspended process is inside a transaction.

    Args:
        database: the database.
        pids: the suspended processes.
        gateway: the process through which only they reach the server; None if they do so directly.
        after: seconds after which the server has done what they asked before.
    """
    time.sleep(after)
    if isinstance(database, SQLite):
        return _writes(Path(urlsplit(database.url).path[1:]), pids)
    try:
        with _connected(database) as cursor:
            cursor.execute(_SILENT[type(database)])
            silent = {int(row[0] or 0) for row in cursor.fetchall()}
    except _ERRORS:
        return False
    clients = pids if gateway is None else (gateway,)
    return bool(silent and silent & {*_ports(clients, database.port)})


def _ports(pids: Collection[int], server: int) -> Iterator[int]:
    """Yield the local ports of processes' connections to a server."""
    for pid in pids:
        with suppress(psutil.Error):
            for each in psutil.Process(pid).net_connections("tcp"):
                if each.raddr and each.raddr.port == server:
                    yield each.laddr.port


def _writes(file: Path, pids: Collection[int]) -> bool:
    """Return True if one of the processes holds the lock of SQLite's writer."""
    try:
        inode = file.with_name(f"{file.name}-shm").stat().st_ino
        locks = Path("/proc/locks").read_text(encoding="ascii")
    except OSError:
        return False
    for line in locks.splitlines():
        words = line.split()
        if "->" not in words and words[1:4] == ["POSIX", "ADVISORY", "WRITE"]:
            pid, place, first, last = words[4:8]
            is_here = int(pid) in pids and int(place.rpartition(":")[2]) == inode
            if is_here and last != "EOF" and int(first) <= _SQLITE_WRITER <= int(last):
                return True
    return False
