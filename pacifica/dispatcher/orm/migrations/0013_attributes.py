"""The attributes of long events beside their text, so that lists need not read the data."""

import json
from typing import Final

from peewee import Database, MySQLDatabase
from playhouse.migrate import SchemaMigrator

from pacifica.dispatcher.errors import EventError
from pacifica.dispatcher.events import parse_event
from pacifica.dispatcher.orm.migrations import add_columns, change, rows

TABLE = "event"
_LOT: Final = 50  # texts may be large
_SHORT: Final = 4096  # characters
_EVENTS = """SELECT uuid, CASE WHEN CHAR_LENGTH(sent) > ? THEN sent END FROM event
    WHERE uuid > ? ORDER BY uuid LIMIT ?"""
_FILL = "UPDATE event SET attributes = ? WHERE uuid = ?"


def up(migrator: SchemaMigrator, db: Database) -> None:  # noqa: ARG001 - peewee's signature
    """Add the column."""
    kind = "LONGTEXT" if isinstance(db, MySQLDatabase) else "TEXT"
    add_columns(db, "event", {"attributes": f"{kind} NULL"})


def fill(db: Database, after: str) -> tuple[str, int] | None:
    """Fill it for some events."""
    events = rows(db, _query(db), _SHORT, after, _LOT)
    for uuid, sent in events:
        if sent is not None and (attributes := _attributes(sent)):
            change(db, _FILL, attributes, uuid)
    return (events[-1][0], len(events)) if events else None


def finish(db: Database) -> None:
    """Leave the structure as it is."""


def _query(db: Database) -> str:
    return _EVENTS if isinstance(db, MySQLDatabase) else _EVENTS.replace("CHAR_LENGTH", "LENGTH")


def _attributes(sent: str) -> str | None:
    try:
        return json.dumps(dict(parse_event(sent).attributes))
    except EventError:  # lists read the whole text of an event that is no longer valid
        return None
