"""Search for events, newest first, in bounded time.

Matches may be rare among millions of events, so events are searched in stretches of time, newest
first, each longer than the one before if the database is fast enough. When the time is up, the
caller gets the events found so far and can continue from there. A condition without an index also
limits the number of events in a stretch.
"""

import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pacifica.dispatcher.orm.database import Database
from pacifica.dispatcher.orm.schema import State
from pacifica.dispatcher.orm.views import PRECEDENCE, EventSummary, event_summaries, fitting

SEARCH_TIMEOUT: Final = 0.05
"""The default time limit of a search, in seconds."""

MAX_PAGE: Final = 8 * 1024**2
"""Maximum size of a page of events, in characters as stored; one event may be larger."""

_FIRST_STRETCH: Final = 60.0  # seconds of the events' times
_FASTEST_GROWTH: Final = 8.0
_MOST_READ: Final = 20_000  # events in a stretch if each must be read
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
    """The events to find; None means any. Times are seconds since the epoch.

    Attributes:
        status: the status of the event.
        state: the state of one of its runs, of `application` if that is set; `unmatched` for
            events without runs.
        application: the application of one of its runs.
        text: part of its id or subject, in upper or lower case.
        before: the uuid of an event; only older ones are found.
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
class EventPage:
    """A page of events.

    Attributes:
        events: the newest events found, newest first.
        before: the start of the next page, for `EventFilter.before`; None on the last page.
    """

    events: tuple[EventSummary, ...]
    before: str | None


def digest(text: str) -> int:
    """Return the number that represents a type or a source, of any length, in an index."""
    return zlib.crc32(text.encode())


def uuid_at(seconds: float) -> str:
    """Return the lower bound of the version 7 UUIDs (RFC 9562, 5.7) made from this time on."""
    digits = f"{min(max(0, int(seconds * 1000)), 2**48 - 1):012x}"
    return f"{digits[:8]}-{digits[8:]}-0000-0000-000000000000"


def time_of(uuid: str) -> float:
    """Return the time when a version 7 UUID was made, in seconds since the epoch."""
    return int(uuid[:8] + uuid[9:13], 16) / 1000


def search(
    database: Database,
    wanted: EventFilter,
    limit: int,
    timeout: float = SEARCH_TIMEOUT,
    *,
    brief: bool = False,
) -> EventPage:
    """Find a page of events, newest first, of at most MAX_PAGE.

    Args:
        database: the database.
        wanted: the filter.
        limit: the maximum number of events.
        timeout: seconds after which no further stretch is searched.
        brief: leave out the results and errors of the runs.
    """
    with database.reading():
        uuids, before = _find(database, wanted, limit, timeout)
        fit = fitting(database, uuids, MAX_PAGE, brief=brief)
        if len(fit) < len(uuids):
            before = fit[-1]
        return EventPage(tuple(event_summaries(database, fit, brief=brief)), before)


def search_uuids(
    database: Database, wanted: EventFilter, limit: int, timeout: float = SEARCH_TIMEOUT
) -> tuple[list[str], str | None]:
    """Find the uuids of a page of events as `search` does, and the start of the next page."""
    with database.reading():
        return _find(database, wanted, limit, timeout)


def _find(
    database: Database, wanted: EventFilter, limit: int, timeout: float
) -> tuple[list[str], str | None]:
    end = wanted.before or _END
    if wanted.until is not None:
        end = min(end, uuid_at(wanted.until))
    oldest = "" if wanted.since is None else uuid_at(wanted.since)
    return _search(database, _Conditions(wanted), (oldest, end), limit, timeout)


def _search(
    database: Database,
    conditions: "_Conditions",
    stretch: tuple[str, str],
    limit: int,
    timeout: float,
) -> tuple[list[str], str | None]:
    oldest, end = stretch
    deadline = time.monotonic() + timeout
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
    newest: str | None = database.fetch(_NEWEST, (end, begin)).fetchone()[0]
    return newest


def _not_too_many(database: Database, begin: str, end: str) -> str:
    """Return `begin`, or a later uuid if too many events lie between `begin` and `end`."""
    row = database.fetch(_LAST_READ, (end, begin, _MOST_READ - 1)).fetchone()
    return str(row[0]) if row else begin


class _Conditions:
    """A filter as conditions in SQL; peewee takes longer to build the query than SQLite to run it.

    Attributes:
        of_text: True if each event must be read because there is no index for the filter.
    """

    def __init__(self, wanted: EventFilter) -> None:
        self._of_event: list[str] = []
        self._values: list[object] = []
        self._of_run: list[str] = []
        self._run_values: list[str] = []
        self.of_text = wanted.text is not None
        for name, text in (("type", wanted.type), ("source", wanted.source)):
            if text is not None:
                same = f"event.{name}_hash = ? AND event.{name} = ?"
                self._require(same, digest(text), text)
        if wanted.text is not None:
            self._require(_TEXT, *[f"%{_escaped(wanted.text)}%"] * 2)
        if "unmatched" in {wanted.status, wanted.state}:
            self._require("event.unmatched = 1")
        state = None if wanted.state in {None, "unmatched"} else State(wanted.state)
        if wanted.application is not None:
            # Name all states, so that an index with the state before the event can be used.
            states = _quoted(list(State) if state is None else [state])
            self._require_run(
                f"run.application = ? AND run.state IN ({states})", wanted.application
            )
        elif state is not None:
            self._require_run("run.state = ?", state)
        if wanted.status is not None and wanted.status != "unmatched":
            self._require_status(State(wanted.status))

    def __bool__(self) -> bool:
        """Return False if every event matches."""
        return bool(self._of_event or self._of_run)

    def uuids(self, database: Database, begin: str, end: str, limit: int) -> list[str]:
        """Find the newest events from `begin` until before `end`."""
        values = [end, begin, *self._values]
        for value in self._run_values:
            values += [value, end, begin]
        between = "event.uuid < ? AND event.uuid >= ?"
        where = " AND ".join([between, *self._of_event, *self._of_run])
        sql = f"SELECT uuid FROM event WHERE {where} ORDER BY uuid DESC LIMIT ?"  # noqa: S608 - ours
        return [uuid for (uuid,) in database.fetch(sql, (*values, limit)).fetchall()]

    def _require(self, condition: str, *values: object) -> None:
        self._of_event.append(condition)
        self._values += values

    def _require_run(self, condition: str, value: str) -> None:
        self._of_run.append(_OF_RUN.format(condition=condition))
        self._run_values.append(value)

    def _require_status(self, status: State) -> None:
        """Require a run in this state and none in a state with precedence over it."""
        self._require_run("run.state = ?", status)
        if preceding := PRECEDENCE[: PRECEDENCE.index(status)]:
            self._require(_NO_RUN_IN.format(states=_quoted(preceding)))


def _quoted(states: Sequence[State]) -> str:
    return ", ".join(f"'{state.value}'" for state in states)


def _escaped(text: str) -> str:
    """Escape a text for a LIKE pattern whose escape character is `!`."""
    return text.replace("!", "!!").replace("%", "!%").replace("_", "!_")
