"""Retries of failed attempts."""

import sys
from dataclasses import replace

import pytest

from pacifica.dispatcher import orm
from pacifica.dispatcher.applications import Application, Retry
from pacifica.dispatcher.applications.command_template import Argument, CommandTemplate, Placeholder
from tests.factories import change, claimant, due, make_event, stored_output, view
from tests.unit.worker.factories import Driver, retrying

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="uses a POSIX shell")


def test_a_failure_is_retried_as_often_as_configured(driver: Driver) -> None:
    run = driver.run(retrying("exit 3")).uuid
    seen = [driver.status(run)]
    for _ in range(2):
        assert due(driver.database) == [run]
        driver.runner.make_attempt(run)
        seen.append(driver.status(run))
    assert seen == ["retrying", "retrying", "failed"]
    assert due(driver.database) == []
    ended, attempts = orm.run(driver.database, run)
    assert (ended.attempt, ended.error) == (3, "exit code 3")
    assert [(each.exit_code, each.error) for each in attempts] == [(3, "exit code 3")] * 3


def test_a_success_ends_the_retries(driver: Driver) -> None:
    run = driver.run(retrying("test $DISPATCHER_ATTEMPT = 2")).uuid
    driver.again(run)
    ended, attempts = orm.run(driver.database, run)
    assert (ended.status, ended.error, ended.attempt) == ("succeeded", None, 2)
    assert [each.exit_code for each in attempts] == [1, 0]
    assert due(driver.database) == []


def test_a_run_between_two_attempts_has_the_last_error(driver: Driver) -> None:
    run = driver.run(retrying("exit 3", delay=1000.0))
    assert (run.status, run.error, run.exit_code) == ("retrying", "exit code 3", 3)
    assert run.finished is None


def test_the_output_of_every_attempt_is_kept(driver: Driver) -> None:
    run = driver.run(retrying("echo $DISPATCHER_ATTEMPT; exit 1")).uuid
    driver.again(run)
    driver.again(run)
    output = [stored_output(driver.database, run, attempt, "stdout") for attempt in (1, 2, 3)]
    assert [piece.data for pieces in output for piece in pieces] == [b"1\n", b"2\n", b"3\n"]


def test_the_folder_of_every_failed_attempt_is_kept(driver: Driver) -> None:
    run = driver.run(retrying("test $DISPATCHER_ATTEMPT = 3")).uuid
    driver.again(run)
    driver.again(run)
    assert driver.status(run) == "succeeded"
    assert driver.folders() == [f"{run}.1", f"{run}.2"]


@pytest.mark.parametrize(
    ("attempt", "longest"), [(1, 100.0), (2, 200.0), (3, 400.0), (4, 450.0), (5, 450.0)]
)
def test_an_attempt_follows_within_its_delay(driver: Driver, attempt: int, longest: float) -> None:
    run = driver.run(retrying("exit 1", retries=9, delay=100.0, delay_max=450.0)).uuid
    for _ in range(attempt - 1):
        change(driver.database, "UPDATE run SET due = 0")
        driver.again(run)
    ended, attempts = orm.run(driver.database, run)
    assert ended.due is not None
    finished = attempts[-1].finished
    assert finished is not None
    assert len(attempts) == attempt
    assert finished - 1 <= ended.due <= finished + longest


def test_delays_are_randomised(driver: Driver) -> None:
    application = retrying("exit 1", delay=1000.0)
    waits = [driver.run(application, make_event(number)).due for number in range(5)]
    assert len({round(wait or 0.0) for wait in waits}) > 1


def test_a_retry_is_not_due_before_its_time(driver: Driver) -> None:
    run = driver.run(retrying("exit 1", delay=100_000.0, delay_max=100_000.0)).uuid
    change(driver.database, "UPDATE run SET due = due + 10")
    assert due(driver.database) == []
    assert driver.status(run) == "retrying"


@pytest.mark.parametrize(
    ("script", "status"),
    [
        ("exit 75", "retrying"),
        ("exit 1", "failed"),
        ("kill -9 $$", "failed"),
        ("echo no JSON > $DISPATCHER_RESULT; exit 75", "retrying"),
        ("echo no JSON > $DISPATCHER_RESULT", "failed"),
    ],
)
def test_only_the_configured_exit_codes_are_retried(
    driver: Driver, script: str, status: str
) -> None:
    assert driver.run(retrying(script, exit_codes=frozenset({75}))).status == status


@pytest.mark.parametrize(
    "application",
    [
        pytest.param(retrying("kill -9 $$"), id="a signal"),
        pytest.param(replace(retrying("sleep 60"), timeout=0.2), id="a timeout"),
        pytest.param(retrying("echo no JSON > $DISPATCHER_RESULT"), id="an invalid result"),
        pytest.param(
            Application("app", CommandTemplate("no-such-program", ()), retry=Retry(1)),
            id="a missing program",
        ),
        pytest.param(
            Application(
                "app",
                CommandTemplate("echo", (Argument((Placeholder("data.path"),)),)),
                retry=Retry(1),
            ),
            id="a missing placeholder value",
        ),
    ],
)
def test_any_failure_is_retried(driver: Driver, application: Application) -> None:
    assert driver.run(application).status == "retrying"


def test_a_stop_does_not_count_as_a_failure(driver: Driver) -> None:
    run = driver.offer(retrying("exit 1", retries=1), make_event())
    claim = orm.claim(driver.database, run, claimant())
    assert claim is not None
    orm.postpone(driver.database, claim, orm.State.QUEUED, orm.Outcome(), [], due=0)
    driver.again(run)
    assert driver.status(run) == "retrying"
    driver.again(run)
    assert driver.status(run) == "failed"


def test_a_manual_retry_resets_the_retries(driver: Driver) -> None:
    run = driver.run(retrying("exit 1", retries=1)).uuid
    driver.again(run)
    assert driver.status(run) == "failed"
    orm.retry(driver.database, run, driver.runner.applications)
    driver.again(run)
    assert (driver.status(run), view(driver.database, run).attempt) == ("retrying", 3)
