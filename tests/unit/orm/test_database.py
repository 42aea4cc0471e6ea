"""The database: connections, migrations, transactions, locks and errors."""

import json
import logging
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import pytest
from playhouse.migrations import Runner

from harness import DEADLINE, wait_until
from pacifica.dispatcher import orm
from pacifica.dispatcher.errors import DatabaseUnavailableError, DatabaseUrlError
from pacifica.dispatcher.orm import migrations
from tests.factories import (
    apps,
    at_once,
    change,
    claimed,
    count,
    due,
    make_event,
)

_MIGRATE = """
import sys
from pacifica.dispatcher import orm

database = orm.Database(sys.argv[1])
print("ready", flush=True)
sys.stdin.read()
database.prepare(attempts=1, wait=0)
database.check()
"""


def test_the_first_use_belongs_to_each_attempt(database_url: str) -> None:
    uses = []

    def begin() -> None:
        uses.append(orm.hosts(database))
        if len(uses) == 1:
            raise DatabaseUnavailableError("the server was restarted")

    with closing(orm.Database(database_url)) as database:
        database.prepare(attempts=2, wait=0, begin=begin)
    assert uses == ["none", "none"]


@contextmanager
def held_lock(file: Path) -> Iterator[sqlite3.Connection]:
    """Yield another connection in the middle of a write."""
    with closing(sqlite3.connect(file, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield other


MIGRATIONS = len(list(Path(migrations.__file__).parent.glob("0*.py")))


def test_the_schema_is_reported_before_and_after_the_migrations(database_url: str) -> None:
    database = orm.Database(database_url)
    before = database.schema()
    assert (before.version, before.applied, len(before.missing)) == ("nothing", (), MIGRATIONS)
    database.prepare(attempts=1, wait=0)
    after = orm.Schema(applied=before.missing, missing=(), unknown=())
    assert (database.schema(), after.version) == (after, before.missing[-1])
    database.close()


def test_tables_are_created_once(database: orm.Database) -> None:
    orm.accept(database, [orm.Arrival(make_event(), [])])
    database.prepare(attempts=1, wait=0)
    assert count(database, "event") == 1


def test_processes_that_start_at_once_share_the_migrations(url: str) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _MIGRATE, url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(5)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.close()
        process.stdin = None
    ends = [(process.communicate(timeout=DEADLINE)[1], process.returncode) for process in processes]
    assert ends == [("", 0)] * 5
    database = orm.Database(url)
    assert count(database, "schema_migration") == MIGRATIONS
    database.close()


def test_preparing_waits_for_another_connection(url: str, tmp_path: Path) -> None:
    database = orm.Database(url)  # a new file, which is not in WAL mode yet

    def prepare() -> None:
        database.prepare(attempts=1, wait=0)
        database.close()

    with held_lock(tmp_path / "db.sqlite3") as other, ThreadPoolExecutor(1) as pool:
        prepared = pool.submit(prepare)
        waited = not wait([prepared], timeout=0.3).done
        other.execute("COMMIT")
        prepared.result(DEADLINE)
    assert waited
    database.check()
    database.close()


def test_sqlite_is_durable_and_keeps_its_references(database: orm.Database) -> None:
    with database.reading():
        pragmas = {
            name: database.fetch(f"PRAGMA {name}", ()).fetchone()[0]
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


def test_a_write_waits_for_that_of_another_connection(
    database: orm.Database, tmp_path: Path
) -> None:
    def write() -> None:
        orm.accept(database, [orm.Arrival(make_event(), apps("app"))])
        database.close()

    with held_lock(tmp_path / "db.sqlite3") as other, ThreadPoolExecutor(1) as pool:
        written = pool.submit(write)
        waited = not wait([written], timeout=0.3).done
        other.execute("COMMIT")
        written.result(DEADLINE)
    assert waited
    assert count(database, "run") == 1


def test_reading_does_not_wait_for_a_write(database: orm.Database, tmp_path: Path) -> None:
    [accepted] = orm.accept(database, [orm.Arrival(make_event(), [])])
    with held_lock(tmp_path / "db.sqlite3"):
        assert orm.event(database, accepted.uuid).status == "unmatched"


def test_many_threads_write_at_once(database: orm.Database) -> None:
    def write(thread: int) -> None:
        for number in range(20):
            orm.accept(database, [orm.Arrival(make_event(f"{thread}/{number}"), apps("app"))])
        database.close()

    at_once(*(partial(write, thread) for thread in range(8)))
    assert count(database, "run") == 160


def test_a_failed_transaction_is_rolled_back(database: orm.Database) -> None:
    def fail() -> None:
        with database.transaction():
            database.execute("INSERT INTO schema_migration (name, applied) VALUES ('x', 0)", ())
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert count(database, "schema_migration") == MIGRATIONS


def test_a_database_that_is_not_prepared_does_not_pass_the_check(url: str, tmp_path: Path) -> None:
    with closing(orm.Database(url)) as database:
        with pytest.raises(DatabaseUnavailableError, match="is not there"):
            database.check()
        (tmp_path / "db.sqlite3").touch()
        with pytest.raises(DatabaseUnavailableError, match="no such table"):
            database.check()


def test_the_check_passes(database: orm.Database) -> None:
    database.check()


def test_an_unreachable_database_is_tried_as_often_as_configured(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    database = orm.Database(f"sqlite:///{tmp_path}/missing/db.sqlite3")
    with pytest.raises(DatabaseUnavailableError, match=r"missing/db\.sqlite3 unavailable: "):
        database.prepare(attempts=3, wait=0.01)
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2


def test_a_database_that_comes_up_later_is_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def come_up() -> None:
        wait_until(lambda: caplog.records)
        (tmp_path / "late").mkdir()

    database = orm.Database(f"sqlite:///{tmp_path}/late/db.sqlite3")
    other = threading.Thread(target=come_up)
    other.start()
    database.prepare(attempts=1000, wait=0.01)
    other.join(DEADLINE)
    database.check()
    database.close()


def test_a_file_that_is_not_a_database_is_unavailable(tmp_path: Path, url: str) -> None:
    (tmp_path / "db.sqlite3").write_bytes(b"this is not a database, just text\n" * 100)
    database = orm.Database(url)
    with pytest.raises(DatabaseUnavailableError, match="not a database"):
        database.prepare(attempts=1, wait=0)


def test_a_database_is_unavailable_until_a_lost_table_is_back(database: orm.Database) -> None:
    change(database, "ALTER TABLE run RENAME TO elsewhere")
    with pytest.raises(DatabaseUnavailableError):
        orm.accept(database, [orm.Arrival(make_event(), apps("app"))])
    change(database, "ALTER TABLE elsewhere RENAME TO run")
    orm.accept(database, [orm.Arrival(make_event(), apps("app"))])
    assert count(database, "run") == 1


def test_an_invalid_url_is_shown_without_the_password() -> None:
    with pytest.raises(DatabaseUrlError) as caught:
        orm.Database("nosuch://user:secret@host/name")
    assert "nosuch://user:***@host/name" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_database_is_named_without_its_password() -> None:
    database = orm.Database("postgresql://user:secret@host/name")
    assert database.name == "postgresql://user:***@host/name"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user@127.0.0.1:1/name",
        "postgresql+pool://user@127.0.0.1:1/name",
        "mysql://user@127.0.0.1:1/name",
    ],
)
def test_a_server_that_does_not_listen_is_unavailable(url: str) -> None:
    database = orm.Database(url)
    with pytest.raises(DatabaseUnavailableError, match=" unavailable: "):
        database.prepare(attempts=1, wait=0)


def test_a_url_with_an_invalid_port_is_rejected() -> None:
    with pytest.raises(DatabaseUrlError, match="Invalid database URL postgresql://user@host:port"):
        orm.Database("postgresql://user@host:port/name")


def test_one_transaction_at_a_time_holds_the_gate(postgres_url: str) -> None:
    database = orm.Database(postgres_url)
    database.prepare(attempts=1, wait=0)

    def pass_gate() -> None:
        with database.transaction():
            database.lock_gate()

    with ThreadPoolExecutor(1) as pool:
        with database.transaction():
            database.lock_gate()
            other = pool.submit(pass_gate)
            waited = not wait([other], timeout=0.3).done
        other.result(DEADLINE)
    assert waited
    database.close()


def test_the_gate_does_not_block_other_transactions(postgres_url: str) -> None:
    database = orm.Database(postgres_url)
    database.prepare(attempts=1, wait=0)
    with ThreadPoolExecutor(1) as pool, database.transaction():
        database.lock_gate()
        arrival = orm.Arrival(make_event(), apps("app"))
        [accepted] = pool.submit(orm.accept, database, [arrival]).result(DEADLINE)
    assert orm.event(database, accepted.uuid).status == "queued"
    database.close()


def migrate_to(database: orm.Database, number: str) -> None:
    """Apply the migrations up to this number."""
    if not database.is_server:
        Path(database.peewee.path).touch()
    folder = Path(migrations.__file__).parent
    runner = Runner(database.peewee, str(folder), table_name="schema_migration")
    wanted = [file.stem for file in sorted(folder.glob("0*.py")) if file.stem[:4] <= number]
    with database.reading():
        runner.up(wanted[-1])


@pytest.fixture
def old_database(database_url: str) -> Iterator[orm.Database]:
    """A database of each kind from the first version, with a run in each of its states."""
    database = orm.Database(database_url)
    migrate_to(database, "0001")
    event = ("event", "0" * 64, "/tests", "1", "org.example", 10.0, make_event().sent)
    columns = ("uuid", "identity", "source", "id", "type", "received", "sent")
    runs = [
        ("due", "event", "app", "queued", 0, 11.0, None, 11.0, None),
        ("published", "event", "app", "queued", 0, None, 12.0, 11.0, None),
        ("running", "event", "app", "running", 1, None, None, 11.0, None),
        ("succeeded", "event", "app", "succeeded", 1, None, None, 11.0, 14.0),
    ]
    names = ("uuid", "event", "application", "state", "attempt")
    attempts = [(run, 1, "host", 13.0) for run in ("running", "succeeded")]
    with database.transaction():
        database.insert("event", columns, [event])
        database.insert("run", (*names, "due", "published", "queued", "finished"), runs)
        database.insert("attempt", ("run", "number", "host", "started"), attempts)
    yield database
    database.close()


def test_runs_of_the_first_version_are_unchanged(old_database: orm.Database) -> None:
    old_database.prepare(attempts=1, wait=0)
    runs = orm.event(old_database, "event").runs
    assert [(run.uuid, run.status, run.host, run.due, run.finished) for run in runs] == [
        ("due", "queued", None, 11.0, None),
        ("published", "queued", None, None, None),
        ("running", "running", "host", None, None),
        ("succeeded", "succeeded", "host", None, 14.0),
    ]
    assert {(run.crashes, run.cancelling, run.origin, run.superseded) for run in runs} == {
        (0, False, None, False)
    }


def test_runs_of_the_first_version_continue(old_database: orm.Database) -> None:
    old_database.prepare(attempts=1, wait=0)
    assert due(old_database) == ["due"]
    for run in ("due", "published"):
        claim = claimed(old_database, run)
        assert orm.finish(old_database, claim, orm.State.SUCCEEDED, orm.Outcome(), [])
    assert {each.status for each in orm.event(old_database, "event").runs} == {
        "running",
        "succeeded",
    }


def test_events_of_the_first_version_can_be_searched(old_database: orm.Database) -> None:
    with old_database.transaction():
        row = ("another", "1" * 64, "/other", "2", "org.other", 10.0, make_event().sent)
        columns = ("uuid", "identity", "source", "id", "type", "received", "sent")
        old_database.insert("event", columns, [row])
    old_database.prepare(attempts=1, wait=0)
    sql = "SELECT uuid, type_hash, source_hash, unmatched FROM event ORDER BY uuid"
    with old_database.reading():
        rows = [tuple(row) for row in old_database.fetch(sql, ()).fetchall()]
    assert rows == [
        ("another", orm.digest("org.other"), orm.digest("/other"), 1),
        ("event", orm.digest("org.example"), orm.digest("/tests"), 0),
    ]


def test_runs_that_were_blocked_by_name_are_blocked_by_kind(old_database: orm.Database) -> None:
    migrate_to(old_database, "0007")
    names = {"due": "rate rate x", "published": "concurrency rate 12ab", "running": "paused paused"}
    for run, name in names.items():
        change(old_database, "UPDATE run SET blocked = ? WHERE uuid = ?", (name, run))
    old_database.prepare(attempts=1, wait=0)
    with old_database.reading():
        rows = old_database.fetch("SELECT uuid, blocked FROM run", ()).fetchall()
    assert dict(rows) == {
        "due": "rate",
        "published": "concurrency",
        "running": "paused",
        "succeeded": None,
    }


@pytest.mark.parametrize(
    ("members", "expired"),
    [
        ({"expirytime": "1970-01-01T00:00:09Z"}, True),
        ({"expirytime": "1970-01-01t01:00:10+01:00"}, True),
        ({"expirytime": "1970-01-01T00:00:11Z"}, False),
        ({"expirytime": "1969-12-31T23:59:60z"}, True),
        ({"expirytime": None}, False),
        ({"data": {"expirytime": "1970-01-01T00:00:00Z"}}, False),
        ({"extensions": {"ExpiryTime": "1970-01-01T00:00:00Z"}}, True),
        ({"extensions": {"other": 1}}, False),
    ],
)
def test_events_of_previous_versions_that_had_expired_when_received_are_expired(
    url: str, members: dict[str, object], *, expired: bool
) -> None:
    database = orm.Database(url)
    migrate_to(database, "0008")
    columns = ("uuid", "identity", "source", "id", "type", "received", "sent", "unmatched")
    row = ("event", "0" * 64, "/tests", "1", "org.example", 10.0, json.dumps(members), 1)
    with database.transaction():
        database.insert("event", columns, [row])
    database.prepare(attempts=1, wait=0)
    assert orm.event(database, "event").expired is expired
    database.close()


def test_an_event_with_runs_had_not_expired(old_database: orm.Database) -> None:
    sent = make_event(expirytime="1970-01-01T00:00:00Z").sent
    change(old_database, "UPDATE event SET sent = ?", (sent,))
    row = ("other", "1" * 64, "/tests", "2", "org.example", 10.0, sent)
    columns = ("uuid", "identity", "source", "id", "type", "received", "sent")
    with old_database.transaction():
        old_database.insert("event", columns, [row])
    old_database.prepare(attempts=1, wait=0)
    expired = {uuid: orm.event(old_database, uuid).expired for uuid in ("event", "other")}
    assert expired == {"event": False, "other": True}


def test_the_migrations_are_applied_once(old_database: orm.Database) -> None:
    for _ in range(2):
        old_database.prepare(attempts=1, wait=0)
    rows = (count(old_database, "gate"), count(old_database, "schema_migration"))
    assert rows == (1, MIGRATIONS)


def test_names_of_applications_differ_by_case_in_each_table(each_database: orm.Database) -> None:
    with each_database.transaction():
        paces = [("app", 1.0), ("APP", 2.0)]
        each_database.insert("pace", ("application", "free_at"), paces)
    assert count(each_database, "pace") == 2
