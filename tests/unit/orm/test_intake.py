"""Events that several threads bring at once."""

import time
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from pacifica.dispatcher import orm
from pacifica.dispatcher.errors import DatabaseUnavailableError
from tests.unit.conftest import DEADLINE, apps, change, make_event

THREADS = 8


def test_each_thread_gets_its_own_answer(database: orm.Database) -> None:
    intake = orm.Intake(database)
    together = Barrier(THREADS, timeout=30)

    def bring(thread: int) -> None:
        together.wait()
        for number in range(20):
            batch = [
                (make_event(f"{thread}-{number}-{each}"), apps(f"app-{thread}")) for each in (1, 2)
            ]
            accepted = intake.accept(batch)
            assert [each.applications for each in accepted] == [(f"app-{thread}",)] * 2
            for (event, _), each in zip(batch, accepted, strict=True):
                assert orm.event(database, each.uuid).sent == event.sent
        database.close()

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(bring, range(THREADS)))


def test_the_same_event_from_all_threads_is_stored_once(database: orm.Database) -> None:
    intake = orm.Intake(database)
    together = Barrier(THREADS, timeout=30)

    def bring(_: int) -> orm.Accepted:
        together.wait()
        [accepted] = intake.accept([(make_event("same"), apps("app"))])
        database.close()
        return accepted

    with ThreadPoolExecutor(THREADS) as pool:
        accepted = list(pool.map(bring, range(THREADS)))
    assert len({each.uuid for each in accepted}) == 1
    assert [each.duplicate for each in accepted].count(False) == 1


def test_every_thread_hears_of_a_database_that_is_away(tmp_path: Path) -> None:
    database = orm.Database(f"sqlite:///{tmp_path / 'no' / 'such' / 'folder.sqlite3'}")
    intake = orm.Intake(database)
    together = Barrier(THREADS, timeout=30)

    def bring(number: int) -> None:
        together.wait()
        with pytest.raises(DatabaseUnavailableError):
            intake.accept([(make_event(number), apps("app"))])

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(bring, range(THREADS)))


def test_nobody_fails_for_what_another_brought(database: orm.Database) -> None:
    intake = orm.Intake(database)
    together = Barrier(THREADS, timeout=30)

    def bring(number: int) -> bool:
        together.wait()
        name: Any = None if number == 0 else "app"
        try:
            intake.accept([(make_event(number), apps(name))])
        except Exception:  # noqa: BLE001 - the database refuses an application without a name
            return False
        finally:
            database.close()
        return True

    with ThreadPoolExecutor(THREADS) as pool:
        assert list(pool.map(bring, range(THREADS))) == [False] + [True] * (THREADS - 1)
    assert len(orm.search(database, orm.EventFilter(), 100).events) == THREADS - 1


def test_a_database_that_is_away_for_a_moment_is_waited_for(
    database: orm.Database,
) -> None:
    intake = orm.Intake(database)
    change(database, "ALTER TABLE run RENAME TO elsewhere")

    def bring() -> list[orm.Accepted]:
        accepted = intake.accept([(make_event(), apps("app"))])
        database.close()
        return accepted

    with ThreadPoolExecutor(1) as pool:
        brought = pool.submit(bring)
        waited = not wait([brought], timeout=0.5).done
        change(database, "ALTER TABLE elsewhere RENAME TO run")
        [accepted] = brought.result(DEADLINE)
    assert waited
    assert orm.event(database, accepted.uuid).status == "queued"


def test_only_the_first_waits_for_a_database_that_stays_away(database: orm.Database) -> None:
    intake = orm.Intake(database)
    change(database, "ALTER TABLE run RENAME TO elsewhere")
    first, second, third = (refused_after(intake, number) for number in range(3))
    assert first > 1
    assert max(second, third) < first / 4


def test_patience_returns_with_the_database(database: orm.Database) -> None:
    intake = orm.Intake(database)
    change(database, "ALTER TABLE run RENAME TO elsewhere")
    refused_after(intake, 1)
    change(database, "ALTER TABLE elsewhere RENAME TO run")
    intake.accept([(make_event(2), apps("app"))])
    change(database, "ALTER TABLE run RENAME TO elsewhere")
    assert refused_after(intake, 3) > 1


def refused_after(intake: orm.Intake, number: int) -> float:
    """Seconds until an event was refused."""
    began = time.monotonic()
    with pytest.raises(DatabaseUnavailableError):
        intake.accept([(make_event(number), apps("app"))])
    return time.monotonic() - began
