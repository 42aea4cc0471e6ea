"""Attempts lost through no fault of the application, and when a run was last interrupted."""

from peewee import Database
from playhouse.migrate import SchemaMigrator


def up(migrator: SchemaMigrator, db: Database) -> None:  # noqa: ARG001 - peewee's signature
    """Add the columns."""
    for column in ("losses INTEGER NOT NULL DEFAULT 0", "interrupted DOUBLE PRECISION NULL"):
        db.execute_sql(f"ALTER TABLE run ADD COLUMN {column}")  # type: ignore[no-untyped-call]
