"""Columns and indexes to search events by: digests of type and source, and a flag `unmatched`."""

import zlib

from peewee import Database, MySQLDatabase
from playhouse.migrate import SchemaMigrator

from pacifica.dispatcher.orm.migrations import LOT, add_columns, change, create_index, rows

TABLE = "event"
_COLUMNS = {
    "type_hash": "BIGINT NOT NULL DEFAULT 0",
    "source_hash": "BIGINT NOT NULL DEFAULT 0",
    "unmatched": "INTEGER NOT NULL DEFAULT 0",
}
_INDEXES = {
    "event_type": "event (type_hash, uuid)",
    "event_source": "event (source_hash, uuid)",
    "run_state": "run (state, superseded, event)",
    "run_application": "run (application, state, superseded, event)",
}
_EVENTS = "SELECT uuid, type, source FROM event WHERE uuid > ? ORDER BY uuid LIMIT ?"
_FILL = """UPDATE event SET type_hash = ?, source_hash = ?,
    unmatched = CASE WHEN EXISTS (SELECT 1 FROM run WHERE run.event = event.uuid) THEN 0 ELSE 1 END
    WHERE uuid = ?"""


def up(migrator: SchemaMigrator, db: Database) -> None:  # noqa: ARG001 - peewee's signature
    """Add the columns."""
    add_columns(db, "event", _COLUMNS)


def fill(db: Database, after: str) -> tuple[str, int] | None:
    """Fill the columns of some events."""
    events = rows(db, _EVENTS, after, LOT)
    for uuid, kind, source in events:
        change(db, _FILL, zlib.crc32(kind.encode()), zlib.crc32(source.encode()), uuid)
    return (events[-1][0], len(events)) if events else None


def finish(db: Database) -> None:
    """Create the indexes."""
    for name, columns in _INDEXES.items():
        create_index(db, name, columns)
    if isinstance(db, MySQLDatabase):  # it has no partial indexes
        create_index(db, "event_unmatched", "event (unmatched, uuid)")
    else:
        create_index(db, "event_unmatched", "event (uuid) WHERE unmatched = 1")
