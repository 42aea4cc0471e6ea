"""Statistics: numbers of runs, durations, failures, and the last hour.

Counts stop at a maximum, so their cost does not grow with the number of runs.
"""

import hashlib
import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from peewee import JOIN

from pacifica.dispatcher.orm.database import Database
from pacifica.dispatcher.orm.rows import statement, views
from pacifica.dispatcher.orm.schema import LAST_ATTEMPT, AttemptRow, EventRow, RunRow, State
from pacifica.dispatcher.orm.search import uuid_at

MAX_COUNTED: Final = 10_000
"""The number at which counts stop."""

MAX_GROUPED: Final = 500
"""The maximum number of failed runs that are grouped by cause."""

_DAY: Final = 86_400.0
_MEASURED: Final = 100  # successful attempts that durations are computed from
_MINUTES: Final = 60
_NUMBER: Final = re.compile(r"\d+")
_ENDED: Final = (State.SUCCEEDED, State.FAILED)

_COUNT = """SELECT ? AS name, ? AS state, COUNT(*) AS number FROM (SELECT 1 FROM run
    WHERE {condition} AND state = ? AND superseded = 0 LIMIT ?) counted"""
_RUN_HISTORY = """SELECT ROUND((? - queued) / 60 - 0.5) AS minute, state, COUNT(*) AS number FROM (
    SELECT queued, state FROM run WHERE uuid >= ? AND superseded = 0
    ORDER BY uuid DESC LIMIT ?) recent GROUP BY minute, state"""
_UNMATCHED_HISTORY = """SELECT ROUND((? - received) / 60 - 0.5) AS minute, 'unmatched' AS state,
    COUNT(*) AS number FROM (SELECT received FROM event WHERE unmatched = 1 AND uuid >= ?
    ORDER BY uuid DESC LIMIT ?) recent GROUP BY minute"""
_ENDS = (
    RunRow.select(
        *(RunRow.uuid.alias("run"), RunRow.state.alias("status")),
        *(AttemptRow.started, AttemptRow.finished),
    )
    .join(AttemptRow, on=LAST_ATTEMPT)
    .where(RunRow.superseded == 0, AttemptRow.finished.is_null(False))
    .order_by(RunRow.event.desc())
)
_FAILURES = (
    RunRow.select(
        *(RunRow.uuid.alias("run"), RunRow.application, RunRow.error, RunRow.finished),
        *(AttemptRow.exit_code, AttemptRow.signal_name.alias("signal"), AttemptRow.last_line),
    )
    .join(AttemptRow, JOIN.LEFT_OUTER, on=LAST_ATTEMPT)
    .where(RunRow.state == State.FAILED, RunRow.superseded == 0)
    .order_by(RunRow.event.desc())
)


@dataclass(frozen=True, slots=True)
class RunEnd:
    """The end of a run's last attempt; times are seconds since the epoch."""

    run: str
    status: str
    started: float
    finished: float

    @property
    def duration(self) -> float:
        """The duration of the attempt in seconds."""
        return max(0.0, self.finished - self.started)


@dataclass(frozen=True, slots=True)
class ApplicationSummary:
    """The statistics of an application.

    Attributes:
        runs: number of runs by state, at most `MAX_COUNTED`, without superseded ones.
        failed_today: number of failed runs of events of the last 24 hours, at most `MAX_COUNTED`.
        median: median duration in seconds of its last hundred successes; None if it has none.
        p95: their 95th percentile.
        last_success: when the last one ended.
    """

    runs: dict[str, int]
    failed_today: int
    median: float | None
    p95: float | None
    last_success: float | None


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """Failed runs with the same cause.

    Attributes:
        how: the exit code, the signal or the error of the last attempt.
        last_line: the last line on the application's standard error, with its numbers masked.
        runs: their uuids, the latest failure first.
        finished: the time of the latest failure, in seconds since the epoch.
    """

    application: str
    how: str
    last_line: str
    runs: tuple[str, ...]
    finished: float

    @property
    def group(self) -> str:
        """The id of the group: a digest of its key."""
        common = json.dumps([self.application, self.how, self.last_line])
        return hashlib.sha256(common.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Minute:
    """The events of one minute: the number of runs by current state, and `unmatched`."""

    ago: int
    numbers: dict[str, int]


class _Count(NamedTuple):
    name: str
    state: str
    number: int


class _MinuteCount(NamedTuple):
    minute: float
    state: str
    number: int


class _Failure(NamedTuple):
    run: str
    application: str
    exit_code: int | None
    signal: str | None
    error: str | None
    last_line: str | None
    finished: float

    @property
    def common(self) -> tuple[str, str, str]:
        """The application, the cause and the masked last line: the key of a group."""
        how = self.signal or (
            self.error if self.exit_code is None else f"exit code {self.exit_code}"
        )
        return self.application, how or "", _NUMBER.sub("#", self.last_line or "")


def run_counts(database: Database) -> dict[str, int]:
    """Count the runs in each state, at most `MAX_COUNTED`, without superseded ones."""
    return _counts(database, [("", "1 = 1")]).get("", {})


def summaries(database: Database, applications: Sequence[str]) -> dict[str, ApplicationSummary]:
    """Summarise each of these applications."""
    counts = _counts(database, [(name, "application = ?") for name in applications])
    today = uuid_at(database.now() - _DAY)
    with database.reading():
        return {
            name: _summary(database, name, counts.get(name, {}), today) for name in applications
        }


def recent_ends(database: Database, application: str, limit: int) -> list[RunEnd]:
    """Return the ends of an application's runs that succeeded or failed, the latest first."""
    with database.reading():
        found = [end for state in _ENDED for end in _ends(database, application, state, limit)]
    return sorted(found, key=lambda end: end.finished, reverse=True)[:limit]


def failure_groups(database: Database) -> list[FailureGroup]:
    """Group the latest failed runs, at most `MAX_GROUPED`, the largest group first."""
    groups: dict[tuple[str, str, str], list[tuple[float, str]]] = {}
    with database.reading():
        for each in views(database, _FAILURES.limit(MAX_GROUPED), _Failure):
            groups.setdefault(each.common, []).append((each.finished, each.run))
    found = []
    for common, ended in groups.items():
        ended.sort(reverse=True)
        found.append(FailureGroup(*common, tuple(run for _, run in ended), ended[0][0]))
    return sorted(found, key=lambda each: (-len(each.runs), each.application))


def history(database: Database) -> list[Minute]:
    """Return the last hour by minute, oldest first, from the newest `MAX_COUNTED` runs."""
    now = database.now()
    bounds = (now, uuid_at(now - _MINUTES * 60), MAX_COUNTED)
    minutes: list[dict[str, int]] = [{} for _ in range(_MINUTES)]
    with database.reading():
        runs = statement(database, RunRow, _RUN_HISTORY, *bounds)
        unmatched = statement(database, EventRow, _UNMATCHED_HISTORY, *bounds)
        found = [
            each for query in (runs, unmatched) for each in views(database, query, _MinuteCount)
        ]
    for minute, state, number in found:
        if 0 <= minute < _MINUTES:
            minutes[int(minute)][state] = number
    return [Minute(ago, numbers) for ago, numbers in reversed(list(enumerate(minutes)))]


def _counts(database: Database, wanted: Iterable[tuple[str, str]]) -> dict[str, dict[str, int]]:
    """Count runs by name and state in one statement; each name has a condition in SQL."""
    parts, values = [], []
    for name, condition in wanted:
        for state in State:
            parts.append(_COUNT.format(condition=condition))
            values += [name, state.value, *[name] * condition.count("?"), state.value, MAX_COUNTED]
    found: dict[str, dict[str, int]] = {}
    if parts:
        query = statement(database, RunRow, " UNION ALL ".join(parts), *values)
        with database.reading():
            for each in views(database, query, _Count):
                if each.number:
                    found.setdefault(each.name, {})[each.state] = each.number
    return found


def _summary(
    database: Database, name: str, counts: dict[str, int], today: str
) -> ApplicationSummary:
    failed = RunRow.select().where(
        RunRow.application == name,
        RunRow.state == State.FAILED,
        RunRow.superseded == 0,
        RunRow.event >= today,
    )
    successes = _ends(database, name, State.SUCCEEDED, _MEASURED)
    durations = sorted(end.duration for end in successes)
    return ApplicationSummary(
        counts,
        failed.limit(MAX_COUNTED).count(database.peewee),
        _quantile(durations, 0.5),
        _quantile(durations, 0.95),
        max((end.finished for end in successes), default=None),
    )


def _ends(database: Database, application: str, state: State, limit: int) -> list[RunEnd]:
    query = _ENDS.where(RunRow.application == application, RunRow.state == state).limit(limit)
    return views(database, query, RunEnd)


def _quantile(ordered: Sequence[float], part: float) -> float | None:
    """Return a quantile of an ordered sample, by nearest rank."""
    return ordered[math.ceil(part * len(ordered)) - 1] if ordered else None
