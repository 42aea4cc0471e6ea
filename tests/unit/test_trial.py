"""Running one application on one event without any tier: `pacifica-dispatcher run`."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import PROGRAM

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
        command, cwd=folder, capture_output=True, text=True, check=False, timeout=60
    )


def test_what_it_prints_is_shown_and_its_result_apart(folder: Path) -> None:
    done = run(folder, "--application", "good")
    assert (done.returncode, done.stdout) == (0, "a1 t\n")
    assert done.stderr.splitlines() == ["oops", "result: 7"]


def test_nothing_but_the_event_and_the_configuration_is_needed(folder: Path) -> None:
    before = sorted(folder.iterdir())
    done = run(folder, "--application", "add")
    assert (done.returncode, done.stderr) == (0, "result: 5\n")
    assert sorted(folder.iterdir()) == before


def test_a_failure_is_told_and_its_files_are_kept(folder: Path) -> None:
    done = run(folder, "--application", "bad", "--data", "kept")
    assert done.returncode == 1
    assert "bad failed: it ended with exit code 4" in done.stderr
    [made] = (folder / "kept").glob("*/work/made")
    assert f"its files are in {made.parent}" in done.stderr


def test_an_application_that_is_not_there_is_a_wrong_option(folder: Path) -> None:
    done = run(folder, "--application", "nobody")
    assert done.returncode == 2
    assert "there is none of the name nobody" in done.stderr


def test_ctrl_c_ends_it(folder: Path) -> None:
    command = [*PROGRAM, "run", "event.json", "--application", "slow"]
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 1
    assert said == "slow failed: it was cancelled\n"
