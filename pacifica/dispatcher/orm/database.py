"""A database: connections, transactions, its clock, and its errors as the dispatcher's."""

import random
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import chain
from typing import Any, Final
from urllib.parse import urlsplit

import peewee
from peewee import MySQLDatabase, PostgresqlDatabase
from playhouse.pool import MaxConnectionsExceeded

from pacifica.dispatcher.errors import (
    DatabaseBusyError,
    DatabaseUnavailableError,
    DatabaseUnfitError,
    DatabaseUrlError,
    SchemaError,
)
from pacifica.dispatcher.orm import fitness, migrating
from pacifica.dispatcher.orm.clock import Clock
from pacifica.dispatcher.orm.servers import Scarcity, Waits, is_lock_timeout, open_server, refuses
from pacifica.dispatcher.orm.sqlite_file import WatchedSqlite, open_sqlite
from pacifica.dispatcher.periodic import Periodic
from pacifica.dispatcher.telemetry import WARNING, emit
from pacifica.dispatcher.urls import masked

_ROWS: Final = 500  # that one statement inserts; databases limit its parameters
_MAX_ROW: Final = 400 * 1024**2  # bytes; SQLite takes a row of 10^9, PostgreSQL a value of 2^30
_STATEMENT: Final = 128 * 1024  # bytes of a statement beside its texts
_REFUSED: Final = 10.0  # seconds that a thread waits for a server that has no connection left
_AGAIN: Final = 0.2  # seconds at most before it asks again
_DOWN = re.compile("starting up|shutting down|recovery mode|not yet accepting", re.IGNORECASE)
"""Messages of a server that accepts no connection at all."""

_EXHAUSTED = re.compile(
    "too many connections|too many clients|connection slots|max_user_connections"
    "|no more connections",
    re.IGNORECASE,
)
"""Messages of a server, or a pooler, that has no connection left."""

_UNFIT = re.compile(
    "readonly database|malformed|damaged|not a database|no such (table|column)|already exists"
    "|has no column named"
)
"""Messages of SQLite about a file that does not become usable by itself."""

_UNFIT_CODES: Final = frozenset(
    {
        *("25006", "3F000", "42501", "42703", "42P01", "42P07"),  # PostgreSQL
        *(1044, 1050, 1054, 1142, 1143, 1146, 1290, 1792, 1836),  # MariaDB and MySQL
    }
)
"""Codes of servers: read-only; no right to do this; no such schema, table or column, or two."""

_BAD_OPTIONS: Final = (TypeError, ValueError, AttributeError, LookupError, peewee.ProgrammingError)
"""What drivers raise for an option of the URL that is unknown or has a bad value."""

_UNUSED: Final = 1.0  # seconds without use after which a connection is closed
_WAITS: Final = Waits()


class Database:
    """A database that several threads may use.

    Each thread keeps one connection to SQLite; connections to a server come from a pool.

    Attributes:
        name: its URL as it may be shown, with the absolute path of a file.
        is_server: True for PostgreSQL and MySQL, False for SQLite.
        scarcity: true while the server has no connection left.
        clock: the server's clock.
        waits: how long a statement may take.
    """

    def __init__(  # noqa: PLR0913 - each tier and thread waits in its own way
        self,
        url: str,
        *,
        connections: int = 8,
        waits: Waits = _WAITS,
        scarcity: Scarcity | None = None,
        clock: Clock | None = None,
        kept: bool = False,
        reap: bool = False,
        quiet: AbstractContextManager[object] | None = None,
    ) -> None:
        """Choose the database without connecting to it.

        Args:
            url: a PeeWee connection URL.
            connections: the maximum number of connections to a server.
            waits: how long a statement may take.
            scarcity: shared with the other processes of the tier.
            clock: shared with the other threads of the process.
            kept: True for connections that stay open when they are scarce.
            reap: True to close connections to a server that nobody has needed for a second, by a
                thread that starts with the first connection.
            quiet: a context entered around each use. While another thread holds it, no thread is
                inside the database library, whose locks a fork would copy in their current state.

        Raises:
            DatabaseUrlError: the URL is not valid, or the database's driver is not installed.
        """
        self.scarcity = Scarcity() if scarcity is None else scarcity
        self.clock = Clock() if clock is None else clock
        self.peewee = _open(url, connections, waits, self.scarcity, kept=kept)
        self.is_server = not isinstance(self.peewee, WatchedSqlite)
        self.name = masked(url) if self.is_server else f"sqlite:///{self.peewee.path}"
        self._packet: int | None = None
        self._postgres = isinstance(self.peewee, PostgresqlDatabase)
        self.waits = waits
        self._lock = threading.Lock()  # SQLite has one writer at a time
        self._quiet = quiet or nullcontext()
        self._outdated = ""
        self._thread = threading.local()
        self._reaper = Periodic("reaper", self._reap, first=_UNUSED) if reap else None

    def now(self) -> float:
        """Return the time in seconds since the epoch, by the server's clock or, for SQLite, ours.

        Raises:
            DatabaseUnavailableError: the server's clock was never read, and cannot be read now.
        """
        if not self.is_server:
            return time.time()
        if self.clock.time() is None:
            with self.reading():
                pass
        return self.clock.time() or time.time()

    def prepare(
        self, attempts: int, wait: float, begin: Callable[[], object] = lambda: None
    ) -> None:
        """Connect, bring the tables up to date, and begin to use them.

        Args:
            attempts: the number of attempts to reach the database.
            wait: seconds between these attempts.
            begin: the first use, which is part of each attempt.

        Raises:
            DatabaseUnavailableError: the database could not be reached.
            DatabaseUnfitError: it cannot hold events.
            SchemaError: its tables are too new for this version, or it may not change them.
        """
        for left in reversed(range(attempts)):
            try:
                self._migrate()
                begin()
            except DatabaseUnfitError:
                raise
            except DatabaseUnavailableError as exc:
                if not left:
                    raise
                emit("database.waiting", WARNING, reason=str(exc), attempts_left=left, wait=wait)
                time.sleep(wait)
            else:
                return

    @contextmanager
    def transaction(self, *, durable: bool = True, wait: bool = True) -> Iterator[None]:
        """Open a transaction that may write; commit it at the end of the block, or roll it back.

        Args:
            durable: True to wait until it is on disk. If False, a power cut may undo it, unless a
                durable transaction followed; so may the death of a PostgreSQL server, but not that
                of a process of ours. MySQL makes no difference.
            wait: False to fail at once where another transaction holds a lock. On MySQL, a SELECT
                that takes the lock has to say so, too: NOWAIT.

        Raises:
            DatabaseBusyError: another transaction holds a lock for too long.
            DatabaseUnavailableError: the database cannot be reached or cannot write.
        """
        if self._outdated:
            raise DatabaseUnavailableError(self._outdated)
        with self._only_writer(), self._connected():
            with self._begun(durable=durable, wait=wait):
                yield
            if not self.is_server:
                self.peewee.verify_commit()

    def lock_gate(self) -> None:
        """Wait, inside a transaction, until no other one that has called this is open.

        Later statements of the transaction wait for other locks as briefly as the server can, so
        that nobody waits for a row while others wait for the gate. SQLite has one writer anyway.
        """
        if self.is_server:
            self.peewee.lock_gate()

    def skipping_locked(self, query: Any) -> Any:  # noqa: ANN401 - PeeWee is untyped
        """Return a query that locks the rows it reads and skips those that others have locked."""
        return query.for_update("FOR UPDATE SKIP LOCKED") if self.is_server else query

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Open a connection for reading.

        Raises:
            DatabaseUnavailableError: the database cannot be reached.
        """
        with self._connected():
            yield

    def schema(self) -> migrating.Schema:
        """Return the state of the tables, without changing anything or creating a file.

        Raises:
            DatabaseUnavailableError: the database cannot be reached.
        """
        return migrating.read_schema(self)

    def require_compatible(self) -> None:
        """Check that this version can use the tables; if not, refuse all later transactions.

        Raises:
            SchemaError: a later version has changed them too much.
            DatabaseUnavailableError: the database cannot be reached.
        """
        self._outdated = migrating.why_outdated(self)
        if self._outdated:
            raise SchemaError(self._outdated)

    def check(self, *, fully: bool = False) -> None:
        """Check that events can be stored now.

        Args:
            fully: True to check all pages of an SQLite file; otherwise a part, and not each time.

        Raises:
            DatabaseUnavailableError: the database does not respond.
            DatabaseUnfitError: it cannot hold events.
        """
        self.check_setup()
        with self.transaction(durable=False):
            fitness.probe(self.fetch)
        if not self.is_server:
            self._refuse(self.peewee.damage(fully=fully))

    def check_setup(self) -> None:
        """Check what holds before there are tables: encoding, schema, and that it can be written.

        Raises:
            DatabaseUnavailableError: the database does not respond.
            DatabaseUnfitError: it cannot hold events.
        """
        if self._outdated:
            raise DatabaseUnavailableError(self._outdated)
        if not self.is_server:
            self._refuse(self.peewee.obstacle())
            return
        find = fitness.postgres_obstacle if self._postgres else fitness.mysql_obstacle
        with self.reading():
            self._refuse(find(self.fetch))

    def _refuse(self, obstacle: str) -> None:
        if obstacle:
            raise DatabaseUnfitError(f"Database {self.name} cannot be used: {obstacle}")

    def execute(self, sql: str, parameters: Sequence[object]) -> int:
        """Run a statement inside a transaction; return the number of changed rows.

        Args:
            sql: the statement, with `?` for each parameter on every database.
            parameters: their values.
        """
        return int(self.fetch(sql, parameters).rowcount)

    def fetch(self, sql: str, parameters: Sequence[object]) -> Any:  # noqa: ANN401 - a DB-API cursor
        """Run a statement as `execute` does; return its cursor."""
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
            columns: the names of the columns, the key first.
            rows: their values.
            skip_repeats: skip rows that violate a unique key instead of failing.

        Returns:
            the number of inserted rows.
        """
        head = f"INSERT INTO {table} ({', '.join(columns)}) VALUES "  # noqa: S608 - our names
        one = f"({', '.join('?' * len(columns))})"
        tail = ""
        if skip_repeats:
            same = f"{columns[0]} = {columns[0]}"
            on_mysql = isinstance(self.peewee, MySQLDatabase)
            tail = f" ON DUPLICATE KEY UPDATE {same}" if on_mysql else " ON CONFLICT DO NOTHING"
        inserted = 0
        for some in self._lots(rows):
            values = list(chain.from_iterable(some))
            inserted += self.execute(head + ", ".join([one] * len(some)) + tail, values)
        return inserted

    def max_row(self) -> int:
        """Return how many bytes of text a row may have."""
        if not isinstance(self.peewee, MySQLDatabase):
            return _MAX_ROW
        if self._packet is None:
            with self.reading():
                self._packet = self.fetch("SELECT @@max_allowed_packet", ()).fetchone()[0]
        return (self._packet - _STATEMENT) // 2  # each character may be escaped

    def _lots(self, rows: Sequence[Sequence[object]]) -> Iterator[Sequence[Sequence[object]]]:
        """Divide rows into lots that one statement takes."""
        if not isinstance(self.peewee, MySQLDatabase):
            yield from (rows[start : start + _ROWS] for start in range(0, len(rows), _ROWS))
            return
        lot: list[Sequence[object]] = []
        size, limit = 0, self.max_row()
        for row in rows:
            added = row_size(row)
            if lot and (len(lot) == _ROWS or size + added > limit):
                yield lot
                lot, size = [], 0
            lot.append(row)
            size += added
        yield lot

    def close(self) -> None:
        """Close this thread's connection and, to a server, all idle ones."""
        if not self.peewee.is_closed():
            self.peewee.close()
        if self.is_server:
            self.peewee.close_idle()

    @contextmanager
    def _only_writer(self) -> Iterator[None]:
        if self.is_server:
            yield
            return
        if not self._lock.acquire(timeout=self.waits.lock):
            raise DatabaseBusyError(f"Database {self.name} busy: another thread is writing")
        try:
            yield
        finally:
            self._lock.release()

    @contextmanager
    def _begun(self, *, durable: bool, wait: bool) -> Iterator[None]:
        how: object = None
        if not self.is_server:
            self.peewee.synchronize(durable=durable)
            how = wait
        elif self._postgres:
            how = _settings(durable=durable, wait=wait)
        with self.peewee.atomic() if how is None else self.peewee.atomic(how):
            yield

    @contextmanager
    def _connected(self) -> Iterator[None]:
        try:
            opened = self._connect()
            with self._quiet:
                try:
                    if opened and self.is_server and self.clock.is_old:
                        self.clock.measure(self.peewee.read_clock)
                    yield
                finally:
                    if opened and self.is_server:
                        self.peewee.close()
        except MaxConnectionsExceeded as exc:
            message = f"Database {self.name} busy: other threads use all connections of the process"
            raise DatabaseBusyError(message) from exc
        except (peewee.DatabaseError, peewee.InterfaceError) as exc:
            if not _is_unavailable(exc):
                raise
            cause = _first_cause(exc)
            if _is_busy(exc):
                raise DatabaseBusyError(f"Database {self.name} busy: {cause}") from exc
            if not self.is_server:
                cause = self.peewee.explanation() or cause
            self._drop_connection()
            kind = DatabaseUnfitError if _is_unfit(exc) else DatabaseUnavailableError
            raise kind(
                f"Database {self.name} unavailable: {cause}",
                for_all=not self.is_server or self._is_down(cause),
            ) from exc

    def _is_down(self, cause: str) -> bool:
        """Return True if an error says that no client can connect to the server."""
        # A proxy that refuses connections says nothing about the server behind it.
        server = self.peewee.server
        return _DOWN.search(cause) is not None or (server is not None and refuses(server))

    def _connect(self) -> bool:
        """Connect this thread; return False if it was connected already."""
        deadline = time.monotonic() + _REFUSED
        while True:
            try:
                with self._quiet:
                    opened = bool(self.peewee.connect(reuse_if_open=True))
            except _BAD_OPTIONS as exc:
                cause = _first_cause(exc)
                raise DatabaseUrlError(f"Invalid database URL {self.name}: {cause}") from exc
            except peewee.OperationalError as exc:
                if not _EXHAUSTED.search(str(exc)) or time.monotonic() > deadline:
                    raise
                if self.scarcity.note():
                    emit("database.exhausted", WARNING, reason=str(exc).strip())
                time.sleep(random.uniform(0.01, _AGAIN))  # noqa: S311 - spreads the tries
            else:
                if opened and not self.is_server:
                    self._thread.kept = _KeptConnection(self.peewee)
                elif opened and self._reaper is not None:
                    self._reaper.start()
                    self._reaper = None
                return opened

    def _reap(self) -> float:
        self.peewee.close_unused()
        return _UNUSED

    def _drop_connection(self) -> None:
        if self.is_server:
            self.peewee.close_idle()
        elif not self.peewee.is_closed() and not self.peewee.in_transaction():
            self.peewee.close()

    def _migrate(self) -> None:
        with nullcontext() if self.is_server else self.peewee.founding():
            self.check_setup()
            migrating.bring_up_to_date(self)
            self.check()


def row_size(row: Sequence[object]) -> int:
    """Return the number of bytes of a row's texts."""
    texts = (value for value in row if isinstance(value, str))
    return sum(len(text) if text.isascii() else len(text.encode()) for text in texts)


class _KeptConnection:
    """A thread's connection to SQLite, closed when the thread ends or forgets it."""

    def __init__(self, database: WatchedSqlite) -> None:
        self._close = database.closing()

    def __del__(self) -> None:
        self._close()


def _settings(*, durable: bool, wait: bool) -> dict[str, object]:
    """Return PostgreSQL's settings for a transaction."""
    settings: dict[str, object] = {}
    if not durable:
        settings["synchronous_commit"] = "off"
    if not wait:
        settings["lock_timeout"] = 10  # milliseconds; 0 stands for no limit
    return settings


def _open(url: str, connections: int, waits: Waits, scarcity: Scarcity, *, kept: bool) -> Any:  # noqa: ANN401
    scheme = urlsplit(url).scheme.removesuffix("+pool")
    try:
        if scheme != "sqlite":
            return open_server(
                url, connections=connections, waits=waits, scarcity=scarcity, kept=kept
            )
        return open_sqlite(url, waits)
    except (RuntimeError, ValueError, peewee.ImproperlyConfigured) as exc:
        raise DatabaseUrlError(f"Invalid database URL {masked(url)}: {exc}") from exc


def _is_busy(exc: peewee.PeeweeException) -> bool:
    first = exc
    if isinstance(exc.__context__, peewee.PeeweeException):
        first = exc.__context__
    return is_lock_timeout(first) or "database is locked" in str(first)


def _is_unfit(exc: peewee.PeeweeException) -> bool:
    codes = {getattr(each, "sqlstate", None) or each.args[0] for each in _chain(exc) if each.args}
    return not codes.isdisjoint(_UNFIT_CODES) or _UNFIT.search(str(exc)) is not None


def _chain(exc: BaseException) -> Iterator[BaseException]:
    """Return an error of PeeWee and those of the driver that it stands for."""
    yield exc
    if isinstance(cause := getattr(exc, "orig", None), BaseException):
        yield cause


def _is_unavailable(exc: peewee.PeeweeException) -> bool:
    """Return True if the database is away, full or broken; False for a mistake of ours."""
    away = peewee.OperationalError | peewee.InternalError | peewee.InterfaceError
    return isinstance(exc, away) or type(exc) is peewee.DatabaseError or _is_unfit(exc)


def _first_cause(exc: BaseException) -> str:
    # A full SQLite has rolled back before PeeWee asks it to, which fails too.
    first: BaseException = exc
    while exc.__context__ is not None:
        exc = exc.__context__
        if isinstance(exc, peewee.PeeweeException):
            first = exc
    said, _, _ = str(first).partition("\nLINE 1:")  # PostgreSQL repeats the statement
    return " ".join(said.split())
