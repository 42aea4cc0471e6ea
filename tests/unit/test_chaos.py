"""The chaos suite: its schedule, its proxies and its checks."""

import socket
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import product

import pytest

from chaos.check import guarantees
from chaos.clients import AcceptedEvent
from chaos.disturb import KINDS, possible
from chaos.disturbance import Disturbance
from chaos.journal import Execution
from chaos.lag import Lag
from chaos.observed import Observed
from chaos.recovery import pauses_of_others, recoveries
from chaos.schedule import deal, plan
from harness import Proxy, listens, wait_until
from harness.brokers import BROKERS
from harness.databases import DATABASES

PHASES = (["frozen", "cut", "killed"], ["stopped", "locked"])
LONG = {"frozen", "cut", "locked"}


def test_a_schedule_depends_on_the_seed_alone() -> None:
    schedule = plan(PHASES, LONG, 30, 9, seed=7)
    assert schedule == plan(PHASES, LONG, 30, 9, seed=7)
    assert schedule != plan(PHASES, LONG, 30, 9, seed=8)


@pytest.mark.parametrize("seconds", [1.0, 30.0, 600.0])
def test_a_schedule_has_each_kind_in_its_phase(seconds: float) -> None:
    kinds = [each.kind for each in plan(PHASES, LONG, seconds, 9, seed=7)]
    assert {*kinds[:3]} == {*PHASES[0]}
    assert {*kinds[3:5]} == {*PHASES[1]}


def test_a_phase_begins_when_the_long_kinds_of_the_previous_one_have_ended() -> None:
    first, second = plan(PHASES, LONG, 12, 9, seed=7)[:3], plan(PHASES, LONG, 12, 9, seed=7)[3:]
    ended = max(each.at + 9 for each in first if each.kind in LONG)
    assert min(each.at for each in second) >= ended > 9


def test_no_long_kind_is_repeated_at_the_end_of_a_schedule() -> None:
    schedule = plan(PHASES, LONG, 60, 9, seed=7)
    late = {each.kind for each in schedule[5:] if each.at + 9 >= 60}
    assert late
    assert not late & LONG


def test_each_kind_is_dealt_to_as_many_pairs_as_wanted() -> None:
    pairs = list(product(BROKERS, DATABASES))
    able = {(one, two): possible(BROKERS[one], DATABASES[two]) for one, two in pairs}
    hands = deal(able, 2, seed=7)
    assert hands == deal(able, 2, seed=7)
    assert all({*hands[pair]} <= {*able[pair]} for pair in pairs)
    assert Counter(kind for hand in hands.values() for kind in hand) == dict.fromkeys(KINDS, 2)
    sizes = [len(hand) for hand in hands.values()]
    assert max(sizes) - min(sizes) <= 1


def test_a_single_pair_gets_every_kind_that_can_be_caused() -> None:
    able = possible(BROKERS["redis"], DATABASES["sqlite"])
    assert deal({("redis", "sqlite"): able}, 2, seed=7).keys() == {("redis", "sqlite")}
    assert {*deal({("redis", "sqlite"): able}, 2, seed=7)["redis", "sqlite"]} == {*able}
    assert not {"rows locked", "database killed", "broker blocked"} & {*able}


def test_lag_is_the_time_beyond_that_of_the_fastest_process() -> None:
    lag = Lag([(10, 11), (12, 16), (20, 21)])
    assert lag.during(0, 30) == 3
    assert lag.during(14, 30) == 1.5
    assert lag.longest(8) == 3
    assert lag.busy_spans(8, 3) == 1
    assert Lag().during(0, 30) == Lag().longest(8) == Lag().busy_spans(8, 3) == 0


@pytest.fixture
def echo() -> Iterator[int]:
    """The port of a server that sends back what it gets."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    threading.Thread(target=send_back, args=(connection,), daemon=True).start()

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def send_back(connection: socket.socket) -> None:
    with connection, suppress(OSError):
        while data := connection.recv(100):
            connection.sendall(data)


def test_nothing_passes_a_cut_proxy_until_it_is_healed(echo: int) -> None:
    proxy = Proxy(echo)
    proxy.up()
    try:
        with socket.create_connection(("127.0.0.1", proxy.port), 5) as client:
            client.sendall(b"one")
            assert client.recv(100) == b"one"
            proxy.cut()
            client.sendall(b"two")
            client.settimeout(0.3)
            with pytest.raises(TimeoutError):
                client.recv(100)
            proxy.heal()
            client.settimeout(5)
            assert client.recv(100) == b"two"
    finally:
        proxy.down()


def test_a_proxy_refuses_connections_while_its_target_does() -> None:
    with socket.create_server(("127.0.0.1", 0)) as target:
        proxy = Proxy(target.getsockname()[1])
        proxy.up()
        connection, _ = target.accept()
    try:
        connection.close()
        wait_until(lambda: not listens(proxy.port))
        with socket.create_server(("127.0.0.1", proxy.target)):
            wait_until(lambda: listens(proxy.port))
    finally:
        proxy.down()


def execution(worker: str, start: float, end: float | None, run: str = "r") -> Execution:
    return Execution(run, 1, 1, "e", worker, 1, 1.0, start, 1, end or start, 1, end, None)


def observed(
    executions: Sequence[Execution],
    log: Sequence[Disturbance] = (),
    lost_leases: Mapping[str, int] | None = None,
    lag: Lag | None = None,
) -> Observed:
    return Observed(
        accepted=[],
        statuses={},
        executions={f"{each.run}{index}": [each] for index, each in enumerate(executions)},
        log=log,
        workers=["one", "two"],
        lost_leases=lost_leases or {},
        unexpected=[],
        leftovers=[],
        lag=lag or Lag(),
    )


def broken(found: Observed) -> set[str]:
    return {each.name for each in guarantees(found) if not each.kept}


def frozen(worker: str, at: float, until: float) -> Disturbance:
    kind = "worker frozen in transaction"
    return Disturbance(kind, at, worker[:3], worker, until=until, spares_others=True, suspends=True)


def test_an_attempt_killed_without_a_cause_is_a_breach() -> None:
    killed = execution("one.1", 10, None)
    assert broken(observed([killed])) == {"no healthy work is killed"}
    assert not broken(observed([killed], [frozen("one.1", 11, 12)]))
    assert broken(observed([killed], [frozen("two.1", 11, 11.5)]))


def test_a_second_lost_lease_is_a_breach() -> None:
    log = [frozen("one.1", 11, 12)]
    assert not broken(observed([], log, {"one.1": 1}))
    assert len(broken(observed([], log, {"one.1": 2}))) == 1
    assert len(broken(observed([], log, {"one.1": 1, "two.1": 1}))) == 1


def test_an_outage_may_cost_the_lease_of_a_worker_behind_a_proxy() -> None:
    outage = Disturbance("database killed", 11, "MariaDB", until=19, server="database")
    outage.cut_off, outage.suspends = ["one.1"], True
    assert not broken(observed([execution("one.1", 10, None)], [outage], {"one.1": 1}))
    assert broken(observed([execution("two.1", 10, None)], [outage], {"two.1": 1}))


def test_an_outage_right_after_a_lock_may_cost_a_lease() -> None:
    lock = Disturbance("database locked", 2, "MariaDB", until=12, server="database")
    for at, is_broken in ((11, False), (12.5, False), (16, True)):
        outage = Disturbance("database killed", at, "MariaDB", until=at + 1, server="database")
        found = observed([execution("one.1", 1, None)], [lock, outage], {"one.1": 1})
        assert bool(broken(found)) is is_broken
    assert broken(observed([], [lock], {"one.1": 1}))


def test_a_pool_process_need_not_be_replaced_by_a_frozen_worker() -> None:
    kill = Disturbance("pool process killed", 10, "one", "one.1", pid=1)
    first, again = execution("one.1", 9, None), execution("two.1", 22, 23)
    for log, cases in (([kill], 2), ([kill, frozen("one.1", 10.5, 21)], 0)):
        found = observed([], log)
        found.executions = {run: [replace(first, run=run), replace(again, run=run)] for run in "rs"}
        [recovery] = [each for each in recoveries(found) if each.name == kill.kind]
        assert len(recovery.cases) == cases


def test_others_that_start_nothing_for_longer_than_a_lease_are_a_breach() -> None:
    log = [frozen("one.1", 10, 21)]
    starts = [execution("two.1", at, at + 0.1) for at in (11, 12, 18.5)]
    [pause] = pauses_of_others(observed(starts, log))
    assert pause.seconds == 6.5
    assert not broken(observed(starts, log))
    assert broken(observed(starts[:2], log)) == {"the others continue within the lease"}


def test_a_machine_that_lagged_excuses_a_pause_and_a_lost_lease() -> None:
    log, starts = [frozen("one.1", 10, 21)], [execution("two.1", 11, 12)]
    lag = Lag([(9.9, 10), (12, 16)])
    assert "the others continue within the lease" in broken(observed(starts, log))
    assert not broken(observed(starts, log, lag=lag))
    assert broken(observed([], [], {"two.1": 1}))
    killed = [execution("two.1", 11, None)]
    assert not broken(observed(killed, [], {"two.1": 1}, lag))
    assert broken(observed(killed, [], lag=lag)) == {"no healthy work is killed"}


def recovered(seconds: float, wait: float) -> set[str]:
    """Kill two runs that start again after some time, while a new one waits; return breaches."""
    found = observed([], [Disturbance("worker killed", 10, "one", "one.1")])
    found.executions = {
        run: [execution("one.1", 9, None, run), execution("two.1", 10 + seconds, 99, run)]
        for run in ("r", "s")
    }
    found.executions |= {"new": [replace(execution("two.1", 11 + wait, 99), event="new")]}
    found.accepted = [AcceptedEvent("new", "plain", "uuid", 11)]
    return broken(found)


def test_a_slow_recovery_is_excused_only_if_new_runs_waited_too() -> None:
    slow = {"recovery is fast"}
    assert not slow & recovered(10, wait=0)
    assert slow <= recovered(30, wait=0)
    assert not slow & recovered(30, wait=20)


def test_a_pause_during_an_outage_does_not_count() -> None:
    outage = Disturbance("broker killed", 12, "Redis", until=14, server="broker")
    starts = [execution("two.1", at, at + 0.1) for at in (11, 20.5)]
    assert not broken(observed(starts, [frozen("one.1", 10, 21), outage]))
