"""One child process: spawn it, stream its output, keep its limits, end it. Knows no run.

POSIX and Windows differ in three places only: how a child is spawned so that it and its children
can be ended together, how that is done, and how output, exit and a stop request are waited for.
"""

import enum
import errno
import os
import queue
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, Protocol, Self

from pacifica.dispatcher.errors import ApplicationError

TICK: Final = 0.5
"""Seconds after which a sink is ticked at the latest."""

_CHUNK: Final = 256 * 1024
_DRAIN: Final = 0.25
_POLL: Final = 0.02


class Cause(enum.Enum):
    """Why a process ended."""

    EXITED = "it ended by itself"
    TIMED_OUT = "its time was up"
    STOPPED = "a stop was requested"


@dataclass(frozen=True, slots=True)
class Ended:
    """How a process ended: with an exit code or by a signal, and why."""

    exit_code: int | None
    signal: str | None
    cause: Cause


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds that a process may run (None: no limit), and between SIGTERM and SIGKILL."""

    timeout: float | None
    kill_after: float


class Sink(Protocol):
    """Takes what a process writes, while it runs."""

    def write(self, stream: str, data: bytes, /) -> None:
        """Take bytes of "stdout" or "stderr"."""

    def tick(self) -> None:
        """Time has passed; called every TICK seconds at the latest."""


class Stop:
    """A request to stop, shared by a process, its threads and the children that it forks.

    It is also made by the death of the process that created it, once every child has called
    `inherited`: nobody else then holds the other end of the socket pair.
    """

    def __init__(self) -> None:
        """Make a request that is not made yet."""
        self._listening, self._asking = socket.socketpair()
        self._listening.setblocking(False)

    def request(self) -> None:
        """Make the request, for good; in the process that created this."""
        self._asking.shutdown(socket.SHUT_WR)

    def inherited(self) -> None:
        """Let go of the creator's end; in a child that was forked."""
        self._asking.close()

    def requested(self) -> bool:
        """Whether the request was made."""
        try:
            return self._listening.recv(1) == b""
        except BlockingIOError:
            return False

    def fileno(self) -> int:
        """A socket that becomes readable with the request."""
        return self._listening.fileno()

    def close(self) -> None:
        """Free the sockets."""
        self._asking.close()
        self._listening.close()


def execute(  # noqa: PLR0913 - a process has this many sides
    arguments: Sequence[str],
    *,
    directory: str | Path,
    environment: Mapping[str, str],
    stdin: str | Path,
    limits: Limits,
    stop: Stop,
    sink: Sink,
) -> Ended:
    """Run a program to its end, in a session of its own.

    Whatever is left of its process group when it has ended is killed; a process that left the group
    and keeps the output open is not waited for.

    Args:
        arguments: the program and its arguments; no shell sees them.
        directory: its working directory.
        environment: all of its environment.
        stdin: the file that it reads from.
        limits: how long it may take.
        stop: a request that ends it.
        sink: takes its output.

    Raises:
        ApplicationError: it could not be started; the message says why.
    """
    with open(stdin, "rb") as source:  # noqa: PTH123 - it may be a string
        child = _spawn(arguments, directory, environment, source, stop)
    with child:
        return _attend(child, limits, sink)


def _attend(child: "_Child", limits: Limits, sink: Sink) -> Ended:
    cause = Cause.EXITED
    timeout_at = time.monotonic() + limits.timeout if limits.timeout else float("inf")
    kill_at = float("inf")
    while not child.exited:
        now = time.monotonic()
        for stream, data in child.read(max(0.0, min(TICK, timeout_at - now, kill_at - now))):
            sink.write(stream, data)
        sink.tick()
        now = time.monotonic()
        if cause is Cause.EXITED and not child.exited and (child.stopping or now >= timeout_at):
            cause = Cause.STOPPED if child.stopping else Cause.TIMED_OUT
            child.terminate()
            timeout_at, kill_at = float("inf"), now + limits.kill_after
        elif now >= kill_at:
            child.kill()
            kill_at = float("inf")
    child.kill()
    drained_at = time.monotonic() + _DRAIN
    while child.streams and time.monotonic() < drained_at:
        for stream, data in child.read(_POLL):
            sink.write(stream, data)
    code = child.wait()
    if code < 0:
        return Ended(None, _signal_name(-code), cause)
    return Ended(code, None, cause)


class _Child(Protocol):
    exited: bool
    stopping: bool
    streams: set[str]

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def read(self, timeout: float, /) -> Iterable[tuple[str, bytes]]: ...

    def terminate(self) -> None: ...

    def kill(self) -> None: ...

    def wait(self) -> int: ...


def _spawn(
    arguments: Sequence[str],
    directory: str | Path,
    environment: Mapping[str, str],
    source: IO[bytes],
    stop: Stop,
) -> _Child:
    try:
        process = subprocess.Popen(  # noqa: S603 - the operator's program, no shell
            arguments,
            stdin=source,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            cwd=directory,
            env=environment,
            start_new_session=True,
            creationflags=_NEW_GROUP,
        )
    except (OSError, ValueError) as exc:
        raise ApplicationError(_why_not_started(arguments[0], exc)) from exc
    return _PlatformChild(process, stop)


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


if sys.platform != "win32":
    _NEW_GROUP: Final = 0

    class _PlatformChild:
        """A child that leads a session; its exit shows on a pidfd, elsewhere it is polled."""

        def __init__(self, process: subprocess.Popen[bytes], stop: Stop) -> None:
            self._process = process
            self._selector = selectors.DefaultSelector()
            self.exited = False
            self.stopping = False
            self.streams = {"stdout", "stderr"}
            for name, pipe in self._pipes():
                os.set_blocking(pipe.fileno(), False)
                self._selector.register(pipe, selectors.EVENT_READ, name)
            self._selector.register(stop.fileno(), selectors.EVENT_READ, "stop")
            self._pidfd = os.pidfd_open(process.pid) if hasattr(os, "pidfd_open") else None
            if self._pidfd is not None:
                self._selector.register(self._pidfd, selectors.EVENT_READ, "exit")

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            if self._process.returncode is None:
                self.kill()
                self._process.wait()
            self._selector.close()
            for _name, pipe in self._pipes():
                pipe.close()
            if self._pidfd is not None:
                os.close(self._pidfd)

        def read(self, timeout: float) -> Iterator[tuple[str, bytes]]:
            """Wait for output, the exit or a stop request; give the output."""
            wait = timeout if self._pidfd is not None else min(timeout, _POLL)
            for key, _events in self._selector.select(wait):
                if key.data == "exit":
                    self.exited = True
                    self._selector.unregister(key.fileobj)
                elif key.data == "stop":
                    self.stopping = True
                    self._selector.unregister(key.fileobj)
                elif data := os.read(key.fd, _CHUNK):
                    yield key.data, data
                else:
                    self.streams.discard(key.data)
                    self._selector.unregister(key.fileobj)
            if self._pidfd is None and not self.exited:
                options = os.WEXITED | os.WNOHANG | os.WNOWAIT
                self.exited = os.waitid(os.P_PID, self._process.pid, options) is not None

        def terminate(self) -> None:
            """Ask the process group to end."""
            self._signal(signal.SIGTERM)

        def kill(self) -> None:
            """End the process group; its leader is not reaped yet, so the number is its own."""
            self._signal(signal.SIGKILL)

        def wait(self) -> int:
            """Reap the process; its exit code, or the negative number of the signal."""
            return self._process.wait()

        def _signal(self, number: int) -> None:
            try:
                os.killpg(self._process.pid, number)
            except (ProcessLookupError, PermissionError):
                return  # nobody is left; macOS says "not permitted" of a group of zombies

        def _pipes(self) -> list[tuple[str, IO[bytes]]]:
            pipes = ("stdout", self._process.stdout), ("stderr", self._process.stderr)
            return [(name, pipe) for name, pipe in pipes if pipe is not None]

else:
    _NEW_GROUP: Final = subprocess.CREATE_NEW_PROCESS_GROUP

    class _PlatformChild:
        """A child in a process group of its own; pipes cannot be selected, so threads read them."""

        def __init__(self, process: subprocess.Popen[bytes], stop: Stop) -> None:
            self._process = process
            self._stop = stop
            self._output: queue.SimpleQueue[tuple[str, bytes]] = queue.SimpleQueue()
            self.exited = False
            self.stopping = False
            self.streams = {"stdout", "stderr"}
            pipes = ("stdout", process.stdout), ("stderr", process.stderr)
            for name, pipe in pipes:
                threading.Thread(target=self._pump, args=(name, pipe), daemon=True).start()

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            if self._process.poll() is None:
                self.kill()
                self._process.wait()

        def read(self, timeout: float) -> Iterator[tuple[str, bytes]]:
            """Wait for output, the exit or a stop request; give the output."""
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
            self.stopping = self._stop.requested()

        def terminate(self) -> None:
            """Ask the process group to end."""
            self._process.send_signal(signal.CTRL_BREAK_EVENT)

        def kill(self) -> None:
            """End the process and its children."""
            tree = ["taskkill", "/F", "/T", "/PID", str(self._process.pid)]
            subprocess.run(tree, check=False, capture_output=True)  # noqa: S603

        def wait(self) -> int:
            """The exit code."""
            return self._process.wait()

        def _pump(self, name: str, pipe: IO[bytes]) -> None:
            with pipe:
                while data := pipe.read(_CHUNK):
                    self._output.put((name, data))
            self._output.put((name, b""))
