"""Whole trees of processes: finding every one that belongs to an application, and ending it.

A process belongs when a variable of its environment marks it, when it is in its application's
session, when it descends from one that belongs, or when this process adopted it. So one that made
its own session, that was left behind by its parent, or that ignores SIGTERM, is found all the same.
psutil reads the system's table of processes, which looks different on each system.
"""

import ctypes
import enum
import logging
import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import psutil

_log = logging.getLogger(__name__)

_PAUSE: Final = 0.01
_LOOKS: Final = 3
_COMPLAIN_AFTER: Final = 10.0
_DEAD: Final = frozenset({psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD})
_SET_CHILD_SUBREAPER: Final = 36  # prctl(2)
_GET_CHILD_SUBREAPER: Final = 37


class _Children:
    """The children that this process waits for; all others are orphans that it adopted.

    Attributes:
        lock: is held while one is started, and while processes are looked for.
        pids: their numbers.
    """

    def __init__(self) -> None:
        self.begin()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self.begin)

    def begin(self) -> None:
        """Have none, as every process at first."""
        self.lock = threading.Lock()
        self.pids: set[int] = set()


_children: Final = _Children()


def adopt_orphans() -> None:
    """Become the parent of every process whose parents die, down to this process; on Linux only.

    Whether an application has left any process behind then shows in whether there are children.
    Children that are forked do not inherit this.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


class Life(enum.Enum):
    """What can be seen of a child of this process."""

    ALIVE = "alive"
    STOPPED = "stopped"  # by SIGSTOP or a terminal, until it is continued
    GONE = "gone"


def life_of(pid: int) -> Life:
    """How a child of this process, or this process itself, is."""
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


def start(arguments: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:  # noqa: ANN401 - Popen's
    """Start a process that this one waits for, in a session of its own; its options are Popen's.

    While it is being started it has no environment of its own yet: nobody takes it for an orphan.
    """
    with _children.lock:
        process = subprocess.Popen(arguments, start_new_session=True, **options)  # noqa: S603 - the operator's program, no shell
        _children.pids.add(process.pid)
    return process


def wait(process: subprocess.Popen[bytes]) -> int:
    """Wait for the end of a process that was started here; gives its exit code as Popen does."""
    code = process.wait()
    _children.pids.discard(process.pid)
    return code


def members(marks: Mapping[str, str], root: int | None = None) -> list[psutil.Process]:
    """The living processes of an application.

    Args:
        marks: variables that its environment has.
        root: the process that was started, which leads a session of its own on POSIX.

    Raises:
        ValueError: there are no marks, which would make every process a member.
    """
    if not marks:
        raise ValueError("an application's processes need marks")
    with _children.lock:
        spared = _children.pids - {root}
        parents: dict[psutil.Process, int] = {}
        family: set[int] = set() if root is None else {root}
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                parent = parents[process] = process.ppid()
                if process.pid not in spared and _belongs(process, parent, marks, root):
                    family.add(process.pid)
    while grown := {each.pid for each, parent in parents.items() if parent in family} - family:
        family |= grown
    return [each for each in parents if each.pid in family and _lives(each)]


def end_family(marks: Mapping[str, str], root: int | None = None) -> None:
    """Kill every process of an application, and see that none is left, however long that takes.

    Processes come and go while they are looked for, so that one look that finds none says little.

    Args:
        marks: variables that its environment has.
        root: the process that was started, after it was waited for; None when another process
            started it.
    """
    complain_at = time.monotonic() + _COMPLAIN_AFTER
    empty_looks = 0
    while empty_looks < _LOOKS and not (root is not None and _childless()):
        left = members(marks, root)
        for process in left:
            with suppress(psutil.Error):
                process.kill()
        empty_looks = 0 if left else empty_looks + 1
        time.sleep(_PAUSE)
        for process in left:
            _bury(process)
        if time.monotonic() > complain_at:
            complain_at = math.inf
            _log.error("the system does not end these processes: %s", [p.pid for p in left])


def _belongs(
    process: psutil.Process, parent: int, marks: Mapping[str, str], root: int | None
) -> bool:
    if sys.platform != "win32":
        session = os.getsid(process.pid)
        if session == os.getsid(0):
            return False  # a process of this worker: an application has a session of its own
        if session == root:
            return True
    try:
        environment = process.environ()
    except psutil.AccessDenied:
        environment = {}
    found = {name: environment[name] for name in marks if name in environment}
    adopted = sys.platform != "win32" and parent == os.getpid() and not found
    return adopted or found == marks


def _lives(process: psutil.Process) -> bool:
    try:
        return process.status() not in _DEAD
    except psutil.Error:
        return False


def _bury(process: psutil.Process) -> None:
    """Take note of the death of a process that this one may have adopted."""
    if sys.platform != "win32":
        with suppress(ChildProcessError):
            os.waitpid(process.pid, os.WNOHANG)


def _childless() -> bool:
    """Whether this process adopts orphans and there are none; dead ones are buried."""
    if sys.platform != "linux" or not _adopts():
        return False
    options = os.WEXITED | os.WNOHANG | os.WNOWAIT
    with _children.lock:
        try:
            while (dead := os.waitid(os.P_ALL, 0, options)) and dead.si_pid not in _children.pids:
                os.waitpid(dead.si_pid, os.WNOHANG)
        except ChildProcessError:
            return True
    return False


def _adopts() -> bool:
    answer = ctypes.c_int()
    ctypes.CDLL(None).prctl(_GET_CHILD_SUBREAPER, ctypes.byref(answer), 0, 0, 0)
    return bool(answer.value)
