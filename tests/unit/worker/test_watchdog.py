"""The watchdog ends a worker's applications at its deadline, and after its last process died.

The tests start it as a worker does: in its own process and session.
"""

import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from harness import DEADLINE, wait_until
from pacifica.dispatcher import orm
from pacifica.dispatcher.execution.marks import MARKS, WORKER_MARK, marks
from pacifica.dispatcher.execution.process import ORIGIN, now, origin
from tests.factories import Start

WORKER = orm.new_uuid()
LONG = 3600.0


class Watchdog:
    """A watchdog, with the pipe that carries the worker's lease."""

    def __init__(self) -> None:
        """Start the process."""
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "pacifica.dispatcher.worker.watchdog", WORKER_MARK],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def send(self, worker: str, seconds: float) -> float:
        """Send a worker and a deadline in this many seconds; return the deadline."""
        deadline = now() + seconds
        assert self.process.stdin is not None
        self.process.stdin.write(f"{worker} {deadline}\n".encode())
        self.process.stdin.flush()
        return deadline

    def end(self) -> tuple[int, bytes]:
        """Close the pipe, as when the worker dies; return the exit code and standard error."""
        _, stderr = self.process.communicate(timeout=DEADLINE)
        return self.process.returncode, stderr


@pytest.fixture
def watchdog() -> Iterator[Watchdog]:
    """A watchdog that is killed after the test."""
    watchdog = Watchdog()
    yield watchdog
    watchdog.process.kill()
    watchdog.process.communicate()


def marks_of(worker: str) -> dict[str, str]:
    """Return the marks of an attempt of a worker."""
    return marks(worker, orm.new_uuid(), 1)


def wait_dead(process: "subprocess.Popen[bytes]") -> float:
    """Wait until a process has ended, and return the time."""
    process.wait(DEADLINE)
    return now()


def wait_ready(watchdog: Watchdog, start: Start) -> None:
    """Wait until a watchdog has received the worker's lease."""
    previous = orm.new_uuid()
    process = start(**marks_of(previous))
    watchdog.send(previous, LONG)
    watchdog.send(WORKER, LONG)
    wait_dead(process)


def test_an_attempt_is_marked_in_its_environment() -> None:
    run = orm.new_uuid()
    assert marks(WORKER, run, 7) == dict(zip(MARKS, (WORKER, run, "7"), strict=True))


def test_applications_are_ended_at_the_deadline(watchdog: Watchdog, start: Start) -> None:
    processes = [start(**marks_of(WORKER)) for _ in range(2)]
    deadline = watchdog.send(WORKER, 1.0)
    assert all(wait_dead(process) >= deadline for process in processes)


def test_other_processes_survive(watchdog: Watchdog, start: Start) -> None:
    other, worker, unmarked = (
        start(**marks_of(orm.new_uuid())),
        start(**marks_of(WORKER)),
        start(NO="mark"),
    )
    watchdog.send(WORKER, 0.0)
    wait_dead(worker)
    assert (other.poll(), unmarked.poll(), watchdog.end()) == (None, None, (0, b""))
    assert (other.poll(), unmarked.poll()) == (None, None)


def test_an_application_that_starts_after_the_deadline_is_ended(
    watchdog: Watchdog, start: Start
) -> None:
    first = start(**marks_of(WORKER))
    watchdog.send(WORKER, 0.0)
    wait_dead(first)
    wait_dead(start(**marks_of(WORKER)))


def test_an_extended_deadline_does_not_pass(watchdog: Watchdog, start: Start) -> None:
    wait_ready(watchdog, start)
    process = start(**marks_of(WORKER))
    first = watchdog.send(WORKER, 4.0)
    second = watchdog.send(WORKER, 5.0)
    assert first < second <= wait_dead(process)


def test_processes_of_the_previous_lease_are_ended_at_once(
    watchdog: Watchdog, start: Start
) -> None:
    other = orm.new_uuid()
    previous, new = start(**marks_of(other)), start(**marks_of(WORKER))
    watchdog.send(other, LONG)
    watchdog.send(WORKER, LONG)
    wait_dead(previous)
    assert new.poll() is None


def test_the_death_of_the_worker_ends_its_applications(watchdog: Watchdog, start: Start) -> None:
    process = start(**marks_of(WORKER))
    watchdog.send(WORKER, LONG)
    assert watchdog.end() == (0, b"")
    wait_dead(process)


def test_the_watchdog_runs_as_long_as_the_worker(watchdog: Watchdog, start: Start) -> None:
    wait_ready(watchdog, start)
    process = start(**marks_of(WORKER))
    assert (watchdog.process.poll(), process.poll()) == (None, None)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_that_end_the_worker_do_not_end_the_watchdog(
    watchdog: Watchdog, start: Start, number: signal.Signals
) -> None:
    wait_ready(watchdog, start)
    process = start(**marks_of(WORKER))
    watchdog.process.send_signal(number)
    assert watchdog.end() == (0, b"")
    wait_dead(process)


def test_an_empty_mark_belongs_to_no_worker(watchdog: Watchdog, start: Start) -> None:
    process = start(**{WORKER_MARK: ""})
    wait_ready(watchdog, start)
    assert watchdog.end() == (0, b"")
    assert process.poll() is None


def test_a_process_that_ignores_signals_and_left_its_session_is_ended(
    watchdog: Watchdog,
) -> None:
    script = (
        "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        "child = os.fork(); child and time.sleep(600); os.setsid(); print('ready', flush=True); "
        "time.sleep(600)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script],
        env={**marks_of(WORKER), ORIGIN: str(origin())},
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        watchdog.send(WORKER, 0.0)
        assert wait_until(lambda: process.stdout and process.stdout.read() == b"")
