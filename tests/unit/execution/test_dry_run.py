"""`pacifica-dispatcher run`: one application on one event, without any tier."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness import DEADLINE, PROGRAM

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="uses a POSIX shell")

_CONFIG = """
[application:good]
exact.type = of.something.else
command = sh -c 'echo "$CE_ID $CE_TYPE"; echo oops >&2; echo 7 > "$DISPATCHER_RESULT"'

[application:bad]
command = sh -c 'touch made; exit 4'

[application:slow]
command = sh -c 'echo ready; sleep 60'
"""
_EVENT = '{"specversion": "1.0", "id": "a1", "source": "/a", "type": "t", "data": [2, 3]}'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a configuration and an event."""
    (tmp_path / "config.ini").write_text(_CONFIG, encoding="utf-8")
    (tmp_path / "event.json").write_text(_EVENT, encoding="utf-8")
    return tmp_path


def run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run an application on the event."""
    command = [*PROGRAM, "run", "event.json", *options]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, timeout=DEADLINE
    )


def test_the_output_and_the_result_are_shown_separately(folder: Path) -> None:
    done = run(folder, "--application", "good")
    assert (done.returncode, done.stdout) == (0, "a1 t\n")
    assert done.stderr.splitlines() == ["oops", "result: 7"]


def test_only_the_event_and_the_configuration_are_needed(folder: Path) -> None:
    before = sorted(folder.iterdir())
    done = run(folder, "--application", "add")
    assert (done.returncode, done.stderr) == (0, "result: 5\n")
    assert sorted(folder.iterdir()) == before


def test_a_failure_is_reported_and_its_files_are_kept(folder: Path) -> None:
    done = run(folder, "--application", "bad", "--data", "kept")
    assert done.returncode == 1
    assert "bad failed: exit code 4" in done.stderr
    [made] = (folder / "kept").glob("*/work/made")
    assert f"working directory: {made.parent}" in done.stderr


def test_an_unknown_application_is_an_invalid_option(folder: Path) -> None:
    done = run(folder, "--application", "missing")
    assert done.returncode == 2
    assert "no application named 'missing'" in done.stderr


def test_ctrl_c_cancels_the_run(folder: Path) -> None:
    command = [*PROGRAM, "run", "event.json", "--application", "slow"]
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=DEADLINE)
    assert process.returncode == 1
    assert stderr == "slow failed: cancelled\n"
