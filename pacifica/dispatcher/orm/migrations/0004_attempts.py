"""Command, progress and last line of an attempt."""

from peewee import Database, MySQLDatabase
from playhouse.migrate import SchemaMigrator

_COLUMNS = {
    "last_line": "VARCHAR(200)",
    "progress": "INTEGER",
    "progress_text": "VARCHAR(200)",
}


def up(migrator: SchemaMigrator, db: Database) -> None:  # noqa: ARG001 - peewee's signature
    """Add the columns."""
    long_text = "LONGTEXT" if isinstance(db, MySQLDatabase) else "TEXT"
    for name, kind in {"command": long_text, **_COLUMNS}.items():
        sql = f"ALTER TABLE attempt ADD COLUMN {name} {kind} NULL"
        db.execute_sql(sql)  # type: ignore[no-untyped-call]
