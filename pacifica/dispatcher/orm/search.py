"""Looking for events, newest first, in a bounded time.

What is asked for may be rare, and there may be millions of events. So they are looked through in
stretches of time, the newest first and each longer than the one before, as fast as the database
shows itself to be. Whoever asks gets what was found when the time is up, and can go on from there.
What no index answers is looked for in so many events at the most, however close they came.
"""

import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pacifica.dispatcher.orm.database import Database
from pacifica.dispatcher.orm.queries import PRECEDENCE, EventView, event_views
from pacifica.dispatcher.orm.tables import State

PATIENCE: Final = 0.05
"""Seconds that a search takes when nothing else is said."""

_FIRST_STRETCH: Final = 60.0  # seconds of the events' times
_FASTEST_GROWTH: Final = 8.0
_MOST_READ: Final = 20_000  # events of a stretch, when each must be read
_END: Final = "g"  # after every uuid

_NEWEST = "SELECT MAX(uuid) FROM event WHERE uuid < ? AND uuid >= ?"
_LAST_READ = """SELECT uuid FROM event WHERE uuid < ? AND uuid >= ?
    ORDER BY uuid DESC LIMIT 1 OFFSET ?"""
_OF_RUN = """event.uuid IN (SELECT run.event FROM run
    WHERE {condition} AND run.superseded = 0 AND run.event < ? AND run.event >= ?)"""
_NO_RUN_IN = """NOT EXISTS (SELECT 1 FROM run
    WHERE run.event = event.uuid AND run.superseded = 0 AND run.state IN ({states}))"""
_LIKE = "LOWER(event.{column}) LIKE LOWER(?) ESCAPE '!'"
_TEXT = f"({_LIKE.format(column='id')} OR {_LIKE.format(column='subject')})"


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events are asked for; None asks nothing. Times are seconds since the epoch.

    Attributes:
        status: that of the event.
        state: that of one of its runs, of the application if one is asked for; `unmatched` for
            events that have none.
        application: one that the event has a run of.
        text: a part of the id or of the subject, in capitals or not.
        before: the uuid of an event; only older ones are given.
    """

    status: str | None = None
    state: str | None = None
    type: str | None = None
    source: str | None = None
    application: str | None = None
    text: str | None = None
    since: float | None = None
    until: float | None = None
    before: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """A page of events.

    Attributes:
        events: the newest that were asked for, newest first.
        before: where to go on, as in `EventFilter`; None when there are no more.
    """

    events: tuple[EventView, ...]
    before: str | None


def digest(text: str) -> int:
    """A number that stands for a type or a source in an index, whatever their length."""
    return zlib.crc32(text.encode())


def uuid_at(seconds: float) -> str:
    """What no version 7 UUID (RFC 9562, 5.7) made at this time or later comes before."""
    digits = f"{min(max(0, int(seconds * 1000)), 2**48 - 1):012x}"
    return f"{digits[:8]}-{digits[8:]}-0000-0000-000000000000"


def time_of(uuid: str) -> float:
    """When a version 7 UUID was made, in seconds since the epoch."""
    return int(uuid[:8] + uuid[9:13], 16) / 1000


def search(
    database: Database, wanted: EventFilter, limit: int, patience: float = PATIENCE
) -> Found:
    """A page of the newest events that are asked for.

    Args:
        database: where.
        wanted: which.
        limit: how many at the most.
        patience: seconds after which no further stretch of time is looked through.
    """
    end = wanted.before or _END
    if wanted.until is not None:
        end = min(end, uuid_at(wanted.until))
    oldest = "" if wanted.since is None else uuid_at(wanted.since)
    conditions = _Conditions(wanted)
    with database.reading():
        uuids, before = _look(database, conditions, (oldest, end), limit, patience)
        return Found(tuple(event_views(database, uuids)), before)


def _look(
    database: Database,
    conditions: "_Conditions",
    stretch: tuple[str, str],
    limit: int,
    patience: float,
) -> tuple[list[str], str | None]:
    oldest, end = stretch
    deadline = time.monotonic() + patience
    length = _FIRST_STRETCH
    found: list[str] = []
    newest = _newest(database, oldest, end)
    while newest:
        began = time.monotonic()
        begin = max(oldest, uuid_at(time_of(newest) - length)) if conditions else oldest
        if conditions.of_text:
            begin = _not_too_many(database, begin, end)
        found += conditions.uuids(database, begin, end, limit + 1 - len(found))
        if len(found) > limit:
            return found[:limit], found[limit - 1]
        now = time.monotonic()
        length *= min(_FASTEST_GROWTH, max(1.0, (deadline - now) / (now - began) / 2))
        end = begin
        newest = _newest(database, oldest, end)
        if newest and now > deadline:
            return found, end
    return found, None


def _newest(database: Database, begin: str, end: str) -> str | None:
    """The newest event between two uuids, the later one left out."""
    newest: str | None = database.fetch(_NEWEST, (end, begin)).fetchone()[0]
    return newest


def _not_too_many(database: Database, begin: str, end: str) -> str:
    """Where to begin between two uuids so that no more events than may be are read."""
    row = database.fetch(_LAST_READ, (end, begin, _MOST_READ - 1)).fetchone()
    return str(row[0]) if row else begin


class _Conditions:
    """What an event must be like, in SQL.

    Attributes:
        of_text: whether each event must be read, for want of an index.
    """

    def __init__(self, wanted: EventFilter) -> None:
        self._plain: list[str] = []
        self._values: list[object] = []
        self._of_runs: list[str] = []
        self._run_values: list[str] = []
        self.of_text = wanted.text is not None
        for column, text in (("type", wanted.type), ("source", wanted.source)):
            if text is not None:
                plain = f"event.{column}_hash = ? AND event.{column} = ?"
                self._need(plain, digest(text), text)
        if wanted.text is not None:
            self._need(_TEXT, *[f"%{_escaped(wanted.text)}%"] * 2)
        if "unmatched" in {wanted.status, wanted.state}:
            self._need("event.unmatched = 1")
        state = None if wanted.state == "unmatched" else wanted.state
        if wanted.application is not None:
            of_any = _in_states(list(State) if state is None else [State(state)])
            self._need_run(f"run.application = ? AND {of_any}", wanted.application)
        elif state is not None:
            self._need_run("run.state = ?", state)
        if wanted.status is not None and wanted.status != "unmatched":
            self._need_status(State(wanted.status))

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._plain or self._of_runs)

    def uuids(self, database: Database, begin: str, end: str, limit: int) -> list[str]:
        """The newest events between two uuids, the later one left out."""
        values = [end, begin, *self._values]
        for value in self._run_values:
            values += [value, end, begin]
        where = " AND ".join(["event.uuid < ? AND event.uuid >= ?", *self._plain, *self._of_runs])
        sql = f"SELECT uuid FROM event WHERE {where} ORDER BY uuid DESC LIMIT ?"  # noqa: S608 - ours
        return [uuid for (uuid,) in database.fetch(sql, (*values, limit)).fetchall()]

    def _need(self, condition: str, *values: object) -> None:
        self._plain.append(condition)
        self._values += values

    def _need_status(self, status: State) -> None:
        """One of its runs must be in this state, and none in one that would count before it."""
        self._need_run("run.state = ?", status.value)
        if earlier := PRECEDENCE[: PRECEDENCE.index(status)]:
            self._need(_NO_RUN_IN.format(states=_quoted(earlier)))

    def _need_run(self, condition: str, value: str) -> None:
        self._of_runs.append(_OF_RUN.format(condition=condition))
        self._run_values.append(value)


def _in_states(states: Sequence[State]) -> str:
    """All of them are named where they are, so that an index with the state in it is of use."""
    return f"run.state IN ({_quoted(states)})"


def _quoted(states: Sequence[State]) -> str:
    return ", ".join(f"'{state.value}'" for state in states)


def _escaped(text: str) -> str:
    """A text as a part of a LIKE pattern whose escape is `!`."""
    return text.replace("!", "!!").replace("%", "!%").replace("_", "!_")
