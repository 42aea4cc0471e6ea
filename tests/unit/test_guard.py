"""The guard: ends what a worker runs at its deadline, and when the worker's last process has died.

It runs as the worker starts it: a process of its own, in a session of its own.
"""

import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from pacifica.dispatcher import orm
from pacifica.dispatcher.lease import MARKS, WORKER_MARK, marks
from pacifica.dispatcher.process import now
from tests.support import wait_until
from tests.unit.conftest import Start

WORKER = orm.new_uuid()
FOR_LONG = 3600.0


class Guard:
    """A guard and the pipe that tells it of the worker's lease."""

    def __init__(self) -> None:
        """Start it."""
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "pacifica.dispatcher.guard", WORKER_MARK],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def tell(self, worker: str, seconds: float) -> float:
        """Tell the worker's uuid, and its deadline in so many seconds; gives the deadline."""
        deadline = now() + seconds
        assert self.process.stdin is not None
        self.process.stdin.write(f"{worker} {deadline}\n".encode())
        self.process.stdin.flush()
        return deadline

    def end(self) -> tuple[int, bytes]:
        """Let the worker die; gives the guard's exit code, and what it complained about."""
        _, complaints = self.process.communicate(timeout=10)
        return self.process.returncode, complaints


@pytest.fixture
def guard() -> Iterator[Guard]:
    """A guard that is ended with the test."""
    guard = Guard()
    yield guard
    guard.process.kill()
    guard.process.communicate()


def of(worker: str) -> dict[str, str]:
    """The marks of an attempt of a worker."""
    return marks(worker, orm.new_uuid(), 1)


def wait_dead(process: "subprocess.Popen[bytes]") -> float:
    """Wait until a process has ended; gives the time."""
    process.wait(20)
    return now()


def wait_ready(guard: Guard, start: Start) -> None:
    """Wait until a guard has ended what ran under a former lease; the worker's is told then."""
    former = orm.new_uuid()
    process = start(**of(former))
    guard.tell(former, FOR_LONG)
    guard.tell(WORKER, FOR_LONG)
    wait_dead(process)


def test_an_attempt_is_marked_in_its_environment() -> None:
    run = orm.new_uuid()
    assert marks(WORKER, run, 7) == dict(zip(MARKS, (WORKER, run, "7"), strict=True))


def test_at_the_deadline_it_ends_what_the_worker_runs(guard: Guard, start: Start) -> None:
    processes = [start(**of(WORKER)) for _ in range(2)]
    deadline = guard.tell(WORKER, 1.0)
    assert all(wait_dead(process) >= deadline for process in processes)


def test_what_is_not_the_workers_lives_on(guard: Guard, start: Start) -> None:
    other, worker, nobody = start(**of(orm.new_uuid())), start(**of(WORKER)), start(NO="mark")
    guard.tell(WORKER, 0.0)
    wait_dead(worker)
    assert (other.poll(), nobody.poll(), guard.end()) == (None, None, (0, b""))
    assert (other.poll(), nobody.poll()) == (None, None)


def test_what_begins_after_the_deadline_is_ended_too(guard: Guard, start: Start) -> None:
    first = start(**of(WORKER))
    guard.tell(WORKER, 0.0)
    wait_dead(first)
    wait_dead(start(**of(WORKER)))


def test_a_deadline_that_is_moved_does_not_pass(guard: Guard, start: Start) -> None:
    wait_ready(guard, start)
    process = start(**of(WORKER))
    first = guard.tell(WORKER, 0.6)
    second = guard.tell(WORKER, 1.2)
    assert first < second <= wait_dead(process)


def test_what_ran_under_the_former_lease_is_ended_at_once(guard: Guard, start: Start) -> None:
    other = orm.new_uuid()
    former, new = start(**of(other)), start(**of(WORKER))
    guard.tell(other, FOR_LONG)
    guard.tell(WORKER, FOR_LONG)
    wait_dead(former)
    assert new.poll() is None


def test_when_the_worker_has_died_nothing_of_it_is_left(guard: Guard, start: Start) -> None:
    process = start(**of(WORKER))
    guard.tell(WORKER, FOR_LONG)
    assert guard.end() == (0, b"")
    wait_dead(process)


def test_it_goes_on_while_the_worker_lives(guard: Guard, start: Start) -> None:
    wait_ready(guard, start)
    process = start(**of(WORKER))
    assert (guard.process.poll(), process.poll()) == (None, None)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_that_end_the_worker_do_not_end_it(
    guard: Guard, start: Start, number: signal.Signals
) -> None:
    wait_ready(guard, start)
    process = start(**of(WORKER))
    guard.process.send_signal(number)
    assert guard.end() == (0, b"")
    wait_dead(process)


def test_what_has_an_empty_mark_is_nobodys(guard: Guard, start: Start) -> None:
    process = start(**{WORKER_MARK: ""})
    wait_ready(guard, start)
    assert guard.end() == (0, b"")
    assert process.poll() is None


def test_it_ends_a_process_that_ignores_signals_and_has_left_its_session(guard: Guard) -> None:
    stubborn = (
        "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        "child = os.fork(); child and time.sleep(600); os.setsid(); print('ready', flush=True); "
        "time.sleep(600)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", stubborn],
        env=of(WORKER),
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        guard.tell(WORKER, 0.0)
        assert wait_until(lambda: process.stdout and process.stdout.read() == b"")
