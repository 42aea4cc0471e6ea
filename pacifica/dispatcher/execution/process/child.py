"""One child process: start it, stream its output, enforce its limits, end it and its whole tree.

POSIX and Windows differ in how to spawn a child that can be signalled together with its own
children, and in how to wait for output, exit and a wake-up.
"""

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
from pacifica.dispatcher.execution.ended import Cause, Ended
from pacifica.dispatcher.execution.process.children import leave_unreaped, start, wait
from pacifica.dispatcher.execution.process.memory import oom_kills
from pacifica.dispatcher.execution.process.process_tree import KILLED_WAIT, end_tree, members
from pacifica.dispatcher.execution.process.signals import send, terminate

TICK: Final = 0.5
"""Maximum seconds between two calls of `Child.poll`."""

_CHUNK: Final = 256 * 1024
_DRAIN: Final = 0.25  # seconds to wait for output after the tree has ended
_EXITED_POLL: Final = 0.05  # seconds between looks at what is left of the tree
_POLL: Final = 0.02


_URGENT: Final = {Cause.ORPHANED: 1.0, Cause.LOST: 1.0}
"""Maximum seconds between SIGTERM and SIGKILL, where `kill_after` would take too long."""


class Sink(Protocol):
    """A consumer of a process's output, while it runs."""

    def write(self, stream: str, data: bytes, /) -> None:
        """Take bytes of "stdout" or "stderr"."""

    def tick(self) -> None:
        """Do periodic work; called at least every TICK seconds."""


@dataclass(frozen=True, slots=True)
class Program:
    """A program and how to run it.

    Attributes:
        arguments: the program and its arguments, run without a shell.
        directory: its working directory.
        environment: its complete environment.
        marks: names of environment variables whose values together identify its processes.
        stdin: the file to read standard input from.
        timeout: its maximum duration in seconds; None for no limit.
        kill_after: seconds between SIGTERM and SIGKILL.
    """

    arguments: Sequence[str]
    directory: str | Path
    environment: Mapping[str, str]
    marks: Collection[str]
    stdin: str | Path
    timeout: float | None
    kill_after: float


def start_child(program: Program, sink: Sink, wake: int) -> "Child":
    """Start a program in a session of its own.

    Args:
        program: the program.
        sink: the consumer of its output.
        wake: a file descriptor; when it becomes readable, `Child.poll` returns early, once.

    Raises:
        ApplicationError: the program could not be started.
    """
    with open(program.stdin, "rb", buffering=0) as source:  # noqa: PTH123 - it may be a string
        process = _spawn(program, source)
    return Child(process, program, sink, wake)


def _spawn(program: Program, source: IO[bytes]) -> subprocess.Popen[bytes]:
    try:
        return start(
            program.arguments,
            stdin=source,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            cwd=program.directory,
            env=program.environment,
            creationflags=_NEW_GROUP,
        )
    except (OSError, ValueError) as exc:
        raise ApplicationError(_why_not_started(program.arguments[0], exc)) from exc


def _why_not_started(program: str, exc: Exception) -> str:
    number = exc.errno if isinstance(exc, OSError) else None
    if number in {errno.ENOENT, errno.ENOTDIR}:
        return f"program {program} not found (or the interpreter named in its #! line)"
    if number == errno.EACCES:
        return f"{program} is not executable"
    if number == errno.ENOEXEC:
        return f"{program} is not a valid program for this system, or lacks its #! line"
    if number == errno.E2BIG:
        return (
            "arguments or environment variables made from the event exceed the system's limit; "
            "shorten the command, or read the event from the file $DISPATCHER_EVENT"
        )
    return f"{program} could not be started: {exc}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


class _Child:
    """The platform-independent part of a child, watched until its whole tree has ended.

    Leaving the `with` block kills the tree unless it was collected, and releases its resources.
    """

    def __init__(self, process: subprocess.Popen[bytes], program: Program, sink: Sink) -> None:
        self.exited = False
        self.streams = {"stdout", "stderr"}
        self._process = process
        self._sink = sink
        self._marks = {name: program.environment[name] for name in program.marks}
        self._kill_after = program.kill_after
        self._cause = Cause.EXITED
        self._oom_kills = oom_kills()
        self._timeout_at = time.monotonic() + program.timeout if program.timeout else math.inf
        self._kill_at = math.inf
        self._killed = False
        self._hopeless_at = math.inf
        self._collected = False

    def __enter__(self) -> Self:
        return self

    def poll(self, timeout: float) -> bool:
        """Wait for output, the end or a deadline, and act on it; return True if it has ended.

        Args:
            timeout: maximum seconds to wait.
        """
        now = time.monotonic()
        if now >= self._timeout_at:
            self.cancel(Cause.TIMED_OUT)
        if now >= self._kill_at:
            self._kill(now)
        pause = min(timeout, self._timeout_at - now, self._kill_at - now)
        self._pass_output(_EXITED_POLL if self.exited else max(0.0, pause))
        self._sink.tick()
        ending = self._cause is not Cause.EXITED and not self._killed
        hopeless = now >= self._hopeless_at
        return hopeless or (self.exited and not (ending and self.tree_remains()))

    def cancel(self, cause: Cause) -> None:
        """Begin to end it, unless it has exited or is already being ended as urgently."""
        ending = self._cause is not Cause.EXITED
        if cause is self._cause or (cause not in _URGENT if ending else self.exited):
            return
        self._cause = cause
        self.terminate_tree()
        self._timeout_at = math.inf
        wait = min(self._kill_after, _URGENT.get(cause, math.inf))
        self._kill_at = min(self._kill_at, time.monotonic() + wait)

    def collect(self) -> Ended:
        """End the rest of its tree, pass on its last output, and return how it ended.

        A tree that cannot be ended is given up after a while; the result names its processes.
        """
        self._collected = True
        code, left = self.end_tree()
        drained_at = time.monotonic() + _DRAIN
        while self.streams and time.monotonic() < drained_at:
            self._pass_output(_POLL)
        oom_kill = code != 0 and oom_kills() > self._oom_kills
        if code is not None and code < 0:
            return Ended(None, _signal_name(-code), self._cause, left, oom_kill=oom_kill)
        return Ended(code, None, self._cause, left, oom_kill=oom_kill)

    def wait_output(self, timeout: float) -> Iterator[tuple[str, bytes]]:
        """Wait for output, the exit or a wake-up; yield the output."""
        raise NotImplementedError

    def terminate_tree(self) -> None:
        """Ask its whole tree to end."""
        raise NotImplementedError

    def tree_remains(self) -> bool:
        """Return True if a process of its tree is alive."""
        return bool(self._members())

    def end_tree(self) -> tuple[int | None, str]:
        """End its tree, which ends at once what can be ended.

        Returns:
            its exit code or the negated signal number, None if it lives on; and the processes that
            are left, as a sentence.
        """
        if self.exited:
            code = wait(self._process)
            return code, end_tree(self._marks, self._process.pid)
        left = end_tree(self._marks, self._process.pid)
        if left and self._process.poll() is None:
            leave_unreaped(self._process)
            return None, left
        return wait(self._process), left

    def _kill(self, now: float) -> None:
        denied = send(self._members(), "KILL")
        self._killed, self._kill_at = True, math.inf
        self._hopeless_at = now if denied else now + KILLED_WAIT

    def _pass_output(self, timeout: float) -> None:
        for stream, data in self.wait_output(timeout):
            self._sink.write(stream, data)

    def _members(self) -> list[psutil.Process]:
        return members(self._marks, self._process.pid)


if sys.platform != "win32":
    _NEW_GROUP: Final = 0
    # For four descriptors, epoll would take nine system calls more.
    _Selector: Final = getattr(selectors, "PollSelector", selectors.DefaultSelector)

    class Child(_Child):
        """A child that leads a session; its exit is signalled by a pidfd, or else polled."""

        def __init__(
            self, process: subprocess.Popen[bytes], program: Program, sink: Sink, wake: int
        ) -> None:
            """Watch the pipes and the exit of a process, and a file descriptor for wake-ups."""
            super().__init__(process, program, sink)
            self._selector = _Selector()
            for name, pipe in self._pipes():
                os.set_blocking(pipe.fileno(), False)
                self._selector.register(pipe, selectors.EVENT_READ, name)
            self._pidfd = os.pidfd_open(process.pid) if hasattr(os, "pidfd_open") else None
            if self._pidfd is not None:
                self._selector.register(self._pidfd, selectors.EVENT_READ, "exit")
            self._selector.register(wake, selectors.EVENT_READ, "wake")

        def __exit__(self, *_: object) -> None:
            """Kill it unless it was collected, and close its pipes and descriptors."""
            if not self._collected:
                self.end_tree()
            self._selector.close()
            for _name, pipe in self._pipes():
                pipe.close()
            if self._pidfd is not None:
                os.close(self._pidfd)

        def wait_output(self, timeout: float) -> Iterator[tuple[str, bytes]]:
            """Wait for output, the exit or a wake-up; yield the output."""
            pause = timeout if self._pidfd is not None else min(timeout, _POLL)
            for key, _events in self._selector.select(pause):
                if key.data == "exit":
                    self.exited = True
                    self._selector.unregister(key.fileobj)
                elif key.data == "wake":
                    self._selector.unregister(key.fileobj)
                elif data := os.read(key.fd, _CHUNK):
                    yield key.data, data
                else:
                    self.streams.discard(key.data)
                    self._selector.unregister(key.fileobj)
            if self._pidfd is None and not self.exited:
                options = os.WEXITED | os.WNOHANG | os.WNOWAIT
                self.exited = os.waitid(os.P_PID, self._process.pid, options) is not None

        def terminate_tree(self) -> None:
            """Send SIGTERM to its process group and to the rest of its tree."""
            terminate(self._process.pid, self._members)

        def end_tree(self) -> tuple[int | None, str]:
            """Kill its process group, which is fast, before searching for the rest of its tree."""
            with suppress(ProcessLookupError, PermissionError):  # on macOS, a group of zombies
                os.killpg(self._process.pid, signal.SIGKILL)
            return super().end_tree()

        def _pipes(self) -> list[tuple[str, IO[bytes]]]:
            pipes = ("stdout", self._process.stdout), ("stderr", self._process.stderr)
            return [(name, pipe) for name, pipe in pipes if pipe is not None]

else:
    _NEW_GROUP: Final = subprocess.CREATE_NEW_PROCESS_GROUP

    class Child(_Child):
        """A child in its own process group; threads read its pipes, which cannot be selected."""

        def __init__(
            self, process: subprocess.Popen[bytes], program: Program, sink: Sink, _wake: int
        ) -> None:
            """Read the pipes of a process; polls are short, so wake-ups are not needed."""
            super().__init__(process, program, sink)
            self._output: queue.SimpleQueue[tuple[str, bytes]] = queue.SimpleQueue()
            pipes = ("stdout", process.stdout), ("stderr", process.stderr)
            for name, pipe in pipes:
                threading.Thread(target=self._pump, args=(name, pipe), daemon=True).start()

        def __exit__(self, *_: object) -> None:
            """Kill it unless it was collected."""
            if not self._collected:
                self.end_tree()

        def wait_output(self, timeout: float) -> Iterator[tuple[str, bytes]]:
            """Wait briefly for output or the exit; yield the output."""
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

        def terminate_tree(self) -> None:
            """Ask the process group to end."""
            self._process.send_signal(signal.CTRL_BREAK_EVENT)

        def _pump(self, name: str, pipe: IO[bytes]) -> None:
            with pipe:
                while data := pipe.read(_CHUNK):
                    self._output.put((name, data))
            self._output.put((name, b""))
