"""Views: events with their runs and attempts, as currently stored."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final, TypeVar

from peewee import JOIN, Case

from pacifica.dispatcher.errors import EventError, NotFoundError
from pacifica.dispatcher.events import Attribute, Json, parse_event
from pacifica.dispatcher.execution.handles import local_pid
from pacifica.dispatcher.execution.progress import Progress
from pacifica.dispatcher.orm.database import Database
from pacifica.dispatcher.orm.rows import views
from pacifica.dispatcher.orm.schema import (
    LAST_ATTEMPT,
    MAX_SHORT,
    AttemptRow,
    EventRow,
    RunRow,
    State,
)

PRECEDENCE: tuple[State, ...] = (
    State.RUNNING,
    State.QUEUED,
    State.RETRYING,
    State.FAILED,
    State.CANCELLED,
    State.SUCCEEDED,
)
"""States in order of precedence: the first that any run of an event is in is its status."""

_SUMMARIES = EventRow.select(
    *(EventRow.uuid, EventRow.received, EventRow.expired, EventRow.attributes),
    Case(None, [(EventRow.attributes.is_null(), EventRow.sent)]).alias("text"),
)
_RUNS_IN_BRIEF = (
    RunRow.select(
        *(RunRow.uuid, RunRow.event, RunRow.application, RunRow.state.alias("status")),
        *(RunRow.attempt, RunRow.queued, RunRow.finished, RunRow.due),
        *(RunRow.crashes, RunRow.losses, RunRow.origin, RunRow.superseded),
        RunRow.cancelling.is_null(False).converter(bool).alias("cancelling"),
        *(AttemptRow.exit_code, AttemptRow.signal_name.alias("signal"), AttemptRow.started),
        *(AttemptRow.host, AttemptRow.progress, AttemptRow.progress_text),
    )
    .join(
        AttemptRow,
        JOIN.LEFT_OUTER,
        on=LAST_ATTEMPT,
    )
    .order_by(RunRow.uuid)
)
_RUNS = _RUNS_IN_BRIEF.select_extend(RunRow.result, RunRow.error)
_EVENT_SIZES = f"""SELECT uuid, COALESCE(LENGTH(attributes), {MAX_SHORT}) FROM event
    WHERE uuid IN ({{marks}})"""  # noqa: S608 - ours
_RUN_SIZES = """SELECT event, COUNT(*),
    SUM(COALESCE(LENGTH(result), 0) + COALESCE(LENGTH(error), 0)) FROM run
    WHERE event IN ({marks}) GROUP BY event"""
_RUN_COUNTS = "SELECT event, COUNT(*), 0 FROM run WHERE event IN ({marks}) GROUP BY event"
_RUN_SIZE: Final = 600  # bytes of a run without its result and error
_ATTEMPTS = AttemptRow.select(
    *(
        AttemptRow.number,
        AttemptRow.host,
        AttemptRow.handle,
        AttemptRow.started,
        AttemptRow.finished,
    ),
    *(AttemptRow.exit_code, AttemptRow.signal_name.alias("signal"), AttemptRow.error),
    *(AttemptRow.command, AttemptRow.progress, AttemptRow.progress_text, AttemptRow.last_line),
).order_by(AttemptRow.number)


@dataclass(frozen=True, slots=True)
class RunView:
    """A run and its last attempt; times are seconds since the epoch.

    Attributes:
        result: its result; None also in a list that does not show it, as for `error`.
        due: when it may start, if it waits and has no wake-up in flight.
        progress: the progress last reported by the last attempt.
        crashes: how many of its attempts died with their worker process, until an hour of peace.
        losses: the same for attempts that were lost through no fault of the application.
        cancelling: True if it is running and a cancel was requested.
        origin: the run that it replaces, after a replay.
        superseded: True if a replay of the event has replaced it.
    """

    uuid: str
    event: str
    application: str
    status: str
    attempt: int
    exit_code: int | None
    signal: str | None
    result: Json
    error: str | None
    queued: float
    started: float | None
    finished: float | None
    host: str | None
    due: float | None
    crashes: int
    losses: int
    cancelling: bool
    origin: str | None
    superseded: bool
    progress: Progress | None


@dataclass(frozen=True, slots=True)
class AttemptView:
    """An attempt at a run; times are seconds since the epoch.

    Attributes:
        pid: the worker process that runs it, the parent of the application's process.
        command: the argument list that was executed.
        last_line: the last line that it wrote to standard error; None until it has ended.
    """

    number: int
    host: str
    pid: int | None
    started: float
    finished: float | None
    exit_code: int | None
    signal: str | None
    error: str | None
    command: list[str] | None
    progress: Progress | None
    last_line: str | None


@dataclass(frozen=True, slots=True)
class EventSummary:
    """An event without its data, its status and its runs.

    Attributes:
        attributes: the attributes; none if an earlier version accepted the event, and this one
            does not.
        expired: True if it had expired when it was received.
    """

    uuid: str
    status: str
    received: float
    attributes: Mapping[str, Attribute]
    expired: bool
    runs: tuple[RunView, ...]


@dataclass(frozen=True, slots=True)
class EventView(EventSummary):
    """An event as it was sent, its status and its runs."""

    sent: str


def status_of(states: Sequence[str]) -> str:
    """Return the status of an event whose runs are in these states."""
    return next((state.value for state in PRECEDENCE if state in states), "unmatched")


def event(database: Database, uuid: str) -> EventView:
    """Return an event with its runs.

    Raises:
        NotFoundError: no such event.
    """
    with database.reading():
        found = _event_views(
            database, [uuid], _SUMMARIES.select_extend(EventRow.sent), _RUNS, EventView
        )
    return _only(found, uuid)


def event_summary(database: Database, uuid: str) -> EventSummary:
    """Return an event with its runs, without its data.

    Raises:
        NotFoundError: no such event.
    """
    with database.reading():
        found = event_summaries(database, [uuid])
    return _only(found, uuid)


def run(database: Database, uuid: str) -> tuple[RunView, tuple[AttemptView, ...]]:
    """Return a run and its attempts, oldest first.

    Raises:
        NotFoundError: no such run.
    """
    with database.reading():
        found = views(database, _RUNS.where(RunRow.uuid == uuid), _run_view)
        if not found:
            raise NotFoundError(f"Run {uuid} does not exist")
        attempts = views(database, _ATTEMPTS.where(AttemptRow.run == uuid), _attempt_view)
    return found[0], tuple(attempts)


def event_summaries(
    database: Database, uuids: Sequence[str], *, brief: bool = False
) -> list[EventSummary]:
    """Return the events with these uuids, newest first; the caller has a connection.

    Args:
        database: the database.
        uuids: the uuids.
        brief: leave out the results and errors of the runs.
    """
    return _event_views(
        database, uuids, _SUMMARIES, _RUNS_IN_BRIEF if brief else _RUNS, EventSummary
    )


def fitting(
    database: Database, uuids: Sequence[str], max_bytes: int, *, brief: bool
) -> Sequence[str]:
    """Return the first of these events whose summaries have at most this many bytes together.

    At least one is returned. The sizes are estimates in characters that the database computes.
    """
    if len(uuids) <= 1:
        return uuids
    marks = ", ".join("?" * len(uuids))
    of_runs = _RUN_COUNTS if brief else _RUN_SIZES
    sizes = dict(database.fetch(_EVENT_SIZES.format(marks=marks), uuids).fetchall())
    for event, number, size in database.fetch(of_runs.format(marks=marks), uuids).fetchall():
        sizes[event] += number * _RUN_SIZE + int(size)
    totals = accumulate(sizes[uuid] for uuid in uuids)
    return uuids[: max(1, sum(total <= max_bytes for total in totals))]


T = TypeVar("T", bound=EventSummary)


def _event_views(
    database: Database,
    uuids: Sequence[str],
    events: Any,  # noqa: ANN401 - peewee is untyped
    runs: Any,  # noqa: ANN401
    kind: type[T],
) -> list[T]:
    if not uuids:
        return []
    query = events.where(EventRow.uuid.in_(uuids)).order_by(EventRow.uuid.desc())
    rows: list[dict[str, Any]] = views(database, query, dict)
    found: dict[str, list[RunView]] = {uuid: [] for uuid in uuids}
    for view in views(database, runs.where(RunRow.event.in_(uuids)), _run_view):
        found[view.event].append(view)
    return [_event_view(kind, found[row["uuid"]], **row) for row in rows]


def _event_view(
    kind: type[T],
    runs: Sequence[RunView],
    attributes: Mapping[str, Attribute] | None,
    text: str | None,
    **columns: Any,  # noqa: ANN401 - as stored
) -> T:
    status = status_of([each.status for each in runs if not each.superseded])
    if attributes is None:
        attributes = _attributes(text or "")
    return kind(status=status, runs=tuple(runs), attributes=attributes, **columns)


def _attributes(sent: str) -> Mapping[str, Attribute]:
    try:
        return parse_event(sent).attributes
    except EventError:
        return {}


def _only(found: Sequence[T], uuid: str) -> T:
    if not found:
        raise NotFoundError(f"Event {uuid} does not exist")
    return found[0]


def _run_view(progress: int | None, progress_text: str, **columns: Any) -> RunView:  # noqa: ANN401
    left_out = {"result": None, "error": None}  # in brief
    return RunView(progress=_progress(progress, progress_text), **left_out | columns)


def _attempt_view(
    progress: int | None,
    progress_text: str,
    handle: str | None,
    **columns: Any,  # noqa: ANN401
) -> AttemptView:
    return AttemptView(
        progress=_progress(progress, progress_text), pid=local_pid(handle), **columns
    )


def _progress(percent: int | None, text: str) -> Progress | None:
    return None if percent is None else Progress(percent, text)
