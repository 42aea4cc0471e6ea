"""Group commit of events from several threads."""

import time
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from harness import DEADLINE
from pacifica.dispatcher import orm
from pacifica.dispatcher.errors import DatabaseUnavailableError
from pacifica.dispatcher.intake.group_commit import GroupCommit
from tests.factories import apps, change, make_event

THREADS = 8


def test_each_thread_gets_its_own_receipts(database: orm.Database) -> None:
    intake = GroupCommit(database)
    barrier = Barrier(THREADS, timeout=DEADLINE)

    def submit(thread: int) -> None:
        barrier.wait()
        for number in range(20):
            batch = [
                orm.Arrival(make_event(f"{thread}-{number}-{each}"), apps(f"app-{thread}"))
                for each in (1, 2)
            ]
            accepted = intake.accept(batch)
            assert [each.applications for each in accepted] == [(f"app-{thread}",)] * 2
            for arrival, each in zip(batch, accepted, strict=True):
                assert orm.event(database, each.uuid).sent == arrival.event.sent
        database.close()

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(submit, range(THREADS)))


def test_the_same_event_from_all_threads_is_stored_once(database: orm.Database) -> None:
    intake = GroupCommit(database)
    barrier = Barrier(THREADS, timeout=DEADLINE)

    def submit(_: int) -> orm.Accepted:
        barrier.wait()
        [accepted] = intake.accept([orm.Arrival(make_event("same"), apps("app"))])
        database.close()
        return accepted

    with ThreadPoolExecutor(THREADS) as pool:
        accepted = list(pool.map(submit, range(THREADS)))
    assert len({each.uuid for each in accepted}) == 1
    assert [each.duplicate for each in accepted].count(False) == 1


def test_every_thread_fails_if_the_database_is_unavailable(tmp_path: Path) -> None:
    database = orm.Database(f"sqlite:///{tmp_path / 'no' / 'such' / 'folder.sqlite3'}")
    intake = GroupCommit(database, timeout=0.1)
    barrier = Barrier(THREADS, timeout=DEADLINE)

    def submit(number: int) -> None:
        barrier.wait()
        with pytest.raises(DatabaseUnavailableError):
            intake.accept([orm.Arrival(make_event(number), apps("app"))])

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(submit, range(THREADS)))


def test_no_thread_fails_because_of_the_events_of_another(database: orm.Database) -> None:
    intake = GroupCommit(database)
    barrier = Barrier(THREADS, timeout=DEADLINE)

    def submit(number: int) -> bool:
        barrier.wait()
        name: Any = None if number == 0 else "app"
        try:
            intake.accept([orm.Arrival(make_event(number), apps(name))])
        except Exception:  # noqa: BLE001 - the database refuses an application without a name
            return False
        finally:
            database.close()
        return True

    with ThreadPoolExecutor(THREADS) as pool:
        assert list(pool.map(submit, range(THREADS))) == [False] + [True] * (THREADS - 1)
    assert len(orm.search(database, orm.EventFilter(), 100).events) == THREADS - 1


def test_a_request_waits_for_a_database_that_is_briefly_unavailable(
    database: orm.Database,
) -> None:
    intake = GroupCommit(database, timeout=DEADLINE)
    change(database, "ALTER TABLE run RENAME TO elsewhere")

    def submit() -> list[orm.Accepted]:
        accepted = intake.accept([orm.Arrival(make_event(), apps("app"))])
        database.close()
        return accepted

    with ThreadPoolExecutor(1) as pool:
        submitted = pool.submit(submit)
        waited = not wait([submitted], timeout=0.5).done
        change(database, "ALTER TABLE elsewhere RENAME TO run")
        [accepted] = submitted.result(DEADLINE)
    assert waited
    assert orm.event(database, accepted.uuid).status == "queued"


def test_only_the_first_request_waits_for_a_database_that_stays_unavailable(
    database: orm.Database,
) -> None:
    intake = GroupCommit(database, timeout=8.0)
    change(database, "ALTER TABLE run RENAME TO elsewhere")
    first, second, third = (refused_after(intake, number) for number in range(3))
    assert first > 8
    assert max(second, third) < first / 2


def test_the_timeout_is_restored_with_the_database(database: orm.Database) -> None:
    intake = GroupCommit(database, timeout=0.8)
    change(database, "ALTER TABLE run RENAME TO elsewhere")
    refused_after(intake, 1)
    change(database, "ALTER TABLE elsewhere RENAME TO run")
    intake.accept([orm.Arrival(make_event(2), apps("app"))])
    change(database, "ALTER TABLE run RENAME TO elsewhere")
    assert refused_after(intake, 3) > 0.8


def refused_after(intake: GroupCommit, number: int) -> float:
    """Return the seconds until an event was refused."""
    began = time.monotonic()
    with pytest.raises(DatabaseUnavailableError):
        intake.accept([orm.Arrival(make_event(number), apps("app"))])
    return time.monotonic() - began
