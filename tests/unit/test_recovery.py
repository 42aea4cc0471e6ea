"""Recovery: a wake-up is lost when it is old and the queue is empty, and not before."""

import logging
import time

import pytest

from pacifica.dispatcher import orm
from pacifica.dispatcher.errors import BrokerUnavailableError
from pacifica.dispatcher.recovery import Recovery, recover_wakeups
from tests.unit.conftest import accepted_runs, change, claimed_run, make_event, published_run


def grow_old(database: orm.Database, seconds: float) -> None:
    """Let the wake-ups have been on their way for this long."""
    change(database, "UPDATE run SET published = published - ?", (seconds,))


def unexpected() -> int:
    raise AssertionError("nobody needs to ask the broker")


def test_an_old_wakeup_that_is_not_in_the_queue_is_lost(
    database: orm.Database, caplog: pytest.LogCaptureFixture
) -> None:
    run = published_run(database)
    grow_old(database, 60)
    assert recover_wakeups(database, lambda: 0, 30) == 1
    assert orm.publish(database, 10)[0] == [run]
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_an_old_wakeup_may_still_be_in_the_queue(database: orm.Database) -> None:
    published_run(database)
    grow_old(database, 60)
    assert recover_wakeups(database, lambda: 1, 30) == 0
    assert orm.publish(database, 10) == ([], False)


def test_only_old_wakeups_are_lost(database: orm.Database) -> None:
    old = published_run(database, 1)
    grow_old(database, 60)
    published_run(database, 2)
    assert recover_wakeups(database, lambda: 0, 30) == 1
    assert orm.publish(database, 10)[0] == [old]


def test_a_young_wakeup_is_left_alone(database: orm.Database) -> None:
    published_run(database)
    assert recover_wakeups(database, unexpected, 30) == 0


def test_a_run_that_runs_for_hours_is_left_alone(database: orm.Database) -> None:
    claim = claimed_run(database)
    change(database, "UPDATE attempt SET started = started - 36000")
    assert recover_wakeups(database, unexpected, 30) == 0
    assert orm.event(database, claim.event).status == "running"


def test_a_run_that_waits_for_the_broker_is_left_alone(database: orm.Database) -> None:
    accepted_runs(database, make_event(), "app")
    assert recover_wakeups(database, unexpected, 0) == 0


def test_a_broker_that_does_not_say_recovers_nothing(database: orm.Database) -> None:
    def depth() -> int:
        raise BrokerUnavailableError("nobody answers")

    published_run(database)
    grow_old(database, 60)
    with pytest.raises(BrokerUnavailableError):
        recover_wakeups(database, depth, 30)
    assert orm.publish(database, 10) == ([], False)


def test_it_stops_at_once(database: orm.Database) -> None:
    recovery = Recovery(database, unexpected)
    recovery.start()
    started = time.monotonic()
    recovery.stop()
    assert time.monotonic() - started < 1
