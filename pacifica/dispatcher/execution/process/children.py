"""The children of this process: those that it started, and the orphans that it adopted."""

import ctypes
import os
import subprocess
import sys
import threading
from collections.abc import Iterable, Sequence
from functools import cache, cached_property
from typing import Any, Final

import psutil

from pacifica.dispatcher.execution.process.origin import (
    Origin,
    cgroup_of,
    find_reaper,
)

_SET_CHILD_SUBREAPER: Final = 36  # prctl(2)


class _Children:
    """The children that this process waits for; all other children are adopted orphans.

    Attributes:
        lock: held while a child is started, and while processes are searched for.
        pids: their process ids.
        adopted: true if orphaned descendants become children of this process.
        abandoned: processes that could not be ended; they belong to no application any more.
    """

    def __init__(self) -> None:
        self.reset()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self.reset)

    def reset(self) -> None:
        """Forget all children; a forked process has none, and adopts none."""
        self.lock = threading.Lock()
        self.adopted = False
        self.pids: set[int] = set()
        self.abandoned: set[psutil.Process] = set()
        self.unreaped: list[subprocess.Popen[bytes]] = []


children: Final = _Children()


class _Family:
    """The processes that adopt the orphans of this process's applications."""

    def __init__(self) -> None:
        self.main = 0
        self.began = 0.0

    @cached_property
    def reaper(self) -> int:
        """The process that adopts those that the main process cannot."""
        return find_reaper()

    def found(self) -> None:
        """Make this process the main process, unless it is a child of one."""
        if not self.main and self.reaper:
            self.main = os.getpid()
            self.began = psutil.Process().create_time()


_family: Final = _Family()


def adopt_orphans() -> None:
    """Become the parent of every orphaned descendant, on Linux.

    Processes left behind by an application then become children of this process. Forked children
    do not inherit this setting: they call this function, too.
    """
    if sys.platform != "linux":
        return
    _family.found()
    children.adopted = ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0


def origin() -> Origin:
    """Return the origin of the applications that this process starts."""
    return _origin_of(os.getpid(), _family.main)


@cache
def _origin_of(pid: int, main: int) -> Origin:
    return Origin(pid, main, _family.began, _family.reaper, cgroup_of(pid))


def start(arguments: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:  # noqa: ANN401 - Popen's
    """Start a child in a session of its own; the options are those of Popen."""
    with children.lock:  # until it has its own environment, it looks like an adopted orphan
        process = subprocess.Popen(arguments, start_new_session=True, **options)  # noqa: S603 - the operator's program, no shell
        children.pids.add(process.pid)
    return process


def wait(process: subprocess.Popen[bytes]) -> int:
    """Wait for a process started by `start` and return its exit code as Popen does."""
    code = process.wait()
    children.pids.discard(process.pid)
    return code


def abandon(processes: Iterable[psutil.Process]) -> None:
    """Spare processes that cannot be ended from the search for other applications' processes."""
    children.abandoned = {each for each in children.abandoned if each.is_running()}
    children.abandoned.update(processes)


def leave_unreaped(process: subprocess.Popen[bytes]) -> None:
    """Stop waiting for a process that cannot be ended; it is reaped when it ends by itself."""
    children.unreaped = [each for each in children.unreaped if each.poll() is None]
    children.unreaped.append(process)
    children.pids.discard(process.pid)


def reap(process: psutil.Process) -> None:
    """Reap an adopted orphan if it has ended."""
    if sys.platform != "win32":
        try:
            os.waitpid(process.pid, os.WNOHANG)
        except ChildProcessError:  # not adopted by this process
            return


def has_no_children() -> bool:
    """Reap dead orphans; return True if this process adopts orphans and has no child at all."""
    if sys.platform != "linux" or not children.adopted:
        return False
    options = os.WEXITED | os.WNOHANG | os.WNOWAIT
    with children.lock:
        try:
            while (dead := os.waitid(os.P_ALL, 0, options)) and dead.si_pid not in children.pids:
                os.waitpid(dead.si_pid, os.WNOHANG)
        except ChildProcessError:
            return True
    return False
