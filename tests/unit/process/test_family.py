"""Finding and ending processes from outside: by the marks of their environment, and by number."""

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

from pacifica.dispatcher.process import Life, end_family, life_of
from tests.support import wait_until
from tests.unit.conftest import DEADLINE
from tests.unit.process.conftest import Watch

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="uses signals and sessions")

ONE, TWO = "TEST_FIRST_MARK", "TEST_SECOND_MARK"
_STUBBORN = "trap '' TERM; echo ready; while :; do sleep 0.05; done"
_NO_CHILD = """
import subprocess

print(subprocess.Popen(["sleep", "60"]).pid, flush=True)
input()
"""

Start: TypeAlias = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a shell in a session of its own, with variables; whatever it is ends with the test."""
    started: list[subprocess.Popen[bytes]] = []

    def start(script: str, *, session: bool = True, **variables: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            ["/bin/sh", "-c", script],
            env={**os.environ, **variables},
            stdout=subprocess.PIPE,
            start_new_session=session,
        )
        started.append(process)
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
    """Two variables that mark one application, of this test only."""
    return {ONE: uuid.uuid4().hex, TWO: uuid.uuid4().hex}


def ready(process: subprocess.Popen[bytes]) -> None:
    """Wait until a script has said that it is ready."""
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"


def test_who_has_the_marks_is_killed(start: Start, marks: dict[str, str]) -> None:
    process = start(_STUBBORN, **marks)
    ready(process)
    end_family(marks)
    assert life_of(process.pid) is Life.GONE


def test_all_who_have_the_marks_are_killed(start: Start, marks: dict[str, str]) -> None:
    processes = [start("exec sleep 60", **marks) for _ in range(5)]
    end_family(marks)
    assert {life_of(each.pid) for each in processes} == {Life.GONE}


def test_who_descends_from_the_marked_is_killed(
    start: Start, marks: dict[str, str], watch: Watch, tmp_path: Path
) -> None:
    script = "env -i setsid sh -c 'echo ready; exec sleep 60' & wait"
    process = start(f"exec 3>'{tmp_path}/fifo'; {script}", **marks)
    ready(process)
    end_family(marks)
    assert watch.abandoned(0)


def test_who_has_other_marks_lives(start: Start, marks: dict[str, str]) -> None:
    other = start("exec sleep 60", **{ONE: "other", TWO: "other"})
    end_family(marks)
    assert life_of(other.pid) is Life.ALIVE


@pytest.mark.parametrize("name", [ONE, TWO])
def test_who_has_some_of_the_marks_lives(start: Start, marks: dict[str, str], name: str) -> None:
    other = start("exec sleep 60", **{name: marks[name]})
    end_family(marks)
    assert life_of(other.pid) is Life.ALIVE


def test_who_has_more_variables_is_killed_by_one_mark(start: Start, marks: dict[str, str]) -> None:
    process = start("exec sleep 60", **marks)
    end_family({ONE: marks[ONE]})
    assert life_of(process.pid) is Life.GONE


def test_who_shares_the_session_lives(start: Start, marks: dict[str, str]) -> None:
    """It is a process of the worker's own, whatever it inherited."""
    process = start("exec sleep 60", session=False, **marks)
    end_family(marks)
    assert life_of(process.pid) is Life.ALIVE


def test_a_stopped_process_is_killed_too(start: Start, marks: dict[str, str]) -> None:
    process = start("exec sleep 60", **marks)
    process.send_signal(signal.SIGSTOP)
    wait_until(lambda: life_of(process.pid) is Life.STOPPED, timeout=DEADLINE)
    end_family(marks)
    assert life_of(process.pid) is Life.GONE


def test_a_child_that_runs_is_alive(start: Start) -> None:
    assert life_of(start("exec sleep 60").pid) is Life.ALIVE


def test_this_process_is_alive() -> None:
    assert life_of(os.getpid()) is Life.ALIVE


def test_a_child_that_was_stopped_is_so_until_it_is_continued(start: Start) -> None:
    process = start("exec sleep 60")
    process.send_signal(signal.SIGSTOP)
    wait_until(lambda: life_of(process.pid) is Life.STOPPED, timeout=DEADLINE)
    process.send_signal(signal.SIGCONT)
    wait_until(lambda: life_of(process.pid) is Life.ALIVE, timeout=DEADLINE)


def test_a_child_that_nobody_waited_for_is_gone(start: Start) -> None:
    process = start("exec sleep 60")
    os.kill(process.pid, signal.SIGKILL)
    wait_until(lambda: life_of(process.pid) is Life.GONE, timeout=DEADLINE)
    assert process.returncode is None


def test_a_child_that_was_waited_for_is_gone(start: Start) -> None:
    process = start("exit 0")
    process.wait(DEADLINE)
    assert life_of(process.pid) is Life.GONE


@pytest.mark.parametrize("of", [os.getppid, lambda: 1], ids=["the parent", "init"])
def test_who_is_no_child_of_ours_is_gone(of: Callable[[], int]) -> None:
    assert life_of(of()) is Life.GONE


def test_a_child_of_a_child_is_gone() -> None:
    """The number of a child that died may be somebody else's by now."""
    with subprocess.Popen(
        [sys.executable, "-c", _NO_CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        other = int(process.stdout.readline())
        life = life_of(other)
        os.kill(other, signal.SIGKILL)
    assert life is Life.GONE
