"""The journal that the applications write, read from outside while it grows."""

import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_SECOND: Final = 1_000_000_000


def now() -> float:
    """The time in seconds, of the clock that the applications use."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) / _SECOND


@dataclass(slots=True)
class Execution:
    """A process that made an attempt at a run, as far as it could write of itself.

    Attributes:
        run: the run's uuid.
        attempt: the attempt's number.
        pid: the process's number.
        event: the event's id, as its sender chose it.
        worker: the worker, and which start of it.
        parent: the process that started it, a pool process of the worker.
        seconds: how long it means to run.
        start: when it started.
        start_line: where the journal says so.
        last: when it, or a process that it started, last showed that it lived.
        last_line: where the journal says so.
        end: when it ended by itself; None when it was ended, or goes on.
        code: its exit code then.
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
        """Begin with a file that is empty."""
        self.path = path
        self.executions: list[Execution] = []
        path.touch(mode=0o600)
        self._known: dict[tuple[str, str, str], Execution] = {}
        self._offset = 0
        self._lines = 0

    def refresh(self) -> None:
        """Read what has been added."""
        with self.path.open("rb") as file:
            file.seek(self._offset)
            added = file.read()
        whole = added[: added.rfind(b"\n") + 1]
        self._offset += len(whole)
        for line in whole.decode().splitlines():
            self._lines += 1
            self._take(*line.split())

    def by_run(self) -> dict[str, list[Execution]]:
        """The executions of each run."""
        runs = defaultdict(list)
        for each in self.executions:
            runs[each.run].append(each)
        return runs

    def going_on(self) -> list[Execution]:
        """Those that have not said that they ended; some of them may have been killed."""
        return [each for each in self.executions if each.end is None]

    def _take(self, what: str, run: str, attempt: str, pid: str, when: str, *more: str) -> None:
        key, moment = (run, attempt, pid), int(when) / _SECOND
        if what == "start":
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
        if what == "end":
            execution.end, execution.code = moment, int(more[0])
