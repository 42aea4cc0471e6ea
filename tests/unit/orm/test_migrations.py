"""Migrations of data: the current version reads data stored by earlier ones."""

import json
from pathlib import Path

from pacifica.dispatcher import orm
from pacifica.dispatcher.orm.migrating import Migrator, runner
from tests.factories import make_event


def migrate(database: orm.Database, last: str) -> None:
    """Apply the migrations up to this one."""
    if not database.is_server:
        Path(database.peewee.path).touch()
    migrator = Migrator(database)
    with database.reading():
        while last not in runner(database.peewee).applied():
            migrator.step()


def test_process_ids_become_handles(database_url: str) -> None:
    database = orm.Database(database_url)
    migrate(database, "0006_pause")
    event = ("event", "0" * 64, "/tests", "1", "org.example", 10.0, make_event().sent, 1, 1, 0)
    columns = ("uuid", "identity", "source", "id", "type", "received", "sent")
    run = ("run", "event", "app", "running", 2, 11.0, "worker", 0, 0, "", 5, "", 0)
    names = ("uuid", "event", "application", "state", "attempt", "queued", "worker", "crashes")
    attempts = [("run", 1, "host", None, 12.0), ("run", 2, "host", 4711, 13.0)]
    with database.transaction():
        hashes = ("type_hash", "source_hash", "unmatched")
        database.insert("event", (*columns, *hashes), [event])
        rest = ("failures", "queue", "priority", "slot", "superseded")
        database.insert("run", (*names, *rest), [run])
        database.insert("attempt", ("run", "number", "host", "pid", "started"), attempts)
    database.prepare(attempts=1, wait=0)
    assert [each.pid for each in orm.run(database, "run")[1]] == [None, 4711]
    assert [each.handle for each in orm.attempts_of(database, "worker")] == ["local:4711"]
    database.close()


def insert_event(database: orm.Database, uuid: str, sent: str) -> None:
    """Store an event as an earlier version did."""
    columns = ("uuid", "identity", "source", "id", "type", "received", "sent")
    hashes = ("type_hash", "source_hash", "unmatched", "expired")
    row = (uuid, uuid, "/tests", "1", "org.example", 10.0, sent, 1, 1, 1, 0)
    with database.transaction():
        database.insert("event", (*columns, *hashes), [row])


def test_an_event_of_an_earlier_version_is_compared(database_url: str) -> None:
    database = orm.Database(database_url)
    migrate(database, "0011_differing_tiers")
    insert_event(database, "event-1", make_event(1, data="one").sent)
    database.prepare(attempts=1, wait=0)
    again = [("event-1", make_event(1, data=data)) for data in ("one", "two")]
    assert orm.compare_duplicates(database, again, "192.0.2.1") == [(), ("data",)]
    database.close()


def test_long_events_get_their_attributes(database_url: str) -> None:
    database = orm.Database(database_url)
    migrate(database, "0011_differing_tiers")
    long, short = make_event(1, data="x" * 10_000), make_event(2)
    for each in (long, short):
        insert_event(database, f"event-{each.id}", each.sent)
    insert_event(database, "invalid", " " * 10_000)
    database.prepare(attempts=1, wait=0)
    with database.reading():
        filled = dict(database.fetch("SELECT uuid, attributes FROM event", ()).fetchall())
    assert json.loads(filled.pop("event-1")) == long.attributes
    assert filled == {"event-2": None, "invalid": None}
    assert orm.event_summary(database, "event-2").attributes == short.attributes
    database.close()
