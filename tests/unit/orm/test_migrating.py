"""Migrations in lots: short transactions, resumed by any tier; older programs stop."""

from contextlib import closing
from pathlib import Path

import pytest

from pacifica.dispatcher import orm
from pacifica.dispatcher.errors import DatabaseUnavailableError, SchemaError
from pacifica.dispatcher.orm import migrating, migrations
from pacifica.dispatcher.orm.migrating import Migrator
from tests.factories import accept_runs, app, change, count
from tests.unit.orm.test_fitness import poor_user
from tests.unit.orm.test_migrations import migrate
from tests.unit.worker.factories import recorded

_LATER = """
from pacifica.dispatcher.orm.migrations import add_columns, change, rows
TABLE = "event"
BREAKS_OLDER = True

def up(migrator, db):
    add_columns(db, "event", {"later": "INTEGER NULL"})

def fill(db, after):
    found = rows(db, "SELECT uuid FROM event WHERE uuid > ? ORDER BY uuid LIMIT 2", after)
    for (uuid,) in found:
        change(db, "UPDATE event SET later = COALESCE(later, 0) + 1 WHERE uuid = ?", uuid)
    return (found[-1][0], len(found)) if found else None

def finish(db):
    pass
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """All migrations, and one that this program does not have."""
    monkeypatch.setattr(migrating, "RETIRED", 0.0)
    monkeypatch.setattr(migrating, "_TOLD", 0.0)
    later = tmp_path / "later"
    later.mkdir()
    for each in Path(migrations.__path__[0]).glob("0*.py"):
        (later / each.name).write_text(each.read_text())
    (later / "9000_later.py").write_text(_LATER)
    return str(later)


def filled(database: orm.Database) -> list[int]:
    with database.reading():
        return [n for (n,) in database.fetch("SELECT later FROM event ORDER BY uuid", ())]


def test_rows_change_in_lots(database: orm.Database, folder: str) -> None:
    accept_runs(database, app(), *range(5))
    migrator, steps = Migrator(database, folder), 0
    with recorded() as records:
        while migrator.step():
            steps += 1
    assert steps == 7
    assert filled(database) == [1] * 5
    assert [each.fields["rows"] for each in records if each.name == "migration.progress"][-1] == 5
    assert count(database, "schema_migration WHERE name = '9000_later'") == 1


def test_what_arrives_in_the_meantime_is_changed_too(database: orm.Database, folder: str) -> None:
    accept_runs(database, app(), *range(3))
    migrator = Migrator(database, folder)
    for _ in range(3):
        migrator.step()
    accept_runs(database, app(), *range(3, 6))
    while migrator.step():
        pass
    assert filled(database) == [1] * 6


def test_a_migration_that_was_interrupted_is_repeated(database: orm.Database, folder: str) -> None:
    accept_runs(database, app(), *range(3))
    killed = Migrator(database, folder)
    for _ in range(3):
        killed.step()
    other = Migrator(database, folder)
    while other.step():
        pass
    assert filled(database) == [2, 2, 1]
    assert not killed.step()


def test_older_programs_stop_before_the_tables_change(database: orm.Database, folder: str) -> None:
    database.require_compatible()
    migrator = Migrator(database, folder)
    migrator.step()
    assert "later" not in {each.name for each in database.peewee.get_columns("event")}
    with pytest.raises(SchemaError, match="later version of the dispatcher \\(9000\\)"):
        database.require_compatible()
    with pytest.raises(DatabaseUnavailableError, match="9000"), database.transaction():
        pass


def test_an_older_program_does_not_start(database: orm.Database, folder: str) -> None:
    migrator = Migrator(database, folder)
    while migrator.step():
        pass
    with pytest.raises(SchemaError, match="9000"):
        database.prepare(attempts=1, wait=0)


def test_an_older_program_works_with_tables_that_were_only_extended(database: orm.Database) -> None:
    applied = "INSERT INTO schema_migration (name, applied) VALUES ('9000_x', '2026-01-01')"
    change(database, applied)
    database.prepare(attempts=1, wait=0)
    database.require_compatible()
    assert len(accept_runs(database, app(), 1)) == 1


def test_data_of_the_first_version_is_migrated_in_lots(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "LOT", 2)
    database = orm.Database(database_url)
    migrate(database, "0004_attempts")
    columns = ("uuid", "identity", "source", "id", "type", "received", "sent")
    expired = '{"expirytime": "1970-01-01T00:00:05Z"}'
    events = [
        (f"event {n}", f"{n:064}", f"/{n % 2}", "1", "org.example", 10.0, expired if n else "{}")
        for n in range(5)
    ]
    run = ("run", "event 1", "app", "queued", 0, 11.0, 0, 0, "", 5, "", "rate app", 0)
    names = ("uuid", "event", "application", "state", "attempt", "queued", "crashes")
    rest = ("failures", "queue", "priority", "slot", "blocked", "superseded")
    with database.transaction():
        database.insert("event", columns, events)
        database.insert("run", (*names, *rest), [run])
    sizes = {each.migration: each.rows for each in orm.estimates(database)}
    assert (sizes["0005_search"], sizes["0007_handles_and_outbox"]) == (5, 0)
    database.prepare(attempts=1, wait=0)
    with database.reading():
        flags = database.fetch("SELECT unmatched, expired FROM event ORDER BY uuid", ()).fetchall()
        hashes = database.fetch("SELECT type_hash, source_hash FROM event", ()).fetchall()
        blocked = database.fetch("SELECT blocked FROM run", ()).fetchall()
    assert [tuple(each) for each in flags] == [(1, 0), (0, 0), (1, 1), (1, 1), (1, 1)]
    expected = {(orm.digest("org.example"), orm.digest(source)) for source in ("/0", "/1")}
    assert {*map(tuple, hashes)} == expected
    assert [*map(tuple, blocked)] == [("rate",)]
    assert orm.estimates(database) == []
    database.close()


def test_a_migration_that_is_denied_is_a_sentence(server_url: str) -> None:
    with closing(orm.Database(server_url)) as database:
        migrate(database, "0010_losses")
    with (
        poor_user(server_url, may="SELECT, INSERT, UPDATE, DELETE") as url,
        closing(orm.Database(url)) as database,
        pytest.raises(SchemaError, match=r"needs a migration, which was denied \([^\n]*worker"),
    ):
        database.prepare(attempts=10, wait=60)
