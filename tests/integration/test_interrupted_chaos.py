"""The chaos suite as a program: it cleans up when it is interrupted."""

import asyncio
import signal
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from harness import DEADLINE, wait_until
from harness.databases import PgBouncer, PostgreSQL
from harness.processes import environment, kill_marked, launch, marked
from tests.servers import absent

INTERRUPTED = 130
MANY = 12
"""Fewer processes than the tiers of a pair have, but more than its server."""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that PostgreSQL can reach, although it runs as another user."""
    with TemporaryDirectory() as name:
        Path(name).chmod(0o711)
        yield Path(name)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda each: each.name)
@pytest.mark.parametrize("processes", [2, MANY], ids=["starting", "running"])
def test_nothing_is_left_of_an_interrupted_suite(
    tmp_path: Path, folder: Path, number: signal.Signals, processes: int
) -> None:
    if reason := PostgreSQL.missing() or PgBouncer.missing():
        absent("PostgreSQL or PgBouncer", OSError(reason))
    mark = uuid.uuid4().hex
    log = tmp_path / "log"
    variables = environment(CHAOS_TEST=mark, TMPDIR=str(folder), PYTHONPATH=str(Path.cwd()))
    command = [sys.executable, "-m", "chaos", "--broker", "files", "--database", "postgres"]
    suite = launch(command, tmp_path, log, variables)
    try:
        wait_until(lambda: len(marked(CHAOS_TEST=mark)) >= processes, "the suite's processes", 150)
        suite.send_signal(number)
        assert suite.wait(DEADLINE) == INTERRUPTED, log.read_text()
        assert not marked(CHAOS_TEST=mark)
    finally:
        asyncio.run(kill_marked(CHAOS_TEST=mark))
        suite.wait()
