"""Leases, retries, limits and replays: columns, and the tables worker, pace and gate."""

from peewee import Database, MySQLDatabase
from playhouse.migrate import SchemaMigrator

_COLUMNS = (
    "run ADD COLUMN worker VARCHAR(36) NULL",
    "run ADD COLUMN crashes INTEGER NOT NULL DEFAULT 0",
    "run ADD COLUMN failures INTEGER NOT NULL DEFAULT 0",
    "run ADD COLUMN cancelling DOUBLE PRECISION NULL",
    "run ADD COLUMN queue VARCHAR(100) NOT NULL DEFAULT ''",
    "run ADD COLUMN priority INTEGER NOT NULL DEFAULT 5",
    "run ADD COLUMN slot VARCHAR(64) NOT NULL DEFAULT ''",
    "run ADD COLUMN blocked VARCHAR(200) NULL",
    "run ADD COLUMN origin VARCHAR(36) NULL",
    "run ADD COLUMN superseded INTEGER NOT NULL DEFAULT 0",
    "attempt ADD COLUMN worker VARCHAR(36) NULL",
    "attempt ADD COLUMN pid INTEGER NULL",
)
_TABLES = (
    """CREATE TABLE worker (uuid VARCHAR(36) NOT NULL PRIMARY KEY, host VARCHAR(255) NOT NULL,
        lock_name VARCHAR(36) NOT NULL, started DOUBLE PRECISION NOT NULL,
        renewed DOUBLE PRECISION NOT NULL)""",
    """CREATE TABLE pace (application VARCHAR(100) NOT NULL PRIMARY KEY,
        free_at DOUBLE PRECISION NOT NULL)""",
    "CREATE TABLE gate (name VARCHAR(20) NOT NULL PRIMARY KEY)",
)
_INDEXES = (
    ("run_candidate", "queue, priority, due", "due IS NOT NULL AND blocked IS NULL"),
    ("run_blocked", "blocked, due", "blocked IS NOT NULL"),
    ("run_worker", "worker", "worker IS NOT NULL"),
)


def up(migrator: SchemaMigrator, db: Database) -> None:  # noqa: ARG001 - peewee's signature
    """Add columns and tables; index waiting runs by queue and priority instead of by time."""
    mysql = isinstance(db, MySQLDatabase)
    for column in _COLUMNS:
        _execute(db, f"ALTER TABLE {column}")
    for table in _TABLES:
        _execute(db, f"{table} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin" if mysql else table)
    _execute(db, "INSERT INTO gate (name) VALUES ('publish')")
    _execute(db, "UPDATE run SET worker = '' WHERE state = 'running'")  # of no leased worker
    _execute(db, f"DROP INDEX run_due{' ON run' if mysql else ''}")
    for name, columns, part in _INDEXES:
        if mysql:  # MySQL has no partial indexes
            first = "blocked, " if name == "run_candidate" else ""
            _execute(db, f"CREATE INDEX {name} ON run ({first}{columns})")
        else:
            _execute(db, f"CREATE INDEX {name} ON run ({columns}) WHERE {part}")


def _execute(db: Database, sql: str) -> None:
    db.execute_sql(sql)  # type: ignore[no-untyped-call]
