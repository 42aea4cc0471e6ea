"""One database: opening it, keeping its tables up to date, transactions, and its errors as ours."""

import logging
import re
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import peewee
from peewee import MySQLDatabase, PostgresqlDatabase, SqliteDatabase
from playhouse.db_url import connect as from_url
from playhouse.migrations import Runner

from pacifica.dispatcher import migrations
from pacifica.dispatcher.errors import DatabaseUnavailableError, DatabaseUrlError

_log = logging.getLogger(__name__)

_SQLITE_PRAGMAS = {
    "foreign_keys": 1,
}
_ROWS = 500  # that one statement inserts; databases limit its parameters
_BUSY_TIMEOUT = 60  # seconds that a write waits for another process's
_CONNECT_TIMEOUT = 5  # seconds that a server may take to answer
_LINK_TIMEOUT = 60  # seconds after which a server that says nothing is given up
_POOL_TIMEOUT = 30  # seconds that a thread waits for a connection
_DOWN = re.compile(
    "refused|starting up|shutting down|recovery mode|not yet accepting|No such file", re.IGNORECASE
)
"""What a server, or its machine, says when nobody can be connected."""

_MIGRATION_LOCK = "pacifica.dispatcher migrations"


@dataclass(frozen=True, slots=True)
class Schema:
    """How far the tables are, by the names of migrations, in their order.

    Attributes:
        applied: those that were.
        missing: those that are yet to be.
        unknown: those of `applied` that a later version of the dispatcher has made.
    """

    applied: tuple[str, ...]
    missing: tuple[str, ...]
    unknown: tuple[str, ...]

    @property
    def version(self) -> str:
        """The last migration that was applied."""
        return self.applied[-1] if self.applied else "nothing"


class Database:
    """A database that several threads may use.

    A thread keeps its connection to SQLite; one to a server comes from a pool each time.

    Attributes:
        name: its URL without the password.
        is_server: whether it can die while what works with it goes on.
    """

    def __init__(
        self,
        url: str,
        *,
        connections: int = 20,
        quiet: AbstractContextManager[object] | None = None,
    ) -> None:
        """Choose the database; nothing is connected yet.

        Args:
            url: a peewee connection URL.
            connections: how many connections to a server are used at the most.
            quiet: is entered around each use; whoever holds it knows that no thread is inside the
                database's library, whose locks a fork would copy as they are.

        Raises:
            DatabaseUrlError: the URL cannot be used, or the database's driver is not installed.
        """
        self.peewee = _open(url, connections)
        self.name = _without_password(url)
        self.is_server = not isinstance(self.peewee, SqliteDatabase)
        self._postgres = isinstance(self.peewee, PostgresqlDatabase)
        self._lock = nullcontext() if self.is_server else threading.Lock()
        self._quiet = quiet or nullcontext()

    def prepare(self, attempts: int, wait: float) -> None:
        """Connect and bring the tables up to date.

        Args:
            attempts: how often to try a database that cannot be reached.
            wait: seconds between these attempts.

        Raises:
            DatabaseUnavailableError: it could not be reached.
        """
        for left in reversed(range(attempts)):
            try:
                return self._migrate()
            except DatabaseUnavailableError as exc:
                if not left:
                    raise
                _log.warning("%s; %d more attempts, %g s apart", exc, left, wait)
                time.sleep(wait)
        return None

    @contextmanager
    def transaction(self, *, durable: bool = True) -> Iterator[None]:
        """A transaction that may write: committed at the end of the block, or rolled back.

        Args:
            durable: wait until it is on disk. Without, a power cut may undo it, unless a durable
                one followed; so may the death of a PostgreSQL server, but of no process of ours.
                MySQL knows no difference.

        Raises:
            DatabaseUnavailableError: the database cannot be reached or cannot write.
        """
        with self._lock, self._connected():
            if not self.is_server:
                level = "FULL" if durable else "NORMAL"
                self.peewee.execute_sql(f"PRAGMA synchronous = {level}")
            with self.peewee.atomic():
                if not durable and self._postgres:
                    self.peewee.execute_sql("SET LOCAL synchronous_commit TO OFF")
                yield

    def alone(self) -> None:
        """Inside a transaction, first of all: wait until no other one that calls this is open.

        SQLite has no two that write anyway.
        """
        if self.is_server:
            self.peewee.execute_sql("SELECT name FROM gate FOR UPDATE").fetchall()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """A connection to read with.

        Raises:
            DatabaseUnavailableError: the database cannot be reached.
        """
        with self._connected():
            yield

    def schema(self) -> Schema:
        """How far the tables are; nothing is changed, and no file made.

        Raises:
            DatabaseUnavailableError: the database cannot be reached.
        """
        if not self.is_server and not Path(self.peewee.database).exists():
            return Schema((), tuple(each.name for each in self._runner().migrations()), ())
        with self.reading():
            found = self._runner().status()
        return Schema(
            tuple(each.name for each in found if each.applied),
            tuple(each.name for each in found if not each.applied),
            tuple(each.name for each in found if not each.path),
        )

    def check(self) -> None:
        """Ask the database for something.

        Raises:
            DatabaseUnavailableError: it does not answer.
        """
        with self.reading():
            self.fetch("SELECT COUNT(*) FROM schema_migration", ())

    def execute(self, sql: str, parameters: Sequence[object]) -> int:
        """Run a statement inside a transaction; gives the number of rows that it changed.

        Args:
            sql: the statement, with `?` for each parameter whatever the database.
            parameters: their values.
        """
        return int(self.fetch(sql, parameters).rowcount)

    def fetch(self, sql: str, parameters: Sequence[object]) -> Any:  # noqa: ANN401 - a DB-API cursor
        """Run a statement as `execute` does; gives its cursor."""
        return self.peewee.execute_sql(sql.replace("?", self.peewee.param), parameters)

    def insert(
        self,
        table: str,
        columns: Sequence[str],
        rows: Sequence[Sequence[object]],
        *,
        skip_repeats: bool = False,
    ) -> int:
        """Insert rows inside a transaction.

        Args:
            table: the table's name.
            columns: the names of the columns that are given, the key first.
            rows: their values.
            skip_repeats: leave out rows that a unique key refuses, instead of failing.

        Returns:
            the number of rows that were inserted.
        """
        head = f"INSERT INTO {table} ({', '.join(columns)}) VALUES "  # noqa: S608 - our names
        one = f"({', '.join('?' * len(columns))})"
        tail = ""
        if skip_repeats:
            same = f"{columns[0]} = {columns[0]}"
            on_mysql = isinstance(self.peewee, MySQLDatabase)
            tail = f" ON DUPLICATE KEY UPDATE {same}" if on_mysql else " ON CONFLICT DO NOTHING"
        inserted = 0
        for start in range(0, len(rows), _ROWS):
            some = rows[start : start + _ROWS]
            values = list(chain.from_iterable(some))
            inserted += self.execute(head + ", ".join([one] * len(some)) + tail, values)
        return inserted

    def close(self) -> None:
        """Close this thread's connection and, to a server, all idle ones."""
        if not self.peewee.is_closed():
            self.peewee.close()
        if self.is_server:
            self.peewee.close_idle()

    @contextmanager
    def _connected(self) -> Iterator[None]:
        try:
            with self._quiet:
                opened = self.peewee.connect(reuse_if_open=True)
                try:
                    yield
                finally:
                    if opened and self.is_server:
                        self.peewee.close()
        except (peewee.DatabaseError, peewee.InterfaceError) as exc:
            if not _is_unavailable(exc):
                raise
            self._drop_connection()
            cause = _first_cause(exc)
            raise DatabaseUnavailableError(
                f"the database {self.name} cannot be used: {cause}",
                for_all=not self.is_server or _DOWN.search(cause) is not None,
            ) from exc

    def _drop_connection(self) -> None:
        if self.is_server:
            self.peewee.close_idle()
        elif not self.peewee.is_closed() and not self.peewee.in_transaction():
            self.peewee.close()

    def _migrate(self) -> None:
        with self._connected():
            self._write_ahead()
            with self._only_one():
                self._runner().up()

    def _runner(self) -> Any:  # noqa: ANN401 - peewee is untyped
        folder = str(Path(migrations.__file__).parent)
        return Runner(self.peewee, folder, table_name="schema_migration")

    def _write_ahead(self) -> None:
        """Give SQLite a write-ahead log, for good; it does not wait for others by itself here."""
        deadline = time.monotonic() + _BUSY_TIMEOUT
        while not self.is_server:
            try:
                self.peewee.execute_sql("PRAGMA journal_mode = wal")
                break
            except peewee.OperationalError as exc:
                if "locked" not in str(exc) or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

    @contextmanager
    def _only_one(self) -> Iterator[None]:
        """Let no other process change the tables meanwhile."""
        if isinstance(self.peewee, SqliteDatabase):
            with self.peewee.atomic("EXCLUSIVE"):
                yield
            return
        take, give = (
            ("SELECT pg_advisory_lock(hashtext(%s))", "SELECT pg_advisory_unlock(hashtext(%s))")
            if self._postgres
            else ("SELECT GET_LOCK(%s, 300)", "SELECT RELEASE_LOCK(%s)")
        )
        self.peewee.execute_sql(take, (_MIGRATION_LOCK,)).fetchone()
        try:
            yield
        finally:
            self.peewee.execute_sql(give, (_MIGRATION_LOCK,)).fetchone()


def _open(url: str, connections: int) -> Any:  # noqa: ANN401 - peewee is untyped
    given = urlsplit(url).scheme
    scheme = given.removesuffix("+pool")
    options: dict[str, Any] = {"max_connections": connections, "timeout": _POOL_TIMEOUT}
    if scheme == "sqlite":
        options = {"pragmas": _SQLITE_PRAGMAS, "lock_type": "IMMEDIATE", "timeout": _BUSY_TIMEOUT}
    elif scheme in {"postgres", "postgresql", "psycopg3"}:
        options["field_types"] = {"LONGTEXT": "TEXT", "LONGBLOB": "BYTEA"}
        options |= {"connect_timeout": _CONNECT_TIMEOUT, "tcp_user_timeout": _LINK_TIMEOUT * 1000}
    else:
        options |= {"connect_timeout": _CONNECT_TIMEOUT, "read_timeout": _LINK_TIMEOUT}
    name = scheme if scheme == "sqlite" else f"{scheme}+pool"
    try:
        return from_url(
            url.replace(given, name, 1), unquote_password=True, unquote_user=True, **options
        )
    except (RuntimeError, ValueError, peewee.ImproperlyConfigured) as exc:
        raise DatabaseUrlError(
            f"the database URL {_without_password(url)} cannot be used: {exc}"
        ) from exc


def _is_unavailable(exc: peewee.PeeweeException) -> bool:
    """Whether the database is away, full or broken, rather than a statement of ours wrong."""
    away = peewee.OperationalError | peewee.InternalError | peewee.InterfaceError
    return isinstance(exc, away) or type(exc) is peewee.DatabaseError


def _first_cause(exc: BaseException) -> str:
    """What the database said first: a full SQLite has rolled back before peewee asks it to."""
    first = exc
    while exc.__context__ is not None:
        exc = exc.__context__
        if isinstance(exc, peewee.PeeweeException):
            first = exc
    return str(first).strip()


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    if parts.password is None:
        return url
    return parts._replace(netloc=parts.netloc.replace(f":{parts.password}@", ":***@")).geturl()
