"""The application of the chaos suite, which records its life in the journal.

It is a standalone program that needs no installed packages, so that many can start each second.
Each line of the journal is appended in one write, so the lines of all processes are in the order
in which things happened.
"""

import os
import select
import signal
import sys
import time
from collections.abc import Callable
from typing import Final

_BEAT: Final = 0.2
_STRAY_OUTLIVES: Final = 20.0


def main() -> int:
    """Run for the given time: `application.py KIND EVENT SECONDS`."""
    kind, event, text = sys.argv[1:]
    seconds = float(text)
    record = _journal()
    record("start", event, os.environ["CHAOS_WORKER"], os.getppid(), seconds)
    if kind == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    stray = _leave_stray(record, seconds + _STRAY_OUTLIVES) if kind == "stray" else None
    _beat(record, seconds)
    if stray is not None:
        _kill(stray)
    code = int(kind == "flaky" and os.environ["DISPATCHER_ATTEMPT"] == "1")
    record("end", code)
    return code


def _journal() -> Callable[..., None]:
    file = os.open(os.environ["CHAOS_JOURNAL"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    process = f"{os.environ['DISPATCHER_RUN']} {os.environ['DISPATCHER_ATTEMPT']} {os.getpid()}"

    def record(kind: str, *fields: object) -> None:
        now = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        os.write(file, f"{kind} {process} {now} {' '.join(map(str, fields))}\n".encode())

    return record


def _beat(record: Callable[..., None], seconds: float) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, _BEAT))
        record("beat", os.getpid())


def _leave_stray(record: Callable[..., None], seconds: float) -> int:
    """Start a process that only its environment ties to this one; return its pid."""
    reading, writing = os.pipe()
    if between := os.fork():
        os.waitpid(between, 0)
        return int(os.read(reading, 20))
    os.setsid()
    if stray := os.fork():
        os.write(writing, str(stray).encode())
        os._exit(0)
    _beat(record, seconds)
    return os._exit(0)


def _kill(pid: int) -> None:
    """Kill a process that is not a child, and wait until it has ended."""
    handle = os.pidfd_open(pid)
    signal.pidfd_send_signal(handle, signal.SIGKILL)
    select.select([handle], [], [])


if __name__ == "__main__":
    sys.exit(main())
