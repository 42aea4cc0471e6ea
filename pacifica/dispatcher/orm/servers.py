"""Connections to database servers: limits that the server keeps, and pools that give back.

A process can freeze or vanish at any statement. So the server ends what it left: a transaction
whose client says nothing, a wait for a lock, a connection whose peer has gone. Each limit is set
on the session; on PostgreSQL those of a transaction are set again with its BEGIN, because a pooler
may give each transaction another session.

A connection that is kept is *direct* if the server sees the client's own end of it: there is no
proxy, pooler or address translation in between that could refuse connections in its place. The
address of the last connection is remembered as that of the `server` if it was direct.
"""

import heapq
import mmap
import socket
import struct
import time
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import peewee
from peewee import MySQLDatabase, PostgresqlDatabase
from playhouse import db_url
from playhouse.pool import PooledMySQLDatabase, PooledPostgresqlDatabase

_CONNECT_TIMEOUT: Final = 5  # seconds that a server may take to answer
_PROBE_TIMEOUT: Final = 1.0  # seconds
_LINK_TIMEOUT: Final = 60  # seconds after which a server that says nothing is given up
_POOL_TIMEOUT: Final = 10  # seconds that a thread waits for another one's connection
_IDLE: Final = 3  # seconds between two statements of a transaction; less than the shortest lease
_GATE_WAIT: Final = 0.1  # seconds that a statement waits for a lock while others wait for the gate
_GONE: Final = (5, 2, 3)  # keepalives: seconds of silence, seconds between probes, probes
_SCARCE: Final = 60.0  # seconds for which connections are given back at once

_Address = tuple[int, Any]
"""The family and the address of a socket."""

_MySqlDriver: Any = MySQLDatabase  # its methods are untyped

_LOCK_TIMEOUTS: Final = frozenset({"55P03", 1205, 3572})
"""Codes of a lock that was not obtained in time: PostgreSQL's, MariaDB's and MySQL's (NOWAIT)."""

_POSTGRES_CLIENT: Final = "SELECT host(inet_client_addr()), inet_client_port()"
_MYSQL_CLIENT: Final = "SELECT host FROM information_schema.processlist WHERE id = connection_id()"

POSTGRES: Final = frozenset({"postgres", "postgresql", "psycopg3"})


@dataclass(frozen=True, slots=True)
class Waits:
    """The limits of a statement's time, in seconds.

    Attributes:
        lock: the wait for a lock that another transaction holds.
        statement: the whole statement; None for no limit.
    """

    lock: float = 4.0
    statement: float | None = None


class Scarcity:
    """A note that the server has refused a connection lately; forked processes share it."""

    _LAYOUT: Final = struct.Struct("=d")

    def __init__(self) -> None:
        """Note nothing yet."""
        self._shared = mmap.mmap(-1, self._LAYOUT.size)

    def note(self) -> bool:
        """Note that a connection was refused; return True if none was for a while."""
        new = not self
        self._LAYOUT.pack_into(self._shared, 0, time.monotonic() + _SCARCE)
        return new

    def __bool__(self) -> bool:
        """Return True if connections are scarce."""
        left = self._LAYOUT.unpack_from(self._shared)[0] - time.monotonic()
        return bool(0 < left <= _SCARCE)


class Pool:
    """A pool of connections that are closed when they are scarce or nobody needs them."""

    scarcity: Scarcity
    kept: bool
    _pool_lock: Any
    _connections: list[Any]
    _unused = 0

    def _connect(self) -> Any:  # noqa: ANN401 - a driver's connection
        connection = super()._connect()  # type: ignore[misc] # PeeWee's pool is the next class
        self._unused = min(self._unused, len(self._connections))
        return connection

    def _close(self, conn: object, close_conn: bool = False) -> None:  # noqa: FBT001, FBT002 - PeeWee's
        scarce = bool(self.scarcity) and not self.kept
        super()._close(conn, close_conn=close_conn or scarce)  # type: ignore[misc]

    def close_unused(self) -> None:
        """Close as many connections as nobody has needed since the last call."""
        with self._pool_lock:
            for _ in range(min(self._unused, len(self._connections))):
                self._close_raw(heapq.heappop(self._connections)[-1])  # type: ignore[attr-defined]
            self._unused = len(self._connections)


class _LimitedPostgres(PostgresqlDatabase):
    waits: Waits
    kept: bool
    server: _Address | None = None

    def _connect(self) -> Any:  # noqa: ANN401
        connection: Any = super()._connect()  # type: ignore[misc] # a private method
        silence, interval, probes = _GONE
        settings = {
            **self._of_transaction(),
            "tcp_keepalives_idle": silence,
            "tcp_keepalives_interval": interval,
            "tcp_keepalives_count": probes,
            "tcp_user_timeout": (silence + interval * probes) * 1000,
        }
        connection.execute("; ".join(f"SET {name} = {value}" for name, value in settings.items()))
        if self.kept:
            host, port = connection.execute(_POSTGRES_CLIENT).fetchone()
            client, server = _ends(connection.pgconn.socket)
            self.server = server if client == ((host, port) if host else None) else None
        return connection

    def begin(self, settings: Any = None) -> None:  # noqa: ANN401 - PeeWee's parameter
        """Begin a transaction with our limits and, a mapping, more settings of PostgreSQL."""
        limits: dict[str, object] = {**self._of_transaction(), **(settings or {})}
        local = (f"SET LOCAL {name} = {value}" for name, value in limits.items())
        self.execute_sql("; ".join(("BEGIN", *local)))  # type: ignore[no-untyped-call]

    def read_clock(self) -> float:
        """Return the server's time in seconds since the epoch."""
        sql = "SELECT EXTRACT(EPOCH FROM clock_timestamp())"
        return float(self.execute_sql(sql).fetchone()[0])  # type: ignore[no-untyped-call]

    def lock_gate(self) -> None:
        """Lock the gate; from then on, wait for no other lock."""
        wait = f"SET LOCAL lock_timeout = {_GATE_WAIT * 1000:.0f}"
        self.execute_sql(f"SELECT name FROM gate FOR UPDATE; {wait}")  # type: ignore[no-untyped-call] # noqa: S608

    def _of_transaction(self) -> dict[str, int]:
        return {
            "lock_timeout": round(self.waits.lock * 1000),
            "idle_in_transaction_session_timeout": _IDLE * 1000,
            "statement_timeout": round((self.waits.statement or 0) * 1000),
        }


class _Postgres(Pool, PooledPostgresqlDatabase, _LimitedPostgres):  # type: ignore[misc]
    pass


class _DirectMySql(_MySqlDriver):  # type: ignore[misc] # of Any
    kept: bool
    server: _Address | None = None

    def _connect(self) -> Any:  # noqa: ANN401
        connection = super()._connect()
        if self.kept:
            with connection.cursor() as cursor:
                cursor.execute(_MYSQL_CLIENT)
                _, _, port = cursor.fetchone()[0].partition(":")  # the host may be a name
            client, server = _ends(connection._sock.fileno())  # noqa: SLF001 - not public
            self.server = server if port == (str(client[1]) if client else "") else None
        return connection


class _MySql(Pool, PooledMySQLDatabase, _DirectMySql):  # type: ignore[misc]
    waits: Waits

    def begin(self) -> None:
        """Begin a transaction; whatever the last one on this connection did, wait for locks."""
        connection = self.connection()
        if getattr(connection, "has_locked_gate", False):
            self._wait_for_locks(self.waits.lock)
            connection.has_locked_gate = False
        super().begin()

    def read_clock(self) -> float:
        """Return the server's time in seconds since the epoch, in any time zone."""
        sql = "SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)) / 1000000"
        return float(self.execute_sql(sql).fetchone()[0])

    def lock_gate(self) -> None:
        """Lock the gate; from then on, wait for other locks as briefly as MySQL can."""
        self.execute_sql("SELECT name FROM gate FOR UPDATE").fetchall()
        self._wait_for_locks(1)
        self.connection().has_locked_gate = True

    def _wait_for_locks(self, seconds: float) -> None:
        self.execute_sql(f"SET SESSION innodb_lock_wait_timeout = {max(1, round(seconds))}")


def open_server(
    url: str, *, connections: int, waits: Waits, scarcity: Scarcity, kept: bool
) -> _Postgres | _MySql:
    """Choose a database server; nothing is connected yet.

    Args:
        url: a PeeWee connection URL.
        connections: the maximum number of connections.
        waits: how long a statement may take.
        scarcity: shared with the other processes of the tier.
        kept: True for connections that stay open when they are scarce.

    Raises:
        ValueError: the URL is not a valid one.
        peewee.ImproperlyConfigured: the driver is not installed.
    """
    scheme = urlsplit(url).scheme.removesuffix("+pool")
    if scheme not in {*POSTGRES, "mysql"}:
        raise ValueError(f"unsupported scheme {scheme!r}")
    options = db_url.parse(_with_scheme(url, scheme), unquote_password=True, unquote_user=True)
    if not options["database"]:
        raise ValueError("it names no database")
    options |= {"max_connections": connections, "timeout": _POOL_TIMEOUT}
    options["connect_timeout"] = _CONNECT_TIMEOUT
    made = (_postgres if scheme in POSTGRES else _mysql)(options, waits)
    made.waits, made.scarcity, made.kept = waits, scarcity, kept
    return made


def _postgres(options: dict[str, Any], _: Waits) -> _Postgres:
    silence, interval, probes = _GONE
    return _Postgres(
        **options,
        prefer_psycopg3=True,
        prepare_threshold=None,  # a pooler gives each transaction another session
        keepalives_idle=silence,
        keepalives_interval=interval,
        keepalives_count=probes,
        tcp_user_timeout=_LINK_TIMEOUT * 1000,
        field_types={"LONGTEXT": "TEXT", "LONGBLOB": "BYTEA"},
    )


def _mysql(options: dict[str, Any], waits: Waits) -> _MySql:
    lock = max(1, round(waits.lock))
    limits = f"SET SESSION innodb_lock_wait_timeout = {lock}, lock_wait_timeout = {lock}"
    limits += f" /*M!100300 , idle_transaction_timeout = {_IDLE} */"
    limits += f" /*!80000 , wait_timeout = {_CONNECT_TIMEOUT} */"  # MySQL knows no better one
    # Else a statement that reads a table from end to end waits for every locked row of it.
    limits += " /*M! , tx_isolation = 'READ-COMMITTED' */"
    limits += " /*!80000 , transaction_isolation = 'READ-COMMITTED' */"
    if waits.statement:
        limits += f" /*M!100300 , max_statement_time = {waits.statement:g} */"
    return _MySql(**options, read_timeout=_LINK_TIMEOUT, init_command=limits)


def refuses(server: _Address) -> bool:
    """Return True if nobody listens at the address of a server.

    The driver's message would not say it: it may be about another address of the same name.
    """
    family, address = server
    with socket.socket(family) as probe:
        probe.settimeout(_PROBE_TIMEOUT)
        try:
            probe.connect(address)
        except (ConnectionRefusedError, FileNotFoundError):
            return True
        except OSError:
            return False
    return False


def _ends(descriptor: int) -> tuple[tuple[str, int] | None, _Address]:
    """Return the host and port of this end of a connection (None if local), and the other end."""
    connection = socket.socket(fileno=descriptor)
    try:
        name, server = connection.getsockname(), (connection.family, connection.getpeername())
    finally:
        connection.detach()
    return (name[:2] if isinstance(name, tuple) else None), server


def _with_scheme(url: str, scheme: str) -> str:
    return urlsplit(url)._replace(scheme=scheme).geturl()


def is_lock_timeout(exc: peewee.PeeweeException) -> bool:
    """Return True if a statement failed because another transaction held a lock for too long."""
    cause = getattr(exc, "orig", exc)
    codes = {getattr(cause, "sqlstate", None), *cause.args[:1]}
    return not codes.isdisjoint(_LOCK_TIMEOUTS)
