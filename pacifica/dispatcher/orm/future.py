"""Correction of impossible times in the future, left by a clock that was wrong.

Without it, everything that such a clock postponed would wait until the right clock has caught up.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from pacifica.dispatcher.applications import Application
from pacifica.dispatcher.orm.database import Database
from pacifica.dispatcher.orm.limits import LimitKind
from pacifica.dispatcher.orm.scheduling import lines

_TOLERANCE: Final = 5.0  # seconds; the clocks of two hosts are never quite the same
_LONGEST: Final = 60.0  # seconds, at least, that a queued run waits after an attempt
_LOT: Final = 1000  # runs that one transaction changes

# A retry waits for some time after its last attempt; if that ended in the future, the wrong clock
# set both times, and their difference is right. A queued or blocked run waits for no time.
_LATE = """SELECT run.uuid, CASE WHEN run.state = 'retrying' AND run.blocked IS NULL
        THEN run.due - attempt.finished ELSE 0 END
    FROM run LEFT JOIN attempt ON attempt.run = run.uuid AND attempt.number = run.attempt
    WHERE {place} AND run.due > ? AND (run.blocked IS NOT NULL OR attempt.finished > ?
        OR (run.state = 'queued' AND (run.attempt = 0 OR run.due > ?))) LIMIT ?"""
_LINE = _LATE.format(place="run.blocked IS NULL AND run.queue = ? AND run.priority = ?")
_BLOCKED = _LATE.format(place="run.blocked = ?")
_QUEUED = "queued = CASE WHEN queued > ? THEN ? ELSE queued END"
_PULL = f"UPDATE run SET due = ?, {_QUEUED} WHERE uuid = ? AND due > ?"  # noqa: S608 - ours
_PUBLISHED = f"UPDATE run SET published = ?, {_QUEUED} WHERE published > ?"  # noqa: S608 - ours
_PACES = "SELECT application, free_at FROM pace"
_PACE = "UPDATE pace SET free_at = ? WHERE application = ? AND free_at = ?"


def correct_times(database: Database, applications: Mapping[str, Application]) -> int:
    """Correct times that are impossibly far in the future; return the number of runs.

    Args:
        database: the database.
        applications: all configured applications, by name, for their rates.
    """
    _correct_paces(database, applications)
    now = database.now()
    with database.reading():
        found = [*_late(database, now)]
        sent = database.fetch(
            "SELECT COUNT(*) FROM run WHERE published > ?", (now + _TOLERANCE,)
        ).fetchone()[0]
    for start in range(0, len(found), _LOT):
        with database.transaction(durable=False):
            for run, wait in found[start : start + _LOT]:
                database.execute(_PULL, (now + max(0.0, wait), now, now, run, now))
    if sent:
        with database.transaction(durable=False):
            database.execute(_PUBLISHED, (now, now, now, now + _TOLERANCE))
    return len(found) + int(sent)


def _late(database: Database, now: float) -> Iterator[tuple[str, float]]:
    """Find runs that wait for an impossible time, with the seconds that they should wait."""
    soon = now + _TOLERANCE
    bounds = (soon, soon, now + _LONGEST, _LOT)
    for line in lines(database):
        yield from database.fetch(_LINE, (*line, *bounds)).fetchall()
    for kind in LimitKind:
        yield from database.fetch(_BLOCKED, (kind.value, *bounds)).fetchall()


def _correct_paces(database: Database, applications: Mapping[str, Application]) -> None:
    """Make no rate wait longer than after as many starts as it allows at once."""
    now = database.now()
    with database.reading():
        paces = dict(database.fetch(_PACES, ()).fetchall())
    for name, free_at in paces.items():
        rate = applications[name].rate if name in applications else None
        latest = now + rate.burst * rate.interval if rate else free_at
        if rate and free_at > latest + rate.interval + _TOLERANCE:
            with database.transaction(durable=False):
                database.execute(_PACE, (latest, name, free_at))
