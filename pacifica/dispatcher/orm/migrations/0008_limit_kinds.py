"""Kinds of limits instead of their names, and indexes of blocked runs by limit."""

from peewee import Database, MySQLDatabase
from playhouse.migrate import SchemaMigrator

from pacifica.dispatcher.orm.migrations import LOT, change, create_index, rows

_INDEXES = (
    ("run_blocked", "blocked, application, due"),  # for a limit of all slots
    ("run_blocked_slot", "blocked, application, slot, due"),
)
_BLOCKED = "SELECT uuid, blocked FROM run WHERE blocked LIKE ? LIMIT ?"
_FILL = "UPDATE run SET blocked = ? WHERE uuid = ?"


def up(migrator: SchemaMigrator, db: Database) -> None:
    """Change no structure yet: the old index finds what to fill."""


def fill(db: Database, after: str) -> tuple[str, int] | None:
    """Reduce `blocked` to the kind; application and slot have columns of their own."""
    blocked = rows(db, _BLOCKED, "% %", LOT)
    for uuid, limit in blocked:
        change(db, _FILL, limit.partition(" ")[0], uuid)
    return (after, len(blocked)) if blocked else None


def finish(db: Database) -> None:
    """Replace the index."""
    mysql = isinstance(db, MySQLDatabase)
    there = {each.name for each in db.get_indexes("run")}
    if "run_blocked" in there and "run_blocked_slot" not in there:
        change(db, f"DROP INDEX run_blocked{' ON run' if mysql else ''}")
    part = "" if mysql else " WHERE blocked IS NOT NULL"  # MySQL has no partial indexes
    for name, columns in _INDEXES:
        create_index(db, name, f"run ({columns}){part}")
