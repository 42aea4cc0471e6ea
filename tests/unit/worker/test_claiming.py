"""Claiming runs."""

import logging
import os
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from harness import DEADLINE, wait_until
from pacifica.dispatcher import orm
from pacifica.dispatcher.errors import DatabaseUnavailableError
from pacifica.dispatcher.execution.process import now
from tests.factories import change, claimed_run, due, make_event, registration, view
from tests.unit.worker.factories import Driver, recorded, retrying, shell

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="uses a POSIX shell")


def test_a_run_of_an_unknown_application_is_left_to_others(driver: Driver) -> None:
    knows = registration("host", "lock")
    orm.register(driver.database, "other", replace(knows, applications=("shell",)))
    run = driver.offer(shell("exit 0"), make_event())
    runner = driver.runner
    with recorded() as records:
        replace(runner, applications={}).make_attempt(run)
    assert [(each.name, each.fields["reason"]) for each in records] == [
        ("run.declined", "Application shell is not configured on this-host")
    ]
    waiting, attempts = orm.run(driver.database, run)
    assert (waiting.status, waiting.attempt, waiting.crashes, attempts) == ("queued", 0, 0, ())
    change(driver.database, "UPDATE run SET due = due - 1")
    driver.again(run)
    assert driver.status(run) == "succeeded"


def test_a_retry_of_an_unknown_application_keeps_its_state(driver: Driver) -> None:
    run = driver.run(retrying("exit 1")).uuid
    assert due(driver.database) == [run]
    replace(driver.runner, applications={}).make_attempt(run)
    waiting, attempts = orm.run(driver.database, run)
    assert (waiting.status, waiting.attempt, len(attempts)) == ("retrying", 1, 1)


def test_a_run_of_another_worker_is_left_alone(driver: Driver) -> None:
    claim = claimed_run(driver.database)
    before = orm.run(driver.database, claim.run)
    driver.runner.make_attempt(claim.run)
    assert orm.run(driver.database, claim.run) == before
    assert driver.folders() == []


def test_a_wakeup_that_comes_twice_runs_once(driver: Driver) -> None:
    run = driver.run(shell("echo once"))
    driver.runner.make_attempt(run.uuid)
    assert len(orm.run(driver.database, run.uuid)[1]) == 1


def test_a_run_of_another_database_is_named_with_this_one(
    driver: Driver, caplog: pytest.LogCaptureFixture
) -> None:
    run = orm.new_uuid()
    driver.runner.make_attempt(run)
    [record] = [each for each in caplog.records if "run.unknown" in each.getMessage()]
    assert record.levelno == logging.WARNING
    assert f"run={run} database={driver.database.name}" in record.getMessage()


def test_a_lost_attempt_records_nothing(driver: Driver, tmp_path: Path) -> None:
    (tmp_path / "go").touch()
    script = f"while test -e '{tmp_path}/go'; do sleep 0.02; done; echo stale"
    run = driver.offer(shell(script), make_event())
    thread = threading.Thread(target=driver.runner.make_attempt, args=(run,))
    thread.start()
    wait_until(lambda: view(driver.database, run).status == "running")
    [held] = orm.attempts_of(driver.database, driver.runner.lease.worker)
    assert orm.crash(driver.database, held, "lost", 3) is orm.State.QUEUED
    (tmp_path / "go").unlink()
    thread.join(DEADLINE)
    assert view(driver.database, run).status == "queued"
    assert driver.output(view(driver.database, run)) == ""


def test_a_stop_before_the_claim_leaves_the_run_to_others(driver: Driver) -> None:
    run = driver.offer(shell("exit 0"), make_event())
    driver.runner.stop.request()
    driver.runner.make_attempt(run)
    assert orm.run(driver.database, run)[1] == ()
    assert due(driver.database) == [run]


def test_without_a_lease_a_run_is_left_to_others(driver: Driver) -> None:
    run = driver.offer(shell("exit 0"), make_event())
    driver.runner.lease.set(driver.runner.lease.worker, now() - 1)
    driver.runner.make_attempt(run)
    assert orm.run(driver.database, run)[1] == ()
    assert due(driver.database) == [run]


def test_an_orphan_leaves_a_run_to_others(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    run = driver.offer(shell("exit 0"), make_event())
    with monkeypatch.context() as child:
        child.setattr(os, "getpid", lambda: 0)
        driver.runner.stop.inherited()  # the creator's end is closed now
    driver.runner.make_attempt(run)
    assert orm.run(driver.database, run)[1] == ()
    assert due(driver.database) == [run]


def test_without_the_database_a_run_is_not_claimed(driver: Driver) -> None:
    run = driver.offer(shell("exit 0"), make_event())
    change(driver.database, "ALTER TABLE attempt RENAME TO elsewhere")
    with pytest.raises(DatabaseUnavailableError):
        driver.runner.make_attempt(run)
    change(driver.database, "ALTER TABLE elsewhere RENAME TO attempt")
    assert driver.folders() == []
    driver.runner.make_attempt(run)
    assert view(driver.database, run).status == "succeeded"


def test_an_attempt_emits_its_start_and_its_end(driver: Driver) -> None:
    with recorded() as records:
        run = driver.run(shell("exit 3"))
    started, finished = records
    ids = {
        "event": run.event,
        "run": run.uuid,
        "attempt": 1,
        "application": "shell",
        "worker": driver.runner.lease.worker,
    }
    duration = finished.fields["duration"]
    assert isinstance(duration, float)
    assert (started.name, started.fields) == ("run.started", ids)
    assert (finished.name, finished.fields) == (
        "run.finished",
        {**ids, "state": "failed", "error": "exit code 3", "duration": duration},
    )


def test_a_stale_wakeup_is_emitted_at_debug_level(driver: Driver) -> None:
    run = driver.run(shell("exit 0"))
    with recorded() as records:
        driver.runner.make_attempt(run.uuid)
    assert [(each.name, each.level, each.fields) for each in records] == [
        ("run.already_claimed", logging.DEBUG, {"run": run.uuid})
    ]
