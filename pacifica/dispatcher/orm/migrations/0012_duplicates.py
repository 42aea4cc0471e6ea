"""Events that were received again, and the deliveries whose content differed."""

from peewee import Database, MySQLDatabase
from playhouse.migrate import SchemaMigrator

from pacifica.dispatcher.orm.migrations import change, create_index

_DUPLICATE = """CREATE TABLE IF NOT EXISTS duplicate (event VARCHAR(36) NOT NULL PRIMARY KEY,
    content VARCHAR(64) NOT NULL, number BIGINT NOT NULL, latest DOUBLE PRECISION NULL,
    deliveries {text} NULL)"""


def up(migrator: SchemaMigrator, db: Database) -> None:  # noqa: ARG001 - peewee's signature
    """Add the table; events stored before are compared like any others."""
    mysql = isinstance(db, MySQLDatabase)
    table = _DUPLICATE.format(text="LONGTEXT" if mysql else "TEXT")
    change(db, table + (" CHARACTER SET utf8mb4 COLLATE utf8mb4_bin" if mysql else ""))
    part = "" if mysql else " WHERE latest IS NOT NULL"  # MySQL has no partial indexes
    create_index(db, "duplicate_latest", f"duplicate (latest, event, number){part}")
