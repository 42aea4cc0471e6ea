"""Fixtures for the tests of processes: programs to run, and a watch over their descendants."""

import os
import select
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pytest

from pacifica.dispatcher.execution.ended import Cause, Ended
from pacifica.dispatcher.execution.perform import watch as watch_execution
from pacifica.dispatcher.execution.process import Program, Sink, StopRequest, start_child


class Limits(NamedTuple):
    """Seconds that a program may run, and between SIGTERM and SIGKILL."""

    timeout: float | None
    kill_after: float


NO_LIMITS = Limits(timeout=None, kill_after=60)

MARK = "TEST_APPLICATION"
"""Environment variable that marks an application of these tests."""


@dataclass
class Written:
    """A sink that keeps all output, with a callback for each write."""

    on_output: Callable[[], object] = lambda: None
    streams: dict[str, bytes] = field(default_factory=dict)
    ticks: int = 0

    def write(self, stream: str, data: bytes) -> None:
        self.streams[stream] = self.streams.get(stream, b"") + data
        self.on_output()

    def tick(self) -> None:
        self.ticks += 1


class Interrupter:
    """An interruption controlled by the test."""

    def __init__(self) -> None:
        """Start without an interruption."""
        self._stop = StopRequest()
        self._cause: Cause | None = None

    def interrupt(self, cause: Cause) -> None:
        self._cause = cause
        self._stop.request()

    def fileno(self) -> int:
        return self._stop.fileno()

    def cause(self) -> Cause | None:
        return self._cause

    def close(self) -> None:
        self._stop.close()


@dataclass
class Sandbox:
    """A directory in which the tests run programs."""

    directory: Path
    interrupter: Interrupter
    written: Written

    def run(
        self,
        *arguments: str,
        limits: Limits = NO_LIMITS,
        environment: Mapping[str, str] = os.environ,
        stdin: bytes = b"",
        sink: Sink | None = None,
    ) -> Ended:
        source = self.directory / "stdin"
        source.write_bytes(stdin)
        program = Program(
            arguments,
            directory=self.directory,
            environment={**environment, MARK: uuid.uuid4().hex},
            marks=[MARK],
            stdin=source,
            timeout=limits.timeout,
            kill_after=limits.kill_after,
        )
        wake = self.interrupter.fileno()
        with start_child(program, sink or self.written, wake) as child:
            return watch_execution(child, self.interrupter.cause)

    def shell(self, script: str, limits: Limits = NO_LIMITS, sink: Sink | None = None) -> Ended:
        return self.run("/bin/sh", "-c", script, limits=limits, sink=sink)

    def program(self, content: str, mode: int = 0o755) -> str:
        file = self.directory / "program"
        file.write_text(content, encoding="utf-8")
        file.chmod(mode)
        return str(file)


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    interrupter = Interrupter()
    yield Sandbox(tmp_path, interrupter, Written())
    interrupter.close()


class Watch:
    """A named pipe that shows whether any process still has it open for writing."""

    def __init__(self, path: Path) -> None:
        """Create the pipe; a shell script opens it with `exec 3>fifo`."""
        os.mkfifo(path)
        self._reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)

    def abandoned(self, seconds: float) -> bool:
        """Return True if all writers have ended in time."""
        poll = select.poll()
        poll.register(self._reader, select.POLLHUP)
        return bool(poll.poll(seconds * 1000))

    def close(self) -> None:
        os.close(self._reader)


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Watch]:
    watch = Watch(tmp_path / "fifo")
    yield watch
    watch.close()
