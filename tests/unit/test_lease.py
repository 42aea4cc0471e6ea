"""The lease: a right that ends, a heartbeat that keeps it, and what becomes of one that is lost."""

import gc
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import psutil
import pytest

from pacifica.dispatcher import orm
from pacifica.dispatcher.errors import DatabaseUnavailableError, DispatcherError
from pacifica.dispatcher.lease import WORKER_MARK, Heartbeat, Lease, lock_file, marks
from pacifica.dispatcher.process import is_free, now
from tests.support import registration, wait_until
from tests.unit.conftest import Start, change

LENGTH = 1.0
WORKER = orm.new_uuid()


class Worker:
    """What keeps one worker's lease."""

    def __init__(self, database: orm.Database, directory: Path, length: float) -> None:
        """Begin a lease."""
        self.database = database
        self.directory = directory
        self.lease = Lease()
        self.heartbeat = Heartbeat(
            database, self.lease, registration("host", orm.new_uuid(), length), directory
        )
        self.heartbeat.begin()
        self.stopped = False

    @property
    def row(self) -> orm.Peer:
        """The lease as others see it."""
        [row] = orm.peers(self.database)
        return row

    @property
    def lock(self) -> Path:
        """The file that says whether the worker lives."""
        return lock_file(self.directory, self.row.lock)

    def stop(self) -> None:
        """End the lease."""
        if not self.stopped:
            self.heartbeat.stop()
        self.stopped = True


@pytest.fixture
def worker(database: orm.Database, tmp_path: Path) -> Iterator[Worker]:
    """A worker whose lease has begun and whose heartbeat has not."""
    worker = Worker(database, tmp_path / "locks", LENGTH)
    yield worker
    worker.stop()


@pytest.fixture
def patient_worker(database: orm.Database, tmp_path: Path) -> Iterator[Worker]:
    """A worker with a lease that outlasts a failure of the database."""
    worker = Worker(database, tmp_path / "locks", 6.0)
    yield worker
    worker.stop()


def guards() -> list[psutil.Process]:
    """The guards that this process started and that live."""
    return [
        each
        for each in psutil.Process().children()
        if each.status() != psutil.STATUS_ZOMBIE and "pacifica.dispatcher.guard" in each.cmdline()
    ]


def test_a_lease_is_held_until_its_deadline() -> None:
    lease = Lease()
    lease.set(WORKER, now() + 0.2)
    assert lease.is_held(WORKER)
    wait_until(lambda: now() >= lease.deadline)
    assert not lease.is_held(WORKER)


def test_a_lease_is_held_by_nobody_else() -> None:
    lease = Lease()
    lease.set(WORKER, now() + 3600)
    assert not lease.is_held(orm.new_uuid())


def test_a_lease_that_was_not_begun_is_not_held() -> None:
    assert not Lease().is_held("")
    assert not Lease().is_held(WORKER)


def test_a_lease_that_was_not_begun_is_nobodys() -> None:
    assert Lease().worker == ""


def test_a_child_that_was_forked_sees_what_becomes_of_the_lease() -> None:
    lease = Lease()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.read(reading, 1)
        os._exit(0 if lease.is_held(WORKER) else 1)
    lease.set(WORKER, now() + 3600)
    os.write(writing, b"x")
    _, status = os.waitpid(child, 0)
    os.close(reading)
    os.close(writing)
    assert os.waitstatus_to_exitcode(status) == 0


def test_a_lease_that_begins_is_seen_by_others_and_held(worker: Worker) -> None:
    assert (worker.row.uuid, worker.row.host) == (worker.lease.worker, "host")
    assert worker.lease.is_held(worker.row.uuid)


def test_a_lease_ends_for_its_holder_before_others_may_take_it(worker: Worker) -> None:
    assert worker.lease.deadline < now() + 0.9 * LENGTH


def test_the_lock_is_held_while_the_worker_lives(worker: Worker) -> None:
    assert is_free(worker.lock) is False


def test_a_lock_that_cannot_be_made_is_told(database: orm.Database, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DispatcherError, match="lock cannot be made"):
        Worker(database, tmp_path / "file" / "locks", LENGTH)


def test_a_heartbeat_renews_the_lease(worker: Worker) -> None:
    began, deadline = worker.row, worker.lease.deadline
    worker.heartbeat.start()
    wait_until(lambda: now() > deadline + LENGTH)
    assert worker.row.renewed > began.renewed
    assert worker.lease.is_held(began.uuid)


def test_a_lease_that_is_not_renewed_is_held_no_more(worker: Worker) -> None:
    uuid, deadline = worker.lease.worker, worker.lease.deadline
    wait_until(lambda: now() > deadline)
    assert not worker.lease.is_held(uuid)


def test_a_worker_that_stops_gives_its_lease_back(worker: Worker) -> None:
    uuid, lock = worker.lease.worker, worker.lock
    worker.heartbeat.start()
    worker.stop()
    assert orm.peers(worker.database) == []
    assert not worker.lease.is_held(uuid)
    assert is_free(lock) is None


def test_a_worker_that_stops_ends_its_guard(worker: Worker) -> None:
    [guard] = guards()
    worker.stop()
    assert not guard.is_running()


def test_a_worker_that_stops_leaves_nothing_behind(worker: Worker, start: Start) -> None:
    process = start(**marks(worker.lease.worker, orm.new_uuid(), 1))
    worker.stop()
    assert process.wait(10) is not None


def test_a_worker_that_stops_closes_all_that_it_opened(
    database: orm.Database, tmp_path: Path
) -> None:
    database.close()
    gc.collect()  # what earlier tests left is not to be counted
    before = psutil.Process().num_fds()
    Worker(database, tmp_path, LENGTH).stop()
    assert psutil.Process().num_fds() == before


def test_what_ran_under_a_lease_that_others_took_is_ended(
    worker: Worker, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    process = start(**marks(worker.lease.worker, orm.new_uuid(), 1))
    worker.heartbeat.start()
    assert orm.take(worker.database, worker.row)
    process.wait(10)
    wait_until(lambda: "the lease was lost" in caplog.text)
    assert [each.levelno for each in caplog.records] == [logging.ERROR]


def test_a_lease_that_was_lost_does_not_come_back_when_the_database_goes(
    patient_worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> NoReturn:
        raise DatabaseUnavailableError("it restarts", for_all=True)

    former, beat = patient_worker.lease.worker, patient_worker.heartbeat._beat  # noqa: SLF001 - one beat
    with monkeypatch.context() as outage:
        outage.setattr(orm, "renew", away)
        beat()
        began = now()
        wait_until(lambda: now() - began > 2.1)  # long enough for all to have noticed
    assert orm.take(patient_worker.database, patient_worker.row)
    with monkeypatch.context() as outage:
        outage.setattr(orm, "leave", away)
        beat()
    assert not patient_worker.lease.is_held(former)


def test_a_worker_that_lost_its_lease_begins_another(worker: Worker) -> None:
    former = worker.row
    worker.heartbeat.start()
    orm.take(worker.database, former)
    wait_until(lambda: worker.lease.worker != former.uuid and worker.lease.deadline)
    assert worker.lease.is_held(worker.row.uuid)
    assert worker.row.lock == former.lock
    assert not worker.lease.is_held(former.uuid)


def test_what_runs_under_the_next_lease_is_left_alone(worker: Worker, start: Start) -> None:
    former = worker.row
    left = start(**marks(former.uuid, orm.new_uuid(), 1))
    worker.heartbeat.start()
    orm.take(worker.database, former)
    wait_until(lambda: worker.lease.worker != former.uuid and worker.lease.deadline)
    process = start(**marks(worker.lease.worker, orm.new_uuid(), 1))
    left.wait(10)
    until = now() + LENGTH
    wait_until(lambda: now() > until)
    assert process.poll() is None


def test_the_guard_ends_what_runs_when_the_heartbeat_does_not_come(
    worker: Worker, start: Start
) -> None:
    process = start(**marks(worker.lease.worker, orm.new_uuid(), 1))
    deadline = worker.lease.deadline
    process.wait(10)
    assert now() >= deadline


def test_a_guard_that_died_is_replaced(worker: Worker) -> None:
    [first] = guards()
    worker.heartbeat.start()
    first.kill()
    [second] = wait_until(lambda: [each for each in guards() if each.pid != first.pid])
    assert second.is_running()


def test_the_guard_is_nobodys_application(worker: Worker) -> None:
    [guard] = guards()
    assert guard.environ()[WORKER_MARK] not in {"", worker.lease.worker}


def test_the_guard_has_a_session_of_its_own(worker: Worker) -> None:
    [guard] = guards()
    assert worker.lease.deadline
    assert os.getsid(guard.pid) == guard.pid


def test_a_database_that_is_away_for_longer_ends_the_lease(worker: Worker, start: Start) -> None:
    former = worker.lease.worker
    process = start(**marks(former, orm.new_uuid(), 1))
    change(worker.database, "ALTER TABLE worker RENAME TO elsewhere")
    worker.heartbeat.start()
    process.wait(10)
    assert not worker.lease.is_held(former)
    change(worker.database, "ALTER TABLE elsewhere RENAME TO worker")
    wait_until(lambda: worker.lease.is_held(worker.lease.worker))
    assert worker.row.uuid == worker.lease.worker != former


def test_a_lease_goes_on_while_the_database_is_away_for_all(patient_worker: Worker) -> None:
    worker = patient_worker
    uuid, deadline = worker.row.uuid, worker.lease.deadline
    change(worker.database, "ALTER TABLE worker RENAME TO elsewhere")
    worker.heartbeat.start()
    wait_until(lambda: now() > deadline)
    assert worker.lease.is_held(uuid)
    change(worker.database, "ALTER TABLE elsewhere RENAME TO worker")
    renewed = worker.row.renewed
    wait_until(lambda: worker.row.renewed > renewed)
    assert worker.row.uuid == uuid


def test_a_lease_does_not_begin_without_a_database(tmp_path: Path) -> None:
    database = orm.Database(f"sqlite:///{tmp_path}/missing/db.sqlite3")
    heartbeat = Heartbeat(database, Lease(), registration("host", "lock", LENGTH), tmp_path)
    with pytest.raises(DispatcherError, match="cannot be used"):
        heartbeat.begin()
    assert guards() == []
    heartbeat.stop()
