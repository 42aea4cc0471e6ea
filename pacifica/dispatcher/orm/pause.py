"""Paused applications: what they have to do waits, and what runs goes on."""

import time

from pacifica.dispatcher.orm.database import Database
from pacifica.dispatcher.orm.publish import pause_limit, release_held_back

_TAKE_BACK = """UPDATE run SET published = NULL, due = queued, blocked = ?
    WHERE published IS NOT NULL AND application = ?"""
_RESUME = "DELETE FROM pause WHERE application = ?"
_PAUSED = "SELECT application, since FROM pause"


def pause(database: Database, application: str) -> None:
    """Start no attempt of an application until it is resumed; wake-ups on their way do nothing."""
    with database.transaction():
        database.alone()
        row = (application, time.time())
        database.insert("pause", ("application", "since"), [row], skip_repeats=True)
        database.execute(_TAKE_BACK, (pause_limit(application), application))


def resume(database: Database, application: str) -> None:
    """Let an application go on; one that is not paused does so anyway."""
    with database.transaction():
        database.alone()
        database.execute(_RESUME, (application,))
        release_held_back(database, pause_limit(application), None)


def paused(database: Database) -> dict[str, float]:
    """Since when each application is paused that is."""
    with database.reading():
        return dict(database.fetch(_PAUSED, ()).fetchall())
