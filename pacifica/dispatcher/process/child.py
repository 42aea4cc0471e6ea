"""One child process: spawn it, stream its output, keep its limits, end it and its whole tree.

POSIX and Windows differ in how a child is spawned so that it and its children can be signalled
together, and in how output, exit and an interruption are waited for.
"""

import enum
import errno
import math
import os
import queue
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, Protocol, Self

import psutil

from pacifica.dispatcher.errors import ApplicationError
from pacifica.dispatcher.process.family import end_family, members, start, wait

TICK: Final = 0.5
"""Seconds after which a sink is ticked at the latest."""

_CHUNK: Final = 256 * 1024
_DRAIN: Final = 0.25
_REMAINS: Final = 0.05
_POLL: Final = 0.02


class Cause(enum.Enum):
    """Why a process ended."""

    EXITED = "it ended by itself"
    TIMED_OUT = "its time was up"
    CANCELLED = "it was to be cancelled"
    STOPPED = "its worker was to stop"
    ORPHANED = "its worker died"
    LOST = "its worker lost the right to it"


_URGENT: Final = {Cause.ORPHANED: 1.0, Cause.LOST: 1.0}
"""Seconds between SIGTERM and SIGKILL where there is not the time that the limits give."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a process ended: with an exit code, by a signal, or before it began; and why."""

    exit_code: int | None
    signal: str | None
    cause: Cause


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds that a process may run (None: no limit), and between SIGTERM and SIGKILL."""

    timeout: float | None
    kill_after: float


class Interruption(Protocol):
    """What may end a process before its time."""

    def fileno(self) -> int:
        """Something that becomes readable when it is worth while to ask at once."""

    def cause(self) -> Cause | None:
        """Why it must end now; asked every TICK seconds at the latest."""


class Sink(Protocol):
    """Takes what a process writes, while it runs."""

    def write(self, stream: str, data: bytes, /) -> None:
        """Take bytes of "stdout" or "stderr"."""

    def tick(self) -> None:
        """Time has passed; called every TICK seconds at the latest."""


def execute(  # noqa: PLR0913 - a process has this many sides
    arguments: Sequence[str],
    *,
    directory: str | Path,
    environment: Mapping[str, str],
    marks: Collection[str],
    stdin: str | Path,
    limits: Limits,
    interruption: Interruption,
    sink: Sink,
) -> Ended:
    """Run a program to its end, in a session of its own; nothing of its tree is left afterwards.

    What is interrupted before it begins is not started.

    Args:
        arguments: the program and its arguments; no shell sees them.
        directory: its working directory.
        environment: all of its environment.
        marks: names of variables in it whose values, together, no other application has.
        stdin: the file that it reads from.
        limits: how long it may take.
        interruption: what ends it before that.
        sink: takes its output.

    Raises:
        ApplicationError: it could not be started; the message says why.
    """
    if cause := interruption.cause():
        return Ended(None, None, cause)  # a worker that was frozen since its claim starts nothing
    with open(stdin, "rb") as source:  # noqa: PTH123 - it may be a string
        process = _spawn(arguments, directory, environment, source)
    with _PlatformChild(process, {name: environment[name] for name in marks}) as child:
        child.watch(interruption)
        return _attend(child, limits, interruption, sink)


def _attend(
    child: "_PlatformChild", limits: Limits, interruption: Interruption, sink: Sink
) -> Ended:
    cause = Cause.EXITED
    timeout_at = time.monotonic() + limits.timeout if limits.timeout else math.inf
    kill_at = math.inf
    killed = False
    while not child.exited or (cause is not Cause.EXITED and not killed and child.remains()):
        now = time.monotonic()
        new = interruption.cause() or (Cause.TIMED_OUT if now >= timeout_at else Cause.EXITED)
        begun = cause is not Cause.EXITED
        if new is not cause and (new in _URGENT if begun else not child.exited):
            cause = new
            child.terminate()
            timeout_at = math.inf
            kill_at = min(kill_at, now + min(limits.kill_after, _URGENT.get(new, math.inf)))
        if now >= kill_at:
            child.kill()
            killed, kill_at = True, math.inf
        pause = _REMAINS if child.exited else min(TICK, timeout_at - now, kill_at - now)
        for stream, data in child.read(max(0.0, pause)):
            sink.write(stream, data)
        sink.tick()
    code = child.end()
    drained_at = time.monotonic() + _DRAIN
    while child.streams and time.monotonic() < drained_at:
        for stream, data in child.read(_POLL):
            sink.write(stream, data)
    if code < 0:
        return Ended(None, _signal_name(-code), cause)
    return Ended(code, None, cause)


def _spawn(
    arguments: Sequence[str],
    directory: str | Path,
    environment: Mapping[str, str],
    source: IO[bytes],
) -> subprocess.Popen[bytes]:
    try:
        return start(
            arguments,
            stdin=source,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            cwd=directory,
            env=environment,
            creationflags=_NEW_GROUP,
        )
    except (OSError, ValueError) as exc:
        raise ApplicationError(_why_not_started(arguments[0], exc)) from exc


def _why_not_started(program: str, exc: Exception) -> str:
    number = exc.errno if isinstance(exc, OSError) else None
    if number in {errno.ENOENT, errno.ENOTDIR}:
        return f"there is no program {program} (or no interpreter that it names)"
    if number == errno.EACCES:
        return f"{program} is not executable"
    if number == errno.ENOEXEC:
        return f"{program} is no program of this system, or lacks its #! line"
    if number == errno.E2BIG:
        return (
            "the event makes arguments or environment values longer than the system takes; "
            "the file $DISPATCHER_EVENT always works: shorten the command or the attributes"
        )
    return f"{program} could not be started: {exc}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


class _Child:
    """What is the same on every system."""

    def __init__(self, process: subprocess.Popen[bytes], marks: Mapping[str, str]) -> None:
        self.exited = False
        self.streams = {"stdout", "stderr"}
        self._process = process
        self._marks = marks

    def terminate(self) -> None:
        """Ask all of its tree to end."""
        for process in self._members():
            with suppress(psutil.Error):
                process.terminate()

    def kill(self) -> None:
        """Kill all of its tree that can be found now."""
        for process in self._members():
            with suppress(psutil.Error):
                process.kill()

    def remains(self) -> bool:
        """Whether something of its tree lives."""
        return bool(self._members())

    def end(self) -> int:
        """Reap it and end its tree.

        Returns:
            its exit code, or the negative number of the signal that ended it.
        """
        code = wait(self._process)
        end_family(self._marks, self._process.pid)
        return code

    def _members(self) -> list[psutil.Process]:
        return members(self._marks, self._process.pid)


if sys.platform != "win32":
    _NEW_GROUP: Final = 0

    class _PlatformChild(_Child):
        """A child that leads a session; its exit shows on a pidfd, elsewhere it is polled."""

        def __init__(self, process: subprocess.Popen[bytes], marks: Mapping[str, str]) -> None:
            super().__init__(process, marks)
            self._selector = selectors.DefaultSelector()
            for name, pipe in self._pipes():
                os.set_blocking(pipe.fileno(), False)
                self._selector.register(pipe, selectors.EVENT_READ, name)
            self._pidfd = os.pidfd_open(process.pid) if hasattr(os, "pidfd_open") else None
            if self._pidfd is not None:
                self._selector.register(self._pidfd, selectors.EVENT_READ, "exit")

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            if self._process.returncode is None:
                self.kill()
                self.end()
            self._selector.close()
            for _name, pipe in self._pipes():
                pipe.close()
            if self._pidfd is not None:
                os.close(self._pidfd)

        def watch(self, interruption: Interruption) -> None:
            """Let `read` return when it is worth while to ask about an interruption."""
            self._selector.register(interruption.fileno(), selectors.EVENT_READ, "interruption")

        def read(self, timeout: float) -> Iterator[tuple[str, bytes]]:
            """Wait for output, the exit or an interruption; give the output."""
            pause = timeout if self._pidfd is not None else min(timeout, _POLL)
            for key, _events in self._selector.select(pause):
                if key.data == "exit":
                    self.exited = True
                    self._selector.unregister(key.fileobj)
                elif key.data == "interruption":
                    self._selector.unregister(key.fileobj)
                elif data := os.read(key.fd, _CHUNK):
                    yield key.data, data
                else:
                    self.streams.discard(key.data)
                    self._selector.unregister(key.fileobj)
            if self._pidfd is None and not self.exited:
                options = os.WEXITED | os.WNOHANG | os.WNOWAIT
                self.exited = os.waitid(os.P_PID, self._process.pid, options) is not None

        def end(self) -> int:
            """Kill its group, which is quick, before the rest of its tree is looked for."""
            with suppress(ProcessLookupError, PermissionError):  # macOS, of a group of zombies
                os.killpg(self._process.pid, signal.SIGKILL)
            return super().end()

        def _pipes(self) -> list[tuple[str, IO[bytes]]]:
            pipes = ("stdout", self._process.stdout), ("stderr", self._process.stderr)
            return [(name, pipe) for name, pipe in pipes if pipe is not None]

else:
    _NEW_GROUP: Final = subprocess.CREATE_NEW_PROCESS_GROUP

    class _PlatformChild(_Child):
        """A child in a process group of its own; pipes cannot be selected, so threads read them."""

        def __init__(self, process: subprocess.Popen[bytes], marks: Mapping[str, str]) -> None:
            super().__init__(process, marks)
            self._output: queue.SimpleQueue[tuple[str, bytes]] = queue.SimpleQueue()
            pipes = ("stdout", process.stdout), ("stderr", process.stderr)
            for name, pipe in pipes:
                threading.Thread(target=self._pump, args=(name, pipe), daemon=True).start()

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            if self._process.poll() is None:
                self.kill()
                self.end()

        def watch(self, interruption: Interruption) -> None:
            """Nothing: `read` returns soon anyway."""

        def read(self, timeout: float) -> Iterator[tuple[str, bytes]]:
            """Wait a little for output or the exit; give the output."""
            try:
                stream, data = self._output.get(timeout=min(timeout, _POLL))
            except queue.Empty:
                pass
            else:
                if data:
                    yield stream, data
                else:
                    self.streams.discard(stream)
            self.exited = self._process.poll() is not None

        def terminate(self) -> None:
            """Ask the process group to end."""
            self._process.send_signal(signal.CTRL_BREAK_EVENT)

        def _pump(self, name: str, pipe: IO[bytes]) -> None:
            with pipe:
                while data := pipe.read(_CHUNK):
                    self._output.put((name, data))
            self._output.put((name, b""))
