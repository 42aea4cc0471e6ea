"""However workers, publishers and recovery interleave, the promises of docs/reliability.md hold.

Three looks at the same promises, on real databases and with the real functions of `orm`:

- hypothesis plays everybody, one step after the other, and a model knows what each step must do;
- threads do the same at once, and what they were told is compared afterwards;
- between any two statements of one transaction, all that another process could do then is done.

TEST_EXAMPLES=1000 looks longer, and at other examples each time.
"""

import os
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import astuple, dataclass, field, replace
from functools import partial
from threading import Lock
from typing import Any, NamedTuple, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from pacifica.dispatcher import orm
from pacifica.dispatcher.applications import Application, Rate, Retry
from pacifica.dispatcher.command import Argument
from pacifica.dispatcher.errors import ConflictError, DatabaseUnavailableError
from pacifica.dispatcher.events import Event
from pacifica.dispatcher.output import Piece
from pacifica.dispatcher.recovery import recover_wakeups
from tests.support import registration
from tests.unit.conftest import app, count, make_event

T = TypeVar("T")
Mapped = Mapping[str, Application]

WAITING = ("queued", "retrying")
FINAL = ("succeeded", "failed", "cancelled")
LATER = 1000.0
HOST = "host"
TABLES = ("output", "attempt", "run", "event", "worker", "pace")
EXAMPLES = int(os.environ.get("TEST_EXAMPLES", "0"))

databases = pytest.mark.parametrize("database_url", ["sqlite", "postgres"], indirect=True)


def by_name(*applications: Application) -> dict[str, Application]:
    """Applications as they are configured."""
    return {each.name: each for each in applications}


KEY = Argument.parse("{data.key}")
AS_BEGUN = by_name(
    app("plain", retry=Retry(1, delay=LATER), max_crashes=2),
    app("single", concurrency=1, max_crashes=2, priority=9),
    app("keyed", concurrency=1, concurrency_key=KEY, queue="other", retry=Retry(2, delay=LATER)),
    app("pair", concurrency=2, max_crashes=1, priority=1),
    app("paced", rate=Rate(1, 3600.0), concurrency=2),
)
CONFIGURATIONS = (
    AS_BEGUN,
    AS_BEGUN
    | by_name(
        replace(AS_BEGUN["plain"], concurrency=1),
        replace(AS_BEGUN["single"], concurrency=3),
        replace(AS_BEGUN["keyed"], concurrency_key=None, queue=""),
    ),
    AS_BEGUN
    | by_name(
        replace(AS_BEGUN["single"], concurrency=None, priority=0),
        replace(AS_BEGUN["pair"], concurrency=1, priority=5),
        replace(AS_BEGUN["keyed"], concurrency=2),
    ),
    {name: each for name, each in AS_BEGUN.items() if name not in {"pair", "keyed"}},
)


class Row(NamedTuple):
    """A run as it stands in the database."""

    uuid: str
    event: str
    application: str
    state: str
    attempt: int
    due: float | None
    published: float | None
    blocked: str | None
    queue: str
    priority: int
    slot: str
    worker: str | None
    crashes: int
    failures: int
    cancelling: float | None
    finished: float | None
    result: str | None
    error: str | None
    origin: str | None
    superseded: int

    @property
    def place(self) -> tuple[str, str]:
        """What it takes while it is on its way or runs."""
        return self.application, self.slot

    @property
    def takes_place(self) -> bool:
        """Whether it does so now."""
        return self.published is not None or self.worker is not None

    def is_ready(self, now: float) -> bool:
        """Whether nothing but room keeps it from being published."""
        return self.due is not None and self.due <= now and self.blocked is None


class Try(NamedTuple):
    """An attempt as it stands in the database."""

    run: str
    number: int
    worker: str
    pid: int
    finished: float | None


def read_runs(database: orm.Database) -> dict[str, Row]:
    """All runs, as of one moment."""
    with database.reading():
        found = database.fetch(f"SELECT {', '.join(Row._fields)} FROM run", ())  # noqa: S608
        return {row[0]: Row(*row) for row in found.fetchall()}


def read_attempts(database: orm.Database) -> dict[str, list[Try]]:
    """All attempts by their run, the first one first."""
    attempts: dict[str, list[Try]] = defaultdict(list)
    columns = ", ".join(Try._fields)
    with database.reading():
        found = database.fetch(f"SELECT {columns} FROM attempt ORDER BY run, number", ())  # noqa: S608
        for row in found.fetchall():
            attempts[row[0]].append(Try(*row))
    return attempts


def empty(database: orm.Database) -> None:
    """Forget everything."""
    with database.transaction(durable=False):
        for table in TABLES:
            database.execute(f"DELETE FROM {table}", ())  # noqa: S608


def pass_time(database: orm.Database) -> None:
    """Let more time pass than anything waits for."""
    with database.transaction(durable=False):
        database.execute("UPDATE run SET due = due - 100000 WHERE due IS NOT NULL", ())
        database.execute("UPDATE pace SET free_at = 0", ())


def concurrency_of(applications: Mapped, name: str) -> int | None:
    """How many runs of an application may go on at once."""
    application = applications.get(name)
    return None if application is None else application.concurrency


def held_back_by(row: Row) -> str:
    """The limit of how many runs of the same place go on at once."""
    return f"concurrency {row.application} {row.slot}".rstrip()


def check_form(row: Row) -> None:
    """A run is in exactly one of four forms."""
    marks = ("due", "published", "blocked", "worker", "cancelling", "finished")
    there = {mark for mark in marks if getattr(row, mark) is not None}
    if row.state in FINAL:
        assert there == {"finished"}, row
    elif row.state == "running":
        assert there - {"cancelling"} == {"worker"}, row
    else:
        assert row.state in WAITING, row
        assert there in ({"due"}, {"due", "blocked"}, {"published"}), row
    assert row.blocked in {None, f"rate {row.application}", held_back_by(row)}, row


def check_attempts(row: Row, attempts: Sequence[Try]) -> None:
    """Each attempt has its row, and none goes on but the last one of a run that runs."""
    assert [each.number for each in attempts] == list(range(1, row.attempt + 1)), row
    going_on = [each.number for each in attempts if each.finished is None]
    assert going_on == ([row.attempt] if row.state == "running" else []), row
    if row.state == "running":
        assert attempts[-1].worker == row.worker, row


def taken(rows: Iterable[Row]) -> Counter[tuple[str, str]]:
    """How many runs take each place."""
    return Counter(row.place for row in rows if row.takes_place)


def check_nobody_is_forgotten(rows: Iterable[Row], applications: Mapped) -> None:
    """No limit of how many go on at once holds a run back while it has room."""
    rows, now = list(rows), time.time()
    occupied = taken(rows)
    for row in rows:
        concurrency = concurrency_of(applications, row.application)
        if row.blocked == held_back_by(row) and concurrency is not None:
            coming = sum(
                each.place == row.place
                and each.due is not None
                and each.due <= now
                and each.blocked != row.blocked
                for each in rows
            )
            assert occupied[row.place] + coming >= concurrency, "it is held back for nothing"


def record(
    how: str, database: orm.Database, claim: orm.Claim, applications: Mapped, piece: Piece
) -> tuple[str, bool]:
    """Record the end of an attempt; gives the run's state that follows, and whether it happened."""
    now = time.time()
    if how == "failed":
        application = applications.get(claim.application)
        wait = None if application is None else application.retry.wait(claim.failures + 1, 1)
        how = "failed" if wait is None else "retrying"
    outcome = orm.Outcome(error="it went wrong")
    match how:
        case "succeeded":
            return how, orm.succeed(database, claim, orm.Outcome(0, result="1"), [piece])
        case "failed":
            return how, orm.fail(database, claim, outcome, [piece])
        case "retrying":
            return how, orm.retry_later(database, claim, outcome, [piece], now + LATER)
        case "cancelled":
            return how, orm.cancel(database, claim, outcome, [piece])
        case "put off":
            return "queued", orm.release(database, claim, outcome, [piece], now + LATER)
        case _:
            return "queued", orm.release(database, claim, outcome, [piece], now)


ENDS = ("failed", "released", "succeeded", "cancelled", "put off")


def settle(
    database: orm.Database,
    applications: Mapped,
    crash: Callable[[orm.Held], object],
    publish: Callable[[], list[orm.WakeUp]],
    finish: Callable[[str, str], object],
) -> None:
    """All wake-ups and all workers are lost; one healthy worker does the rest, in so many rounds.

    Args:
        database: where.
        applications: as they are configured.
        crash: gives up an attempt of a lost worker.
        publish: publishes all that may go.
        finish: runs what has a wake-up, in the name of a worker.
    """
    for peer in orm.peers(database):
        assert orm.take(database, peer)
    for worker in orm.lost(database):
        for held in orm.held(database, worker):
            crash(held)
    assert orm.lost(database) == []
    recover_wakeups(database, lambda _: 0, 0)
    orm.reconsider(database, applications)
    worker = orm.new_uuid()
    orm.register(database, worker, registration(HOST, "lock"))
    left = _left(database)
    while left:
        pass_time(database)
        for wakeup in publish():
            finish(wakeup.run, worker)
        before, left = left, _left(database)
        assert left < before, "nothing goes on"
    orm.leave(database, worker)


def _left(database: orm.Database) -> int:
    return sum(row.state not in FINAL for row in read_runs(database).values())


# One step after the other ------------------------------------------------------------------------


@dataclass
class Tale:
    """What must stand in the database of one run."""

    event: str
    application: str
    origin: str | None = None
    state: str = "queued"
    attempt: int = 0
    failures: int = 0
    crashes: int = 0
    worker: str | None = None
    published: bool = False
    cancelling: bool = False
    superseded: bool = False

    def leave(self, state: str) -> None:
        """An attempt is over."""
        self.worker = None
        self.state = "cancelled" if self.cancelling and state in WAITING else state
        self.failures += state in {"failed", "retrying"}
        self.cancelling = False


def told(row: Row) -> tuple[object, ...]:
    """What a tale tells, as it stands in the database."""
    return astuple(
        Tale(
            row.event,
            row.application,
            row.origin,
            row.state,
            row.attempt,
            row.failures,
            row.crashes,
            row.worker,
            row.published is not None,
            row.cancelling is not None,
            bool(row.superseded),
        )
    )


@dataclass
class Worker:
    """A worker: what it is, and whether the database still has its lease."""

    uuid: str
    condition: str = "up"
    leased: bool = True
    beats: int = 0


@dataclass
class Holder:
    """A pool process with a claim; it may go on believing in it when it is lost."""

    claim: orm.Claim
    worker: Worker
    pid: int
    alive: bool = True


choices = st.integers(0, 63)


def chosen(some: Sequence[T], choice: int) -> T:
    """One of some; the simplest choice is the last."""
    return some[-1 - choice % len(some)]


class Dispatcher(RuleBasedStateMachine):
    """Everybody who has to do with a run, and what must have become of it."""

    def __init__(self, database: orm.Database) -> None:
        """Begin with nothing."""
        super().__init__()
        empty(database)
        self.database = database
        self.applications: Mapped = AS_BEGUN
        self.reconsidered = set(AS_BEGUN)
        self.events: dict[str, tuple[str, Event]] = {}
        self.runs: dict[str, Tale] = {}
        self.rows: dict[str, Row] = {}
        self.attempts: dict[str, list[Try]] = {}
        self.touched: set[str] = set()
        self.batches: list[list[orm.WakeUp]] = []
        self.broker: list[orm.WakeUp] = []
        self.workers: list[Worker] = []
        self.holders: list[Holder] = []
        self.holding: dict[str, Holder] = {}
        self.looks: list[tuple[orm.Peer, Worker, int]] = []
        self.evidence: list[orm.Held] = []
        self.pieces = 0
        self.kept = 0
        self.starts = 0

    # Events

    @initialize(number=choices)
    def begin(self, number: int) -> None:
        self.register()
        self.accept([number % 8], set(AS_BEGUN))

    @rule(
        numbers=st.lists(st.integers(0, 7), min_size=1, max_size=3),
        names=st.sets(st.sampled_from(sorted(AS_BEGUN))),
    )
    def accept(self, numbers: list[int], names: set[str]) -> None:
        mine = [each for name, each in self.applications.items() if name in names]
        batch = [(make_event(number, data={"key": number % 2}), mine) for number in numbers]
        for (event, matched), accepted in zip(batch, orm.accept(self.database, batch), strict=True):
            assert accepted.duplicate == (event.id in self.events)
            if accepted.duplicate:
                assert accepted.uuid == self.events[event.id][0]
                continue
            self.events[event.id] = (accepted.uuid, event)
            runs = orm.event(self.database, accepted.uuid).runs
            assert [run.application for run in runs] == [each.name for each in matched]
            for run in runs:
                self.runs[run.uuid] = Tale(accepted.uuid, run.application)
                self.touched.add(run.uuid)

    @precondition(lambda self: self.events)
    @rule(
        choice=choices,
        names=st.sets(st.sampled_from(sorted(AS_BEGUN))),
        cancelled=st.booleans(),
    )
    def replay(self, choice: int, names: set[str], *, cancelled: bool) -> None:
        uuid, event = chosen(list(self.events.values()), choice)
        mine = [each for name, each in self.applications.items() if name in names]
        former = {
            run: tale
            for run, tale in self.runs.items()
            if tale.event == uuid and not tale.superseded
        }
        for run, tale in former.items():
            if cancelled and tale.state in WAITING:
                self._cancel(run)
        if not mine or any(tale.state not in FINAL for tale in former.values()):
            with pytest.raises(ConflictError):
                orm.replay(self.database, uuid, event, mine)
            return
        origins = {tale.application: run for run, tale in former.items()}
        runs = orm.replay(self.database, uuid, event, mine)
        for run, tale in former.items():
            tale.superseded = True
            with pytest.raises(ConflictError):
                orm.retry(self.database, run, self.applications)
        for run, each in zip(runs, mine, strict=True):
            self.runs[run] = Tale(uuid, each.name, origins.get(each.name))
        self.touched |= {*former, *runs}

    # Publishers

    @rule(window=st.sampled_from([256, 3, 1]), sent=st.sampled_from([True, True, False]))
    def publish(self, window: int, *, sent: bool) -> None:
        wakeups, more = orm.publish(self.database, window, self.applications)
        self._published(wakeups, window, more=more)
        if sent:
            self.broker += wakeups
        else:
            self.batches.append(wakeups)

    def _published(self, wakeups: list[orm.WakeUp], window: int, *, more: bool) -> None:
        for run, queue in wakeups:
            tale = self.runs[run]
            assert tale.state in WAITING
            assert not tale.published
            assert queue == self.rows[run].queue
            tale.published = True
            self.touched.add(run)
        now, rows = time.time(), read_runs(self.database)
        on_their_way = Counter(row.queue for row in rows.values() if row.published is not None)
        before = Counter(row.queue for row in self.rows.values() if row.published is not None)
        for queue, number in on_their_way.items():
            assert number <= max(window, before[queue])
        left = [row for row in rows.values() if row.is_ready(now)]
        assert more or not (left or any(row.blocked for row in rows.values()))
        for row in left:  # the window is full of what goes before it
            assert on_their_way[row.queue] >= window
            went = [self.rows[run] for run, queue in wakeups if queue == row.queue]
            # what a limit let go in this very moment had the time at which it was due, too
            assert all(_turn(each) <= _turn(row) for each in went)

    @precondition(lambda self: self.batches)
    @rule(choice=choices, refused_from=st.sampled_from([99, 0, 1]))
    def send(self, choice: int, refused_from: int) -> None:
        batch = chosen(self.batches, choice)
        self.batches.remove(batch)
        self.broker += batch[:refused_from]
        refused = [run for run, _ in batch[refused_from:]]
        self._unpublished(refused, orm.unpublish(self.database, refused))

    def _unpublished(self, runs: list[str], number: int) -> None:
        published = [run for run in runs if self.runs[run].published]
        assert number == len(published)
        for run in published:
            self.runs[run].published = False
        self.touched |= {*published}

    @precondition(lambda self: self.broker)
    @rule(choice=choices, also=st.sampled_from(["lost", "doubled", "given back", "purged"]))
    def mishandle(self, choice: int, also: str) -> None:
        message = chosen(self.broker, choice)
        if also == "doubled":
            self.broker.append(message)
        elif also == "purged":
            self.broker.clear()
        else:
            self.broker.remove(message)
            if also == "given back":  # a worker that is about to stop took it
                self._unpublished([message.run], orm.unpublish(self.database, [message.run]))

    @rule()
    def recover_wakeups(self) -> None:
        published = [row.queue for row in self.rows.values() if row.published is not None]
        missing = Counter(published) - Counter(message.queue for message in self.broker)
        number = recover_wakeups(self.database, self._depth, 0)
        assert number == missing.total()
        self._lost(number)

    def _depth(self, queue: str) -> int:
        return sum(message.queue == queue for message in self.broker)

    @rule(queue=st.sampled_from(["", "other"]), most=st.integers(1, 3))
    def republish_lost(self, queue: str, most: int) -> None:
        assert orm.republish_lost(self.database, queue, most, 0) == 0
        published = [
            row for row in self.rows.values() if row.queue == queue and row.published is not None
        ]
        number = orm.republish_lost(self.database, queue, most, time.time())
        assert number == min(most, len(published))
        self._lost(number)

    def _lost(self, number: int) -> None:
        after = read_runs(self.database)
        lost = [run for run in after if self.runs[run].published and not after[run].published]
        self._unpublished(lost, number)

    # Limits

    @rule(choice=st.integers(0, len(CONFIGURATIONS) - 1))
    def configure(self, choice: int) -> None:
        changed = {
            name
            for name in AS_BEGUN
            if self.applications.get(name) != CONFIGURATIONS[choice].get(name)
        }
        self.applications = CONFIGURATIONS[choice]
        self.reconsidered -= changed

    @rule()
    def reconsider(self) -> None:
        orm.reconsider(self.database, self.applications)
        blind = {each.claim.application for each in self.holding.values() if not each.claim.limited}
        self.reconsidered |= set(AS_BEGUN) - blind

    @rule()
    def pass_time(self) -> None:
        pass_time(self.database)
        self.starts = 0
        self.touched |= {*self.runs}

    # Workers

    @precondition(lambda self: sum(each.condition != "dead" for each in self.workers) < 4)
    @rule()
    def register(self) -> None:
        worker = Worker(orm.new_uuid())
        orm.register(self.database, worker.uuid, registration(HOST, "lock"))
        self.workers.append(worker)

    def _up(self) -> list[Worker]:
        return [each for each in self.workers if each.condition == "up"]

    @precondition(lambda self: self._up())
    @rule(choice=choices)
    def beat(self, choice: int) -> None:
        worker = chosen(self._up(), choice)
        assert orm.renew(self.database, worker.uuid) == worker.leased
        worker.beats += 1
        if not worker.leased:  # it begins another lease; what it ran is no longer its
            orm.leave(self.database, worker.uuid)
            worker.condition = "lost"
            self.register()

    @precondition(lambda self: self._up())
    @rule(choice=choices, what=st.sampled_from(["frozen", "dead", "left"]))
    def harm(self, choice: int, what: str) -> None:
        worker = chosen(self._up(), choice)
        worker.condition = "dead" if what == "left" else what
        if what == "left":
            orm.leave(self.database, worker.uuid)
            worker.leased = False

    @precondition(lambda self: any(each.condition == "frozen" for each in self.workers))
    @rule()
    def thaw(self) -> None:
        for worker in self.workers:
            if worker.condition == "frozen":
                worker.condition = "up"

    @rule()
    def look(self) -> None:
        leased = {each.uuid: each for each in self.workers if each.leased}
        peers = orm.peers(self.database)
        assert {peer.uuid for peer in peers} == leased.keys()
        by_age = sorted(peers, key=lambda peer: peer.uuid)
        self.looks += [(peer, leased[peer.uuid], leased[peer.uuid].beats) for peer in by_age]

    @precondition(lambda self: self.looks)
    @rule(choice=choices)
    def take(self, choice: int) -> None:
        peer, worker, beats = chosen(self.looks, choice)
        unchanged = worker.leased and worker.beats == beats
        assert orm.take(self.database, peer) == unchanged
        worker.leased = worker.leased and not unchanged

    # Attempts

    @rule(message=choices, worker=choices)
    def claim(self, message: int, worker: int) -> None:
        if not self.broker:
            self.publish(256, sent=True)
            self.every_run_is_as_it_must_be()
        if not self._up():
            self.register()
        if self.broker:
            wakeup = chosen(self.broker, message)
            self.broker.remove(wakeup)
            self._claim(wakeup.run, chosen(self._up(), worker))

    @rule(message=choices, worker=choices)
    def claim_too(self, message: int, worker: int) -> None:
        self.claim(message, worker)

    def _claim(self, run: str, worker: Worker) -> Holder | None:
        tale, pid = self.runs[run], len(self.holders)
        claimant = orm.Claimant(worker.uuid, HOST, pid, self.applications)
        claim = orm.claim(self.database, run, claimant)
        assert (claim is not None) == tale.published
        if claim is None:
            return None
        assert run not in self.holding, "two attempts of one run overlap"
        tale.attempt += 1
        tale.state, tale.published, tale.worker = "running", False, worker.uuid
        limited = concurrency_of(self.applications, tale.application) is not None
        assert (claim.attempt, claim.application, claim.limited, claim.failures) == (
            *(tale.attempt, tale.application, limited, tale.failures),
        )
        self.starts += tale.application == "paced"
        self.holding[run] = Holder(claim, worker, pid)
        self.holders.append(self.holding[run])
        self.touched.add(run)
        return self.holding[run]

    def _able(self) -> list[Holder]:
        """Those who can act, whether what they hold is still theirs or not."""
        return [each for each in self.holders if each.alive and each.worker.condition in ABLE]

    @rule(choice=choices, how=st.sampled_from(ENDS), cancelled=st.booleans())
    def end(self, choice: int, how: str, *, cancelled: bool) -> None:
        able = [each for each in self._able() if self._is_live(each)]
        if able:
            holder = chosen(able, choice)
            if cancelled:
                self._cancel(holder.claim.run)
            self._end(holder, how)
        else:
            self.claim(choice, choice)

    @precondition(lambda self: self._able())
    @rule(choice=choices, how=st.sampled_from(ENDS))
    def end_again(self, choice: int, how: str) -> None:
        holder = chosen(self._able(), choice)
        self._end(holder, how)
        self.every_run_is_as_it_must_be()
        self._end(holder, how)

    @precondition(lambda self: self.holding)
    @rule(choice=choices, how=st.sampled_from(ENDS), late=st.booleans())
    def take_over(self, choice: int, how: str, *, late: bool) -> None:
        """A worker loses its lease, others take up what it ran, and it does not know."""
        former = chosen(list(self.holding.values()), choice)
        run = former.claim.run
        self.look()
        for look in range(len(self.workers)):
            self.take(look)
        self.find_lost_attempts()
        evidence = [each for each in self.evidence if each.run == run]
        for held in evidence:
            self._crash(held)
        self.every_run_is_as_it_must_be()
        self.register()
        self.publish(256, sent=True)
        self.every_run_is_as_it_must_be()
        if late:
            self._end(former, how)
        later = self._claim(run, self.workers[-1])
        self.every_run_is_as_it_must_be()
        for held in evidence:
            self._crash(held)
        if former.alive:
            self._end(former, how)
        self.every_run_is_as_it_must_be()
        if later is not None:
            self._end(later, how)

    def _is_live(self, holder: Holder) -> bool:
        return self.holding.get(holder.claim.run) is holder

    def _piece(self) -> Piece:
        self.pieces += 1
        return Piece("stdout", self.pieces, 1.0, b"said")

    def _end(self, holder: Holder, how: str) -> None:
        claim, live = holder.claim, self._is_live(holder)
        state, done = record(how, self.database, claim, self.applications, self._piece())
        assert done == live
        if live:
            self.kept += 1
            self.runs[claim.run].leave(state)
            del self.holding[claim.run]
            self.touched.add(claim.run)

    @precondition(lambda self: self._able())
    @rule(choice=choices)
    def save_output(self, choice: int) -> None:
        holder = chosen(self._able(), choice)
        live = self._is_live(holder)
        assert orm.save_output(self.database, holder.claim, [self._piece()], orm.Notes()) == live
        self.kept += live

    # Recovery

    @precondition(lambda self: self._able())
    @rule(choice=choices)
    def kill_process(self, choice: int) -> None:
        holder = chosen(self._able(), choice)
        holder.alive = False
        if holder.worker.condition == "up":
            held = orm.held(self.database, holder.worker.uuid)
            assert {(each.run, each.attempt, each.pid, each.cancelling) for each in held} == {
                (run, each.claim.attempt, each.pid, self.runs[run].cancelling)
                for run, each in self.holding.items()
                if each.worker is holder.worker
            }
            self.evidence += [each for each in held if each.pid == holder.pid]

    @rule()
    def find_lost_attempts(self) -> None:
        lost = {each.worker.uuid for each in self.holding.values() if not each.worker.leased}
        found = orm.lost(self.database)
        assert sorted(found) == sorted(lost)
        for worker in sorted(found):
            held = orm.held(self.database, worker)
            self.evidence += sorted(held, key=lambda each: each.run)

    @precondition(lambda self: self.evidence)
    @rule(choice=choices)
    def crash(self, choice: int) -> None:
        self._crash(chosen(self.evidence, choice))

    def _crash(self, held: orm.Held) -> None:
        tale, holder = self.runs[held.run], self.holding.get(held.run)
        live = holder is not None and holder.claim.attempt == held.attempt
        application = self.applications.get(held.application)
        most = 3 if application is None else application.max_crashes
        cancelling = tale.cancelling
        state = orm.crash(self.database, held, "it died", most)
        if not live:
            assert state is None
            return
        del self.holding[held.run]
        tale.crashes += 1
        tale.leave("queued")
        if not cancelling and tale.crashes >= most:
            tale.state = "failed"
        assert state == tale.state
        self.touched.add(held.run)

    # People

    @precondition(lambda self: self.runs)
    @rule(choice=choices, held_back=st.booleans())
    def ask_to_cancel(self, choice: int, *, held_back: bool) -> None:
        blocked = [run for run in self.runs if self.rows[run].blocked]
        self._cancel(chosen((held_back and blocked) or list(self.runs), choice))

    def _cancel(self, run: str) -> None:
        tale = self.runs[run]
        if tale.state in FINAL:
            with pytest.raises(ConflictError):
                orm.ask_to_cancel(self.database, run)
            return
        if tale.state == "running":
            tale.cancelling = True
        else:
            tale.state, tale.published = "cancelled", False
        assert orm.ask_to_cancel(self.database, run) == tale.state
        self.touched.add(run)

    @precondition(lambda self: self.runs)
    @rule(choice=choices, failed=st.booleans())
    def retry(self, choice: int, *, failed: bool) -> None:
        if failed:
            self.end(choice, "failed", cancelled=False)
            self.every_run_is_as_it_must_be()
        some = [run for run, tale in self.runs.items() if tale.state == "failed"]
        run = chosen((failed and some) or list(self.runs), choice)
        tale = self.runs[run]
        if (
            tale.state not in {"failed", "cancelled"}
            or tale.superseded
            or tale.application not in self.applications
        ):
            with pytest.raises(ConflictError):
                orm.retry(self.database, run, self.applications)
            return
        orm.retry(self.database, run, self.applications)
        tale.state, tale.failures, tale.crashes = "queued", 0, 0
        self.touched.add(run)

    # Promises

    @invariant()
    def every_run_is_as_it_must_be(self) -> None:
        before, self.rows = self.rows, read_runs(self.database)
        attempted, self.attempts = self.attempts, read_attempts(self.database)
        assert self.rows.keys() == self.runs.keys()
        for run, row in self.rows.items():
            check_form(row)
            check_attempts(row, self.attempts.get(run, []))
            assert told(row) == astuple(self.runs[run])
            over = [each for each in attempted.get(run, []) if each.finished is not None]
            assert self.attempts.get(run, [])[: len(over)] == over
            if run not in self.touched:
                assert row._replace(blocked=None) == before[run]._replace(blocked=None)
                assert self.attempts.get(run) == attempted.get(run)
        self.touched = set()
        was_taken = taken(before.values())
        for place, number in taken(self.rows.values()).items():
            concurrency = concurrency_of(self.applications, place[0])
            assert concurrency is None or number <= max(concurrency, was_taken[place])
        woken = [row for row in self.rows.values() if row.published is not None]
        assert self.starts + sum(row.application == "paced" for row in woken) <= 1
        check_nobody_is_forgotten(
            (row for row in self.rows.values() if row.application in self.reconsidered),
            self.applications,
        )

    def teardown(self) -> None:
        """Nothing is lost: one healthy worker can finish whatever state this is."""
        self.broker.clear()
        settle(self.database, self.applications, self._crash, self._publish_all, self._finish)
        assert not self.holding
        assert {row.state for row in read_runs(self.database).values()} <= {*FINAL}
        self.runs_of_events_are_all_there()
        assert count(self.database, "output") == self.kept

    @invariant()
    def runs_of_events_are_all_there(self) -> None:
        assert count(self.database, "event") == len(self.events)

    def _publish_all(self) -> list[orm.WakeUp]:
        for tale in self.runs.values():  # all wake-ups were lost
            tale.published = False
        self.starts = 0
        wakeups, _ = orm.publish(self.database, 256, self.applications)
        for wakeup in wakeups:
            self.runs[wakeup.run].published = True
        return wakeups

    def _finish(self, run: str, worker: str) -> None:
        holder = self._claim(run, Worker(worker))
        assert holder is not None
        self._end(holder, "succeeded")


ABLE = ("up", "lost")


def _turn(row: Row) -> tuple[int, float, str]:
    """The order in which runs of one queue go."""
    assert row.due is not None
    return -row.priority, row.due, row.uuid


@databases
def test_no_interleaving_breaks_a_promise(database_url: str) -> None:
    database = orm.Database(database_url)
    database.prepare(attempts=1, wait=0)

    class Here(Dispatcher):
        def __init__(self) -> None:
            super().__init__(database)

    run_state_machine_as_test(
        Here,
        settings=settings(
            max_examples=EXAMPLES or (50 if database.is_server else 120),
            stateful_step_count=50,
            derandomize=not EXAMPLES,
            database=None,
            deadline=None,
            print_blob=False,
            suppress_health_check=list(HealthCheck),
        ),
    )
    database.close()


# All at once -------------------------------------------------------------------------------------

SECONDS = 2.5
THREADS = 5
EVENTS = 60


class Act(NamedTuple):
    """What somebody did to a run, and between which times."""

    kind: str
    run: str
    attempt: int
    began: float
    ended: float


@dataclass
class Hall:
    """What those who act at once share: the broker, what they hold and know, what they did."""

    applications: Mapped
    lock: Lock = field(default_factory=Lock)
    broker: list[orm.WakeUp] = field(default_factory=list)
    workers: list[str] = field(default_factory=list)
    claims: list[orm.Claim] = field(default_factory=list)
    looks: list[orm.Peer] = field(default_factory=list)
    evidence: list[orm.Held] = field(default_factory=list)
    events: dict[str, tuple[str, Event, set[str]]] = field(default_factory=dict)
    acts: list[Act] = field(default_factory=list)


class Somebody:
    """A thread that does anything, at random."""

    def __init__(self, hall: Hall, database: orm.Database, seed: int) -> None:
        """Be somebody whose choices the seed decides."""
        self._hall = hall
        self._database = database
        self._random = random.Random(seed)  # noqa: S311 - no secret
        self._pieces = seed * 1_000_000

    def act(self, until: float) -> None:
        """Go on until a time, on the monotonic clock."""
        deeds: dict[Callable[[], None], int] = {
            self.accept: 4,
            self.publish: 12,
            self.claim: 30,
            self.end: 24,
            self.recover_wakeups: 2,
            self.mishandle: 4,
            self.take: 1,
            self.look: 1,
            self.beat: 3,
            self.find_lost_attempts: 3,
            self.crash: 6,
            self.ask_to_cancel: 5,
            self.retry: 5,
            self.replay: 2,
            self.check: 2,
        }
        try:
            while time.monotonic() < until:
                [deed] = self._random.choices([*deeds], [*deeds.values()])
                deed()
        finally:
            self._database.close()

    def _one(self, some: Sequence[T]) -> T | None:
        with self._hall.lock:
            return self._random.choice(some[-20:]) if some else None

    def _note(self, kind: str, run: str, attempt: int, began: float) -> None:
        with self._hall.lock:
            self._hall.acts.append(Act(kind, run, attempt, began, time.perf_counter()))

    def accept(self) -> None:
        number = self._random.randrange(EVENTS)
        event = make_event(number, data={"key": number % 2})
        mine = [each for each in self._hall.applications.values() if self._random.random() < 0.5]
        [accepted] = orm.accept(self._database, [(event, mine)])
        with self._hall.lock:
            names = {each.name for each in mine}
            if not accepted.duplicate:
                assert event.id not in self._hall.events
                self._hall.events[event.id] = (accepted.uuid, event, names)

    def publish(self) -> None:
        window = self._random.choice([256, 256, 2])
        wakeups, _ = orm.publish(self._database, window, self._hall.applications)
        fate = self._random.random()
        if fate < 0.1:
            orm.unpublish(self._database, [run for run, _ in wakeups])
        elif fate < 0.9:
            with self._hall.lock:
                self._hall.broker += wakeups

    def mishandle(self) -> None:
        with self._hall.lock:
            if not self._hall.broker:
                return
            message = self._random.choice(self._hall.broker)
            if self._random.random() < 0.5:
                self._hall.broker.append(message)
                return
            self._hall.broker.remove(message)
        if self._random.random() < 0.5:
            orm.unpublish(self._database, [message.run])

    def recover_wakeups(self) -> None:
        recover_wakeups(self._database, self._depth, 0)

    def _depth(self, queue: str) -> int:
        with self._hall.lock:
            return sum(message.queue == queue for message in self._hall.broker)

    def claim(self) -> None:
        with self._hall.lock:
            if not (self._hall.broker and self._hall.workers):
                return
            message = self._hall.broker.pop(self._random.randrange(len(self._hall.broker)))
            worker = self._random.choice(self._hall.workers)
        self.claim_for(message.run, worker)

    def claim_for(self, run: str, worker: str) -> orm.Claim | None:
        """Claim in the name of a worker."""
        began = time.perf_counter()
        claimant = orm.Claimant(worker, HOST, 1, self._hall.applications)
        claim = orm.claim(self._database, run, claimant)
        if claim is not None:
            self._note("claim", run, claim.attempt, began)
            with self._hall.lock:
                self._hall.claims.append(claim)
        return claim

    def end(self) -> None:
        claim = self._one(self._hall.claims)
        if claim is not None:
            self.end_as(claim, self._random.choice(ENDS))

    def end_as(self, claim: orm.Claim, how: str) -> bool:
        """Record an end."""
        self._pieces += 1
        began = time.perf_counter()
        piece = Piece("stdout", self._pieces, 1.0, b"said")
        state, done = record(how, self._database, claim, self._hall.applications, piece)
        if done:
            self._note(state, claim.run, claim.attempt, began)
        return done

    def beat(self) -> None:
        worker = self._one(self._hall.workers)
        if worker is None or not orm.renew(self._database, worker):
            another = orm.new_uuid()
            orm.register(self._database, another, registration(HOST, "lock"))
            with self._hall.lock:
                self._hall.workers = [*self._hall.workers[-4:], another]

    def look(self) -> None:
        peers = orm.peers(self._database)
        with self._hall.lock:
            self._hall.looks += peers

    def take(self) -> None:
        peer = self._one(self._hall.looks)
        if peer is not None:
            orm.take(self._database, peer)

    def find_lost_attempts(self) -> None:
        for worker in orm.lost(self._database):
            held = orm.held(self._database, worker)
            with self._hall.lock:
                self._hall.evidence += held

    def crash(self) -> None:
        held = self._one(self._hall.evidence)
        if held is not None:
            self.crash_it(held)

    def crash_it(self, held: orm.Held) -> None:
        """Give up an attempt."""
        began = time.perf_counter()
        most = self._hall.applications[held.application].max_crashes
        state = orm.crash(self._database, held, "it died", most)
        if state is not None:
            kind = "crashed" if state == "queued" else f"crashed and {state}"
            self._note(kind, held.run, held.attempt, began)

    def ask_to_cancel(self) -> None:
        claim, began = self._one(self._hall.claims), time.perf_counter()
        if claim is not None:
            try:
                state = orm.ask_to_cancel(self._database, claim.run)
                self._note("cancelled" if state == "cancelled" else "asked", claim.run, 0, began)
            except ConflictError:
                self._note("not to be cancelled", claim.run, 0, began)

    def retry(self) -> None:
        claim, began = self._one(self._hall.claims), time.perf_counter()
        if claim is not None:
            with suppress(ConflictError):
                orm.retry(self._database, claim.run, self._hall.applications)
                self._note("retried", claim.run, 0, began)

    def replay(self) -> None:
        with self._hall.lock:
            if not self._hall.events:
                return
            uuid, event, names = self._random.choice([*self._hall.events.values()])
        mine = [each for name, each in self._hall.applications.items() if name in names]
        with suppress(ConflictError):
            orm.replay(self._database, uuid, event, mine)

    def check(self) -> None:
        rows = read_runs(self._database).values()
        for row in rows:
            check_form(row)
        for place, number in taken(rows).items():
            concurrency = concurrency_of(self._hall.applications, place[0])
            assert concurrency is None or number <= concurrency


def check_acts(acts: Sequence[Act], attempts: Mapping[str, Sequence[Try]]) -> None:
    """Each attempt was claimed once and ended once, before the next one was claimed."""
    claims = {(act.run, act.attempt): act for act in acts if act.kind == "claim"}
    ended = [act for act in acts if act.attempt and act.kind != "claim"]
    ends = {(act.run, act.attempt): act for act in ended}
    assert len(claims) == sum(act.kind == "claim" for act in acts), "claimed twice"
    assert len(ends) == len(ended), "ended twice"
    assert claims.keys() == {(run, each.number) for run in attempts for each in attempts[run]}
    assert claims.keys() == ends.keys()
    for (run, attempt), claim in claims.items():
        assert claim.began <= ends[run, attempt].ended
        if attempt > 1:
            assert ends[run, attempt - 1].began <= claim.ended, "two attempts of one run overlap"


def check_conflicts(acts: Sequence[Act]) -> None:
    """Who was told that a run has ended, and cannot be cancelled, was told the truth."""
    of_run: dict[str, list[Act]] = defaultdict(list)
    for act in acts:
        of_run[act.run].append(act)
    for some in of_run.values():
        asked = any(act.kind == "asked" for act in some)
        final = [
            act
            for act in some
            if act.kind.endswith(FINAL) or (asked and act.kind in {"queued", "retrying"})
        ]
        retried = [act for act in some if act.kind == "retried"]
        for refused in (act for act in some if act.kind == "not to be cancelled"):
            assert any(
                end.began <= refused.ended
                and not any(end.ended <= r.began and r.ended <= refused.began for r in retried)
                for end in final
            ), "a run that had not ended could not be cancelled"


def check_counters(acts: Sequence[Act], rows: Iterable[Row]) -> None:
    """A run that nobody retried counts its failures and its crashes."""
    counted = Counter((act.run, act.kind) for act in acts if act.attempt)
    retried = {act.run for act in acts if act.kind == "retried"}
    for row in rows:
        if row.uuid not in retried:
            failures = counted[row.uuid, "failed"] + counted[row.uuid, "retrying"]
            assert row.failures == failures, row
            assert row.crashes == sum(
                number
                for (run, kind), number in counted.items()
                if run == row.uuid and kind.startswith("crashed")
            ), row


@databases
def test_all_at_once_break_no_promise(database_url: str) -> None:
    database = orm.Database(database_url)
    database.prepare(attempts=1, wait=0)
    hall = Hall({name: each for name, each in AS_BEGUN.items() if name != "paced"})
    somebodies = [
        Somebody(hall, orm.Database(database_url, connections=2), seed)
        for seed in range(1, THREADS + 1)
    ]
    until = time.monotonic() + SECONDS
    with ThreadPoolExecutor(THREADS) as pool:
        futures = [pool.submit(each.act, until) for each in somebodies]
    for future in futures:
        future.result()
    check_nobody_is_forgotten(read_runs(database).values(), hall.applications)
    last = Somebody(hall, database, 0)

    def finish(run: str, worker: str) -> None:
        claim = last.claim_for(run, worker)
        assert claim is not None
        assert last.end_as(claim, "succeeded")

    settle(
        database,
        hall.applications,
        last.crash_it,
        lambda: orm.publish(database, 256, hall.applications)[0],
        finish,
    )
    rows, attempts = read_runs(database), read_attempts(database)
    for uuid, _, names in hall.events.values():
        standing = [row for row in rows.values() if row.event == uuid and not row.superseded]
        assert sorted(row.application for row in standing) == sorted(names)
    for run, row in rows.items():
        check_form(row)
        assert row.state in FINAL
        check_attempts(row, attempts.get(run, []))
    check_acts(hall.acts, attempts)
    check_counters(hall.acts, rows.values())
    check_conflicts(hall.acts)
    database.close()


# Between any two statements ----------------------------------------------------------------------


class Scene:
    """Three runs of one application: one runs, one is on its way, one waits."""

    def __init__(self, database: orm.Database, application: Application) -> None:
        """Set the scene; where only one may go, none runs."""
        empty(database)
        self.applications = by_name(application)
        self.claim: orm.Claim | None = None
        numbers = range(3 if application.rate is None else 2)
        batch = [(make_event(number), [application]) for number in numbers]
        events = [orm.event(database, each.uuid) for each in orm.accept(database, batch)]
        *_, self.waiting = runs = [event.runs[0].uuid for event in events]
        if application.rate is None:
            [running] = self._publish(database, 1)
            assert running == runs[0]
            self.claim = orm.claim(database, running, self.claimant)
        [self.published] = self._publish(database, 1)

    @property
    def claimant(self) -> orm.Claimant:
        """A worker."""
        return orm.Claimant("worker", HOST, 1, self.applications)

    @property
    def asked(self) -> str:
        """The run that is told to end."""
        return self.published if self.claim is None else self.claim.run

    def _publish(self, database: orm.Database, window: int) -> list[str]:
        return [each.run for each in orm.publish(database, window, self.applications)[0]]

    def does(self, deed: str, database: orm.Database) -> None:
        """Do something that anybody could do now."""
        deeds: dict[str, Callable[[], object]] = {
            "publish": lambda: self._publish(database, 256),
            "reconsider": lambda: orm.reconsider(database, self.applications),
            "claim": lambda: orm.claim(database, self.published, self.claimant),
            "unpublish": lambda: orm.unpublish(database, [self.published]),
            "republish": lambda: orm.republish_lost(database, "", 1, time.time()),
            "cancel": lambda: self._cancel(database, self.asked),
            "cancel published": lambda: self._cancel(database, self.published),
            "cancel waiting": lambda: self._cancel(database, self.waiting),
            "crash": lambda: [
                orm.crash(database, held, "it died", 2) for held in orm.held(database, "worker")
            ],
        }
        if deed in deeds:
            deeds[deed]()
        elif self.claim is not None:
            piece = Piece("stdout", 1, 1.0, b"said")
            record(deed, database, self.claim, self.applications, piece)

    @staticmethod
    def _cancel(database: orm.Database, run: str) -> None:
        refusal: str | None = None
        try:
            orm.ask_to_cancel(database, run)
        except ConflictError as exc:
            refusal = str(exc)
        state = orm.run(database, run)[0].status
        assert refusal is None or state in FINAL, f"{refusal}; but it is {state}"

    def check(self, database: orm.Database) -> None:
        """The limits hold, nobody is forgotten, and every run is in one form."""
        rows, attempts = read_runs(database), read_attempts(database)
        for run, row in rows.items():
            check_form(row)
            check_attempts(row, attempts.get(run, []))
        for (name, _), number in taken(rows.values()).items():
            concurrency = concurrency_of(self.applications, name)
            assert concurrency is None or number <= concurrency, "more go on than may"
            if self.applications[name].rate is not None:
                woken = sum(row.published is not None for row in rows.values())
                starts = sum(len(each) for each in attempts.values())
                assert woken + starts <= 1, "more start than may"
        check_nobody_is_forgotten(rows.values(), self.applications)


class Interruption:
    """Does something just before one of a database's statements."""

    def __init__(self, database: orm.Database, monkeypatch: pytest.MonkeyPatch) -> None:
        """Listen to the statements; nothing is done yet."""
        self._execute = database.peewee.execute_sql
        self._left = 0
        self._deed: Callable[[], None] | None = None
        monkeypatch.setattr(database.peewee, "execute_sql", self._interrupted)

    def before(self, number: int, deed: Callable[[], None]) -> None:
        """Do this before the statement of this number, from now on."""
        self._left, self._deed = number, deed

    def happened(self) -> bool:
        """Whether there were so many statements."""
        happened, self._deed = self._deed is None, None
        return happened

    def _interrupted(self, *arguments: object) -> Any:  # noqa: ANN401 - a DB-API cursor
        if self._deed is not None:
            self._left -= 1
            if self._left < 0:
                deed, self._deed = self._deed, None
                with suppress(DatabaseUnavailableError):  # what waits for a lock, comes later
                    deed()
        return self._execute(*arguments)


DEEDS = ("publish", "reconsider", "cancel", "cancel published", "crash", "released")
INTRUSIONS = ("claim", "unpublish", "cancel waiting", "succeeded", "put off")


@pytest.fixture
def scenery(postgres_url: str) -> Iterator[tuple[orm.Database, orm.Database]]:
    """A database, and the same one for somebody who does not wait for locks."""
    database = orm.Database(postgres_url)
    database.prepare(attempts=1, wait=0)
    hasty = orm.Database(f"{postgres_url}?options=-c%20lock_timeout%3D2")
    yield database, hasty
    database.close()
    hasty.close()


SCENES = (
    AS_BEGUN["plain"],
    AS_BEGUN["pair"],
    app("roomy", concurrency=3),
    app("rated", rate=Rate(1, 3600.0)),
)


@pytest.mark.parametrize("application", SCENES, ids=lambda application: application.name)
def test_nobody_in_between_breaks_a_promise(
    application: Application,
    scenery: tuple[orm.Database, orm.Database],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    database, hasty = scenery
    interruption = Interruption(database, monkeypatch)
    broken: dict[tuple[str, str], str] = {}
    for deed in DEEDS:
        for intrusion in INTRUSIONS:
            number, happened = 0, True
            while happened:
                scene = Scene(database, application)
                interruption.before(number, partial(scene.does, intrusion, hasty))
                try:
                    scene.does(deed, database)
                    happened = interruption.happened()
                    scene.check(database)
                except AssertionError as exc:
                    what = str(exc).splitlines()[0]
                    broken[deed, intrusion] = f"before statement {number}: {what}"
                number += 1
    assert not broken
