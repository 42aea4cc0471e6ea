"""Interruptions: a stopping worker, a cancelled run, a lost lease."""

import sys
import threading
from collections.abc import Callable
from concurrent.futures import wait
from pathlib import Path

import pytest

from harness import DEADLINE, wait_until
from pacifica.dispatcher import orm
from pacifica.dispatcher.applications import Keep, Retry
from pacifica.dispatcher.execution.process import now
from tests.factories import change, claimant, due, make_event, view
from tests.unit.worker.factories import Driver, Started, shell

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="uses a POSIX shell")


@pytest.mark.parametrize(("keep", "kept"), [(Keep.FAILED, False), (Keep.ALWAYS, True)])
def test_a_stop_releases_a_running_run(
    driver: Driver, tmp_path: Path, keep: Keep, *, kept: bool
) -> None:
    started = tmp_path / "started"
    run = driver.offer(shell(f"touch '{started}'; sleep 60", keep), make_event())
    thread = threading.Thread(target=driver.runner.make_attempt, args=(run,))
    thread.start()
    wait_until(started.exists)
    driver.runner.stop.request()
    thread.join(DEADLINE)
    released, [attempt] = orm.run(driver.database, run)
    assert (released.status, attempt.signal) == ("queued", "SIGTERM")
    assert attempt.error == "the worker stopped; the run is queued again"
    assert driver.folders() == ([f"{run}.1"] if kept else [])


def test_a_released_run_gets_another_attempt(driver: Driver) -> None:
    run = driver.offer(shell("echo $DISPATCHER_ATTEMPT"), make_event())
    claim = orm.claim(driver.database, run, claimant())
    assert claim is not None
    orm.postpone(driver.database, claim, orm.State.QUEUED, orm.Outcome(), [], due=0)
    assert due(driver.database) == [run]
    driver.runner.make_attempt(run)
    assert view(driver.database, run).status == "succeeded"
    assert driver.output(view(driver.database, run)) == "2\n"


def test_a_cancelled_application_is_stopped(
    driver: Driver, start_attempt: Callable[..., Started]
) -> None:
    started = start_attempt("echo output; {}; exec sleep 60", retry=Retry(5))
    driver.runner.cancellations.replace([(started.run, 1)])
    started.attempt.result(DEADLINE)
    ended, [attempt] = orm.run(driver.database, started.run)
    assert (ended.status, ended.error, ended.signal) == (
        "cancelled", "cancelled", "SIGTERM",
    )  # fmt: skip
    assert (attempt.error, attempt.signal) == ("cancelled", "SIGTERM")
    assert driver.output(ended) == "output\n"
    assert driver.folders() == []


def test_an_application_that_cleans_up_on_cancel_is_cancelled(
    driver: Driver, start_attempt: Callable[..., Started]
) -> None:
    started = start_attempt("trap 'exit 0' TERM; {}; while :; do sleep 0.05; done")
    driver.runner.cancellations.replace([(started.run, 1)])
    started.attempt.result(DEADLINE)
    ended = view(driver.database, started.run)
    assert (ended.status, ended.exit_code) == ("cancelled", 0)


@pytest.mark.parametrize(("keep", "kept"), [(Keep.ALWAYS, True), (Keep.NEVER, False)])
def test_the_folder_of_a_cancelled_attempt_is_kept_as_configured(
    driver: Driver, start_attempt: Callable[..., Started], keep: Keep, *, kept: bool
) -> None:
    started = start_attempt("{}; exec sleep 60", keep=keep)
    driver.runner.cancellations.replace([(started.run, 1)])
    started.attempt.result(DEADLINE)
    assert driver.folders() == ([f"{started.run}.1"] if kept else [])


def test_an_application_that_ends_before_it_is_cancelled_succeeds(
    driver: Driver, start_attempt: Callable[..., Started], tmp_path: Path
) -> None:
    (tmp_path / "go").touch()
    started = start_attempt("{}; while test -e '" + str(tmp_path) + "/go'; do sleep 0.02; done")
    assert orm.ask_to_cancel(driver.database, started.run) is orm.State.RUNNING
    (tmp_path / "go").unlink()
    started.attempt.result(DEADLINE)
    ended = view(driver.database, started.run)
    assert (ended.status, ended.cancelling) == ("succeeded", False)


def test_a_stop_cancels_a_run_with_a_pending_cancel(
    driver: Driver, start_attempt: Callable[..., Started]
) -> None:
    started = start_attempt("{}; exec sleep 60")
    orm.ask_to_cancel(driver.database, started.run)
    driver.runner.stop.request()
    started.attempt.result(DEADLINE)
    ended = view(driver.database, started.run)
    assert (ended.status, ended.cancelling, ended.due) == ("cancelled", False, None)
    assert due(driver.database) == []


def test_a_failed_run_with_a_pending_cancel_is_not_retried(
    driver: Driver, start_attempt: Callable[..., Started], tmp_path: Path
) -> None:
    (tmp_path / "go").touch()
    script = "{}; while test -e '" + str(tmp_path) + "/go'; do sleep 0.02; done; exit 3"
    started = start_attempt(script, retry=Retry(5, delay=0.0))
    orm.ask_to_cancel(driver.database, started.run)
    (tmp_path / "go").unlink()
    started.attempt.result(DEADLINE)
    assert view(driver.database, started.run).status == "cancelled"


def test_an_application_that_removes_its_folder_is_cancelled(
    driver: Driver, start_attempt: Callable[..., Started]
) -> None:
    started = start_attempt('rm -rf "$(dirname "$DISPATCHER_EVENT")"; {}; sleep 60')
    driver.runner.cancellations.replace([(started.run, 1)])
    started.attempt.result(DEADLINE)
    assert view(driver.database, started.run).status == "cancelled"


@pytest.mark.parametrize("successor", [False, True], ids=["expired", "another"])
def test_a_lost_lease_ends_the_application_and_nothing_is_recorded(
    driver: Driver, start_attempt: Callable[..., Started], *, successor: bool
) -> None:
    started = start_attempt("trap '' TERM; {}; while :; do sleep 0.05; done", kill_after=60.0)
    before = view(driver.database, started.run)
    lost = now()
    worker = orm.new_uuid() if successor else driver.runner.lease.worker
    driver.runner.lease.set(worker, now() + 600 if successor else now())
    started.attempt.result(DEADLINE)
    assert now() - lost < 30
    run, [attempt] = orm.run(driver.database, started.run)
    assert (run, attempt.finished, attempt.error) == (before, None, None)
    assert driver.output(before) == ""


def test_nothing_is_recorded_if_the_lease_is_lost_first(
    driver: Driver, start_attempt: Callable[..., Started]
) -> None:
    started = start_attempt("{}; sleep 0.3")
    change(driver.database, "ALTER TABLE attempt RENAME TO elsewhere")
    _, not_done = wait([started.attempt], timeout=1.2)
    driver.runner.lease.set(driver.runner.lease.worker, 0.0)
    change(driver.database, "ALTER TABLE elsewhere RENAME TO attempt")
    started.attempt.result(DEADLINE)
    assert not_done
    assert view(driver.database, started.run).status == "running"
