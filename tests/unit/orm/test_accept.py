"""Acceptance of events: all or nothing, and duplicates are recognised."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from harness import DEADLINE
from pacifica.dispatcher import orm
from pacifica.dispatcher.errors import DatabaseUnavailableError
from tests.factories import (
    app,
    apps,
    at_once,
    change,
    claimed_run,
    configured,
    count,
    make_event,
    view,
)


def test_an_event_gets_a_run_for_each_application(database: orm.Database) -> None:
    event = make_event(subject="a file")
    [accepted] = orm.accept(database, [orm.Arrival(event, apps("one", "two"))])
    assert accepted == orm.Accepted(accepted.uuid, "queued", False, ("one", "two"))
    stored = orm.event(database, accepted.uuid)
    assert stored.sent == event.sent
    assert [(run.application, run.status, run.attempt) for run in stored.runs] == [
        ("one", "queued", 0),
        ("two", "queued", 0),
    ]


def test_an_event_without_applications_is_unmatched(database: orm.Database) -> None:
    [accepted] = orm.accept(database, [orm.Arrival(make_event(), [])])
    assert accepted == orm.Accepted(accepted.uuid, "unmatched", False, ())
    assert orm.event(database, accepted.uuid).status == "unmatched"


def test_an_event_that_had_expired_is_stored_as_expired(each_database: orm.Database) -> None:
    [accepted] = orm.accept(each_database, [orm.Arrival(make_event(), (), expired=True)])
    assert accepted == orm.Accepted(accepted.uuid, "unmatched", False, (), expired=True)
    assert orm.event(each_database, accepted.uuid).expired is True


def test_a_duplicate_of_an_expired_event_is_not_reported_as_expired(database: orm.Database) -> None:
    first, again = orm.accept(database, [orm.Arrival(make_event(), (), expired=True)] * 2)
    assert again == orm.Accepted(first.uuid, "unmatched", True, ())


def test_an_event_that_had_not_expired_is_not_reported_as_expired(
    each_database: orm.Database,
) -> None:
    [accepted] = orm.accept(each_database, [orm.Arrival(make_event(), apps("app"))])
    assert accepted.expired is False
    assert orm.event(each_database, accepted.uuid).expired is False


def test_another_process_sees_an_event_as_soon_as_it_is_accepted(
    database: orm.Database, tmp_path: Path
) -> None:
    orm.accept(database, [orm.Arrival(make_event(), apps("app"))])
    with closing(sqlite3.connect(tmp_path / "db.sqlite3")) as other:
        assert other.execute("SELECT COUNT(*) FROM run").fetchone() == (1,)


def test_an_event_with_the_same_source_and_id_is_a_duplicate(database: orm.Database) -> None:
    [first] = orm.accept(database, [orm.Arrival(make_event(type="one"), apps("app"))])
    [again] = orm.accept(database, [orm.Arrival(make_event(type="two"), apps("other"))])
    assert again == orm.Accepted(first.uuid, "queued", True, ("app",))
    assert (count(database, "event"), count(database, "run")) == (1, 1)


def test_a_duplicate_has_the_status_of_the_first_event(database: orm.Database) -> None:
    claim = claimed_run(database)
    orm.finish(database, claim, orm.State.SUCCEEDED, orm.Outcome(exit_code=0), [])
    [again] = orm.accept(database, [orm.Arrival(make_event(), apps("app"))])
    assert again == orm.Accepted(claim.event, "succeeded", True, ("app",))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"source": "/a"}, {"source": "/b"}),
        ({"id": "x"}, {"id": "X"}),
        ({"id": "x"}, {"id": "x "}),
        ({"source": "/a", "id": "bc"}, {"source": "/ab", "id": "c"}),
        ({"id": "\u00e9"}, {"id": "e\u0301"}),
    ],
)
def test_an_event_with_another_source_or_id_is_not_a_duplicate(
    database: orm.Database, one: dict[str, str], other: dict[str, str]
) -> None:
    batch = [orm.Arrival(make_event(**each), apps("app")) for each in (one, other)]
    assert [each.duplicate for each in orm.accept(database, batch)] == [False, False]
    assert count(database, "run") == 2


def test_a_duplicate_within_a_batch_is_recognised(database: orm.Database) -> None:
    batch = [orm.Arrival(make_event(number), apps("app")) for number in (1, 2, 1)]
    first, second, third = orm.accept(database, batch)
    assert [first.duplicate, second.duplicate, third.duplicate] == [False, False, True]
    assert third == orm.Accepted(first.uuid, "queued", True, ("app",))
    assert (count(database, "event"), count(database, "run")) == (2, 2)


def test_duplicates_in_a_large_batch_are_recognised(database: orm.Database) -> None:
    known = orm.accept(
        database, [orm.Arrival(make_event(number), apps("app")) for number in range(0, 1200, 2)]
    )
    batch = orm.accept(
        database, [orm.Arrival(make_event(number), apps("app")) for number in range(1200)]
    )
    assert [each.uuid for each in batch[::2]] == [each.uuid for each in known]
    assert all(each.duplicate for each in batch[::2])
    assert not any(each.duplicate for each in batch[1::2])
    assert count(database, "run") == 1200


def test_receipts_are_in_the_order_of_the_batch(database: orm.Database) -> None:
    batch = [orm.Arrival(make_event(number), ()) for number in range(50)]
    accepted = orm.accept(database, batch)
    sent = [orm.event(database, each.uuid).sent for each in accepted]
    assert sent == [arrival.event.sent for arrival in batch]


def test_two_threads_that_accept_the_same_event_agree(database: orm.Database) -> None:
    def accept(number: int) -> orm.Accepted:
        [accepted] = orm.accept(database, [orm.Arrival(make_event(number), apps("app"))])
        database.close()
        return accepted

    for number in range(20):
        both = at_once(lambda: accept(number), lambda: accept(number))  # noqa: B023
        assert sorted(each.duplicate for each in both) == [False, True]
        assert both[0].uuid == both[1].uuid
    assert (count(database, "event"), count(database, "run")) == (20, 20)


def test_two_processes_that_accept_in_opposite_orders_agree(
    database: orm.Database, url: str
) -> None:
    patient = orm.Waits(lock=DEADLINE)
    one_process, another = (orm.Database(url, waits=patient) for _ in range(2))
    batch = [orm.Arrival(make_event(number), apps("app")) for number in range(100)]

    def accept(mine: orm.Database, order: int) -> list[orm.Accepted]:
        accepted = orm.accept(mine, batch[::order])
        mine.close()
        return accepted[::order]

    one, two = at_once(lambda: accept(one_process, 1), lambda: accept(another, -1))
    assert [each.uuid for each in one] == [each.uuid for each in two]
    assert sum(each.duplicate for each in (*one, *two)) == 100
    assert count(database, "run") == 100


@pytest.mark.parametrize("events", [1, 2])
def test_events_that_do_not_fit_on_a_full_disk_are_not_stored(
    database: orm.Database, events: int
) -> None:
    with database.reading():
        database.fetch("PRAGMA max_page_count = 1", ())  # SQLite raises it to the pages in use
    batch = [
        orm.Arrival(make_event(number, data="x" * 100_000), apps("app")) for number in range(events)
    ]
    with pytest.raises(DatabaseUnavailableError, match="full"):
        orm.accept(database, batch)
    assert (count(database, "event"), count(database, "run")) == (0, 0)


def test_events_are_stored_again_once_the_disk_has_room(database: orm.Database) -> None:
    batch = [orm.Arrival(make_event(data="x" * 100_000), apps("app"))]
    with database.reading():
        database.fetch("PRAGMA max_page_count = 1", ())
    with pytest.raises(DatabaseUnavailableError):
        orm.accept(database, batch)
    with database.reading():
        database.fetch("PRAGMA max_page_count = 100000", ())
    orm.accept(database, batch)
    assert (count(database, "event"), count(database, "run")) == (1, 1)


def test_a_batch_is_stored_entirely_or_not_at_all(database: orm.Database) -> None:
    change(database, "ALTER TABLE run RENAME TO elsewhere")
    with pytest.raises(DatabaseUnavailableError):
        orm.accept(database, [orm.Arrival(make_event(number), apps("app")) for number in range(3)])
    assert count(database, "event") == 0


def test_a_run_is_sent_to_the_queue_of_its_application(database: orm.Database) -> None:
    wanted = [app("one", queue="large", priority=1), app("two", queue="gpu", priority=9)]
    orm.accept(database, [orm.Arrival(make_event(), wanted)])
    found = dict(orm.publish(database, 10, configured(database))[0])
    names = {queue: view(database, run).application for run, queue in found.items()}
    assert names == {"large": "one", "gpu": "two"}


def test_a_duplicate_of_a_replayed_event_has_the_new_runs(database: orm.Database) -> None:
    claim = claimed_run(database)
    orm.finish(database, claim, orm.State.FAILED, orm.Outcome(), [])
    orm.replay(database, claim.event, make_event(), apps("other"))
    [again] = orm.accept(database, [orm.Arrival(make_event(), apps("app"))])
    assert again == orm.Accepted(claim.event, "queued", True, ("other",))
