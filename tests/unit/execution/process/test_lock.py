"""A lock that shows whether a process or one of its forked children is running."""

import subprocess
import sys
from pathlib import Path

import pytest

from harness import DEADLINE, wait_until
from pacifica.dispatcher.execution.process import hold, is_free

_HOLD = """
import sys
from pathlib import Path
from pacifica.dispatcher.execution.process import hold

file = hold(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""
_FORK = """
import os
import signal
import sys
from pathlib import Path
from pacifica.dispatcher.execution.process import hold

file = hold(Path(sys.argv[1]))
if os.fork():
    signal.pause()
print("held", flush=True)
sys.stdin.read()
os._exit(0)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.lock"


def started(script: str, path: Path) -> subprocess.Popen[bytes]:
    """Start a process that holds the lock until its stdin is closed."""
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    return process


def test_a_missing_file_is_neither_free_nor_held(path: Path) -> None:
    assert is_free(path) is None
    assert not path.exists()


def test_a_file_in_a_missing_folder_is_neither_free_nor_held(tmp_path: Path) -> None:
    assert is_free(tmp_path / "no-such-folder" / "a.lock") is None


def test_a_file_that_was_never_held_is_free(path: Path) -> None:
    path.touch()
    assert is_free(path) is True


def test_a_file_is_held_while_it_is_open(path: Path) -> None:
    with hold(path):
        assert is_free(path) is False
    assert is_free(path) is True


def test_inspecting_a_lock_does_not_change_it(path: Path) -> None:
    with hold(path):
        assert [is_free(path), is_free(path)] == [False, False]
    assert [is_free(path), is_free(path)] == [True, True]


def test_a_file_that_is_held_cannot_be_held_again(path: Path) -> None:
    with hold(path), pytest.raises(OSError, match=r"unavailable|denied"):
        hold(path)


def test_a_file_in_a_missing_folder_cannot_be_held(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        hold(tmp_path / "no-such-folder" / "a.lock")


def test_another_process_can_hold_a_lock(path: Path) -> None:
    with started(_HOLD, path) as process:
        assert is_free(path) is False
        process.communicate(timeout=DEADLINE)
        assert is_free(path) is True


def test_the_death_of_the_holder_frees_the_lock(path: Path) -> None:
    with started(_HOLD, path) as process:
        process.kill()
        process.wait(DEADLINE)
        assert is_free(path) is True


@pytest.mark.skipif(sys.platform == "win32", reason="forks")
def test_a_forked_child_holds_the_lock_after_its_parent_died(path: Path) -> None:
    with started(_FORK, path) as process:
        process.kill()
        process.wait(DEADLINE)
        assert is_free(path) is False
        assert process.stdin is not None
        process.stdin.close()
        wait_until(lambda: is_free(path))


@pytest.mark.skipif(sys.platform == "win32", reason="forks")
def test_a_program_started_by_the_holder_does_not_hold_the_lock(path: Path) -> None:
    with hold(path):
        process = subprocess.Popen(["sleep", "60"])
    try:
        assert is_free(path) is True
    finally:
        process.kill()
        process.wait()
