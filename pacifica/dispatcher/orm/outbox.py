"""The outbox: a notice for each run that has ended, for readers that poll."""

import time
from dataclasses import dataclass
from typing import Final

from pacifica.dispatcher.orm.database import Database
from pacifica.dispatcher.orm.schema import State

_POST = """INSERT INTO outbox (run, event, application, state, ended)
    SELECT uuid, event, application, state, finished FROM run WHERE uuid = ?"""
_RECENT = """SELECT id, run, event, application, state, ended FROM outbox
    WHERE id > ? ORDER BY id"""
_LAST = "SELECT COALESCE(MAX(id), 0) FROM outbox"
_OLDEST = "SELECT ended FROM outbox ORDER BY id LIMIT 1"
_PRUNE = "DELETE FROM outbox WHERE ended < ? OR ended > ?"

_LATE: Final = 10.0  # seconds after which a missing id will no longer appear
_WRONG: Final = 60.0  # seconds by which a notice in the future is wrong
_LOOK_BACK: Final = 100  # ids before its start that a new follower checks


@dataclass(frozen=True, slots=True)
class Notice:
    """A notice that a run has ended.

    Attributes:
        id: increasing, but assigned before the commit, so a notice may appear after one with a
            larger id.
        run: the run's uuid.
        event: the event's uuid.
        application: the application's name.
        state: the final state.
        ended: when it ended, in seconds since the epoch.
    """

    id: int
    run: str
    event: str
    application: str
    state: State
    ended: float


def post(database: Database, run: str) -> None:
    """Add the notice of a run, inside the transaction that ends the run."""
    database.execute(_POST, (run,))


def recent(database: Database, after_id: int) -> list[Notice]:
    """Return the notices with a larger id than this, in order of id."""
    with database.reading():
        rows = database.fetch(_RECENT, (after_id,)).fetchall()
    return [
        Notice(id_, run, event, application, State(state), ended)
        for id_, run, event, application, state, ended in rows
    ]


def last_id(database: Database) -> int:
    """Return the largest id of a notice; 0 if the outbox is empty."""
    with database.reading():
        return int(database.fetch(_LAST, ()).fetchone()[0])


def prune(database: Database, age: float) -> None:
    """Delete the notices older than this many seconds, or in the future, by a wrong clock."""
    before, latest = database.now() - age, database.now() + _WRONG
    with database.reading():
        oldest = database.fetch(_OLDEST, ()).fetchone()
    if oldest is not None and not before <= oldest[0] <= latest:
        with database.transaction(durable=False):
            database.execute(_PRUNE, (before, latest))


class Follower:
    """A reader that gets each notice once, even if it appears after one with a larger id."""

    def __init__(self, database: Database) -> None:
        """Start after the last notice."""
        self._database = database
        self._last = last_id(database)
        self._missing: dict[int, float] = {}
        first = max(0, self._last - _LOOK_BACK)
        known = {each.id for each in recent(database, first)}
        self._miss({*range(first + 1, self._last + 1)} - known)

    def news(self) -> list[Notice]:
        """Return the notices that have appeared since the last call."""
        now = time.monotonic()
        self._missing = {id_: until for id_, until in self._missing.items() if until > now}
        after = min(self._missing, default=self._last + 1) - 1
        found = [
            each
            for each in recent(self._database, after)
            if each.id > self._last or each.id in self._missing
        ]
        ids = {each.id for each in found}
        newest = max(ids, default=0)
        self._miss({*range(self._last + 1, newest)} - ids)
        self._last = max(self._last, newest)
        for id_ in ids:
            self._missing.pop(id_, None)
        return found

    def _miss(self, ids: set[int]) -> None:
        until = time.monotonic() + _LATE
        self._missing.update(dict.fromkeys(ids, until))
