"""A flag for events that had expired when they were received."""

import json
import re
from collections.abc import Mapping
from datetime import datetime

from peewee import Database
from playhouse.migrate import SchemaMigrator

from pacifica.dispatcher.orm.migrations import LOT, add_columns, change, rows

TABLE = "event"
_EVENTS = """SELECT uuid, received, sent FROM event WHERE unmatched = 1 AND uuid > ?
    ORDER BY uuid LIMIT ?"""
_EXPIRED = "UPDATE event SET expired = 1 WHERE uuid = ?"


def up(migrator: SchemaMigrator, db: Database) -> None:  # noqa: ARG001 - peewee's signature
    """Add the column."""
    add_columns(db, "event", {"expired": "INTEGER NOT NULL DEFAULT 0"})


def fill(db: Database, after: str) -> tuple[str, int] | None:
    """Fill it for some events; one with runs had not expired."""
    events = rows(db, _EVENTS, after, LOT)
    for uuid, received, sent in events:
        expiry = _expiry(json.loads(sent)) if "expirytime" in sent.lower() else None
        if expiry is not None and expiry <= received:
            change(db, _EXPIRED, uuid)
    return (events[-1][0], len(events)) if events else None


def finish(db: Database) -> None:
    """Leave the structure as it is."""


def _expiry(document: Mapping[str, object]) -> float | None:
    """Find the attribute; version 0.1 has it in `extensions`, in any spelling."""
    extensions = document.get("extensions")
    members = {**(extensions if isinstance(extensions, dict) else {}), **document}
    for name, value in members.items():
        if re.sub("[^a-z0-9]", "", name.lower()) == "expirytime" and isinstance(value, str):
            return _seconds(value.upper())
    return None


def _seconds(timestamp: str) -> float:
    """Parse an RFC 3339 timestamp; Python does not support leap seconds."""
    return datetime.fromisoformat(re.sub(r"(T\d\d:\d\d):60", r"\1:59", timestamp)).timestamp()
