"""What every run of the chaos suite does: it notes in the journal that it lives, until it ends.

It runs as a program of its own, without the site's packages, so that many can start each second.
The journal only grows, and each line goes there in one write, so the order of its lines is the
order in which things happened, whatever process they happened in.
"""

import os
import select
import signal
import sys
import time
from collections.abc import Callable
from typing import Final

_BEAT: Final = 0.2
_OUTLIVES: Final = 20.0


def main() -> int:
    """Run for some seconds: `application.py KIND EVENT SECONDS`."""
    kind, event, text = sys.argv[1:]
    seconds = float(text)
    say = _journal()
    say("start", event, os.environ["CHAOS_WORKER"], os.getppid(), seconds)
    if kind == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    stray = _leave_stray(say, seconds + _OUTLIVES) if kind == "stray" else None
    _beat(say, seconds)
    if stray is not None:
        _end(stray)
    code = int(kind == "flaky" and os.environ["DISPATCHER_ATTEMPT"] == "1")
    say("end", code)
    return code


def _journal() -> Callable[..., None]:
    file = os.open(os.environ["CHAOS_JOURNAL"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    who = f"{os.environ['DISPATCHER_RUN']} {os.environ['DISPATCHER_ATTEMPT']} {os.getpid()}"

    def say(what: str, *more: object) -> None:
        now = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        os.write(file, f"{what} {who} {now} {' '.join(map(str, more))}\n".encode())

    return say


def _beat(say: Callable[..., None], seconds: float) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, _BEAT))
        say("beat", os.getpid())


def _leave_stray(say: Callable[..., None], seconds: float) -> int:
    """Start a process that nothing but its environment ties to this one; give its number."""
    reading, writing = os.pipe()
    if between := os.fork():
        os.waitpid(between, 0)
        return int(os.read(reading, 20))
    os.setsid()
    if stray := os.fork():
        os.write(writing, str(stray).encode())
        os._exit(0)
    _beat(say, seconds)
    return os._exit(0)


def _end(pid: int) -> None:
    """Kill a process that is no child, and wait until it is gone."""
    watch = os.pidfd_open(pid)
    signal.pidfd_send_signal(watch, signal.SIGKILL)
    select.select([watch], [], [])


if __name__ == "__main__":
    sys.exit(main())
