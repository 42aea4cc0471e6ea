"""Applications and troubles of a worker; the oldest program that can work with the tables."""

from peewee import Database, MySQLDatabase
from playhouse.migrate import SchemaMigrator

_COMPATIBILITY = """CREATE TABLE compatibility (name VARCHAR(20) NOT NULL PRIMARY KEY,
    migration INTEGER NOT NULL)"""


def up(migrator: SchemaMigrator, db: Database) -> None:  # noqa: ARG001 - peewee's signature
    """Add the columns and the table; programs that do not read it cannot be stopped by it."""
    mysql = isinstance(db, MySQLDatabase)
    for sql in (
        f"ALTER TABLE worker ADD COLUMN applications {'LONGTEXT' if mysql else 'TEXT'} NULL",
        "ALTER TABLE worker ADD COLUMN skew DOUBLE PRECISION NOT NULL DEFAULT 0",
        "ALTER TABLE worker ADD COLUMN scarce BOOLEAN NOT NULL DEFAULT FALSE",
        _COMPATIBILITY + (" CHARACTER SET utf8mb4 COLLATE utf8mb4_bin" if mysql else ""),
        "INSERT INTO compatibility (name, migration) VALUES ('oldest', 0)",
    ):
        db.execute_sql(sql)  # type: ignore[no-untyped-call]
