"""A lock that shows whether a process, or a child that it forked, lives."""

import subprocess
import sys
from pathlib import Path

import pytest

from pacifica.dispatcher.process import hold, is_free
from tests.support import wait_until
from tests.unit.conftest import DEADLINE

_HOLD = """
import sys
from pathlib import Path
from pacifica.dispatcher.process import hold

file = hold(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""
_FORK = """
import os
import signal
import sys
from pathlib import Path
from pacifica.dispatcher.process import hold

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
    """A process that holds the lock until its standard input ends, or it is killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    return process


def test_there_is_nothing_to_say_of_no_file(path: Path) -> None:
    assert is_free(path) is None
    assert not path.exists()


def test_of_a_file_in_no_folder_there_is_nothing_to_say(tmp_path: Path) -> None:
    assert is_free(tmp_path / "no-such-folder" / "a.lock") is None


def test_a_file_that_nobody_ever_held_is_free(path: Path) -> None:
    path.touch()
    assert is_free(path) is True


def test_a_file_is_held_while_it_is_open(path: Path) -> None:
    with hold(path):
        assert is_free(path) is False
    assert is_free(path) is True


def test_to_ask_changes_nothing(path: Path) -> None:
    with hold(path):
        assert [is_free(path), is_free(path)] == [False, False]
    assert [is_free(path), is_free(path)] == [True, True]


def test_a_file_that_is_held_cannot_be_held_again(path: Path) -> None:
    with hold(path), pytest.raises(OSError, match=r"unavailable|denied"):
        hold(path)


def test_a_file_in_no_folder_cannot_be_held(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        hold(tmp_path / "no-such-folder" / "a.lock")


def test_another_process_holds_it(path: Path) -> None:
    with started(_HOLD, path) as process:
        assert is_free(path) is False
        process.communicate(timeout=DEADLINE)
        assert is_free(path) is True


def test_the_death_of_its_holder_frees_it(path: Path) -> None:
    with started(_HOLD, path) as process:
        process.kill()
        process.wait(DEADLINE)
        assert is_free(path) is True


@pytest.mark.skipif(sys.platform == "win32", reason="forks")
def test_a_child_holds_it_after_the_death_of_its_parent(path: Path) -> None:
    with started(_FORK, path) as process:
        process.kill()
        process.wait(DEADLINE)
        assert is_free(path) is False
        assert process.stdin is not None
        process.stdin.close()
        wait_until(lambda: is_free(path), timeout=DEADLINE)


@pytest.mark.skipif(sys.platform == "win32", reason="forks")
def test_a_program_that_a_holder_starts_does_not_hold_it(path: Path) -> None:
    with hold(path):
        process = subprocess.Popen(["sleep", "60"])
    try:
        assert is_free(path) is True
    finally:
        process.kill()
        process.wait()
