"""Signals to processes, with the operator's help for those of other users.

Only a privileged helper, such as `sudo -n kill`, can signal a process of another user.
"""

import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

import psutil

from pacifica.dispatcher.execution.process.children import start, wait
from pacifica.dispatcher.telemetry import WARNING, emit

_HELPER_TIMEOUT: Final = 5.0
_MAX_SAID: Final = 200  # characters of a helper's error that are shown


class _Helper:
    """The operator's program that signals processes of other users.

    Attributes:
        arguments: the program and its first arguments; empty for none.
        said: the reason why it failed the last time; empty if it did not.
    """

    def __init__(self) -> None:
        self.arguments: Sequence[str] = ()
        self.said = ""

    def send(self, processes: Sequence[psutil.Process], name: str) -> None:
        pids = [str(each.pid) for each in processes]
        said = _run([*self.arguments, f"-{name}", *pids])
        if said and said != self.said:
            emit("kill_helper.failed", WARNING, pids=" ".join(pids), reason=said)
        self.said = said


_helper: Final = _Helper()


def use_kill_helper(arguments: Sequence[str]) -> None:
    """Let a program signal processes that this one must not; forked children use it, too.

    Args:
        arguments: the program and its first arguments. `-TERM` or `-KILL` and process ids follow.
    """
    _helper.arguments = tuple(arguments)


def kill_helper() -> Sequence[str]:
    """Return the program that signals processes of other users, or an empty sequence."""
    return _helper.arguments


def send(processes: Sequence[psutil.Process], name: str) -> list[psutil.Process]:
    """Send SIGTERM or SIGKILL to processes; return those that only the helper may signal.

    Args:
        processes: the processes.
        name: "TERM" or "KILL".
    """
    signal_it = psutil.Process.kill if name == "KILL" else psutil.Process.terminate
    denied = [each for each in processes if not _permitted(each, signal_it)]
    if denied and _helper.arguments:
        _helper.send(denied, name)
    return denied


def terminate(group: int, find: Callable[[], Sequence[psutil.Process]]) -> None:
    """Send SIGTERM to a process group and to the groups of other processes.

    A signal to a group also reaches the processes that its members are just creating, which a
    search misses.

    Args:
        group: the process group, which gets the signal first.
        find: searches for the other processes; it may also return members of the group.
    """
    _terminate_group(group)
    processes = find()
    for each in _groups_of(processes) - {group}:
        _terminate_group(each)
    send([each for each in processes if not _permitted(each, _probe)], "TERM")


def why_denied() -> str:
    """Return the reason why processes of other users live on, with the remedy."""
    if not _helper.arguments:
        return "permission denied; set kill_helper in [worker]"
    return f"permission denied; kill_helper failed: {_helper.said or 'no effect'}"


def _terminate_group(group: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGTERM)


def _groups_of(processes: Sequence[psutil.Process]) -> set[int]:
    groups = set()
    for each in processes:
        with suppress(ProcessLookupError):
            groups.add(os.getpgid(each.pid))
    return groups


def _probe(process: psutil.Process) -> None:
    process.send_signal(0)


def _permitted(process: psutil.Process, signal_it: Callable[[psutil.Process], None]) -> bool:
    try:
        signal_it(process)
    except psutil.AccessDenied:
        return False
    except psutil.Error:  # it has ended
        return True
    return True


def _run(arguments: Sequence[str]) -> str:
    """Run a program; return the reason why it failed, or an empty text."""
    try:
        process = start(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
    except OSError as exc:
        return f"{arguments[0]} could not be started: {exc.strerror}"
    try:
        _, stderr = process.communicate(timeout=_HELPER_TIMEOUT)
    except subprocess.TimeoutExpired:
        with suppress(PermissionError):
            process.kill()
        return f"no end within {_HELPER_TIMEOUT:g} s"
    finally:
        if process.stderr is not None:
            process.stderr.close()
    said = " ".join(stderr.decode(errors="replace").split())[:_MAX_SAID]
    return f"exit code {process.returncode}: {said}" if wait(process) else ""
