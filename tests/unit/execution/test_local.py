"""The local executor: its handles, and the conclusions that recovery may draw from them."""

import os
import signal
import subprocess
from collections.abc import Iterator

import pytest

from harness import DEADLINE, wait_until
from pacifica.dispatcher import orm
from pacifica.dispatcher.execution.executor import Executor
from pacifica.dispatcher.execution.handles import local_handle, local_pid
from pacifica.dispatcher.execution.local import LocalExecutor
from pacifica.dispatcher.execution.marks import marks
from pacifica.dispatcher.execution.process import Life, StopRequest
from tests.factories import Start

WORKER = orm.new_uuid()
RUN = orm.new_uuid()


@pytest.fixture
def executor() -> Iterator[Executor]:
    stop = StopRequest()
    yield LocalExecutor(stop)
    stop.close()


def ended_pid() -> int:
    """Return the id of a process that has ended."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def test_a_handle_names_the_process_that_runs_the_attempt(executor: Executor) -> None:
    assert executor.handle(RUN, 1) == f"local:{os.getpid()}"


@pytest.mark.parametrize(
    ("handle", "pid"), [("local:4711", 4711), ("slurm:4711", None), ("", None), (None, None)]
)
def test_only_a_local_handle_has_a_process_id(handle: str | None, pid: int | None) -> None:
    assert local_pid(handle) == pid


def test_an_attempt_of_a_living_process_is_alive(executor: Executor, start: Start) -> None:
    handle = local_handle(start().pid)
    assert executor.inspect(handle, worker_lives=True) is Life.ALIVE


def test_an_attempt_of_a_stopped_process_is_stopped(executor: Executor, start: Start) -> None:
    process = start()
    process.send_signal(signal.SIGSTOP)
    handle = local_handle(process.pid)
    wait_until(lambda: executor.inspect(handle, worker_lives=True) is Life.STOPPED)


def test_an_attempt_of_a_process_that_has_ended_is_gone(executor: Executor) -> None:
    handle = local_handle(ended_pid())
    assert executor.inspect(handle, worker_lives=True) is Life.GONE


@pytest.mark.parametrize("handle", [local_handle(os.getpid()), ""], ids=["stored", "none"])
def test_an_attempt_of_a_lost_worker_is_gone(executor: Executor, handle: str) -> None:
    assert executor.inspect(handle, worker_lives=False) is Life.GONE


@pytest.mark.parametrize("worker_lives", [True, False])
def test_nothing_is_concluded_from_a_handle_of_another_executor(
    executor: Executor, *, worker_lives: bool
) -> None:
    assert executor.inspect(f"slurm:{RUN}.1", worker_lives=worker_lives) is Life.UNKNOWN


def test_a_process_is_killed_by_its_handle(executor: Executor, start: Start) -> None:
    process = start()
    executor.kill(local_handle(process.pid))
    assert process.wait(DEADLINE) == -signal.SIGKILL


def test_a_sweep_ends_the_leftover_processes_of_an_attempt(
    executor: Executor, start: Start
) -> None:
    leftover, other = start(**marks(WORKER, RUN, 1)), start(**marks(WORKER, RUN, 2))
    executor.sweep(WORKER, RUN, 1)
    assert leftover.wait(DEADLINE) is not None
    assert other.poll() is None


def test_a_sweep_ends_the_leftover_processes_of_a_worker(executor: Executor, start: Start) -> None:
    leftover, other = start(**marks(WORKER, RUN, 1)), start(**marks(orm.new_uuid(), RUN, 1))
    executor.sweep(WORKER)
    assert leftover.wait(DEADLINE) is not None
    assert other.poll() is None
