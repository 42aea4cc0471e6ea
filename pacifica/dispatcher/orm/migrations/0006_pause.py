"""Paused applications."""

from peewee import Database, MySQLDatabase
from playhouse.migrate import SchemaMigrator


def up(migrator: SchemaMigrator, db: Database) -> None:  # noqa: ARG001 - peewee's signature
    """Create the table."""
    table = """CREATE TABLE pause (application VARCHAR(100) NOT NULL PRIMARY KEY,
        since DOUBLE PRECISION NOT NULL)"""
    if isinstance(db, MySQLDatabase):
        table += " CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
    db.execute_sql(table)  # type: ignore[no-untyped-call]
