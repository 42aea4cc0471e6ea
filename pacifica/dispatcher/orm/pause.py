"""Paused applications: their runs wait; attempts that have started continue."""

from pacifica.dispatcher.orm.database import Database
from pacifica.dispatcher.orm.limits import Limit, LimitKind, unblock
from pacifica.dispatcher.orm.schema import PauseRow

_TAKE_BACK = """UPDATE run SET published = NULL, due = queued, blocked = 'paused'
    WHERE published IS NOT NULL AND application = ?"""


def pause(database: Database, application: str) -> None:
    """Start no attempts of an application until it is resumed; void its wake-ups in flight."""
    with database.transaction():
        database.lock_gate()
        row = (application, database.now())
        database.insert("pause", ("application", "since"), [row], skip_repeats=True)
        database.execute(_TAKE_BACK, (application,))


def resume(database: Database, application: str) -> None:
    """Let an application start attempts again; no effect on one that is not paused."""
    with database.transaction():
        database.lock_gate()
        PauseRow.delete().where(PauseRow.application == application).execute(database.peewee)
        unblock(database, Limit(LimitKind.PAUSED, application), None)


def paused(database: Database) -> dict[str, float]:
    """Return the paused applications, each with the time when it was paused."""
    with database.reading():
        query = PauseRow.select(PauseRow.application, PauseRow.since)
        return dict(query.tuples().execute(database.peewee))
