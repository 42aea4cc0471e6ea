"""Direct access to the database: fill it, and query the runs."""

import hashlib
import json
import os
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from benchmarks import client
from pacifica.dispatcher import orm

_CHUNK: Final = 10_000
_PAST: Final = 30 * 86_400.0
_EVENT: Final = (
    *("uuid", "identity", "source", "id", "type", "received", "sent", "subject"),
    *("type_hash", "source_hash", "unmatched"),
)
_RUN: Final = ("uuid", "event", "application", "state", "attempt", "queued", "finished")
_ATTEMPT: Final = ("run", "number", "host", "started", "finished", "exit_code")


def file_in(folder: Path) -> Path:
    """Return the file of the SQLite database in a folder."""
    return folder / "db.sqlite3"


def url_in(folder: Path) -> str:
    """Return the URL of the SQLite database in a folder."""
    return f"sqlite:///{file_in(folder)}"


def fill(folder: Path, count: int, progress: Callable[[str], None]) -> None:
    """Store events of the last month, each with a run that ended after one attempt.

    The events have twenty types, a hundred sources and ten applications; one run in fifty failed.
    """
    database = orm.Database(url_in(folder))
    database.prepare(1, 0)
    begin = time.time() - _PAST
    for first in range(0, count, _CHUNK):
        numbers = range(first, min(first + _CHUNK, count))
        rows = [_rows(number, begin + number * _PAST / count) for number in numbers]
        with database.transaction():
            database.insert("event", _EVENT, [event for event, _, _ in rows])
            database.insert("run", _RUN, [run for _, run, _ in rows])
            database.insert("attempt", _ATTEMPT, [attempt for _, _, attempt in rows])
        progress(f"{numbers.stop:,} of {count:,} events stored")
    database.close()
    os.sync()


def _rows(number: int, when: float) -> tuple[tuple[object, ...], ...]:
    """Return the rows of an event, its run and its attempt."""
    [request] = client.requests(1)
    sent = json.loads(request.partition(b"\r\n\r\n")[2])
    sent["type"], sent["source"] = f"bench.{number % 20}", f"/bench/{number % 100}"
    sent["subject"] = f"file-{number}.raw"
    key, run = _uuid(when), _uuid(when)
    identity = hashlib.sha256(f"{sent['source']}\0{sent['id']}".encode()).hexdigest()
    failed = number % 50 == 0
    state = orm.State.FAILED if failed else orm.State.SUCCEEDED
    texts = (sent["source"], sent["id"], sent["type"], when, json.dumps(sent), sent["subject"])
    digests = (orm.digest(sent["type"]), orm.digest(sent["source"]), 0)
    return (
        (key, identity, *texts, *digests),
        (run, key, f"bench-{number % 10}", state.value, 1, when, when + 0.2),
        (run, 1, "localhost", when + 0.1, when + 0.2, int(failed)),
    )


def _uuid(when: float) -> str:
    """Return a version 7 UUID for a time."""
    return str(
        uuid.UUID(int=int(when * 1000) << 80 | 0x7 << 76 | 0x2 << 62 | uuid.uuid4().int >> 66)
    )


class Watch:
    """The runs created since the watch began."""

    def __init__(self, url: str, *, all_runs: bool = False) -> None:
        """Begin the watch of a database; include its older runs if `all_runs`."""
        self._database = orm.Database(url)
        self._last = ""
        if not all_runs:
            [(self._last,)] = self._query("SELECT COALESCE(MAX(uuid), '') FROM run")

    def finished(self) -> list[float]:
        """Return the end times of the finished runs."""
        return [when for (when,) in self._new_runs("finished", "finished IS NOT NULL")]

    def states(self) -> set[str]:
        """Return the distinct states of the runs."""
        return {state for (state,) in self._new_runs("DISTINCT state", "TRUE")}

    def running(self) -> int:
        """Count the runs in progress."""
        [(number,)] = self._new_runs("COUNT(*)", "state = 'running'")
        return int(number)

    def outputs(self) -> list[str]:
        """Return the standard output of each run."""
        sql = "SELECT data FROM output WHERE run > ? AND stream = 'stdout' ORDER BY run"
        return [data.decode() for (data,) in self._query(sql, self._last)]

    def cancel(self) -> None:
        """Cancel the runs."""
        sql = "UPDATE run SET state = 'cancelled', due = NULL, published = NULL WHERE uuid > ?"
        with self._database.transaction():
            self._database.execute(sql, (self._last,))

    def _new_runs(self, columns: str, condition: str) -> list[tuple[Any, ...]]:
        return self._query(f"SELECT {columns} FROM run WHERE uuid > ? AND {condition}", self._last)  # noqa: S608

    def _query(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        with self._database.reading():
            return list(self._database.fetch(sql, parameters).fetchall())
