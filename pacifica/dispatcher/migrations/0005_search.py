"""What events are looked for by: digests of type and source, whether any run was made, indexes."""

import zlib

from peewee import Database, MySQLDatabase
from playhouse.migrate import SchemaMigrator

_COLUMNS = (
    "type_hash BIGINT NOT NULL DEFAULT 0",
    "source_hash BIGINT NOT NULL DEFAULT 0",
    "unmatched INTEGER NOT NULL DEFAULT 0",
)
_INDEXES = (
    "event_type ON event (type_hash, uuid)",
    "event_source ON event (source_hash, uuid)",
    "run_state ON run (state, superseded, event)",
    "run_application ON run (application, state, superseded, event)",
)


def up(migrator: SchemaMigrator, db: Database) -> None:  # noqa: ARG001 - peewee's signature
    """Add the columns and fill them, then the indexes."""
    mysql = isinstance(db, MySQLDatabase)
    for column in _COLUMNS:
        _execute(db, f"ALTER TABLE event ADD COLUMN {column}")
    for column in ("type", "source"):
        texts = _execute(db, f"SELECT DISTINCT {column} FROM event").fetchall()  # noqa: S608 - ours
        update = f"UPDATE event SET {column}_hash = ? WHERE {column} = ?"  # noqa: S608 - ours
        for (text,) in texts:
            _execute(db, update.replace("?", db.param), (zlib.crc32(text.encode()), text))
    _execute(
        db,
        """UPDATE event SET unmatched = 1
            WHERE NOT EXISTS (SELECT 1 FROM run WHERE run.event = event.uuid)""",
    )
    for index in _INDEXES:
        _execute(db, f"CREATE INDEX {index}")
    if mysql:  # it has no partial indexes
        _execute(db, "CREATE INDEX event_unmatched ON event (unmatched, uuid)")
    else:
        _execute(db, "CREATE INDEX event_unmatched ON event (uuid) WHERE unmatched = 1")


def _execute(db: Database, sql: str, parameters: tuple[object, ...] = ()):  # type: ignore[no-untyped-def] # noqa: ANN202
    return db.execute_sql(sql, parameters)  # type: ignore[no-untyped-call]
