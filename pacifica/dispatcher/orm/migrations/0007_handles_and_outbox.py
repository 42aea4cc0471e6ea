"""Handles of attempts instead of process ids, and the outbox of ended runs."""

from peewee import Database, MySQLDatabase, PostgresqlDatabase
from playhouse.migrate import SchemaMigrator

from pacifica.dispatcher.orm.migrations import LOT, add_columns, change, drop_column, rows

TABLE = "attempt"
_OUTBOX = """CREATE TABLE IF NOT EXISTS outbox (id {key}, run VARCHAR(36) NOT NULL,
    event VARCHAR(36) NOT NULL, application VARCHAR(100) NOT NULL, state VARCHAR(16) NOT NULL,
    ended DOUBLE PRECISION NOT NULL)"""
_ATTEMPTS = "SELECT run FROM attempt WHERE run > ? ORDER BY run LIMIT ?"
_FILL = """UPDATE attempt SET handle = {handle}
    WHERE run > ? AND run <= ? AND pid IS NOT NULL AND handle IS NULL"""


def up(migrator: SchemaMigrator, db: Database) -> None:  # noqa: ARG001 - peewee's signature
    """Add the column and the table."""
    key, options = "INTEGER PRIMARY KEY AUTOINCREMENT", ""
    if isinstance(db, PostgresqlDatabase):
        key = "BIGSERIAL PRIMARY KEY"
    elif isinstance(db, MySQLDatabase):
        key = "BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY"
        options = " CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
    add_columns(db, "attempt", {"handle": "VARCHAR(200) NULL"})
    change(db, _OUTBOX.format(key=key) + options)


def fill(db: Database, after: str) -> tuple[str, int] | None:
    """Make the handles of the attempts at some runs."""
    if "pid" not in {each.name for each in db.get_columns("attempt")}:
        return None
    runs = rows(db, _ATTEMPTS, after, LOT)
    if not runs:
        return None
    is_mysql = isinstance(db, MySQLDatabase)
    handle = "CONCAT('local:', pid)" if is_mysql else "'local:' || pid"
    last = runs[-1][0]
    change(db, _FILL.format(handle=handle), after, last)
    return last, len(runs)


def finish(db: Database) -> None:
    """Drop the process ids."""
    drop_column(db, "attempt", "pid")
