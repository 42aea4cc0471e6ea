"""Events that several threads bring at once."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from pacifica.dispatcher import orm
from pacifica.dispatcher.errors import DatabaseUnavailableError
from tests.unit.conftest import make_event

THREADS = 8


def test_each_thread_gets_its_own_answer(database: orm.Database) -> None:
    intake = orm.Intake(database)
    together = Barrier(THREADS, timeout=30)

    def bring(thread: int) -> None:
        together.wait()
        for number in range(20):
            batch = [
                (make_event(f"{thread}-{number}-{each}"), [f"app-{thread}"]) for each in (1, 2)
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
        [accepted] = intake.accept([(make_event("same"), ["app"])])
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
            intake.accept([(make_event(number), ["app"])])

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(bring, range(THREADS)))


def test_nobody_fails_for_what_another_brought(database: orm.Database) -> None:
    intake = orm.Intake(database)
    together = Barrier(THREADS, timeout=30)

    def bring(number: int) -> bool:
        together.wait()
        names = ["app", None] if number == 0 else ["app"]
        try:
            intake.accept([(make_event(number), names)])  # type: ignore[list-item]
        except Exception:  # noqa: BLE001 - the database refuses an application without a name
            return False
        finally:
            database.close()
        return True

    with ThreadPoolExecutor(THREADS) as pool:
        assert list(pool.map(bring, range(THREADS))) == [False] + [True] * (THREADS - 1)
    assert len(orm.events(database, orm.EventFilter(), 100)) == THREADS - 1
