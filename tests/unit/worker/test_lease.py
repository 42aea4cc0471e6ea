"""Leases: expiry, renewal by the heartbeat, and loss."""

import gc
import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import NoReturn

import psutil
import pytest

from harness import DEADLINE, wait_until
from pacifica.dispatcher import orm
from pacifica.dispatcher.errors import DatabaseUnavailableError, DispatcherError
from pacifica.dispatcher.execution.marks import WORKER_MARK, marks
from pacifica.dispatcher.execution.process import is_free, now
from pacifica.dispatcher.worker import lease as of_lease
from pacifica.dispatcher.worker.lease import REVOKED_WAIT, Heartbeat, Lease, lock_file
from tests.factories import Start, change, registration

LENGTH = 10.0
"""Seconds; even a busy machine has time for a heartbeat."""

BRIEF = 1.0
"""Seconds, for tests that wait for the end of a lease."""

WORKER = orm.new_uuid()


class Worker:
    """A worker's lease and its heartbeat."""

    def __init__(self, database: orm.Database, directory: Path, length: float) -> None:
        """Start a lease."""
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
        """The lease as stored in the database."""
        [row] = orm.peers(self.database)
        return row

    @property
    def lock(self) -> Path:
        """The lock file of the worker."""
        return lock_file(self.directory, self.row.lock)

    def stop(self) -> None:
        """End the lease."""
        if not self.stopped:
            self.heartbeat.stop()
        self.stopped = True


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets a worker that stops wait longer for its watchdog."""
    monkeypatch.setattr(of_lease, "_WATCHDOG_TIMEOUT", DEADLINE)


@pytest.fixture
def length() -> float:
    """The length of the lease; a test that needs another one is parametrized."""
    return LENGTH


@pytest.fixture
def worker(database: orm.Database, tmp_path: Path, length: float) -> Iterator[Worker]:
    """A worker with a lease, whose heartbeat has not started yet."""
    worker = Worker(database, tmp_path / "locks", length)
    yield worker
    worker.stop()


brief = pytest.mark.parametrize("length", [BRIEF])
outlasted = pytest.mark.parametrize("length", [4.0])


def watchdogs() -> list[psutil.Process]:
    """Return the running watchdogs of this process."""
    found = []
    for each in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):  # It may end in between.
            alive = each.status() != psutil.STATUS_ZOMBIE
            if alive and "pacifica.dispatcher.worker.watchdog" in each.cmdline():
                found.append(each)
    return found


def test_a_lease_is_held_until_its_deadline() -> None:
    lease = Lease()
    lease.set(WORKER, now() + 0.2)
    assert lease.is_held(WORKER)
    wait_until(lambda: now() >= lease.deadline)
    assert not lease.is_held(WORKER)


def test_a_lease_is_not_held_by_another_worker() -> None:
    lease = Lease()
    lease.set(WORKER, now() + 3600)
    assert not lease.is_held(orm.new_uuid())


def test_a_lease_that_never_started_is_not_held() -> None:
    assert not Lease().is_held("")
    assert not Lease().is_held(WORKER)


def test_a_lease_that_never_started_has_no_worker() -> None:
    assert Lease().worker == ""


def test_a_forked_child_sees_changes_of_the_lease() -> None:
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


def test_a_new_lease_is_stored_and_held(worker: Worker) -> None:
    assert (worker.row.uuid, worker.row.host) == (worker.lease.worker, "host")
    assert worker.lease.is_held(worker.row.uuid)


def test_a_lease_ends_for_its_holder_before_others_may_revoke_it(worker: Worker) -> None:
    assert worker.lease.deadline < now() + 0.9 * LENGTH


def test_the_lock_is_held_while_the_worker_is_running(worker: Worker) -> None:
    assert is_free(worker.lock) is False


def test_a_lock_that_cannot_be_created_is_an_error(database: orm.Database, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DispatcherError, match="cannot create the worker's lock"):
        Worker(database, tmp_path / "file" / "locks", LENGTH)


def test_a_lease_can_begin_after_an_outage(database: orm.Database, tmp_path: Path) -> None:
    facts = registration("host", orm.new_uuid(), LENGTH)
    heartbeat = Heartbeat(database, Lease(), facts, tmp_path)
    change(database, "ALTER TABLE worker RENAME TO elsewhere")
    with pytest.raises(DatabaseUnavailableError):
        heartbeat.begin()
    change(database, "ALTER TABLE elsewhere RENAME TO worker")
    heartbeat.begin()
    assert [each.lock for each in orm.peers(database)] == [facts.lock]
    assert is_free(lock_file(tmp_path, facts.lock)) is False
    heartbeat.stop()


def test_a_heartbeat_renews_the_lease(worker: Worker) -> None:
    began, deadline = worker.row, worker.lease.deadline
    worker.heartbeat.start()
    wait_until(lambda: worker.lease.deadline > deadline)
    assert worker.row.renewed > began.renewed
    assert worker.lease.is_held(began.uuid)


@brief
def test_a_lease_that_is_not_renewed_ends(worker: Worker) -> None:
    uuid, deadline = worker.lease.worker, worker.lease.deadline
    wait_until(lambda: now() > deadline)
    assert not worker.lease.is_held(uuid)


def test_a_worker_that_stops_returns_its_lease(worker: Worker) -> None:
    uuid, lock = worker.lease.worker, worker.lock
    worker.heartbeat.start()
    worker.stop()
    assert orm.peers(worker.database) == []
    assert not worker.lease.is_held(uuid)
    assert is_free(lock) is None


def test_a_worker_that_stops_ends_its_watchdog(worker: Worker) -> None:
    [watchdog] = watchdogs()
    worker.stop()
    assert not watchdog.is_running()


def test_a_worker_that_stops_ends_its_leftover_processes(worker: Worker, start: Start) -> None:
    process = start(**marks(worker.lease.worker, orm.new_uuid(), 1))
    worker.stop()
    assert process.wait(DEADLINE) is not None


def test_a_worker_that_stops_closes_its_files(database: orm.Database, tmp_path: Path) -> None:
    database.close()
    gc.collect()  # Do not count leftovers of earlier tests.
    before = psutil.Process().num_fds()
    Worker(database, tmp_path, LENGTH).stop()
    assert psutil.Process().num_fds() == before


def test_processes_of_a_revoked_lease_are_ended(
    worker: Worker, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    process = start(**marks(worker.lease.worker, orm.new_uuid(), 1))
    worker.heartbeat.start()
    assert orm.revoke(worker.database, worker.row)
    process.wait(DEADLINE)
    wait_until(lambda: "lease.lost" in caplog.text)
    assert [each.levelno for each in caplog.records] == [logging.ERROR]


@outlasted
def test_a_lost_lease_does_not_come_back_during_an_outage(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unavailable(*_: object) -> NoReturn:
        raise DatabaseUnavailableError("server restarting", for_all=True)

    previous, beat = worker.lease.worker, worker.heartbeat._beat  # noqa: SLF001 - one beat
    with monkeypatch.context() as outage:
        outage.setattr(orm, "renew", unavailable)
        beat()
        began = now()
        wait_until(lambda: now() - began > 2.1)  # long enough for every worker to have noticed
    assert orm.revoke(worker.database, worker.row)
    with monkeypatch.context() as outage:
        outage.setattr(orm, "deregister", unavailable)
        beat()
    assert not worker.lease.is_held(previous)


def test_a_worker_that_lost_its_lease_starts_another(worker: Worker) -> None:
    previous = worker.row
    worker.heartbeat.start()
    orm.revoke(worker.database, previous)
    wait_until(lambda: worker.lease.worker != previous.uuid and worker.lease.deadline)
    assert worker.lease.is_held(worker.row.uuid)
    assert worker.row.lock == previous.lock
    assert not worker.lease.is_held(previous.uuid)


@outlasted
def test_a_lease_that_follows_a_partition_is_not_lost_too(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    renew = orm.renew

    def renew_after_the_partition(database: orm.Database, uuid: str) -> bool:
        wait_until(lambda: now() > worker.lease.deadline + 1)
        return renew(database, uuid)

    previous = worker.lease.worker
    monkeypatch.setattr(orm, "renew", renew_after_the_partition)
    worker.heartbeat._beat()  # noqa: SLF001 - one beat
    assert worker.lease.worker != previous
    assert worker.lease.is_held(worker.lease.worker)


def test_processes_of_the_next_lease_are_left_alone(worker: Worker, start: Start) -> None:
    previous = worker.row
    leftover = start(**marks(previous.uuid, orm.new_uuid(), 1))
    worker.heartbeat.start()
    orm.revoke(worker.database, previous)
    wait_until(lambda: worker.lease.worker != previous.uuid and worker.lease.deadline)
    process = start(**marks(worker.lease.worker, orm.new_uuid(), 1))
    leftover.wait(DEADLINE)
    until = now() + 1
    wait_until(lambda: now() > until)
    assert process.poll() is None


@brief
def test_the_watchdog_ends_processes_when_the_heartbeat_fails(worker: Worker, start: Start) -> None:
    process = start(**marks(worker.lease.worker, orm.new_uuid(), 1))
    deadline = worker.lease.deadline
    process.wait(DEADLINE)
    assert now() >= deadline


def test_a_watchdog_that_died_is_replaced(worker: Worker) -> None:
    [first] = watchdogs()
    worker.heartbeat.start()
    first.kill()
    [second] = wait_until(lambda: [each for each in watchdogs() if each.pid != first.pid])
    assert second.is_running()


def test_the_watchdog_is_not_an_application(worker: Worker) -> None:
    [watchdog] = watchdogs()
    assert watchdog.environ()[WORKER_MARK] not in {"", worker.lease.worker}


def test_the_watchdog_has_its_own_session(worker: Worker) -> None:
    [watchdog] = watchdogs()
    assert worker.lease.deadline
    assert os.getsid(watchdog.pid) == watchdog.pid


@pytest.mark.parametrize("length", [3.0])
def test_a_worker_that_is_cut_off_from_the_database_loses_its_lease(
    worker: Worker, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unavailable(*_: object) -> NoReturn:
        raise DatabaseUnavailableError("no route")

    previous = worker.lease.worker
    process = start(**marks(previous, orm.new_uuid(), 1))
    with monkeypatch.context() as partition:
        partition.setattr(orm, "renew", unavailable)
        partition.setattr(orm, "deregister", unavailable)
        worker.heartbeat.start()
        process.wait(DEADLINE)
        assert not worker.lease.is_held(previous)
    wait_until(lambda: worker.lease.is_held(worker.lease.worker))
    assert worker.row.uuid == worker.lease.worker != previous


def test_an_outage_for_everyone_extends_a_lease_at_once(worker: Worker) -> None:
    # A busy machine may leave no time for a second look before the lease would end.
    began = worker.lease.deadline - 0.8 * LENGTH
    change(worker.database, "ALTER TABLE worker RENAME TO elsewhere")
    worker.heartbeat._beat()  # noqa: SLF001 - one beat
    change(worker.database, "ALTER TABLE elsewhere RENAME TO worker")
    assert LENGTH < worker.lease.deadline - began < LENGTH + REVOKED_WAIT


@outlasted
def test_a_lease_continues_while_the_database_is_down_for_everyone(
    worker: Worker,
) -> None:
    uuid, until = worker.row.uuid, worker.lease.deadline + worker.row.length + REVOKED_WAIT
    change(worker.database, "ALTER TABLE worker RENAME TO elsewhere")
    worker.heartbeat.start()
    wait_until(lambda: now() > until)
    assert worker.lease.is_held(uuid)
    change(worker.database, "ALTER TABLE elsewhere RENAME TO worker")
    renewed = worker.row.renewed
    wait_until(lambda: worker.row.renewed > renewed)
    assert worker.row.uuid == uuid


@pytest.fixture
def impatient_worker(
    url: str, database: orm.Database, tmp_path: Path, length: float
) -> Iterator[Worker]:
    """A worker whose heartbeat does not wait long for locks."""
    assert database.name == url
    with closing(orm.Database(url, waits=orm.Waits(lock=0.2))) as of_heartbeat:
        worker = Worker(of_heartbeat, tmp_path / "locks", length)
        yield worker
        worker.stop()


@outlasted
def test_a_wait_for_a_lock_extends_a_lease_from_its_end(
    impatient_worker: Worker, database: orm.Database, url: str
) -> None:
    worker = impatient_worker
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as tool:
        tool.execute("BEGIN IMMEDIATE")
        wait_until(lambda: now() > worker.lease.deadline - 1.5)
        began = now()
        worker.heartbeat._beat()  # noqa: SLF001 - one beat
        extended = worker.lease.deadline - began
        tool.execute("ROLLBACK")
    assert orm.peers(database) == [worker.row]
    assert extended >= 0.2 + 0.8 * REVOKED_WAIT


@outlasted
def test_a_lease_continues_while_somebody_else_holds_the_lock(
    impatient_worker: Worker, database: orm.Database, url: str
) -> None:
    worker, row = impatient_worker, impatient_worker.row
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as tool:
        tool.execute("BEGIN IMMEDIATE")
        worker.heartbeat.start()
        until = worker.lease.deadline + 1
        wait_until(lambda: now() > until)
        assert worker.lease.is_held(row.uuid)
        assert orm.peers(database) == [row]
        tool.execute("ROLLBACK")
    wait_until(lambda: orm.peers(database) != [row])
    assert worker.row.uuid == row.uuid


def test_a_lease_does_not_start_without_a_database(tmp_path: Path) -> None:
    database = orm.Database(f"sqlite:///{tmp_path}/missing/db.sqlite3")
    heartbeat = Heartbeat(database, Lease(), registration("host", "lock", LENGTH), tmp_path)
    with pytest.raises(DispatcherError, match=" unavailable: "):
        heartbeat.begin()
    assert watchdogs() == []
    heartbeat.stop()
