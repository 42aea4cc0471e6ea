"""Times in the future that cannot be: left by a clock that was wrong and is right again."""

import time

import pytest

from pacifica.dispatcher import orm
from pacifica.dispatcher.applications import Rate
from tests.factories import (
    accept_runs,
    app,
    change,
    claimed,
    claimed_run,
    due,
    published_run,
    view,
)

DAY = 86_400.0
_AHEAD = "UPDATE run SET queued = queued + ?, due = due + ?, published = published + ?"


def a_day_ago(database: orm.Database) -> None:
    """Correct a clock that was a day ahead when it wrote what is stored."""
    change(database, _AHEAD, (DAY, DAY, DAY))
    change(
        database, "UPDATE attempt SET started = started + ?, finished = finished + ?", (DAY, DAY)
    )
    change(database, "UPDATE pace SET free_at = free_at + ?", (DAY,))


def test_a_queued_run_starts_at_once(each_database: orm.Database) -> None:
    runs = accept_runs(each_database, app(), 1, 2)
    a_day_ago(each_database)
    assert due(each_database) == []
    assert orm.correct_times(each_database, {}) == len(runs)
    assert sorted(due(each_database)) == sorted(runs)
    assert view(each_database, runs[0]).queued <= time.time() + 60
    assert orm.correct_times(each_database, {}) == 0


def test_a_lost_wakeup_is_found(each_database: orm.Database) -> None:
    run = published_run(each_database)
    a_day_ago(each_database)
    assert orm.correct_times(each_database, {}) == 1
    assert orm.republish_lost(each_database, "", 1, time.time() + 60) == 1
    assert due(each_database) == [run]


def test_a_retry_waits_as_long_as_it_should(each_database: orm.Database) -> None:
    claim = claimed(each_database, published_run(each_database))
    later = time.time() + 600
    orm.postpone(each_database, claim, orm.State.RETRYING, orm.Outcome(), [], due=later)
    assert orm.correct_times(each_database, {}) == 0
    a_day_ago(each_database)
    assert orm.correct_times(each_database, {}) == 1
    assert view(each_database, claim.run).due == pytest.approx(later, abs=60)


def test_a_run_without_room_keeps_its_wait(database: orm.Database) -> None:
    claim = claimed_run(database)
    later = time.time() + 30
    orm.postpone(database, claim, orm.State.QUEUED, orm.Outcome(), [], due=later)
    assert orm.correct_times(database, {}) == 0


def test_a_blocked_run_is_corrected_too(each_database: orm.Database) -> None:
    runs = accept_runs(each_database, app(), 1)
    orm.pause(each_database, "app")
    assert due(each_database) == []
    a_day_ago(each_database)
    assert orm.correct_times(each_database, {}) == 1
    orm.resume(each_database, "app")
    assert due(each_database) == runs


def test_a_rate_does_not_wait_for_a_wrong_clock(each_database: orm.Database) -> None:
    slow = app(rate=Rate(1, 60.0))
    first, second = accept_runs(each_database, slow, 1, 2)
    assert due(each_database, 9, slow) == [first]
    claimed(each_database, first, slow)
    a_day_ago(each_database)
    orm.correct_times(each_database, {"app": slow})
    change(each_database, "UPDATE pace SET free_at = free_at - 60")  # as time passes
    assert due(each_database, 9, slow) == [second]


def test_a_rate_that_is_right_is_left_alone(database: orm.Database) -> None:
    burst = app(rate=Rate(120, 60.0))
    runs = accept_runs(database, burst, *range(3))
    for run in due(database, 9, burst):
        claimed(database, run, burst)
    with database.reading():
        before = database.fetch("SELECT free_at FROM pace", ()).fetchall()
        orm.correct_times(database, {"app": burst})
        assert database.fetch("SELECT free_at FROM pace", ()).fetchall() == before
    assert view(database, runs[0]).status == "running"
