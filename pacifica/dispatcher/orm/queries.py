"""What is asked of the database: events with their runs, attempts, output."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from peewee import JOIN

from pacifica.dispatcher.errors import NotFoundError
from pacifica.dispatcher.events import Json
from pacifica.dispatcher.lines import Progress
from pacifica.dispatcher.orm.database import Database
from pacifica.dispatcher.orm.tables import AttemptRow, EventRow, OutputRow, RunRow, State
from pacifica.dispatcher.output import Piece

PRECEDENCE: tuple[State, ...] = (
    State.RUNNING,
    State.QUEUED,
    State.RETRYING,
    State.FAILED,
    State.CANCELLED,
    State.SUCCEEDED,
)


_ENDED = "SELECT finished FROM attempt WHERE run = ? AND number = ?"
_SAVED = """SELECT position + LENGTH(data) FROM output
    WHERE run = ? AND attempt = ? AND stream = ? ORDER BY position DESC LIMIT 1"""
_AFTER = """SELECT position, written, data FROM output
    WHERE run = ? AND attempt = ? AND stream = ? AND position >= (
        SELECT COALESCE(MAX(position), 0) FROM output
        WHERE run = ? AND attempt = ? AND stream = ? AND position <= ?)
    ORDER BY position"""


@dataclass(frozen=True, slots=True)
class RunView:
    """A run and how its last attempt stands; times are seconds since the epoch.

    Attributes:
        due: when it may start, while it waits and has no wake-up on its way.
        progress: how far the last attempt says, or said, it is.
        crashes: how many of its attempts died with their worker.
        cancelling: whether it runs, and was asked to end.
        origin: the run that it repeats, after a replay.
        superseded: whether a replay of the event has taken its place.
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
    cancelling: bool
    origin: str | None
    superseded: bool
    progress: Progress | None


@dataclass(frozen=True, slots=True)
class AttemptView:
    """One attempt at a run; times are seconds since the epoch.

    Attributes:
        pid: of the process of the worker that makes it; the application's is its child.
        command: the argument list that was executed.
        last_line: what it wrote last on standard error; known when it has ended.
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
class EventView:
    """An event as it was sent, its status and its runs."""

    uuid: str
    status: str
    received: float
    sent: str
    runs: tuple[RunView, ...]


def status_of(states: Sequence[str]) -> str:
    """The status of an event whose runs are in these states."""
    return next((state.value for state in PRECEDENCE if state in states), "unmatched")


def event(database: Database, uuid: str) -> EventView:
    """One event.

    Raises:
        NotFoundError: there is none of this uuid.
    """
    with database.reading():
        found = event_views(database, [uuid])
    if not found:
        raise NotFoundError(f"there is no event {uuid}")
    return found[0]


def run(database: Database, uuid: str) -> tuple[RunView, tuple[AttemptView, ...]]:
    """One run and its attempts, the first one first.

    Raises:
        NotFoundError: there is none of this uuid.
    """
    with database.reading():
        found = _run_views(database, RunRow.uuid == uuid)
        if not found:
            raise NotFoundError(f"there is no run {uuid}")
        query = AttemptRow.select().where(AttemptRow.run == uuid).order_by(AttemptRow.number)
        attempts = tuple(
            AttemptView(
                row["number"],
                row["host"],
                row["pid"],
                row["started"],
                row["finished"],
                row["exit_code"],
                row["signal_name"],
                row["error"],
                None if row["command"] is None else json.loads(row["command"]),
                _progress(row),
                row["last_line"],
            )
            for row in query.dicts().execute(database.peewee)
        )
    return found[0], attempts


def output(database: Database, uuid: str, attempt: int, stream: str | None) -> list[Piece]:
    """What is kept of an attempt's output, in the order in which it was written.

    Args:
        database: where.
        uuid: the run's.
        attempt: its number.
        stream: "stdout" or "stderr"; None for both.
    """
    query = OutputRow.select(
        OutputRow.stream, OutputRow.position, OutputRow.written, OutputRow.data
    ).where(OutputRow.run == uuid, OutputRow.attempt == attempt)
    if stream:
        query = query.where(OutputRow.stream == stream)
    query = query.order_by(OutputRow.written, OutputRow.position).tuples()
    with database.reading():
        rows = list(query.execute(database.peewee))
    return [Piece(name, position, written, bytes(data)) for name, position, written, data in rows]


def output_saved(database: Database, uuid: str, attempt: int) -> tuple[dict[str, int], bool]:
    """How far an attempt's output is saved by now; to be asked often.

    Returns:
        where what is saved of each stream ends, and whether the attempt has ended: what is saved
        then is all.
    """
    key = (uuid, attempt)
    with database.reading():
        ended = database.fetch(_ENDED, key).fetchone()
        found = {
            stream: database.fetch(_SAVED, (*key, stream)).fetchone()
            for stream in ("stdout", "stderr")
        }
    return {stream: row[0] for stream, row in found.items() if row}, ended != (None,)


def output_after(
    database: Database, uuid: str, attempt: int, ends: Mapping[str, int]
) -> list[Piece]:
    """The pieces of an attempt's output that reach beyond the ends of these streams.

    They are in the order in which they were written.
    """
    found = []
    with database.reading():
        for stream, end in ends.items():
            key = (uuid, attempt, stream)
            rows = database.fetch(_AFTER, (*key, *key, end)).fetchall()
            found += [Piece(stream, row[0], row[1], bytes(row[2])) for row in rows]
    beyond = (each for each in found if each.position + len(each.data) > ends[each.stream])
    return sorted(beyond, key=lambda each: each.written)


def event_views(database: Database, uuids: Sequence[str]) -> list[EventView]:
    """The events of these uuids, newest first; while the database is being read."""
    if not uuids:
        return []
    query = EventRow.select().where(EventRow.uuid.in_(uuids)).order_by(EventRow.uuid.desc())
    rows = list(query.dicts().execute(database.peewee))
    runs: dict[str, list[RunView]] = {row["uuid"]: [] for row in rows}
    for view in _run_views(database, RunRow.event.in_(list(runs))):
        runs[view.event].append(view)
    return [
        EventView(
            row["uuid"],
            status_of([each.status for each in runs[row["uuid"]] if not each.superseded]),
            row["received"],
            row["sent"],
            tuple(runs[row["uuid"]]),
        )
        for row in rows
    ]


def _run_views(database: Database, condition: Any) -> list[RunView]:  # noqa: ANN401 - peewee is untyped
    last = (AttemptRow.run == RunRow.uuid) & (AttemptRow.number == RunRow.attempt)
    query = (
        RunRow.select(
            RunRow,
            AttemptRow.exit_code,
            AttemptRow.signal_name,
            AttemptRow.started,
            AttemptRow.host,
            AttemptRow.progress,
            AttemptRow.progress_text,
        )
        .join(AttemptRow, JOIN.LEFT_OUTER, on=last)
        .where(condition)
        .order_by(RunRow.uuid)
    )
    return [
        RunView(
            uuid=row["uuid"],
            event=row["event"],
            application=row["application"],
            status=row["state"],
            attempt=row["attempt"],
            exit_code=row["exit_code"],
            signal=row["signal_name"],
            result=None if row["result"] is None else json.loads(row["result"]),
            error=row["error"],
            queued=row["queued"],
            started=row["started"],
            finished=row["finished"],
            host=row["host"],
            due=row["due"],
            crashes=row["crashes"],
            cancelling=row["cancelling"] is not None,
            origin=row["origin"],
            superseded=bool(row["superseded"]),
            progress=_progress(row),
        )
        for row in query.dicts().execute(database.peewee)
    ]


def _progress(row: Mapping[str, Any]) -> Progress | None:
    percent = row["progress"]
    return None if percent is None else Progress(percent, row["progress_text"])
