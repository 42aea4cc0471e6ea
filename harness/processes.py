"""Start, find and end processes."""

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import psutil

from harness.waiting import DEADLINE, until

_DEAD: Final = frozenset({psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD})
_OVERRIDES: Final = ("DISPATCHER_", "PEEWEE_URL", "BROKER_URL", "MAKEFLAGS", "ARGS")


def environment(**more: str) -> dict[str, str]:
    """Return the environment without the variables that override a configuration or a Makefile."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(_OVERRIDES)}
    return inherited | more


def launch(
    command: Sequence[str | Path],
    folder: Path,
    log: Path,
    env: Mapping[str, str],
    user: str | None = None,
) -> subprocess.Popen[bytes]:
    """Start a command in a new session, appending its output to a log file."""
    as_user: dict[str, Any] = {"user": user, "group": user, "extra_groups": ()} if user else {}
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            cwd=folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            **as_user,
        )


@contextmanager
def ending(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """Terminate a process on exit, and kill its session if it does not end in time."""
    try:
        yield process
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(DEADLINE)
        kill_session(process)


def kill_session(process: subprocess.Popen[bytes]) -> None:
    """Kill the process group of a process started by `launch`, unless it has ended."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def alive(pid: int) -> bool:
    """Return True if a process exists and is not a zombie."""
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() not in _DEAD
    return False


def pool_of(worker: int) -> list[psutil.Process]:
    """Find the pool processes of a worker: the children that share its session."""
    with suppress(psutil.Error, OSError):
        children = psutil.Process(worker).children()
        return [each for each in children if os.getsid(each.pid) == worker and alive(each.pid)]
    return []


def is_busy(pool_process: psutil.Process) -> bool:
    """Return True if a pool process has a child, that is, an application."""
    with suppress(psutil.Error):
        return bool(pool_process.children())
    return False


def marked(**marks: str) -> list[psutil.Process]:
    """Find live processes by environment variables; an empty value matches any value."""
    return [
        process
        for process, env in _environments()
        if all(name in env and value in {"", env[name]} for name, value in marks.items())
    ]


def _environments() -> Iterator[tuple[psutil.Process, Mapping[str, str]]]:
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.status() not in _DEAD:
                yield process, process.environ()


async def kill_marked(**marks: str) -> None:
    """Kill all processes that `marked` finds, until none is left."""

    def none_is_left() -> bool:
        found = marked(**marks)
        for process in found:
            with suppress(psutil.Error):
                process.kill()
        return not found

    await until(none_is_left, f"the end of the processes of {marks}", DEADLINE)
