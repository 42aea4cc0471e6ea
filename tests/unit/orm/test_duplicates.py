"""Duplicates whose content differs are recognised and recorded, and cost little."""

import json
from contextlib import closing

import pytest

from pacifica.dispatcher import orm
from pacifica.dispatcher.events import Event
from pacifica.dispatcher.orm import duplicates
from pacifica.dispatcher.telemetry import Record
from tests.factories import apps, at_once, change, count, make_event, stored

ADDRESS = "192.0.2.1"


def compared(database: orm.Database, uuid: str, *delivered: Event) -> list[tuple[str, ...]]:
    """Compare events that were delivered again."""
    return orm.compare_duplicates(database, [(uuid, each) for each in delivered], ADDRESS)


def found(database: orm.Database, uuid: str) -> orm.Differing:
    """Return the differing deliveries of an event, which has some."""
    differing = orm.differing(database, uuid)
    assert differing is not None
    return differing


def test_the_same_content_does_not_differ(each_database: orm.Database) -> None:
    uuid = stored(each_database, 1, data={"a": 1, "b": 2})
    for _ in range(2):
        assert compared(each_database, uuid, make_event(1, data={"b": 2.0, "a": 1})) == [()]
    assert orm.differing(each_database, uuid) is None
    assert orm.differing_total(each_database) == orm.DifferingTotal(0, 0, None)


def test_other_content_differs_and_is_recorded(each_database: orm.Database) -> None:
    uuid = stored(each_database, 1, data="one")
    began = each_database.now()
    one, two = make_event(1, data="two"), make_event(1, data="one", subject="s")
    assert compared(each_database, uuid, one, two) == [("data",), ("attributes",)]
    differing = found(each_database, uuid)
    assert differing.number == 2
    assert [(each.address, each.parts) for each in differing.deliveries] == [
        (ADDRESS, ("data",)),
        (ADDRESS, ("attributes",)),
    ]
    assert all(began <= each.received <= each_database.now() for each in differing.deliveries)
    assert len({each.content for each in differing.deliveries}) == 2
    total = orm.differing_total(each_database)
    assert (total.events, total.deliveries) == (1, 2)
    assert total.latest == (uuid, differing.deliveries[-1].received)


def test_the_stored_event_stays_unchanged(database: orm.Database) -> None:
    uuid = stored(database, 1, data="one")
    sent = orm.event(database, uuid).sent
    compared(database, uuid, make_event(1, data="two"))
    assert orm.event(database, uuid).sent == sent


def test_only_the_latest_deliveries_are_listed(each_database: orm.Database) -> None:
    uuid = stored(each_database, 1, data=0)
    for number in range(1, 8):
        compared(each_database, uuid, make_event(1, data=number))
    compared(each_database, uuid, *(make_event(1, data=number) for number in range(8, 16)))
    last = found(each_database, uuid)
    assert (last.number, len(last.deliveries)) == (15, orm.MAX_DELIVERIES)
    compared(each_database, uuid, *(make_event(1, data=number) for number in range(1, 500)))
    assert found(each_database, uuid).number == 514
    assert len({each.content for each in found(each_database, uuid).deliveries}) == 10
    assert count(each_database, "duplicate") == 1


def test_deliveries_at_once_are_all_counted(each_database: orm.Database) -> None:
    uuids = [stored(each_database, number) for number in range(3)]

    def deliver(thread: int) -> None:
        order = uuids if thread % 2 else uuids[::-1]
        delivered = [(uuid, make_event(uuids.index(uuid), data=thread)) for uuid in order]
        for _ in range(4):
            orm.compare_duplicates(each_database, delivered, ADDRESS)
        each_database.close()

    at_once(*(lambda thread=thread: deliver(thread) for thread in range(4)))
    assert [found(each_database, uuid).number for uuid in uuids] == [16] * 3
    assert [len(found(each_database, uuid).deliveries) for uuid in uuids] == [10] * 3


def test_of_different_events_at_once_one_is_stored_and_the_others_differ(
    database_url: str,
) -> None:
    with closing(orm.Database(database_url)) as database:
        database.prepare(attempts=1, wait=0)
        tiers = [orm.Database(database_url) for _ in range(4)]

        def accept(index: int) -> tuple[bool, tuple[str, ...]]:
            event = make_event(1, data=index)
            [accepted] = orm.accept(tiers[index], [orm.Arrival(event, apps("app"))])
            parts = compared(tiers[index], accepted.uuid, event)[0] if accepted.duplicate else ()
            tiers[index].close()
            return accepted.duplicate, parts

        results = at_once(*(lambda index=index: accept(index) for index in range(4)))
        assert sorted(results) == [(False, ()), *[(True, ("data",))] * 3]
        [view] = orm.search(database, orm.EventFilter(), 5).events
        assert found(database, view.uuid).number == 3


def test_an_event_that_this_version_does_not_accept_differs(database: orm.Database) -> None:
    uuid = stored(database, 1)
    change(database, "UPDATE event SET sent = ?", [json.dumps({"specversion": "9"})])
    assert compared(database, uuid, make_event(1)) == [("attributes", "data")]


def test_a_stored_event_is_read_only_once(database: orm.Database) -> None:
    uuid = stored(database, 1, data="one")
    assert compared(database, uuid, make_event(1, data="one")) == [()]
    change(database, "UPDATE event SET sent = ''")
    assert compared(database, uuid, make_event(1, data="one")) == [()]


def test_a_request_reads_no_more_than_its_limit(
    database: orm.Database, emitted: list[Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duplicates, "_MAX_READ", 1500)
    again = [(stored(database, number, data="x" * 1000), make_event(number)) for number in range(5)]
    results = [orm.compare_duplicates(database, again, ADDRESS) for _ in range(3)]
    assert [sum(map(bool, each)) for each in results] == [2, 4, 5]
    skipped = [each.fields["number"] for each in emitted if each.name == "duplicates.skipped"]
    assert skipped == [3, 1]


def test_many_events_are_compared_in_one_call(each_database: orm.Database) -> None:
    arrivals = [orm.Arrival(make_event(number), []) for number in range(250)]
    accepted = orm.accept(each_database, arrivals)
    again = [(each.uuid, make_event(number, subject="s")) for number, each in enumerate(accepted)]
    assert orm.compare_duplicates(each_database, again, ADDRESS) == [("attributes",)] * 250
    assert orm.differing_total(each_database).events == 250


def test_a_long_address_is_shortened(database: orm.Database) -> None:
    uuid = stored(database, 1)
    orm.compare_duplicates(database, [(uuid, make_event(1, data=1))], "a" * 5000)
    assert found(database, uuid).deliveries[0].address == "a" * 100
