"""The clock of a server: measured through a connection that takes its time, on a wrong host."""

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import pytest

from pacifica.dispatcher import orm
from pacifica.dispatcher.execution.capture import Piece
from pacifica.dispatcher.rest.parameters import Ago, event_filter
from tests.factories import accept_runs, app, change, claimed_run, due, registration, stored_output
from tests.unit.worker.factories import recorded

HOUR = 3600.0


@dataclass
class Bench:
    """A host and a server with clocks of their own, and the time that a question takes."""

    true: float = 1000.0
    host_ahead: float = 0.0
    round_trip: float = 0.0

    def clock(self) -> orm.Clock:
        return orm.Clock(lambda: self.true + self.host_ahead, lambda: self.true)

    def ask(self) -> float:
        self.true += self.round_trip
        return self.true - self.round_trip / 2


def test_a_clock_is_old_until_it_is_measured_and_after_a_while() -> None:
    bench = Bench()
    clock = bench.clock()
    assert (clock.is_old, clock.time()) == (True, None)
    clock.measure(bench.ask)
    assert (clock.is_old, clock.time()) == (False, 1000.0)
    bench.true += 6
    assert (clock.is_old, clock.time()) == (True, 1006.0)


def test_the_host_may_be_wrong_and_may_jump() -> None:
    bench = Bench(host_ahead=HOUR)
    clock = bench.clock()
    clock.measure(bench.ask)
    assert (clock.time(), clock.skew) == (bench.true, HOUR)
    bench.host_ahead = -2 * HOUR
    assert clock.time() == bench.true
    clock.measure(bench.ask)
    assert (clock.time(), clock.skew) == (bench.true, -2 * HOUR)


def test_a_difference_within_the_round_trip_changes_nothing() -> None:
    bench = Bench(round_trip=0.5)
    clock = bench.clock()
    clock.measure(bench.ask)
    clock.measure(lambda: bench.ask() + 0.2)
    assert clock.time() == bench.true


def test_the_server_may_be_corrected() -> None:
    bench = Bench(round_trip=0.01)
    clock = bench.clock()
    clock.measure(lambda: bench.ask() + HOUR)
    clock.measure(bench.ask)
    assert clock.time() == pytest.approx(bench.true)


def test_a_slow_measurement_does_not_replace_another() -> None:
    bench = Bench()
    clock = bench.clock()
    clock.measure(bench.ask)
    bench.round_trip = 4.0
    clock.measure(lambda: bench.ask() + 10)
    assert (clock.time(), clock.is_old) == (bench.true, False)


def test_a_large_skew_is_logged_once_and_so_is_its_end() -> None:
    bench = Bench(host_ahead=6.0)
    clock = bench.clock()
    with recorded() as records:
        for ahead in (6.0, 7.0, 4.0, 3.0):
            bench.host_ahead = ahead
            clock.measure(bench.ask)
    assert [(each.name, each.fields) for each in records] == [
        ("clock.skewed", {"seconds": 6.0}),
        ("clock.corrected", {"seconds": 4.0}),
    ]


@pytest.fixture
def server(server_url: str) -> Iterator[orm.Database]:
    """A database on a server, as a host sees it whose clock is right."""
    with closing(orm.Database(server_url)) as database:
        database.prepare(attempts=1, wait=0)
        yield database


@pytest.fixture
def fast(server_url: str) -> Iterator[orm.Database]:
    """The same database, as a host sees it whose clock is an hour ahead."""
    clock = orm.Clock(host=lambda: time.time() + HOUR)
    with closing(orm.Database(server_url, clock=clock)) as database:
        yield database


@pytest.mark.usefixtures("server")
def test_a_server_is_asked_for_its_time(fast: orm.Database) -> None:
    assert fast.now() == pytest.approx(time.time(), abs=60)
    assert fast.clock.skew == pytest.approx(HOUR, abs=60)


def test_what_a_fast_host_accepts_is_due_at_once(fast: orm.Database, server: orm.Database) -> None:
    runs = accept_runs(fast, app(), 1, 2)
    # Two measurements of one clock differ by a part of their round trips.
    change(server, "UPDATE run SET due = due - 60")
    assert due(server) == runs


def test_output_is_stamped_by_the_server(fast: orm.Database, server: orm.Database) -> None:
    claim = claimed_run(fast)
    written = time.time() + HOUR
    assert orm.save_output(fast, claim, [Piece("stdout", 0, written, b"x")], orm.Outcome())
    [piece] = stored_output(server, claim.run, 1)
    assert piece.written == pytest.approx(time.time(), abs=60)


@pytest.mark.usefixtures("server")
def test_a_relative_filter_counts_from_the_time_of_the_server(fast: orm.Database) -> None:
    found = event_filter(fast, {"since": Ago(60), "until": 5.0})
    assert found.since == pytest.approx(time.time() - 60, abs=60)
    assert found.until == 5.0


@pytest.mark.usefixtures("server")
def test_a_worker_shows_the_skew_of_its_host(fast: orm.Database) -> None:
    orm.register(fast, "worker", registration("host", "lock"))
    [worker] = orm.worker_views(fast)
    assert worker.skew == pytest.approx(HOUR, abs=60)
    assert orm.renew(fast, "worker")
    [worker] = orm.worker_views(fast)
    assert worker.renewed == pytest.approx(time.time(), abs=60)
