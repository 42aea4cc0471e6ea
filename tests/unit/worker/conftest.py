"""Fixtures for the tests of a runner."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness import wait_until
from pacifica.dispatcher import orm
from pacifica.dispatcher.execution.local import LocalExecutor
from pacifica.dispatcher.execution.process import StopRequest, now
from pacifica.dispatcher.execution.workdir import Workdir
from pacifica.dispatcher.worker.cancellations import Cancellations
from pacifica.dispatcher.worker.lease import Lease
from pacifica.dispatcher.worker.roster import Roster
from pacifica.dispatcher.worker.runner import Runner
from pacifica.dispatcher.worker.troubles import Troubles
from tests.factories import make_event
from tests.unit.worker.factories import Driver, Started, shell


@pytest.fixture
def driver(database: orm.Database, tmp_path: Path) -> Iterator[Driver]:
    stop, lease = StopRequest(), Lease()
    lease.set(orm.new_uuid(), now() + 600)
    runner = Runner(
        database=database,
        applications={},
        directory=tmp_path / "runs",
        home=tmp_path,
        host="this-host",
        executor=LocalExecutor(stop),
        stop=stop,
        lease=lease,
        cancellations=Cancellations(),
        roster=Roster(),
        troubles=Troubles(),
    )
    yield Driver(database, runner)
    stop.close()


@pytest.fixture
def start_attempt(driver: Driver, tmp_path: Path) -> Iterator[Callable[..., Started]]:
    """Start an attempt, and wait until its application has created the file `started`."""
    with ThreadPoolExecutor(1) as pool:

        def start_attempt(script: str, /, **settings: Any) -> Started:  # noqa: ANN401 - any of its fields
            application = replace(shell(script.format(f"touch '{tmp_path}/started'")), **settings)
            run = driver.offer(application, make_event())
            workdir = Workdir.of(driver.runner.directory, run, 1)
            started = Started(run, workdir, pool.submit(driver.runner.make_attempt, run))
            wait_until((tmp_path / "started").exists)
            return started

        yield start_attempt
        driver.runner.stop.request()
