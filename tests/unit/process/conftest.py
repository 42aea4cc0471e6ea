"""What the tests of processes share: programs that run under `execute`, and a watch over them."""

import os
import select
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pacifica.dispatcher.process import Cause, Ended, Limits, Sink, Stop, execute

NO_LIMITS = Limits(timeout=None, kill_after=10)

MARK = "TEST_APPLICATION"
"""The variable that marks an application of these tests."""


@dataclass
class Written:
    """A sink that keeps everything, and may act on the first output."""

    on_output: Callable[[], object] = lambda: None
    streams: dict[str, bytes] = field(default_factory=dict)
    ticks: int = 0

    def write(self, stream: str, data: bytes) -> None:
        self.streams[stream] = self.streams.get(stream, b"") + data
        self.on_output()

    def tick(self) -> None:
        self.ticks += 1


class Interrupter:
    """An interruption that the test makes."""

    def __init__(self) -> None:
        """Nothing interrupts yet."""
        self._stop = Stop()
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
class Place:
    """Where the tests run programs."""

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
        return execute(
            arguments,
            directory=self.directory,
            environment={**environment, MARK: uuid.uuid4().hex},
            marks=[MARK],
            stdin=source,
            limits=limits,
            interruption=self.interrupter,
            sink=sink or self.written,
        )

    def shell(self, script: str, limits: Limits = NO_LIMITS, sink: Sink | None = None) -> Ended:
        return self.run("/bin/sh", "-c", script, limits=limits, sink=sink)

    def program(self, content: str, mode: int = 0o755) -> str:
        file = self.directory / "program"
        file.write_text(content, encoding="utf-8")
        file.chmod(mode)
        return str(file)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    interrupter = Interrupter()
    yield Place(tmp_path, interrupter, Written())
    interrupter.close()


class Watch:
    """A named pipe: whoever opened it for writing lives as long as it is open."""

    def __init__(self, path: Path) -> None:
        """Make it; a program's shell opens it by `exec 3>fifo`."""
        os.mkfifo(path)
        self._reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)

    def abandoned(self, seconds: float) -> bool:
        """Whether all who wrote to it end in time."""
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
