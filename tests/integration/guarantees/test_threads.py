"""Many concurrent threads, whose results are compared afterwards."""

import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Lock
from typing import NamedTuple, TypeVar

from pacifica.dispatcher import orm
from pacifica.dispatcher.errors import ConflictError, DatabaseBusyError
from pacifica.dispatcher.events import Event
from pacifica.dispatcher.execution.capture import Piece
from pacifica.dispatcher.worker.recovery import recover_wakeups
from tests.factories import claimant, make_event, registration
from tests.integration.guarantees.rows import (
    ENDS,
    FINAL,
    HOST,
    INITIAL,
    AttemptRow,
    Mapped,
    Row,
    check_attempts,
    check_blocked,
    check_form,
    concurrency_of,
    databases,
    read_attempts,
    read_runs,
    record,
    settle,
    taken,
)

T = TypeVar("T")


SECONDS = 2.5
THREADS = 5
EVENTS = 60


class Action(NamedTuple):
    """An operation on a run, with its start and end."""

    kind: str
    run: str
    attempt: int
    began: float
    ended: float


@dataclass
class Shared:
    """State shared by all actors: the broker, claims, evidence and performed actions."""

    applications: Mapped
    lock: Lock = field(default_factory=Lock)
    broker: list[orm.WakeUp] = field(default_factory=list)
    workers: list[str] = field(default_factory=list)
    claims: list[orm.Claim] = field(default_factory=list)
    seen_peers: list[orm.Peer] = field(default_factory=list)
    evidence: list[orm.LiveAttempt] = field(default_factory=list)
    events: dict[str, tuple[str, Event, set[str]]] = field(default_factory=dict)
    actions: list[Action] = field(default_factory=list)


class Actor:
    """A thread that performs random operations."""

    def __init__(self, shared: Shared, database: orm.Database, seed: int) -> None:
        """Seed the random choices."""
        self._shared = shared
        self._database = database
        self._random = random.Random(seed)  # noqa: S311 - no secret
        self._pieces = seed * 1_000_000

    def run(self, until: float) -> None:
        """Perform operations until a monotonic time."""
        weights: dict[Callable[[], None], int] = {
            self.accept: 4,
            self.publish: 12,
            self.claim: 30,
            self.end: 24,
            self.recover_wakeups: 2,
            self.mishandle: 4,
            self.revoke: 1,
            self.list_peers: 1,
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
                [operation] = self._random.choices([*weights], [*weights.values()])
                operation()
        finally:
            self._database.close()

    def _any(self, items: Sequence[T]) -> T | None:
        with self._shared.lock:
            return self._random.choice(items[-20:]) if items else None

    def _record(self, kind: str, run: str, attempt: int, began: float) -> None:
        with self._shared.lock:
            self._shared.actions.append(Action(kind, run, attempt, began, time.perf_counter()))

    def accept(self) -> None:
        number = self._random.randrange(EVENTS)
        event = make_event(number, data={"key": number % 2})
        selected = [
            each for each in self._shared.applications.values() if self._random.random() < 0.5
        ]
        [accepted] = orm.accept(self._database, [orm.Arrival(event, selected)])
        with self._shared.lock:
            names = {each.name for each in selected}
            if not accepted.duplicate:
                assert event.id not in self._shared.events
                self._shared.events[event.id] = (accepted.uuid, event, names)

    def publish(self) -> None:
        window = self._random.choice([256, 256, 2])
        wakeups, _ = orm.publish(self._database, window, self._shared.applications)
        fate = self._random.random()
        if fate < 0.1:
            orm.unpublish(self._database, [run for run, _ in wakeups])
        elif fate < 0.9:
            with self._shared.lock:
                self._shared.broker += wakeups

    def mishandle(self) -> None:
        with self._shared.lock:
            if not self._shared.broker:
                return
            message = self._random.choice(self._shared.broker)
            if self._random.random() < 0.5:
                self._shared.broker.append(message)
                return
            self._shared.broker.remove(message)
        if self._random.random() < 0.5:
            orm.unpublish(self._database, [message.run])

    def recover_wakeups(self) -> None:
        recover_wakeups(self._database, self._depth, 0)

    def _depth(self, queue: str) -> int:
        with self._shared.lock:
            return sum(message.queue == queue for message in self._shared.broker)

    def claim(self) -> None:
        with self._shared.lock:
            if not (self._shared.broker and self._shared.workers):
                return
            message = self._shared.broker.pop(self._random.randrange(len(self._shared.broker)))
            worker = self._random.choice(self._shared.workers)
        self.claim_for(message.run, worker)

    def claim_for(self, run: str, worker: str) -> orm.Claim | None:
        """Claim a run as the given worker."""
        began = time.perf_counter()
        process = claimant(worker, *self._shared.applications.values(), host=HOST)
        claim = orm.claim(self._database, run, process)
        if claim is not None:
            self._record("claim", run, claim.attempt, began)
            with self._shared.lock:
                self._shared.claims.append(claim)
        return claim

    def end(self) -> None:
        claim = self._any(self._shared.claims)
        if claim is not None:
            self.end_as(claim, self._random.choice(ENDS))

    def end_as(self, claim: orm.Claim, how: str) -> bool:
        """Record the end of an attempt; return True if it was accepted."""
        self._pieces += 1
        began = time.perf_counter()
        piece = Piece("stdout", self._pieces, 1.0, b"output")
        state, done = record(how, self._database, claim, self._shared.applications, piece)
        if done:
            self._record(state, claim.run, claim.attempt, began)
        return done

    def beat(self) -> None:
        worker = self._any(self._shared.workers)
        if worker is None or not orm.renew(self._database, worker):
            new = orm.new_uuid()
            orm.register(self._database, new, registration(HOST, "lock"))
            with self._shared.lock:
                self._shared.workers = [*self._shared.workers[-4:], new]

    def list_peers(self) -> None:
        peers = orm.peers(self._database)
        with self._shared.lock:
            self._shared.seen_peers += peers

    def revoke(self) -> None:
        peer = self._any(self._shared.seen_peers)
        if peer is not None:
            with suppress(DatabaseBusyError):  # It does not wait for locks.
                orm.revoke(self._database, peer)

    def find_lost_attempts(self) -> None:
        for worker in orm.lost_workers(self._database):
            held = orm.attempts_of(self._database, worker)
            with self._shared.lock:
                self._shared.evidence += held

    def crash(self) -> None:
        held = self._any(self._shared.evidence)
        if held is not None:
            self.crash_attempt(held)

    def crash_attempt(self, held: orm.LiveAttempt) -> None:
        """Record the crash of an attempt."""
        began = time.perf_counter()
        limit = self._shared.applications[held.application].max_crashes
        state = orm.crash(self._database, held, "process died", limit)
        if state is not None:
            kind = "crashed" if state == "queued" else f"crashed and {state}"
            self._record(kind, held.run, held.attempt, began)

    def ask_to_cancel(self) -> None:
        claim, began = self._any(self._shared.claims), time.perf_counter()
        if claim is not None:
            try:
                state = orm.ask_to_cancel(self._database, claim.run)
                self._record("cancelled" if state == "cancelled" else "asked", claim.run, 0, began)
            except ConflictError:
                self._record("cancel refused", claim.run, 0, began)

    def retry(self) -> None:
        claim, began = self._any(self._shared.claims), time.perf_counter()
        if claim is not None:
            with suppress(ConflictError):
                orm.retry(self._database, claim.run, self._shared.applications)
                self._record("retried", claim.run, 0, began)

    def replay(self) -> None:
        with self._shared.lock:
            if not self._shared.events:
                return
            uuid, event, names = self._random.choice([*self._shared.events.values()])
        selected = [each for name, each in self._shared.applications.items() if name in names]
        with suppress(ConflictError):
            orm.replay(self._database, uuid, event, selected)

    def check(self) -> None:
        rows = read_runs(self._database).values()
        for row in rows:
            check_form(row)
        for place, number in taken(rows).items():
            concurrency = concurrency_of(self._shared.applications, place[0])
            assert concurrency is None or number <= concurrency


def check_actions(actions: Sequence[Action], attempts: Mapping[str, Sequence[AttemptRow]]) -> None:
    """Check that each attempt was claimed once and ended once, before the next was claimed."""
    claims = {(action.run, action.attempt): action for action in actions if action.kind == "claim"}
    ended = [action for action in actions if action.attempt and action.kind != "claim"]
    ends = {(action.run, action.attempt): action for action in ended}
    assert len(claims) == sum(action.kind == "claim" for action in actions), "claimed twice"
    assert len(ends) == len(ended), "ended twice"
    assert claims.keys() == {(run, each.number) for run in attempts for each in attempts[run]}
    assert claims.keys() == ends.keys()
    for (run, attempt), claim in claims.items():
        assert claim.began <= ends[run, attempt].ended
        if attempt > 1:
            assert ends[run, attempt - 1].began <= claim.ended, "two attempts of one run overlap"


def check_conflicts(actions: Sequence[Action]) -> None:
    """Check that cancelling was only refused for runs that had ended."""
    of_run: dict[str, list[Action]] = defaultdict(list)
    for action in actions:
        of_run[action.run].append(action)
    for performed in of_run.values():
        asked = any(action.kind == "asked" for action in performed)
        final = [
            action
            for action in performed
            if action.kind.endswith(FINAL) or (asked and action.kind in {"queued", "retrying"})
        ]
        retried = [action for action in performed if action.kind == "retried"]
        for refused in (action for action in performed if action.kind == "cancel refused"):
            assert any(
                end.began <= refused.ended
                and not any(end.ended <= r.began and r.ended <= refused.began for r in retried)
                for end in final
            ), "cancel refused although the run had not ended"


def check_counters(actions: Sequence[Action], rows: Iterable[Row]) -> None:
    """Check the counters of failures and crashes of runs without a manual retry."""
    counted = Counter((action.run, action.kind) for action in actions if action.attempt)
    retried = {action.run for action in actions if action.kind == "retried"}
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
def test_concurrent_operations_break_no_guarantee(database_url: str) -> None:
    database = orm.Database(database_url)
    database.prepare(attempts=1, wait=0)
    shared = Shared({name: each for name, each in INITIAL.items() if name != "paced"})
    actors = [
        Actor(shared, orm.Database(database_url, connections=2), seed)
        for seed in range(1, THREADS + 1)
    ]
    until = time.monotonic() + SECONDS
    with ThreadPoolExecutor(THREADS) as pool:
        futures = [pool.submit(each.run, until) for each in actors]
    for future in futures:
        future.result()
    check_blocked(read_runs(database).values(), shared.applications)
    last = Actor(shared, database, 0)

    def finish(run: str, worker: str) -> None:
        claim = last.claim_for(run, worker)
        assert claim is not None
        assert last.end_as(claim, "succeeded")

    settle(
        database,
        shared.applications,
        last.crash_attempt,
        lambda: orm.publish(database, 256, shared.applications)[0],
        finish,
    )
    rows, attempts = read_runs(database), read_attempts(database)
    for uuid, _, names in shared.events.values():
        current = [row for row in rows.values() if row.event == uuid and not row.superseded]
        assert sorted(row.application for row in current) == sorted(names)
    for run, row in rows.items():
        check_form(row)
        assert row.state in FINAL
        check_attempts(row, attempts.get(run, []))
    check_actions(shared.actions, attempts)
    check_counters(shared.actions, rows.values())
    check_conflicts(shared.actions)
    database.close()
