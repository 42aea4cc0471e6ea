"""Outages of the database, and full disks."""

import errno
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from harness import DEADLINE
from pacifica.dispatcher import orm
from pacifica.dispatcher.events import Event
from pacifica.dispatcher.telemetry import WARNING
from tests.factories import change, due, make_event, view
from tests.servers import proxied
from tests.unit.worker.factories import Driver, Started, recorded, retrying, shell

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="uses a POSIX shell")


def test_a_short_outage_of_the_database_does_not_end_the_application(
    driver: Driver, tmp_path: Path
) -> None:
    (tmp_path / "go").touch()
    script = f"echo early; while test -e '{tmp_path}/go'; do sleep 0.02; done; echo late"
    run = driver.offer(shell(script), make_event())
    change(driver.database, "ALTER TABLE output RENAME TO elsewhere")
    with ThreadPoolExecutor(1) as pool:
        attempt = pool.submit(driver.runner.make_attempt, run)
        wait([attempt], timeout=2)  # output is saved once a second
        change(driver.database, "ALTER TABLE elsewhere RENAME TO output")
        (tmp_path / "go").unlink()
        attempt.result(DEADLINE)
    assert view(driver.database, run).status == "succeeded"
    assert driver.output(view(driver.database, run)) == "early\nlate\n"


def test_an_outcome_waits_for_the_database(
    driver: Driver, start_attempt: Callable[..., Started]
) -> None:
    started = start_attempt("echo output; {}; echo 4 > $DISPATCHER_RESULT; sleep 0.3")
    change(driver.database, "ALTER TABLE output RENAME TO elsewhere")
    _, not_done = wait([started.attempt], timeout=1.5)
    status = view(driver.database, started.run).status
    change(driver.database, "ALTER TABLE elsewhere RENAME TO output")
    started.attempt.result(DEADLINE)
    ended = view(driver.database, started.run)
    assert (len(not_done), status) == (1, "running")
    assert (ended.status, ended.result, driver.output(ended)) == ("succeeded", 4, "output\n")


def test_an_outcome_waits_for_a_server_that_is_down(
    driver: Driver, start_attempt: Callable[..., Started], postgres_url: str
) -> None:
    with proxied(postgres_url) as (proxy, url), closing(orm.Database(url)) as database:
        database.prepare(attempts=1, wait=0)
        driver.database = database
        driver.runner = replace(driver.runner, database=database)
        started = start_attempt("echo output; {}; echo 4 > $DISPATCHER_RESULT; sleep 0.5")
        proxy.down()
        _, not_done = wait([started.attempt], timeout=2)
        proxy.up()
        started.attempt.result(DEADLINE)
        ended = view(database, started.run)
    assert not_done
    assert (ended.status, ended.result) == ("succeeded", 4)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_postpones_the_run(
    driver: Driver, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    run = driver.offer(retrying("exit 0"), make_event())
    with monkeypatch.context() as patched:
        patched.setattr(os, "makedirs", refuse)
        driver.runner.make_attempt(run)
    released, [attempt] = orm.run(driver.database, run)
    assert (released.status, released.error) == ("queued", None)
    lack = {errno.ENOSPC: "space", errno.EDQUOT: "quota"}[number]
    assert (attempt.error or "").startswith(f"no room for the working directory ({lack}): ")
    assert attempt.finished is not None
    assert released.due is not None
    assert released.due == pytest.approx(attempt.finished + 30, abs=2)
    assert due(driver.database) == []


def test_a_full_disk_is_warned_of_once(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "disk full")

    runs = [driver.offer(shell("exit 0"), make_event(number)) for number in range(3)]
    monkeypatch.setattr(os, "makedirs", refuse)
    with recorded() as records:
        for run in runs:
            driver.runner.make_attempt(run)
    [warning] = [each for each in records if each.level >= WARNING]
    assert (warning.name, warning.fields["lack"]) == ("disk.full", "space")


def test_an_attempt_on_a_full_disk_is_not_a_failure(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "disk full")

    run = driver.offer(retrying("exit 1", retries=1), make_event())
    with monkeypatch.context() as patched:
        patched.setattr(os, "makedirs", refuse)
        driver.runner.make_attempt(run)
    change(driver.database, "UPDATE run SET due = 0")
    driver.again(run)
    assert driver.status(run) == "retrying"


def test_files_created_before_the_disk_was_full_are_removed(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "disk full")

    run = driver.offer(shell("exit 0"), make_event())
    with monkeypatch.context() as patched:
        patched.setattr(Event, "to_json", refuse)
        driver.runner.make_attempt(run)
    assert view(driver.database, run).status == "queued"
    assert driver.folders() == []
