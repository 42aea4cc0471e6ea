"""The publisher: due runs are sent soon, within the window, and never lost."""

import logging
from collections.abc import Iterator

import pytest

from harness import wait_until
from pacifica.dispatcher import orm
from pacifica.dispatcher.broker import publisher as of_publisher
from pacifica.dispatcher.broker.publisher import Publisher
from pacifica.dispatcher.errors import BrokerUnavailableError, DatabaseUnavailableError, SchemaError
from tests.factories import (
    Postbox,
    accept_runs,
    accepted_runs,
    app,
    change,
    claim_next,
    claimed,
    due,
    make_event,
)


@pytest.fixture
def by_wakes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let publishers look by themselves only once an hour."""
    monkeypatch.setattr(of_publisher, "_INTERVAL", 3600.0)


@pytest.fixture
def publisher(database: orm.Database, postbox: Postbox) -> Iterator[Publisher]:
    """A running publisher with nothing to send."""
    publisher = Publisher(database, postbox, {"app": app()}, window=5)
    publisher.start()
    yield publisher
    publisher.stop()


def accept(database: orm.Database, *numbers: int) -> list[str]:
    return [run for number in numbers for run in accepted_runs(database, make_event(number), "app")]


@pytest.mark.usefixtures("by_wakes")
def test_runs_that_are_due_at_the_start_are_sent(database: orm.Database, postbox: Postbox) -> None:
    runs = accept(database, 1, 2)
    publisher = Publisher(database, postbox, {"app": app()})
    publisher.start()
    wait_until(lambda: postbox.sent == runs)
    publisher.stop()


@pytest.mark.usefixtures("by_wakes")
def test_runs_are_sent_at_once_when_it_is_woken(
    database: orm.Database, postbox: Postbox, publisher: Publisher
) -> None:
    for number in range(5):
        [run] = accept(database, number)
        publisher.wake()
        wait_until(lambda: run in postbox.sent)  # noqa: B023


@pytest.mark.usefixtures("publisher")
def test_runs_of_other_processes_are_found_without_waking_it(
    database: orm.Database, postbox: Postbox
) -> None:
    runs = accept(database, 1)
    wait_until(lambda: postbox.sent == runs)


def test_each_run_is_sent_once(
    database: orm.Database, postbox: Postbox, publisher: Publisher
) -> None:
    runs = accept(database, 1, 2, 3)
    for _ in range(20):
        publisher.wake()
    wait_until(lambda: len(postbox.sent) >= 3)
    publisher.stop()
    assert postbox.sent == runs


@pytest.mark.usefixtures("by_wakes")
def test_the_window_limits_the_wakeups_in_flight(
    database: orm.Database, postbox: Postbox, publisher: Publisher
) -> None:
    runs = accept(database, *range(8))
    publisher.wake()
    wait_until(lambda: len(postbox.sent) >= 5)
    for run in runs[:2]:
        claimed(database, run)
    wait_until(lambda: len(postbox.sent) >= 7)
    assert postbox.sent == runs[:7]


@pytest.mark.usefixtures("by_wakes")
def test_a_backlog_is_worked_off(
    database: orm.Database, postbox: Postbox, publisher: Publisher
) -> None:
    runs = accept(database, *range(30))
    publisher.wake()
    taken = 0
    while taken < len(runs):
        wait_until(lambda: len(postbox.sent) > taken)  # noqa: B023
        claimed(database, postbox.sent[taken])
        taken += 1
    assert postbox.sent == runs


def test_nothing_is_lost_when_the_broker_fails(
    database: orm.Database, postbox: Postbox, publisher: Publisher
) -> None:
    postbox.room = 2
    runs = accept(database, *range(5))
    publisher.wake()
    wait_until(lambda: postbox.refused)
    postbox.room = None
    wait_until(lambda: len(postbox.sent) >= 5)
    assert postbox.sent == runs


def test_a_failure_of_the_broker_and_its_end_are_logged_once(
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
        (logging.WARNING, 'publisher.waiting reason="the postbox is full"'),
        (logging.WARNING, "publisher.resumed"),
    ]


def test_it_says_why_the_broker_takes_nothing_until_it_does(
    database: orm.Database, postbox: Postbox, publisher: Publisher
) -> None:
    assert publisher.broker_trouble == ""
    postbox.room = 0
    accept(database, 1)
    publisher.wake()
    wait_until(lambda: publisher.broker_trouble == BrokerUnavailableError.public)
    change(database, "UPDATE run SET due = due + 3600")  # as if another publisher had sent it
    publisher.wake()
    postbox.room = None
    publisher.wake()
    wait_until(lambda: publisher.broker_trouble == "")


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


def test_due_runs_are_published_one_last_time_when_it_stops(
    database: orm.Database, postbox: Postbox
) -> None:
    publisher = Publisher(database, postbox, {"app": app()})
    publisher.start()
    runs = accept(database, 1, 2)
    publisher.stop()
    assert postbox.sent == runs
    assert postbox.closed


def test_it_stops_even_if_the_broker_fails(database: orm.Database, postbox: Postbox) -> None:
    postbox.room = 0
    publisher = Publisher(database, postbox, {"app": app()})
    publisher.start()
    runs = accept(database, 1)
    publisher.stop()
    assert postbox.closed
    assert due(database) == runs


def test_each_wakeup_goes_to_the_queue_of_its_application(
    database: orm.Database, postbox: Postbox, publisher: Publisher
) -> None:
    sent = {
        accept_runs(database, app(queue=queue), number)[0]: queue
        for number, queue in enumerate(("", "large", "gpu"))
    }
    publisher.wake()
    wait_until(lambda: len(postbox.sent) >= 3)
    assert dict(zip(postbox.sent, postbox.queues, strict=True)) == sent


def test_limits_are_those_of_the_configured_applications(
    database: orm.Database, postbox: Postbox
) -> None:
    application = app(concurrency=1)
    runs = accept_runs(database, application, 1, 2)
    publisher = Publisher(database, postbox, {"app": application})
    publisher.start()
    wait_until(lambda: postbox.sent)
    publisher.stop()
    assert postbox.sent == runs[:1]


@pytest.mark.usefixtures("by_wakes")
def test_a_blocked_run_is_sent_soon_after_its_limit_has_room(
    database: orm.Database, postbox: Postbox
) -> None:
    application = app(concurrency=1)
    runs = accept_runs(database, application, 1, 2)
    claim = claim_next(database, application)
    publisher = Publisher(database, postbox, {"app": application})
    publisher.start()
    wait_until(lambda: any_blocked(database))
    orm.finish(database, claim, orm.State.SUCCEEDED, orm.Outcome(), [])
    wait_until(lambda: postbox.sent == runs[1:])
    publisher.stop()


def any_blocked(database: orm.Database) -> bool:
    """Return True if a limit blocks a run."""
    with database.reading():
        found = database.fetch("SELECT COUNT(*) FROM run WHERE blocked IS NOT NULL", ())
        return bool(found.fetchone()[0])


def test_it_stops_publishing_when_the_schema_becomes_too_new(
    database: orm.Database, postbox: Postbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(of_publisher, "_LOOK", 0.0)
    reasons: list[SchemaError] = []
    publisher = Publisher(database, postbox, {"app": app()}, outdated=reasons.append)
    change(database, "UPDATE compatibility SET migration = 9000")
    publisher.start()
    wait_until(lambda: reasons)
    publisher.wake()
    publisher.stop()
    assert len(reasons) == 1
    with pytest.raises(DatabaseUnavailableError, match="later version"):
        accept(database, 1)
