"""Migrations in short steps, so that others wait only briefly while a large database changes.

A migration is a module in `migrations` with a function `up`, which changes the structure. If rows
must change, too, it also has `fill`, which changes one lot and returns its last key, and `finish`.
Each step is one transaction under the lock of migrations. Tiers that migrate at the same time take
turns. If one dies, there is nothing to repair, because `up` and `fill` can be repeated.

A migration that sets `BREAKS_OLDER` first writes its number to the table `compatibility`, which
running tiers read: those that do not know the migration stop before the tables change.
"""

import enum
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

import peewee
from peewee import MySQLDatabase, PostgresqlDatabase
from playhouse.migrations import Runner

from pacifica.dispatcher.errors import (
    DatabaseBusyError,
    DatabaseUnavailableError,
    SchemaError,
)
from pacifica.dispatcher.execution.process import now
from pacifica.dispatcher.orm import migrations
from pacifica.dispatcher.telemetry import WARNING, emit

if TYPE_CHECKING:
    from collections.abc import Callable

    from pacifica.dispatcher.orm.database import Database

RETIRED: Final = 6.0
"""Seconds that older tiers have to stop before a migration that breaks them."""

_SPEED: Final = 2000.0  # rows per second that a fill changes, roughly
_TOLD: Final = 5.0  # seconds between two log lines about progress
_WAIT: Final = 300.0  # seconds that a tier waits for another one's migration
_AGAIN: Final = 0.2  # seconds until the next try
_LOCK: Final = "pacifica.dispatcher migrations"
_RETIRE = "UPDATE compatibility SET migration = ? WHERE name = 'oldest' AND migration < ?"
_OLDEST = "SELECT migration FROM compatibility WHERE name = 'oldest'"
_DENIED = re.compile("(command|permission) denied|must be owner", re.IGNORECASE)
"""Messages of a server whose user may not change the tables."""


@dataclass(frozen=True, slots=True)
class Schema:
    """The state of the tables: the names of migrations, in order.

    Attributes:
        applied: migrations that have been applied.
        missing: migrations that have not been applied.
        unknown: applied migrations of a later version of the dispatcher.
    """

    applied: tuple[str, ...]
    missing: tuple[str, ...]
    unknown: tuple[str, ...]

    @property
    def version(self) -> str:
        """The last applied migration."""
        return self.applied[-1] if self.applied else "nothing"


def read_schema(database: "Database") -> Schema:
    """Return the state of the tables, without changing anything or creating a file.

    Raises:
        DatabaseUnavailableError: the database cannot be reached.
    """
    if not _exists(database):
        return Schema((), tuple(each.name for each in runner(database.peewee).migrations()), ())
    with database.reading():
        found = runner(database.peewee).status()
    return Schema(
        tuple(each.name for each in found if each.applied),
        tuple(each.name for each in found if not each.applied),
        tuple(each.name for each in found if not each.path),
    )


def _exists(database: "Database") -> bool:
    return database.is_server or Path(database.peewee.path).exists()


def why_outdated(database: "Database") -> str:
    """Return why this version cannot use the tables, which a later one has changed; "" if it can.

    Raises:
        DatabaseUnavailableError: the database cannot be reached.
    """
    with database.reading():
        oldest = database.fetch(_OLDEST, ()).fetchone()[0]
    if oldest <= max(number_of(each.name) for each in runner(database.peewee).migrations()):
        return ""
    return (
        f"Database {database.name} was migrated by a later version of the dispatcher "
        f"({oldest:04}), which this one cannot work with; upgrade the dispatcher on this host"
    )


def bring_up_to_date(database: "Database") -> None:
    """Create the tables or apply what is missing, in turns with other tiers.

    Raises:
        DatabaseUnavailableError: the database cannot be reached, or is locked for too long.
        SchemaError: its tables are too new for this version, or it may not change them.
    """
    with database.reading():
        _write_ahead(database)
    if read_schema(database).unknown:
        database.require_compatible()
    migrator = Migrator(database)
    deadline = now() + _WAIT
    while True:
        try:
            if not _step(migrator, database):
                return
            deadline = now() + _WAIT
        except DatabaseBusyError as exc:
            if now() > deadline:
                raise
            emit("migration.waiting", WARNING, reason=str(exc))
            time.sleep(_AGAIN)


def _step(migrator: "Migrator", database: "Database") -> bool:
    try:
        with database.reading():
            return migrator.step()
    except (peewee.ProgrammingError, DatabaseUnavailableError) as exc:
        if not _DENIED.search(str(exc)):
            raise
        reason = str(exc).strip().partition("\n")[0]
        raise SchemaError(
            f"Database {database.name} needs a migration, which was denied ({reason}); run "
            "`pacifica-dispatcher database migrate` as a user that may alter its tables"
        ) from exc


def _write_ahead(database: "Database") -> None:
    # SQLite's busy timeout does not hold for this statement.
    deadline = now() + _WAIT
    while not database.is_server:
        try:
            database.peewee.execute_sql("PRAGMA journal_mode = wal")
            break
        except peewee.OperationalError as exc:
            if "locked" not in str(exc) or now() > deadline:
                raise
            time.sleep(0.02)


class _Phase(enum.Enum):
    RETIRE = enum.auto()
    UP = enum.auto()
    FILL = enum.auto()
    FINISH = enum.auto()
    DONE = enum.auto()


@dataclass(frozen=True, slots=True)
class _Position:
    """A position within a migration: its next phase, and how far its rows have changed."""

    phase: _Phase
    after: str = ""
    rows: int = 0


class Migrator:
    """Applies what is missing, one step at a time."""

    def __init__(self, database: "Database", folder: str | None = None) -> None:
        """Start with the first missing migration.

        Args:
            database: the database.
            folder: that of the migrations; only tests have their own.
        """
        self._database = database
        self._runner = runner(database.peewee, folder)
        self._name = ""
        self._module = ModuleType("none")
        self._position = _Position(_Phase.DONE)
        self._told = 0.0

    def step(self) -> bool:
        """Do the next step; return False if nothing is missing.

        Raises:
            DatabaseBusyError: another transaction is in the way; try again.
        """
        status = self._runner.status()
        missing = [each for each in status if not each.applied]
        if not missing:
            return False
        if missing[0].name != self._name:
            self._begin(missing[0], is_new=len(missing) == len(status))
        began = now()
        with _locked(self._database):
            if self._name in self._runner.applied():  # another tier was faster
                return True
            position = self._do()
        self._moved(position)
        if position.phase in {_Phase.FILL, _Phase.FINISH}:
            time.sleep(now() - began)  # the others' turn
        return True

    def _begin(self, migration: Any, *, is_new: bool) -> None:  # noqa: ANN401 - PeeWee is untyped
        self._name = migration.name
        self._module = migration.load()
        breaks = getattr(self._module, "BREAKS_OLDER", False) and not is_new
        self._position = _Position(_Phase.RETIRE if breaks else _Phase.UP)
        self._told = now()

    def _do(self) -> _Position:
        database, module, position = self._database.peewee, self._module, self._position
        fill: Callable[..., tuple[str, int] | None] | None = getattr(module, "fill", None)
        if position.phase is _Phase.RETIRE:
            number = number_of(self._name)
            self._database.execute(_RETIRE, (number, number))
            return _Position(_Phase.UP)
        if position.phase is _Phase.UP:
            module.up(self._runner.migrator, database)
            return _Position(_Phase.FILL) if fill else self._record()
        if position.phase is _Phase.FILL:
            assert fill is not None  # noqa: S101 - or there would be no such phase
            lot = fill(database, position.after)
            if lot is None:
                return replace(position, phase=_Phase.FINISH)
            return replace(position, after=lot[0], rows=position.rows + lot[1])
        module.finish(database)
        return self._record()

    def _record(self) -> _Position:
        self._runner.History.create_table()
        self._runner.History.create(name=self._name)
        return _Position(_Phase.DONE)

    def _moved(self, position: _Position) -> None:
        if self._position.phase is _Phase.RETIRE:
            emit("migration.retiring", WARNING, migration=self._name, seconds=RETIRED)
            time.sleep(RETIRED)
        if position.phase is _Phase.FILL and now() - self._told >= _TOLD:
            emit("migration.progress", WARNING, migration=self._name, rows=position.rows)
            self._told = now()
        self._position = position


@dataclass(frozen=True, slots=True)
class Estimate:
    """The size of a missing migration.

    Attributes:
        migration: its name.
        rows: how many rows it reads, and changes where they need it.
        seconds: roughly how long that takes, with the pauses for others.
    """

    migration: str
    rows: int
    seconds: float


def estimates(database: "Database") -> list[Estimate]:
    """Estimate the migrations that are missing; a new database has no rows."""
    if not _exists(database):
        return [Estimate(name, 0, 0.0) for name in read_schema(database).missing]
    with database.reading():
        missing = [each for each in runner(database.peewee).status() if not each.applied]
        tables = [getattr(each.load(), "TABLE", None) for each in missing]
        there = {*database.peewee.get_tables()}
        counts = {
            table: int(database.fetch(f"SELECT COUNT(*) FROM {table}", ()).fetchone()[0])  # noqa: S608 - ours
            for table in there.intersection(tables)
        }
    numbers = [
        (each.name, counts.get(table, 0)) for each, table in zip(missing, tables, strict=True)
    ]
    return [Estimate(name, number, number / _SPEED) for name, number in numbers]


@contextmanager
def _locked(database: "Database") -> Iterator[None]:
    """Open a transaction, and let no other process migrate until it ends."""
    if isinstance(database.peewee, MySQLDatabase):
        lock = (_LOCK, database.waits.lock)
        with database.reading():
            if not database.fetch("SELECT GET_LOCK(?, ?)", lock).fetchone()[0]:
                busy = f"Database {database.name} busy: another process migrates it"
                raise DatabaseBusyError(busy)
            try:
                with database.transaction():
                    yield
            finally:
                database.fetch("SELECT RELEASE_LOCK(?)", lock[:1]).fetchone()
        return
    with database.transaction():
        if isinstance(database.peewee, PostgresqlDatabase):
            # A lock of the session would not survive a pooler.
            database.fetch("SELECT pg_advisory_xact_lock(hashtext(?))", (_LOCK,))
            database.fetch("SET LOCAL statement_timeout = 0", ())
        yield


def runner(database: Any, folder: str | None = None) -> Any:  # noqa: ANN401 - PeeWee is untyped
    """Return PeeWee's runner of our migrations, which knows what has been applied."""
    return Runner(database, folder or migrations.__path__[0], table_name="schema_migration")


def number_of(name: str) -> int:
    """Return the number of a migration."""
    return int(name.partition("_")[0])
