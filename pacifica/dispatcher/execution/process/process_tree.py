"""Process trees: find every process of an application, and end them all.

A process belongs to an application if it is in the application's session, if it descends from a
process that belongs to it, if this process adopted it, or if its environment has the application's
marks and its ancestors show that it descends from the worker (see `origin`). So a process that
created its own session, was orphaned, or ignores SIGTERM is still found, while a job that was
handed to `at`, a batch system or a terminal multiplexer is left alone. psutil reads the process
table, which differs between systems.
"""

import enum
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Final

import psutil

from pacifica.dispatcher.execution.process.children import (
    abandon,
    children,
    has_no_children,
    origin,
    reap,
)
from pacifica.dispatcher.execution.process.origin import INIT, Origin
from pacifica.dispatcher.execution.process.signals import send, why_denied
from pacifica.dispatcher.telemetry import ERROR, emit

DENIED_WAIT: Final = 3.0
"""Seconds after which a process that this one must not signal is given up."""

KILLED_WAIT: Final = 30.0
"""Seconds after which a process that was killed, but does not end, is given up."""

_PAUSE: Final = 0.01
_MAX_PAUSE: Final = 0.5
_EMPTY_LOOKS: Final = 3  # processes come and go during a look, so a single one proves little
_MAX_NAMED: Final = 5
_DEAD: Final = frozenset({psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD})


class Life(enum.Enum):
    """The state of a started process or job, as far as it can be determined."""

    ALIVE = "alive"
    STOPPED = "stopped"  # by SIGSTOP or a terminal, until it is continued
    GONE = "gone"
    UNKNOWN = "unknown"


def life_of(pid: int) -> Life:
    """Return the state of this process or one of its children; any other process is GONE."""
    if pid == os.getpid():
        return Life.ALIVE
    if sys.platform == "win32":
        return Life.ALIVE if psutil.pid_exists(pid) else Life.GONE
    options = os.WEXITED | os.WSTOPPED | os.WNOHANG | os.WNOWAIT
    try:
        changed = os.waitid(os.P_PID, pid, options)
    except ChildProcessError:
        return Life.GONE
    if changed is None:
        return Life.ALIVE
    return Life.STOPPED if changed.si_code == os.CLD_STOPPED else Life.GONE


def members(marks: Mapping[str, str], root: int | None = None) -> list[psutil.Process]:
    """Return the living processes of an application.

    Args:
        marks: the environment variables that identify its processes.
        root: the process that was started, which leads a session of its own on POSIX.

    Raises:
        ValueError: `marks` is empty, which would make every process a member.
    """
    if not marks:
        raise ValueError("marks must not be empty")
    with children.lock:
        spared = children.pids - {root}
        table = _Table()
        candidates = [each for each in table.parents if each.pid not in spared]
        belonging = {
            each.pid
            for each in candidates
            if each not in children.abandoned and _belongs(each, table, marks, root)
        }
    tree = belonging if root is None else {root, *belonging}
    while grown := {each.pid for each, up in table.parents.items() if up in tree} - tree:
        tree |= grown
    return [each for each in table.parents if each.pid in tree and _lives(each)]


def end_tree(marks: Mapping[str, str], root: int | None = None) -> str:
    """Kill every process of an application, and return when none is left or can be ended.

    Args:
        marks: the environment variables that identify its processes.
        root: the process that was started; None if another process started it.

    Returns:
        the processes that are left and why, as a sentence; empty if none is left.
    """
    effort = _Effort()
    empty_looks = 0
    while empty_looks < _EMPTY_LOOKS and not (root is not None and has_no_children()):
        left = members(marks, root)
        if left and (why := effort.why_hopeless(left)):
            return _give_up(left, why)
        empty_looks = 0 if left else empty_looks + 1
        effort.kill(left)
        for process in left:
            if process.pid != root:
                reap(process)
    return ""


class _Table:
    """The process table at one moment.

    Attributes:
        parents: the processes with their parents' ids.
    """

    def __init__(self) -> None:
        self.parents: dict[psutil.Process, int] = {}
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                self.parents[process] = process.ppid()
        self._up = {process.pid: parent for process, parent in self.parents.items()}
        self._processes = {process.pid: process for process in self.parents}

    def ancestors(self, pid: int) -> Iterator[int]:
        """Yield a process's parent, its parent's parent, …, as far as they are known."""
        seen = {pid}
        while (pid := self._up.get(pid, 0)) and pid not in seen:
            seen.add(pid)
            yield pid

    def marked(self, pid: int, marks: Mapping[str, str]) -> bool:
        """Return True if a process has the marks."""
        process = self._processes.get(pid)
        return process is not None and _marks_of(_environment(process), marks) == marks


class _Effort:
    """The effort to kill processes: fast at first, then slower, and not for ever."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._killed: dict[psutil.Process, float] = {}  # when each was first killed
        self._denied: set[psutil.Process] = set()
        self._pause = _PAUSE

    def kill(self, processes: list[psutil.Process]) -> None:
        """Kill processes, then wait for a moment; signal those of other users only once."""
        now = time.monotonic()
        new = [each for each in processes if each not in self._killed]
        self._killed.update(dict.fromkeys(new, now))
        self._denied.update(send([each for each in processes if each not in self._denied], "KILL"))
        self._pause = _PAUSE if new or not processes else min(2 * self._pause, _MAX_PAUSE)
        time.sleep(self._pause)

    def why_hopeless(self, processes: list[psutil.Process]) -> str:
        """Return the reason to give up, or an empty text."""
        now = time.monotonic()
        denied = self._denied.intersection(processes)
        waited = {each: now - self._killed.get(each, now) for each in processes}
        if denied and all(waited[each] >= DENIED_WAIT for each in processes):
            return why_denied()
        if now - self._began >= KILLED_WAIT:
            return f"alive {KILLED_WAIT:g} s after SIGKILL"
        return ""


def _give_up(processes: list[psutil.Process], why: str) -> str:
    abandon(processes)
    pids = " ".join(str(each.pid) for each in processes)
    emit("tree.unkillable", ERROR, pids=pids, reason=why)
    names = [_described(each) for each in processes[:_MAX_NAMED]]
    more = len(processes) - len(names)
    named = ", ".join([*names, f"{more} more"] if more else names)
    return f"cannot end {named}: {why}"


def _described(process: psutil.Process) -> str:
    name, user = "?", "?"
    with suppress(psutil.Error):
        name = process.name()
        user = process.username()
    return f"process {process.pid} ({name}, user {user})"


def _belongs(
    process: psutil.Process, table: _Table, marks: Mapping[str, str], root: int | None
) -> bool:
    if sys.platform != "win32":
        try:
            session = os.getsid(process.pid)
        except OSError:  # it has ended
            return False
        if session == os.getsid(0):
            return False  # a process of this worker; an application has a session of its own
        if session == root:
            return True
    environment = _environment(process)
    found = _marks_of(environment, marks)
    if found == marks:
        return _descends(process.pid, table, marks, Origin.of(environment) or origin())
    parent = table.parents[process]
    return sys.platform != "win32" and parent == os.getpid() and not found


def _descends(pid: int, table: _Table, marks: Mapping[str, str], started: Origin) -> bool:
    """Return True if a marked process descends from the worker that started the application."""
    if sys.platform == "win32":
        return True  # Windows keeps no parents, and has no managers that copy an environment
    reapers = {INIT, started.reaper}
    highest, lives = pid, started.worker_lives()
    for ancestor in table.ancestors(pid):
        if ancestor in {os.getpid(), started.supervisor} or (lives and ancestor == started.main):
            return True
        if ancestor in reapers:
            break
        highest = ancestor
    # As long as the main process lives, it adopts all orphans itself.
    orphaned = not lives and started.shares_cgroup(highest)
    return orphaned and table.marked(highest, marks)


def _environment(process: psutil.Process) -> Mapping[str, str]:
    with suppress(psutil.Error, OSError):
        return process.environ()
    return {}


def _marks_of(environment: Mapping[str, str], marks: Mapping[str, str]) -> Mapping[str, str]:
    return {name: environment[name] for name in marks if name in environment}


def _lives(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return process.status() not in _DEAD
    return False
