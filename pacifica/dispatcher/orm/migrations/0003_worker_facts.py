"""Lease length, queues and number of processes of a worker."""

from peewee import Database
from playhouse.migrate import SchemaMigrator


def up(migrator: SchemaMigrator, db: Database) -> None:  # noqa: ARG001 - peewee's signature
    """Add the columns; workers that are running get the default lease."""
    for column in (
        "length DOUBLE PRECISION NOT NULL DEFAULT 15",
        "queues VARCHAR(1000) NOT NULL DEFAULT ''",
        "processes INTEGER NOT NULL DEFAULT 1",
    ):
        db.execute_sql(f"ALTER TABLE worker ADD COLUMN {column}")  # type: ignore[no-untyped-call]
