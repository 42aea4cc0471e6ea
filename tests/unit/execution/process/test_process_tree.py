"""Finding and ending processes by the marks in their environment, and by process id."""

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

from harness import DEADLINE, wait_until
from pacifica.dispatcher.execution.process import Life, end_tree, life_of
from tests.factories import wait_executed
from tests.unit.execution.process.conftest import Watch

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="uses signals and sessions")

ONE, TWO = "TEST_FIRST_MARK", "TEST_SECOND_MARK"
_IGNORES_SIGTERM = "trap '' TERM; echo ready; while :; do sleep 0.05; done"
_PRINTS_CHILD = """
import subprocess

print(subprocess.Popen(["sleep", "60"]).pid, flush=True)
input()
"""

Start: TypeAlias = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a shell script, or an idle process, in its own session with these variables."""
    started: list[subprocess.Popen[bytes]] = []

    def start(
        script: str = "", *, session: bool = True, **variables: str
    ) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            ["/bin/sh", "-c", script] if script else ["sleep", "60"],
            env={**os.environ, **variables},
            stdout=subprocess.PIPE,
            start_new_session=session,
        )
        started.append(process)
        wait_executed(process.pid)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        assert process.stdout is not None
        process.stdout.close()
        process.wait(DEADLINE)


@pytest.fixture
def marks() -> dict[str, str]:
    """Two variables that mark one application of this test."""
    return {ONE: uuid.uuid4().hex, TWO: uuid.uuid4().hex}


def wait_ready(process: subprocess.Popen[bytes]) -> None:
    """Wait until a script has printed `ready`."""
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"


def test_a_process_with_the_marks_is_killed(start: Start, marks: dict[str, str]) -> None:
    process = start(_IGNORES_SIGTERM, **marks)
    wait_ready(process)
    end_tree(marks)
    assert life_of(process.pid) is Life.GONE


def test_all_processes_with_the_marks_are_killed(start: Start, marks: dict[str, str]) -> None:
    processes = [start(**marks) for _ in range(5)]
    end_tree(marks)
    assert {life_of(each.pid) for each in processes} == {Life.GONE}


def test_a_descendant_of_a_marked_process_is_killed(
    start: Start, marks: dict[str, str], watch: Watch, tmp_path: Path
) -> None:
    script = "env -i setsid sh -c 'echo ready; exec sleep 60' & wait"
    process = start(f"exec 3>'{tmp_path}/fifo'; {script}", **marks)
    wait_ready(process)
    end_tree(marks)
    assert watch.abandoned(0)


def test_a_process_with_other_marks_survives(start: Start, marks: dict[str, str]) -> None:
    other = start(**{ONE: "other", TWO: "other"})
    end_tree(marks)
    assert life_of(other.pid) is Life.ALIVE


@pytest.mark.parametrize("name", [ONE, TWO])
def test_a_process_with_only_some_of_the_marks_survives(
    start: Start, marks: dict[str, str], name: str
) -> None:
    other = start(**{name: marks[name]})
    end_tree(marks)
    assert life_of(other.pid) is Life.ALIVE


def test_one_mark_is_enough_to_find_a_process(start: Start, marks: dict[str, str]) -> None:
    process = start(**marks)
    end_tree({ONE: marks[ONE]})
    assert life_of(process.pid) is Life.GONE


def test_a_process_in_our_session_survives(start: Start, marks: dict[str, str]) -> None:
    # It belongs to the worker itself, whatever it inherited.
    process = start(session=False, **marks)
    end_tree(marks)
    assert life_of(process.pid) is Life.ALIVE


def test_a_stopped_process_is_killed_too(start: Start, marks: dict[str, str]) -> None:
    process = start(**marks)
    process.send_signal(signal.SIGSTOP)
    wait_until(lambda: life_of(process.pid) is Life.STOPPED)
    end_tree(marks)
    assert life_of(process.pid) is Life.GONE


def test_a_child_that_runs_is_alive(start: Start) -> None:
    assert life_of(start().pid) is Life.ALIVE


def test_this_process_is_alive() -> None:
    assert life_of(os.getpid()) is Life.ALIVE


def test_a_child_is_stopped_until_it_is_continued(start: Start) -> None:
    process = start()
    process.send_signal(signal.SIGSTOP)
    wait_until(lambda: life_of(process.pid) is Life.STOPPED)
    process.send_signal(signal.SIGCONT)
    wait_until(lambda: life_of(process.pid) is Life.ALIVE)


def test_an_unreaped_child_is_gone(start: Start) -> None:
    process = start()
    os.kill(process.pid, signal.SIGKILL)
    wait_until(lambda: life_of(process.pid) is Life.GONE)
    assert process.returncode is None


def test_a_reaped_child_is_gone(start: Start) -> None:
    process = start("exit 0")
    process.wait(DEADLINE)
    assert life_of(process.pid) is Life.GONE


@pytest.mark.parametrize("of", [os.getppid, lambda: 1], ids=["the parent", "init"])
def test_a_process_that_is_not_our_child_is_gone(of: Callable[[], int]) -> None:
    assert life_of(of()) is Life.GONE


def test_a_child_of_a_child_is_gone() -> None:
    # The id of a dead child may have been reused by another process.
    with subprocess.Popen(
        [sys.executable, "-c", _PRINTS_CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        other = int(process.stdout.readline())
        life = life_of(other)
        os.kill(other, signal.SIGKILL)
    assert life is Life.GONE
