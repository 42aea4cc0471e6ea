"""Recovery: what is lost is brought back on evidence, and what goes on is left alone."""

import logging
import math
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import NoReturn

import pytest

from pacifica.dispatcher import orm
from pacifica.dispatcher.applications import Application
from pacifica.dispatcher.errors import BrokerUnavailableError
from pacifica.dispatcher.lease import WORKER_MARK, Lease, lock_file, marks
from pacifica.dispatcher.process import Life, hold, life_of, now
from pacifica.dispatcher.recovery import Recovery, Surroundings, Watch, recover_wakeups
from pacifica.dispatcher.workplace import Workplace
from tests.support import registration, wait_until
from tests.unit.conftest import (
    Start,
    accept_runs,
    accepted_runs,
    app,
    change,
    claim_next,
    claimed,
    claimed_run,
    due,
    make_event,
    published_run,
    view,
)

LENGTH = 0.9
"""Seconds of a lease in these tests."""

WORKER = orm.new_uuid()
OTHER = orm.new_uuid()


class Scene:
    """A worker's recovery, that takes a look when it is told to."""

    applications: dict[str, Application]

    def __init__(self, database: orm.Database, directory: Path) -> None:
        """Register the worker, which holds its lease."""
        self.database = database
        self.directory = directory
        self.applications = {}
        self.woken = 0
        self.depths: dict[str, int] = {}
        lease = Lease()
        lease.set(WORKER, math.inf)
        orm.register(database, WORKER, registration("host", "ours", LENGTH))
        self.recovery = Recovery(
            Surroundings(
                database=database,
                lease=lease,
                length=LENGTH,
                host="host",
                directory=directory,
                applications=self.applications,
                depth=lambda queue: self.depths.get(queue, 0),
                wake=self._wake,
            )
        )

    def _wake(self) -> None:
        self.woken += 1

    def look(self, times: int = 2) -> None:
        """Look at everything but limits."""
        for _ in range(times):
            self.recovery.look()

    def alone_after_a_look(self) -> bool:
        """Look; gives whether no other worker has a lease then."""
        self.look()
        return not self.peers

    def claim(self, pid: int, number: int = 1) -> orm.Claim:
        """The claim of a new run by a process of the worker."""
        run = published_run(self.database, number)
        claim = orm.claim(self.database, run, orm.Claimant(WORKER, "host", pid, {}))
        assert claim is not None
        return claim

    def peer(self, *, host: str = "host", length: float = LENGTH) -> Path:
        """Register another worker; gives the file that it would lock."""
        orm.register(self.database, OTHER, registration(host, "lock", length))
        return lock_file(self.directory, "lock")

    @property
    def peers(self) -> list[str]:
        """The workers that have a lease, but this one."""
        return [peer.uuid for peer in orm.peers(self.database) if peer.uuid != WORKER]


@pytest.fixture
def scene(database: orm.Database, tmp_path: Path) -> Scene:
    """A worker's recovery."""
    return Scene(database, tmp_path)


def dead_pid() -> int:
    """The number of a process that there was."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def lives(process: "subprocess.Popen[bytes]") -> bool:
    """Whether a process is not ended within a moment; it is continued for that."""
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
    """Let as much time pass as a lease lasts."""
    until = now() + LENGTH
    wait_until(lambda: now() > until)


def grow_old(database: orm.Database, seconds: float) -> None:
    """Let the wake-ups have been on their way for this long."""
    change(database, "UPDATE run SET published = published - ?", (seconds,))


def empty(_: str) -> int:
    return 0


def unexpected(_: str) -> int:
    raise AssertionError("nobody needs to ask the broker")


def test_an_old_wakeup_that_is_not_in_the_queue_is_lost(database: orm.Database) -> None:
    run = published_run(database)
    grow_old(database, 60)
    assert recover_wakeups(database, empty, 30) == 1
    assert due(database) == [run]


def test_of_many_wakeups_as_many_are_lost_as_are_not_in_the_queue(database: orm.Database) -> None:
    runs = [published_run(database, number) for number in range(5)]
    grow_old(database, 60)
    assert recover_wakeups(database, lambda _: 3, 30) == 2
    assert due(database) == runs[:2]


def test_a_wakeup_that_was_sent_again_is_not_lost_while_it_is_in_the_queue(
    database: orm.Database,
) -> None:
    for number in range(3):
        published_run(database, number)
    grow_old(database, 60)
    recover_wakeups(database, lambda _: 2, 30)
    due(database)
    assert recover_wakeups(database, lambda _: 3, 0) == 0


def test_a_queue_with_more_than_is_on_its_way_has_lost_nothing(database: orm.Database) -> None:
    published_run(database)
    grow_old(database, 60)
    assert recover_wakeups(database, lambda _: 5, 30) == 0


def test_an_old_wakeup_may_still_be_in_the_queue(database: orm.Database) -> None:
    published_run(database)
    grow_old(database, 60)
    assert recover_wakeups(database, lambda _: 1, 30) == 0
    assert due(database) == []


def test_only_old_wakeups_are_lost(database: orm.Database) -> None:
    old = published_run(database, 1)
    grow_old(database, 60)
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


def test_a_broker_that_does_not_say_recovers_nothing(database: orm.Database) -> None:
    def depth(_: str) -> int:
        raise BrokerUnavailableError("nobody answers")

    published_run(database)
    grow_old(database, 60)
    with pytest.raises(BrokerUnavailableError):
        recover_wakeups(database, depth, 30)
    assert due(database) == []


def test_wakeups_are_lost_in_the_queue_that_is_empty(database: orm.Database) -> None:
    [lost] = accept_runs(database, app(queue="empty"), 1)
    accept_runs(database, app(queue="full"), 2)
    due(database)
    grow_old(database, 60)
    assert recover_wakeups(database, {"empty": 0, "full": 1}.__getitem__, 30) == 1
    assert due(database) == [lost]


def test_only_queues_with_old_wakeups_are_asked_for(database: orm.Database) -> None:
    accept_runs(database, app(queue="old"), 1)
    due(database)
    grow_old(database, 60)
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


def test_a_stamp_that_goes_back_is_a_renewal_all_the_same() -> None:
    watch = Watch()
    for at in range(10):
        watch.expired([peer(renewed=2.0)], at)
    assert watch.expired([peer(renewed=1.0)], 10) == []


def test_each_lease_ends_after_a_length_of_its_own() -> None:
    watch = Watch()
    short, long = peer(uuid=orm.new_uuid(), length=6.0), peer(length=20.0)
    ended = {at: watch.expired([short, long], at) for at in range(0, 21, 2)}
    assert next(at for at in ended if short in ended[at]) == 6
    assert [at for at in ended if long in ended[at]] == [20]


def test_a_look_that_came_too_late_for_a_short_lease_counts_for_a_long_one() -> None:
    watch = Watch()
    short, long = peer(uuid=orm.new_uuid(), length=6.0), peer(length=20.0)
    ended = {at: watch.expired([short, long], at) for at in range(0, 25, 5)}
    assert ended == {0: [], 5: [], 10: [], 15: [], 20: [long]}


def test_time_in_which_nobody_looked_does_not_count() -> None:
    watch = Watch()
    for at in (0, 3, 6, 9, 13):
        assert watch.expired([peer()], at) == []
    assert watch.expired([peer()], 16) == []
    for at in (19, 22):
        assert watch.expired([peer()], at) == []
    assert watch.expired([peer()], 23) == [peer()]


def test_time_before_the_database_was_away_does_not_count() -> None:
    watch = Watch()
    for at in (0, 3, 6, 9):
        watch.expired([peer()], at)
    watch.forget()
    for at in (12, 15, 18, 21):
        assert watch.expired([peer()], at) == []
    assert watch.expired([peer()], 22) == [peer()]


def test_a_lease_that_was_away_for_a_look_begins_anew() -> None:
    watch = Watch()
    for at in (0, 3, 6):
        watch.expired([peer()], at)
    watch.expired([], 7)
    for at in (9, 12, 15, 18):
        assert watch.expired([peer()], at) == []


def test_a_run_whose_process_died_is_taken_up_again(scene: Scene) -> None:
    claim = scene.claim(dead_pid())
    scene.look(1)
    run, [attempt] = orm.run(scene.database, claim.run)
    assert (run.status, run.crashes) == ("queued", 1)
    assert attempt.error == "the process that ran it died"
    assert scene.woken == 1


def test_a_process_that_died_and_was_not_waited_for_is_dead(scene: Scene) -> None:
    with subprocess.Popen(["true"]) as process:
        claim = scene.claim(process.pid)
        wait_until(lambda: life_of(process.pid) is Life.GONE)
        scene.look(1)
    assert view(scene.database, claim.run).status == "queued"


def test_a_process_that_got_the_number_of_the_dead_one_is_another(scene: Scene) -> None:
    claim = scene.claim(1)  # it is no child of this process
    scene.look(1)
    assert view(scene.database, claim.run).status == "queued"


def test_a_run_whose_process_lives_is_left_alone(scene: Scene, start: Start) -> None:
    claim = scene.claim(start().pid)
    scene.look(4)
    assert view(scene.database, claim.run).status == "running"
    assert scene.woken == 0


def test_what_is_left_of_an_attempt_is_ended_before_another_begins(
    scene: Scene, start: Start
) -> None:
    claim = scene.claim(dead_pid())
    left = start(**marks(WORKER, claim.run, 1))
    other = start(**marks(WORKER, orm.new_uuid(), 1))
    scene.look(1)
    assert not lives(left)
    assert lives(other)


def test_a_run_of_an_application_that_may_not_crash_fails(scene: Scene) -> None:
    scene.applications["app"] = app(max_crashes=1)
    claim = scene.claim(dead_pid())
    scene.look(1)
    assert view(scene.database, claim.run).status == "failed"


def test_the_worker_is_told_which_run_is_to_be_cancelled(scene: Scene, start: Start) -> None:
    pid = start().pid
    places = []
    for number in (1, 2):
        claim = scene.claim(pid, number)
        places.append(Workplace.of(scene.directory, claim.run, claim.attempt))
        places[-1].make(make_event())
    orm.ask_to_cancel(scene.database, claim.run)
    scene.look(1)
    assert [place.cancel_asked() for place in places] == [False, True]


def test_a_run_is_asked_to_end_before_its_working_directory_is_made(
    scene: Scene, start: Start
) -> None:
    claim = scene.claim(start().pid)
    orm.ask_to_cancel(scene.database, claim.run)
    scene.look(1)
    place = Workplace.of(scene.directory, claim.run, claim.attempt)
    place.make(make_event())
    scene.look(1)
    assert place.cancel_asked()


def test_a_process_that_is_stopped_for_a_lease_is_killed(scene: Scene, start: Start) -> None:
    process = start()
    claim = scene.claim(process.pid)
    stop(process)
    scene.look(1)
    wait_a_lease()
    scene.look(1)
    assert process.wait(10) == -signal.SIGKILL
    scene.look(1)
    assert view(scene.database, claim.run).status == "queued"


def test_a_process_that_is_stopped_for_less_is_left_alone(scene: Scene, start: Start) -> None:
    process = start()
    claim = scene.claim(process.pid)
    stop(process)
    scene.look(2)
    assert lives(process)
    assert view(scene.database, claim.run).status == "running"


def test_a_process_that_is_stopped_again_has_the_whole_time_again(
    scene: Scene, start: Start
) -> None:
    process = start()
    scene.claim(process.pid)
    stop(process)
    scene.look(1)
    process.send_signal(signal.SIGCONT)
    wait_until(lambda: life_of(process.pid) is Life.ALIVE)
    scene.look(1)
    wait_a_lease()
    stop(process)
    scene.look(1)
    assert lives(process)


def test_a_process_that_is_stopped_in_a_later_run_has_the_whole_time_again(
    scene: Scene, start: Start
) -> None:
    process = start()
    claim = scene.claim(process.pid)
    stop(process)
    scene.look(1)
    process.send_signal(signal.SIGCONT)
    orm.succeed(scene.database, claim, orm.Outcome(), [])
    scene.look(1)
    wait_a_lease()
    scene.claim(process.pid, 2)
    stop(process)
    scene.look(1)
    assert lives(process)


def test_a_worker_of_this_machine_whose_lock_is_free_is_lost_at_once(scene: Scene) -> None:
    file = scene.peer()
    hold(file).close()
    scene.look()
    assert scene.peers == []
    assert not file.exists()


def test_a_worker_of_this_machine_that_holds_its_lock_is_alive(scene: Scene) -> None:
    with hold(scene.peer()):
        scene.look()
    assert scene.peers == [OTHER]


def test_a_worker_of_this_machine_without_a_lock_is_watched(scene: Scene) -> None:
    scene.peer()
    scene.look()
    assert scene.peers == [OTHER]


def test_a_worker_of_another_machine_is_watched(scene: Scene) -> None:
    hold(scene.peer(host="elsewhere")).close()
    scene.look()
    assert scene.peers == [OTHER]


@pytest.mark.parametrize("host", ["host", "elsewhere"])
def test_a_worker_whose_lease_is_not_renewed_is_lost(scene: Scene, host: str) -> None:
    with hold(scene.peer(host=host)):
        began = now()
        wait_until(scene.alone_after_a_look)
        assert now() - began >= LENGTH


class Unreachable(dict[str, int]):
    """The depths of a broker that does not answer."""

    asked = 0

    def get(self, *_: object) -> NoReturn:
        """Count, and do not answer."""
        self.asked += 1
        raise BrokerUnavailableError("nobody answers")


def test_a_broker_that_does_not_answer_is_not_asked_at_every_look(scene: Scene) -> None:
    """It may take long not to answer, and a cancel must not wait for that."""
    published_run(scene.database)
    grow_old(scene.database, 60)
    scene.depths = broker = Unreachable()
    with pytest.raises(BrokerUnavailableError):
        scene.look(1)
    scene.look(1)
    assert broker.asked == 1


def test_a_frozen_worker_that_lost_its_lease_is_found_dead_by_its_lock_later(scene: Scene) -> None:
    file = scene.peer()
    with hold(file):
        wait_until(scene.alone_after_a_look)
        scene.peer()  # it thawed, and began another lease
        scene.look()
        assert scene.peers == [OTHER]
    scene.look()
    assert scene.peers == []


def test_the_lock_of_a_dead_worker_without_a_lease_is_removed(scene: Scene) -> None:
    old, young, held = (scene.directory / f"{name}.lock" for name in ("old", "young", "held"))
    for file in (old, young):
        hold(file).close()
    with hold(held):
        for file in (old, held):
            os.utime(file, (0, 0))
        scene.look(20)
    assert [file.exists() for file in (old, young, held)] == [False, True, True]


def test_a_worker_that_renews_its_lease_is_left_alone(scene: Scene) -> None:
    scene.peer(host="elsewhere")
    until = now() + 2 * LENGTH

    def is_over() -> bool:
        orm.renew(scene.database, OTHER)
        scene.look()
        return now() > until

    wait_until(is_over)
    assert scene.peers == [OTHER]


def test_the_runs_of_a_worker_that_died_are_taken_up_again(scene: Scene) -> None:
    hold(scene.peer()).close()
    runs = [
        claimed(scene.database, published_run(scene.database, number), worker=OTHER).run
        for number in (1, 2)
    ]
    scene.look()
    assert {view(scene.database, run).status for run in runs} == {"queued"}
    assert scene.woken == 2


def test_what_a_dead_worker_left_on_this_machine_is_ended(scene: Scene, start: Start) -> None:
    hold(scene.peer()).close()
    left, ours = start(**{WORKER_MARK: OTHER}), start(**{WORKER_MARK: WORKER})
    scene.look()
    assert not lives(left)
    assert lives(ours)


def test_runs_of_a_worker_without_a_lease_are_taken_up_again(scene: Scene) -> None:
    run = claimed(scene.database, published_run(scene.database), worker=OTHER).run
    scene.look()
    _, [attempt] = orm.run(scene.database, run)
    assert view(scene.database, run).status == "queued"
    assert attempt.error == "its worker died, or lost its lease"


def test_runs_of_a_worker_with_a_lease_are_left_alone(scene: Scene) -> None:
    with hold(scene.peer()):
        run = claimed(scene.database, published_run(scene.database), worker=OTHER).run
        scene.look()
    assert view(scene.database, run).status == "running"


def test_a_run_of_an_application_that_is_not_configured_crashes_three_times(scene: Scene) -> None:
    run = published_run(scene.database)
    for _ in range(3):
        claimed(scene.database, run, worker=OTHER)
        scene.look()
        due(scene.database)
    assert (view(scene.database, run).status, view(scene.database, run).crashes) == ("failed", 3)


def test_limits_that_hold_nobody_back_any_more_are_found(scene: Scene, start: Start) -> None:
    limited = app(concurrency=1)
    runs = accept_runs(scene.database, limited, 1, 2)
    pid = start().pid
    claim_next(scene.database, limited, worker=WORKER)
    change(scene.database, "UPDATE attempt SET pid = ?", (pid,))
    assert due(scene.database, 10, limited) == []
    scene.applications["app"] = app()
    scene.look(40)
    assert due(scene.database) == runs[1:]


def test_lost_wakeups_are_looked_for(scene: Scene) -> None:
    run = published_run(scene.database)
    grow_old(scene.database, 60)
    scene.look()
    assert due(scene.database) == [run]


def test_it_goes_on_when_the_database_is_back(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "pacifica.dispatcher.recovery")
    claim = scene.claim(dead_pid())
    change(scene.database, "ALTER TABLE attempt RENAME TO elsewhere")
    scene.recovery.start()
    wait_until(lambda: "recovery waits" in caplog.text)
    change(scene.database, "ALTER TABLE elsewhere RENAME TO attempt")
    wait_until(lambda: view(scene.database, claim.run).status == "queued")
    scene.recovery.stop()


def test_it_stops_at_once(scene: Scene) -> None:
    scene.recovery.start()
    started = time.monotonic()
    scene.recovery.stop()
    assert time.monotonic() - started < 1
