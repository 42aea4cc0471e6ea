"""Recovery: lost runs are resumed on evidence, and active ones are left alone."""

import logging
import math
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import NoReturn

import pytest

from harness import DEADLINE, wait_until
from pacifica.dispatcher import orm
from pacifica.dispatcher.applications import Application
from pacifica.dispatcher.errors import BrokerUnavailableError
from pacifica.dispatcher.execution.handles import local_handle
from pacifica.dispatcher.execution.local import LocalExecutor
from pacifica.dispatcher.execution.marks import WORKER_MARK, marks
from pacifica.dispatcher.execution.outcome import Outcome
from pacifica.dispatcher.execution.process import Life, StopRequest, hold, life_of, now
from pacifica.dispatcher.worker import recovery as of_recovery
from pacifica.dispatcher.worker.cancellations import Cancellations
from pacifica.dispatcher.worker.lease import Lease, lock_file
from pacifica.dispatcher.worker.recovery import Recovery, Surroundings, Watch, recover_wakeups
from pacifica.dispatcher.worker.roster import Roster
from tests import servers
from tests.factories import (
    Start,
    accept_runs,
    accepted_runs,
    app,
    change,
    claim_next,
    claimant,
    claimed,
    claimed_run,
    due,
    make_event,
    published_run,
    registration,
    view,
)
from tests.unit.worker.factories import recorded

LENGTH = 2.4
"""Length of a lease in seconds; a busy machine must take a look within a third of it."""

WORKER = orm.new_uuid()
OTHER = orm.new_uuid()


class Scenario:
    """The recovery of a worker, driven by the test."""

    applications: dict[str, Application]

    def __init__(self, database: orm.Database, directory: Path) -> None:
        """Register the worker with a lease."""
        self.database = database
        self.directory = directory
        self.applications = {}
        self.woken = 0
        self.depths: dict[str, int] = {}
        self.stop = StopRequest()
        self.cancellations = Cancellations()
        self.roster = Roster()
        self.working = ExitStack()
        self.stopping = threading.Event()
        lease = Lease()
        lease.set(WORKER, math.inf)
        orm.register(database, WORKER, registration("host", "ours", LENGTH))
        self.recovery = Recovery(
            Surroundings(
                database=database,
                lease=lease,
                roster=self.roster,
                stopping=self.stopping.is_set,
                length=LENGTH,
                host="host",
                directory=directory,
                cancellations=self.cancellations,
                applications=self.applications,
                executor=LocalExecutor(self.stop),
                default_queue="default",
                depth=lambda queue: self.depths.get(queue, 0),
                wake=self._wake,
                death_wait=0.0,
                revoked_wait=0.0,
            )
        )

    def _wake(self) -> None:
        self.woken += 1

    def recover(self, times: int = 2) -> None:
        """Run several rounds of recovery."""
        for _ in range(times):
            self.recovery.look()

    def alone_after_a_round(self) -> bool:
        """Run a round, and return True if no other worker has a lease afterwards."""
        self.recover()
        return not self.peers

    def claim(self, pid: int, number: int = 1) -> orm.Claim:
        """Claim a new run for a process of the worker, which works on it."""
        run = published_run(self.database, number)
        self.working.enter_context(self.roster.working_on(run))
        claim = orm.claim(self.database, run, claimant(WORKER, pid=pid))
        assert claim is not None
        return claim

    def peer(self, *, host: str = "host", length: float = LENGTH) -> Path:
        """Register another worker, and return its lock file."""
        orm.register(self.database, OTHER, registration(host, "lock", length))
        return lock_file(self.directory, "lock")

    @property
    def peers(self) -> list[str]:
        """Other workers with a lease."""
        return [peer.uuid for peer in orm.peers(self.database) if peer.uuid != WORKER]


@pytest.fixture
def scenario(database: orm.Database, tmp_path: Path) -> Iterator[Scenario]:
    """The recovery of a worker."""
    scenario = Scenario(database, tmp_path)
    yield scenario
    scenario.working.close()
    scenario.stop.close()


def dead_pid() -> int:
    """Return the id of a process that has ended."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def is_running(process: "subprocess.Popen[bytes]") -> bool:
    """Continue a process, and return True if it is still running a moment later."""
    process.send_signal(signal.SIGCONT)
    try:
        process.wait(0.3)
    except subprocess.TimeoutExpired:
        return True
    return False


def stop(process: "subprocess.Popen[bytes]") -> None:
    """Stop a process, as a debugger would."""
    process.send_signal(signal.SIGSTOP)
    wait_until(lambda: life_of(process.pid) is Life.STOPPED)


def wait_a_lease() -> None:
    """Wait for the length of a lease."""
    until = now() + LENGTH
    wait_until(lambda: now() > until)


def age_wakeups(database: orm.Database, seconds: float) -> None:
    """Make all wake-ups older by this many seconds."""
    change(database, "UPDATE run SET published = published - ?", (seconds,))


def empty(_: str) -> int:
    return 0


def unexpected(_: str) -> int:
    raise AssertionError("unnecessary request to the broker")


def test_an_old_wakeup_that_is_not_in_the_queue_is_lost(database: orm.Database) -> None:
    run = published_run(database)
    age_wakeups(database, 60)
    assert recover_wakeups(database, empty, 30) == 1
    assert due(database) == [run]


def test_as_many_wakeups_are_lost_as_are_missing_from_the_queue(database: orm.Database) -> None:
    runs = [published_run(database, number) for number in range(5)]
    age_wakeups(database, 60)
    assert recover_wakeups(database, lambda _: 3, 30) == 2
    assert due(database) == runs[:2]


def test_a_wakeup_that_was_resent_is_not_lost_while_in_the_queue(
    database: orm.Database,
) -> None:
    for number in range(3):
        published_run(database, number)
    age_wakeups(database, 60)
    recover_wakeups(database, lambda _: 2, 30)
    due(database)
    assert recover_wakeups(database, lambda _: 3, 0) == 0


def test_a_queue_with_more_than_is_in_flight_has_lost_nothing(database: orm.Database) -> None:
    published_run(database)
    age_wakeups(database, 60)
    assert recover_wakeups(database, lambda _: 5, 30) == 0


def test_an_old_wakeup_may_still_be_in_the_queue(database: orm.Database) -> None:
    published_run(database)
    age_wakeups(database, 60)
    assert recover_wakeups(database, lambda _: 1, 30) == 0
    assert due(database) == []


def test_only_old_wakeups_are_lost(database: orm.Database) -> None:
    old = published_run(database, 1)
    age_wakeups(database, 60)
    published_run(database, 2)
    assert recover_wakeups(database, empty, 30) == 1
    assert due(database) == [old]


def test_a_young_wakeup_is_left_alone(database: orm.Database) -> None:
    published_run(database)
    assert recover_wakeups(database, unexpected, 30) == 0


def test_a_run_that_runs_for_hours_is_left_alone(database: orm.Database) -> None:
    claim = claimed_run(database)
    change(database, "UPDATE attempt SET started = started - 36000")
    assert recover_wakeups(database, unexpected, 30) == 0
    assert orm.event(database, claim.event).status == "running"


def test_a_run_that_waits_for_the_broker_is_left_alone(database: orm.Database) -> None:
    accepted_runs(database, make_event(), "app")
    assert recover_wakeups(database, unexpected, 0) == 0


def test_nothing_is_recovered_while_the_broker_is_unavailable(database: orm.Database) -> None:
    def depth(_: str) -> int:
        raise BrokerUnavailableError("no response")

    published_run(database)
    age_wakeups(database, 60)
    with pytest.raises(BrokerUnavailableError):
        recover_wakeups(database, depth, 30)
    assert due(database) == []


def test_wakeups_are_lost_in_the_queue_that_is_empty(database: orm.Database) -> None:
    [lost] = accept_runs(database, app(queue="empty"), 1)
    accept_runs(database, app(queue="full"), 2)
    due(database)
    age_wakeups(database, 60)
    assert recover_wakeups(database, {"empty": 0, "full": 1}.__getitem__, 30) == 1
    assert due(database) == [lost]


def test_only_queues_with_old_wakeups_are_inspected(database: orm.Database) -> None:
    accept_runs(database, app(queue="old"), 1)
    due(database)
    age_wakeups(database, 60)
    accept_runs(database, app(queue="young"), 2)
    due(database)
    assert recover_wakeups(database, {"old": 1}.__getitem__, 30) == 0


def peer(renewed: float = 1.0, uuid: str = OTHER, length: float = 10.0) -> orm.Peer:
    return orm.Peer(uuid, "elsewhere", "lock", renewed, length)


def test_a_lease_that_is_seen_unchanged_for_its_length_has_ended() -> None:
    watch = Watch()
    expired = [watch.expired([peer()], at) for at in (0, 3, 6, 9, 10)]
    assert expired == [[], [], [], [], [peer()]]


def test_a_lease_that_is_renewed_does_not_end() -> None:
    watch = Watch()
    for at in range(100):
        assert watch.expired([peer(renewed=at // 9)], at) == []


def test_a_lease_ends_although_others_are_renewed() -> None:
    watch = Watch()
    alive = orm.new_uuid()
    for at in range(10):
        watch.expired([peer(), peer(at, alive)], at)
    assert watch.expired([peer(), peer(10, alive)], 10) == [peer()]


def test_a_stamp_that_goes_back_still_renews_the_lease() -> None:
    watch = Watch()
    for at in range(10):
        watch.expired([peer(renewed=2.0)], at)
    assert watch.expired([peer(renewed=1.0)], 10) == []


def test_each_lease_ends_after_its_own_length() -> None:
    watch = Watch()
    short, long = peer(uuid=orm.new_uuid(), length=6.0), peer(length=20.0)
    ended = {at: watch.expired([short, long], at) for at in range(0, 21, 2)}
    assert next(at for at in ended if short in ended[at]) == 6
    assert [at for at in ended if long in ended[at]] == [20]


def test_a_round_too_late_for_a_short_lease_counts_for_a_long_one() -> None:
    watch = Watch()
    short, long = peer(uuid=orm.new_uuid(), length=6.0), peer(length=20.0)
    ended = {at: watch.expired([short, long], at) for at in range(0, 25, 5)}
    assert ended == {0: [], 5: [], 10: [], 15: [], 20: [long]}


def test_time_without_rounds_does_not_count() -> None:
    watch = Watch()
    for at in (0, 3, 6, 9, 13):
        assert watch.expired([peer()], at) == []
    assert watch.expired([peer()], 16) == []
    for at in (19, 22):
        assert watch.expired([peer()], at) == []
    assert watch.expired([peer()], 23) == [peer()]


def test_time_before_a_database_outage_does_not_count() -> None:
    watch = Watch()
    for at in (0, 3, 6, 9):
        watch.expired([peer()], at)
    watch.forget()
    for at in (12, 15, 18, 21):
        assert watch.expired([peer()], at) == []
    assert watch.expired([peer()], 22) == [peer()]


def test_a_lease_that_disappeared_for_one_round_starts_over() -> None:
    watch = Watch()
    for at in (0, 3, 6):
        watch.expired([peer()], at)
    watch.expired([], 7)
    for at in (9, 12, 15, 18):
        assert watch.expired([peer()], at) == []


def test_a_run_whose_process_died_is_queued_again(scenario: Scenario) -> None:
    claim = scenario.claim(dead_pid())
    scenario.recover(1)
    run, [attempt] = orm.run(scenario.database, claim.run)
    assert (run.status, run.crashes) == ("queued", 1)
    assert attempt.error == "the worker process died"
    assert scenario.woken == 1


def test_a_process_that_dies_while_the_worker_stops_did_not_crash(scenario: Scenario) -> None:
    # A service manager may signal all processes of a worker.
    claim = scenario.claim(dead_pid())
    scenario.stopping.set()
    scenario.recover(1)
    run, [attempt] = orm.run(scenario.database, claim.run)
    assert (run.status, run.crashes, run.losses) == ("queued", 0, 1)
    assert attempt.error == "the worker process died while the worker stopped"


@pytest.mark.parametrize("stopped", [False, True])
def test_a_run_that_nobody_works_on_is_queued_again(
    scenario: Scenario, start: Start, *, stopped: bool
) -> None:
    process = start()
    abandoned, other = scenario.claim(process.pid, 1), scenario.claim(process.pid, 2)
    scenario.working.close()
    if stopped:
        stop(process)
    with scenario.roster.working_on(other.run):
        scenario.recover(1)
    run, [attempt] = orm.run(scenario.database, abandoned.run)
    assert (run.status, run.crashes, run.losses) == ("queued", 0, 1)
    assert attempt.error == "the worker could not record the outcome"
    assert view(scenario.database, other.run).status == "running"
    assert scenario.woken == 1


def test_leftover_processes_of_an_abandoned_attempt_are_ended(
    scenario: Scenario, start: Start
) -> None:
    claim = scenario.claim(start().pid)
    scenario.working.close()
    leftover = start(**marks(WORKER, claim.run, 1))
    scenario.recover(1)
    assert not is_running(leftover)


@pytest.mark.parametrize("dead", [False, True])
def test_an_attempt_that_has_just_ended_is_not_swept(
    scenario: Scenario, start: Start, monkeypatch: pytest.MonkeyPatch, *, dead: bool
) -> None:
    claim = scenario.claim(start().pid)
    swept: list[str] = []
    inspect = LocalExecutor(scenario.stop).inspect

    def end_before(handle: str, *, worker_lives: bool) -> Life:
        orm.finish(scenario.database, claim, orm.State.SUCCEEDED, Outcome(exit_code=0), [])
        scenario.working.close()
        return Life.GONE if dead else inspect(handle, worker_lives=worker_lives)

    monkeypatch.setattr(LocalExecutor, "inspect", staticmethod(end_before))
    monkeypatch.setattr(LocalExecutor, "sweep", lambda _, _worker, run, _number: swept.append(run))
    scenario.recover(1)
    assert swept == []
    assert view(scenario.database, claim.run).status == "succeeded"


REFUSALS = {
    "sqlite": """CREATE TRIGGER refusal BEFORE UPDATE ON run
        WHEN NEW.uuid = '{run}' AND NEW.state = 'queued'
        BEGIN SELECT RAISE(ABORT, 'no such end'); END""",
    "postgres": """ALTER TABLE run ADD CONSTRAINT refusal
        CHECK (uuid <> '{run}' OR state <> 'queued')""",
    "mysql": """CREATE TRIGGER refusal BEFORE UPDATE ON run FOR EACH ROW
        IF NEW.uuid = '{run}' AND NEW.state = 'queued' THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no such end'; END IF""",
}


@pytest.mark.parametrize("kind", list(REFUSALS))
def test_a_run_that_cannot_be_recovered_does_not_keep_others_from_it(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    with servers.DATABASES[kind](tmp_path) as url, closing(orm.Database(url)) as database:
        database.prepare(attempts=1, wait=0)
        scenario = Scenario(database, tmp_path)
        request.addfinalizer(scenario.working.close)
        first, second = scenario.claim(dead_pid(), 1), scenario.claim(dead_pid(), 2)
        change(database, REFUSALS[kind].format(run=first.run))
        scenario.recover(3)
        assert view(database, first.run).status == "running"
        assert view(database, second.run).status == "queued"
        assert caplog.text.count("recovery.refused") == 1
        drop = "ALTER TABLE run DROP CONSTRAINT" if kind == "postgres" else "DROP TRIGGER"
        change(database, f"{drop} refusal")
        scenario.recover(1)
        assert view(database, first.run).status == "queued"
    scenario.stop.close()


def test_an_unreaped_process_is_dead(scenario: Scenario) -> None:
    with subprocess.Popen(["true"]) as process:
        claim = scenario.claim(process.pid)
        wait_until(lambda: life_of(process.pid) is Life.GONE)
        scenario.recover(1)
    assert view(scenario.database, claim.run).status == "queued"


def test_a_process_that_reuses_the_id_of_a_dead_one_is_not_mistaken_for_it(
    scenario: Scenario,
) -> None:
    claim = scenario.claim(1)  # not a child of this process
    scenario.recover(1)
    assert view(scenario.database, claim.run).status == "queued"


def test_a_run_with_a_running_process_is_left_alone(scenario: Scenario, start: Start) -> None:
    claim = scenario.claim(start().pid)
    scenario.recover(4)
    assert view(scenario.database, claim.run).status == "running"
    assert scenario.woken == 0


def test_leftover_processes_of_an_attempt_are_ended_before_the_next(
    scenario: Scenario, start: Start
) -> None:
    claim = scenario.claim(dead_pid())
    leftover = start(**marks(WORKER, claim.run, 1))
    other = start(**marks(WORKER, orm.new_uuid(), 1))
    scenario.recover(1)
    assert not is_running(leftover)
    assert is_running(other)


def test_a_run_that_reaches_max_crashes_fails(scenario: Scenario) -> None:
    scenario.applications["app"] = app(max_crashes=1)
    claim = scenario.claim(dead_pid())
    scenario.recover(1)
    assert view(scenario.database, claim.run).status == "failed"


@pytest.mark.parametrize("own", [True, False], ids=["an attempt", "another worker"])
def test_no_attempt_follows_one_whose_processes_cannot_be_ended(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch, *, own: bool
) -> None:
    monkeypatch.setattr(LocalExecutor, "sweep", lambda *_: "cannot end process 7")
    if own:
        run = scenario.claim(dead_pid()).run
    else:
        scenario.peer().touch()
        run = claimed(scenario.database, published_run(scenario.database), worker=OTHER).run
    scenario.recover()
    failed, [attempt] = orm.run(scenario.database, run)
    what = "the worker process died" if own else "the worker was killed, or its host restarted"
    assert (failed.status, failed.error) == ("failed", f"{what}; cannot end process 7")
    assert attempt.error == failed.error


def test_a_cancel_reaches_only_its_own_attempt(scenario: Scenario, start: Start) -> None:
    pid = start().pid
    other, claim = scenario.claim(pid, 1), scenario.claim(pid, 2)
    orm.ask_to_cancel(scenario.database, claim.run)
    scenario.recover(1)
    assert scenario.cancellations.requested(claim.run, claim.attempt)
    assert not scenario.cancellations.requested(other.run, other.attempt)


def test_a_process_that_is_stopped_for_a_lease_is_killed(scenario: Scenario, start: Start) -> None:
    process = start()
    claim = scenario.claim(process.pid)
    stop(process)
    scenario.recover(1)
    wait_a_lease()
    scenario.recover(1)
    assert process.wait(DEADLINE) == -signal.SIGKILL
    scenario.recover(1)
    assert view(scenario.database, claim.run).status == "queued"


def test_a_process_that_is_stopped_briefly_is_left_alone(scenario: Scenario, start: Start) -> None:
    process = start()
    claim = scenario.claim(process.pid)
    stop(process)
    scenario.recover(2)
    assert is_running(process)
    assert view(scenario.database, claim.run).status == "running"


def test_a_process_that_is_stopped_again_gets_the_whole_time_again(
    scenario: Scenario, start: Start
) -> None:
    process = start()
    scenario.claim(process.pid)
    stop(process)
    scenario.recover(1)
    process.send_signal(signal.SIGCONT)
    wait_until(lambda: life_of(process.pid) is Life.ALIVE)
    scenario.recover(1)
    wait_a_lease()
    stop(process)
    scenario.recover(1)
    assert is_running(process)


def test_a_process_that_is_stopped_in_a_later_run_gets_the_whole_time(
    scenario: Scenario, start: Start
) -> None:
    process = start()
    claim = scenario.claim(process.pid)
    stop(process)
    scenario.recover(1)
    process.send_signal(signal.SIGCONT)
    orm.finish(scenario.database, claim, orm.State.SUCCEEDED, orm.Outcome(), [])
    scenario.recover(1)
    wait_a_lease()
    scenario.claim(process.pid, 2)
    stop(process)
    scenario.recover(1)
    assert is_running(process)


def test_a_worker_of_this_host_whose_lock_is_free_is_lost_at_once(scenario: Scenario) -> None:
    file = scenario.peer()
    hold(file).close()
    scenario.recover()
    assert scenario.peers == []
    assert not file.exists()


def test_a_worker_of_this_host_that_holds_its_lock_is_alive(scenario: Scenario) -> None:
    with hold(scenario.peer()):
        scenario.recover()
    assert scenario.peers == [OTHER]


def test_a_worker_of_this_host_without_a_lock_is_watched(scenario: Scenario) -> None:
    scenario.peer()
    scenario.recover()
    assert scenario.peers == [OTHER]


def test_a_worker_of_another_host_is_watched(scenario: Scenario) -> None:
    hold(scenario.peer(host="elsewhere")).close()
    scenario.recover()
    assert scenario.peers == [OTHER]


@pytest.mark.parametrize("host", ["host", "elsewhere"])
def test_a_worker_whose_lease_is_not_renewed_is_lost(scenario: Scenario, host: str) -> None:
    with hold(scenario.peer(host=host)):
        began = now()
        wait_until(scenario.alone_after_a_round)
        assert now() - began >= LENGTH


class Unreachable(dict[str, int]):
    """Queue depths of a broker that does not respond."""

    requests = 0

    def get(self, *_: object) -> NoReturn:
        """Count the request, and fail."""
        self.requests += 1
        raise BrokerUnavailableError("no response")


def test_an_unavailable_broker_is_not_queried_in_every_round(scenario: Scenario) -> None:
    # The timeout may be long, and a cancel must not wait for it.
    published_run(scenario.database)
    age_wakeups(scenario.database, 60)
    scenario.depths = broker = Unreachable()
    with pytest.raises(BrokerUnavailableError):
        scenario.recover(1)
    scenario.recover(1)
    assert broker.requests == 1


def test_a_frozen_worker_that_lost_its_lease_can_be_found_dead_by_its_lock(
    scenario: Scenario,
) -> None:
    file = scenario.peer()
    with hold(file):
        wait_until(scenario.alone_after_a_round)
        scenario.peer()  # It thawed and started another lease.
        scenario.recover()
        assert scenario.peers == [OTHER]
    scenario.recover()
    assert scenario.peers == []


def test_the_lock_of_a_dead_worker_without_a_lease_is_removed(scenario: Scenario) -> None:
    old, young, held = (scenario.directory / f"{name}.lock" for name in ("old", "young", "held"))
    for file in (old, young):
        hold(file).close()
    with hold(held):
        for file in (old, held):
            os.utime(file, (0, 0))
        scenario.recover(20)
    assert [file.exists() for file in (old, young, held)] == [False, True, True]


def test_a_worker_that_renews_its_lease_is_left_alone(scenario: Scenario) -> None:
    scenario.peer(host="elsewhere")
    until = now() + 2 * LENGTH

    def is_over() -> bool:
        orm.renew(scenario.database, OTHER)
        scenario.recover()
        return now() > until

    wait_until(is_over)
    assert scenario.peers == [OTHER]


def test_the_runs_of_a_dead_worker_are_queued_again(scenario: Scenario) -> None:
    hold(scenario.peer()).close()
    runs = [
        claimed(scenario.database, published_run(scenario.database, number), worker=OTHER).run
        for number in (1, 2)
    ]
    scenario.recover()
    views = [view(scenario.database, run) for run in runs]
    assert {(run.status, run.crashes, run.losses) for run in views} == {("queued", 0, 1)}
    assert scenario.woken == 2
    [attempt] = orm.run(scenario.database, runs[0])[1]
    assert attempt.error == "the worker was killed, or its host restarted"


def test_leftover_processes_of_a_dead_worker_on_this_host_are_ended(
    scenario: Scenario, start: Start
) -> None:
    hold(scenario.peer()).close()
    leftover, own = start(**{WORKER_MARK: OTHER}), start(**{WORKER_MARK: WORKER})
    scenario.recover()
    assert not is_running(leftover)
    assert is_running(own)


def test_the_runs_of_a_worker_without_a_lease_are_queued_again(scenario: Scenario) -> None:
    run = claimed(scenario.database, published_run(scenario.database), worker=OTHER).run
    scenario.recover()
    _, [attempt] = orm.run(scenario.database, run)
    lost = view(scenario.database, run)
    assert (lost.status, lost.crashes, lost.losses) == ("queued", 0, 1)
    assert attempt.error == "the worker died or lost its lease"


def test_an_attempt_that_may_outlive_its_worker_is_left_alone(scenario: Scenario) -> None:
    run = claimed(scenario.database, published_run(scenario.database), worker=OTHER).run
    change(scenario.database, "UPDATE attempt SET handle = ?", (f"slurm:{run}.1",))
    scenario.recover()
    assert view(scenario.database, run).status == "running"


def test_old_notices_are_pruned(scenario: Scenario) -> None:
    old, new = (published_run(scenario.database, number) for number in (1, 2))
    for run in (old, new):
        orm.ask_to_cancel(scenario.database, run)
    change(scenario.database, "UPDATE outbox SET ended = ended - 700 WHERE run = ?", (old,))
    scenario.recover()
    assert [each.run for each in orm.recent(scenario.database, 0)] == [new]


def test_runs_of_a_worker_with_a_lease_are_left_alone(scenario: Scenario) -> None:
    with hold(scenario.peer()):
        run = claimed(scenario.database, published_run(scenario.database), worker=OTHER).run
        scenario.recover()
    assert view(scenario.database, run).status == "running"


def test_a_run_of_an_application_that_is_not_configured_crashes_three_times(
    scenario: Scenario,
) -> None:
    run = published_run(scenario.database)
    change(scenario.database, "UPDATE run SET crashes = 2, interrupted = ?", (time.time(),))
    claim = orm.claim(scenario.database, run, claimant(WORKER, pid=dead_pid()))
    assert claim is not None
    scenario.recover(1)
    assert (view(scenario.database, run).status, view(scenario.database, run).crashes) == (
        "failed",
        3,
    )


def test_runs_held_back_by_a_removed_limit_are_found(scenario: Scenario, start: Start) -> None:
    limited = app(concurrency=1)
    runs = accept_runs(scenario.database, limited, 1, 2)
    pid = start().pid
    claim = claim_next(scenario.database, limited, worker=WORKER)
    scenario.working.enter_context(scenario.roster.working_on(claim.run))
    change(scenario.database, "UPDATE attempt SET handle = ?", (local_handle(pid),))
    assert due(scenario.database, 10, limited) == []
    scenario.applications["app"] = app()
    scenario.recover(40)
    assert due(scenario.database) == runs[1:]


def test_lost_wakeups_are_found(scenario: Scenario) -> None:
    run = published_run(scenario.database)
    age_wakeups(scenario.database, 60)
    scenario.recover()
    assert due(scenario.database) == [run]


def test_recovery_continues_when_the_database_is_back(
    scenario: Scenario, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "pacifica.dispatcher")
    claim = scenario.claim(dead_pid())
    change(scenario.database, "ALTER TABLE attempt RENAME TO elsewhere")
    scenario.recovery.start()
    wait_until(lambda: "recovery.waiting" in caplog.text)
    change(scenario.database, "ALTER TABLE elsewhere RENAME TO attempt")
    wait_until(lambda: view(scenario.database, claim.run).status == "queued")
    scenario.recovery.stop()


def test_recovery_does_not_wait_for_its_next_look_to_stop(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(of_recovery, "_INTERVAL", 3600.0)
    with recorded() as records:
        scenario.recovery.start()
        scenario.recovery.stop()
    assert "thread.left" not in [each.name for each in records]
