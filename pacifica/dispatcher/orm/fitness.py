"""Checks that a database can hold events: its encoding, its schema, the rights of our user.

The statements of `probe` change no row, but the database checks tables, columns, rights and whether
it can be written as for any other.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from peewee import Model

from pacifica.dispatcher.orm.schema import (
    AttemptRow,
    DuplicateRow,
    EventRow,
    OutboxRow,
    OutputRow,
    PauseRow,
    RunRow,
    WorkerRow,
)

Fetch = Callable[[str, Sequence[object]], Any]
"""Runs a statement with its parameters; returns a cursor."""

_MIN_PACKET: Final = 4 * 1024**2  # bytes: a result and an error of 1 MiB each, escaped
_MODELS: Final[Sequence[type[Model]]] = (
    *(EventRow, DuplicateRow, RunRow, AttemptRow, OutputRow, WorkerRow, PauseRow, OutboxRow),
)
_TABLES: Final = {
    **{
        each._meta.table_name: [field.column_name for field in each._meta.sorted_fields]  # noqa: SLF001
        for each in _MODELS
    },
    "pace": ["application", "free_at"],
    "gate": ["name"],
}
_READ: Final = "SELECT name, migration FROM compatibility WHERE 1 = 0"
_DELETED: Final = ("output", "worker", "pause", "outbox")

_POSTGRES: Final = """SELECT current_setting('server_encoding'), current_schema() IS NOT NULL,
    current_setting('search_path'), current_setting('transaction_read_only'),
    pg_is_in_recovery()"""
_MYSQL: Final = """SELECT @@character_set_connection, @@max_allowed_packet,
    COALESCE((SELECT MIN(character_set_name) FROM information_schema.columns
        WHERE table_schema = DATABASE() AND table_name IN ('event', 'run', 'attempt')
        AND character_set_name <> 'utf8mb4'),
    (SELECT MIN(character_set_name) FROM information_schema.columns
        WHERE table_schema = DATABASE() AND table_name = 'event'), @@character_set_database)"""


def postgres_obstacle(fetch: Fetch) -> str:
    """Return why a PostgreSQL database can hold no events; "" if it can."""
    encoding, has_schema, path, read_only, is_standby = map(_text, fetch(_POSTGRES, ()).fetchone())
    if encoding != "UTF8":
        return f"its encoding is {encoding}; create it with ENCODING 'UTF8'"
    if is_standby:
        return "the server is a standby, which cannot be written; use the primary"
    if read_only == "on":
        return "it is read-only; set default_transaction_read_only = off"
    if not has_schema:
        return f"no schema of its search_path ({path}) exists; create one or set search_path"
    return ""


def mysql_obstacle(fetch: Fetch) -> str:
    """Return why a MariaDB or MySQL database can hold no events; "" if it can."""
    connection, packet, tables = fetch(_MYSQL, ()).fetchone()
    if connection != "utf8mb4":
        return f"the connection's character set is {connection}; remove charset from the URL"
    if tables != "utf8mb4":
        return f"its character set is {tables}; create it with CHARACTER SET utf8mb4"
    if packet < _MIN_PACKET:
        return f"max_allowed_packet is {packet}; set it to at least {_MIN_PACKET}"
    return ""


def probe(fetch: Fetch) -> None:
    """Run a statement of each kind on each table, inside a transaction, without changing a row."""
    for statement in _probes():
        fetch(statement, ())


def _probes() -> Iterator[str]:
    yield _READ
    for table, columns in _TABLES.items():
        names = ", ".join(columns)
        yield f"UPDATE {table} SET {columns[-1]} = {columns[-1]} WHERE 1 = 0"  # noqa: S608 - ours
        if table != "gate":
            yield f"INSERT INTO {table} ({names}) SELECT {names} FROM {table} WHERE 1 = 0"  # noqa: S608 - ours
        if table in _DELETED:
            yield f"DELETE FROM {table} WHERE 1 = 0"  # noqa: S608 - ours


def _text(value: Any) -> Any:  # noqa: ANN401 - a column's
    # Psycopg reads text as bytes where the server does not know its encoding.
    return value.decode() if isinstance(value, bytes) else value
