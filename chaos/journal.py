"""The journal that the applications write, read while it grows."""

import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_SECOND: Final = 1_000_000_000


def now() -> float:
    """Return the time in seconds of the clock that the applications use."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) / _SECOND


@dataclass(slots=True)
class Execution:
    """A process that made an attempt at a run, as far as it recorded itself.

    Attributes:
        run: the run's uuid.
        attempt: the attempt's number.
        pid: its process id.
        event: the event's id, chosen by the sender.
        worker: the identity of the worker: its name and start number.
        parent: the process id of its parent, a pool process of the worker.
        seconds: its intended duration.
        start: the time of its start.
        start_line: the journal line of `start`.
        last: the time of the last line from it or a process it started.
        last_line: the journal line of `last`.
        end: the time it exited by itself; None if it was killed or still runs.
        code: its exit code; None if `end` is None.
    """

    run: str
    attempt: int
    pid: int
    event: str
    worker: str
    parent: int
    seconds: float
    start: float
    start_line: int
    last: float
    last_line: int
    end: float | None = None
    code: int | None = None


class Journal:
    """All executions so far, in the order of their starts."""

    def __init__(self, path: Path) -> None:
        """Create the empty file."""
        self.path = path
        self.executions: list[Execution] = []
        path.touch(mode=0o600)
        self._known: dict[tuple[str, str, str], Execution] = {}
        self._offset = 0
        self._lines = 0

    def refresh(self) -> None:
        """Read the lines added since the last call."""
        with self.path.open("rb") as file:
            file.seek(self._offset)
            added = file.read()
        whole = added[: added.rfind(b"\n") + 1]
        self._offset += len(whole)
        for line in whole.decode().splitlines():
            self._lines += 1
            self._take(*line.split())

    def by_run(self) -> dict[str, list[Execution]]:
        """Return the executions of each run."""
        runs = defaultdict(list)
        for each in self.executions:
            runs[each.run].append(each)
        return runs

    def unfinished(self) -> list[Execution]:
        """Return the executions that have not recorded an end; some may have been killed."""
        return [each for each in self.executions if each.end is None]

    def _take(self, kind: str, run: str, attempt: str, pid: str, when: str, *more: str) -> None:
        key, moment = (run, attempt, pid), int(when) / _SECOND
        if kind == "start":
            event, worker, parent, seconds = more
            execution = Execution(
                *(run, int(attempt), int(pid), event, worker, int(parent), float(seconds)),
                *(moment, self._lines, moment, self._lines),
            )
            self.executions.append(execution)
            self._known[key] = execution
            return
        execution = self._known[key]
        execution.last, execution.last_line = moment, self._lines
        if kind == "end":
            execution.end, execution.code = moment, int(more[0])
