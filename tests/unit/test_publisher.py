"""The publisher: what is due is sent, soon, a window's worth at a time, and never lost."""

import logging
from collections.abc import Iterator

import pytest

from pacifica.dispatcher import orm
from pacifica.dispatcher.publisher import Publisher
from tests.support import wait_until
from tests.unit.conftest import Postbox, accepted_runs, change, make_event


@pytest.fixture
def publisher(database: orm.Database, postbox: Postbox) -> Iterator[Publisher]:
    """A publisher that was started, has found nothing, and is stopped after the test."""
    publisher = Publisher(database, postbox, window=5)
    publisher.start()
    yield publisher
    publisher.stop()


def accept(database: orm.Database, *numbers: int) -> list[str]:
    return [run for number in numbers for run in accepted_runs(database, make_event(number), "app")]


def test_what_is_due_at_the_start_is_sent(database: orm.Database, postbox: Postbox) -> None:
    runs = accept(database, 1, 2)
    publisher = Publisher(database, postbox)
    publisher.start()
    wait_until(lambda: postbox.sent == runs, timeout=0.8)
    publisher.stop()


def test_it_sends_at_once_when_it_is_woken(
    database: orm.Database, postbox: Postbox, publisher: Publisher
) -> None:
    for number in range(5):
        [run] = accept(database, number)
        publisher.wake()
        wait_until(lambda: run in postbox.sent, timeout=0.8)  # noqa: B023


@pytest.mark.usefixtures("publisher")
def test_it_finds_what_others_stored_without_being_woken(
    database: orm.Database, postbox: Postbox
) -> None:
    runs = accept(database, 1)
    wait_until(lambda: postbox.sent == runs, timeout=3)


def test_each_run_is_sent_once(
    database: orm.Database, postbox: Postbox, publisher: Publisher
) -> None:
    runs = accept(database, 1, 2, 3)
    for _ in range(20):
        publisher.wake()
    wait_until(lambda: len(postbox.sent) >= 3)
    publisher.stop()
    assert postbox.sent == runs


def test_no_more_than_the_window_is_on_its_way(
    database: orm.Database, postbox: Postbox, publisher: Publisher
) -> None:
    runs = accept(database, *range(8))
    publisher.wake()
    wait_until(lambda: len(postbox.sent) >= 5)
    for run in runs[:2]:
        orm.claim(database, run, "host")
    wait_until(lambda: len(postbox.sent) >= 7, timeout=0.8)
    assert postbox.sent == runs[:7]


def test_a_backlog_is_worked_off(
    database: orm.Database, postbox: Postbox, publisher: Publisher
) -> None:
    runs = accept(database, *range(30))
    publisher.wake()
    claimed = 0
    while claimed < len(runs):
        wait_until(lambda: len(postbox.sent) > claimed, timeout=0.8)  # noqa: B023
        orm.claim(database, postbox.sent[claimed], "host")
        claimed += 1
    assert postbox.sent == runs


def test_nothing_is_lost_when_the_broker_fails(
    database: orm.Database, postbox: Postbox, publisher: Publisher
) -> None:
    postbox.room = 2
    runs = accept(database, *range(5))
    publisher.wake()
    wait_until(lambda: postbox.refused)
    postbox.room = None
    wait_until(lambda: len(postbox.sent) >= 5, timeout=3)
    assert postbox.sent == runs


def test_a_broker_that_fails_is_logged_once_and_so_is_its_return(
    database: orm.Database,
    postbox: Postbox,
    publisher: Publisher,
    caplog: pytest.LogCaptureFixture,
) -> None:
    postbox.room = 0
    accept(database, 1)
    for refused in range(1, 4):
        publisher.wake()
        wait_until(lambda: postbox.refused >= refused)  # noqa: B023
    postbox.room = None
    publisher.wake()
    wait_until(lambda: len(caplog.records) >= 2)
    assert [(each.levelno, each.message) for each in caplog.records] == [
        (logging.WARNING, "publishing waits: the postbox is full"),
        (logging.WARNING, "publishing goes on"),
    ]


def test_nothing_is_lost_when_the_database_fails(
    database: orm.Database,
    postbox: Postbox,
    publisher: Publisher,
    caplog: pytest.LogCaptureFixture,
) -> None:
    runs = accept(database, 1)
    change(database, "UPDATE run SET due = due + 3600")
    change(database, "ALTER TABLE run RENAME TO elsewhere")
    publisher.wake()
    wait_until(lambda: caplog.records)
    change(database, "ALTER TABLE elsewhere RENAME TO run")
    change(database, "UPDATE run SET due = due - 3600")
    publisher.wake()
    wait_until(lambda: postbox.sent == runs)


def test_it_publishes_a_last_time_when_it_stops(database: orm.Database, postbox: Postbox) -> None:
    publisher = Publisher(database, postbox)
    publisher.start()
    runs = accept(database, 1, 2)
    publisher.stop()
    assert postbox.sent == runs
    assert postbox.closed


def test_it_stops_although_the_broker_fails(database: orm.Database, postbox: Postbox) -> None:
    postbox.room = 0
    publisher = Publisher(database, postbox)
    publisher.start()
    runs = accept(database, 1)
    publisher.stop()
    assert postbox.closed
    assert orm.publish(database, 10)[0] == runs
