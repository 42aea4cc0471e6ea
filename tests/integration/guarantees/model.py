"""A model of the database that predicts the state of every run."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import TypeVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
)

from pacifica.dispatcher import orm
from pacifica.dispatcher.errors import ConflictError
from pacifica.dispatcher.events import Event
from pacifica.dispatcher.execution.capture import Piece
from tests.factories import claimant, count
from tests.integration.guarantees.rows import (
    FINAL,
    HOST,
    INITIAL,
    WAITING,
    AttemptRow,
    Mapped,
    Row,
    check_attempts,
    check_blocked,
    check_form,
    clear,
    concurrency_of,
    read_attempts,
    read_runs,
    record,
    settle,
    taken,
)

T = TypeVar("T")


@dataclass
class Expected:
    """Expected columns of a run."""

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
        """Apply the end of an attempt."""
        self.worker = None
        self.state = "cancelled" if self.cancelling and state in WAITING else state
        self.failures += state in {"failed", "retrying"}
        self.cancelling = False


def expected_from(row: Row) -> tuple[object, ...]:
    """Read the same columns from a row."""
    return astuple(
        Expected(
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
    """A worker, its condition and its lease."""

    uuid: str
    condition: str = "up"
    leased: bool = True
    beats: int = 0


@dataclass
class Holder:
    """A pool process with a claim, which it may have lost without noticing."""

    claim: orm.Claim
    worker: Worker
    pid: int
    alive: bool = True


choices = st.integers(0, 63)


def chosen(items: Sequence[T], choice: int) -> T:
    """Select an item; choice 0 is the last one, so examples shrink towards it."""
    return items[-1 - choice % len(items)]


ACTIVE = ("up", "lost")


def _publication_order(row: Row) -> tuple[int, float, str]:
    assert row.due is not None
    return -row.priority, row.due, row.uuid


class Model(RuleBasedStateMachine):
    """The expected state of every run, with the guarantees to check after each step."""

    events: dict[str, tuple[str, Event]]

    def __init__(self, database: orm.Database) -> None:
        """Start with an empty database."""
        super().__init__()
        clear(database)
        self.database = database
        self.applications: Mapped = INITIAL
        self.reconsidered = set(INITIAL)
        self.events = {}
        self.runs: dict[str, Expected] = {}
        self.rows: dict[str, Row] = {}
        self.attempts: dict[str, list[AttemptRow]] = {}
        self.touched: set[str] = set()
        self.batches: list[list[orm.WakeUp]] = []
        self.broker: list[orm.WakeUp] = []
        self.workers: list[Worker] = []
        self.holders: list[Holder] = []
        self.holding: dict[str, Holder] = {}
        self.seen_peers: list[tuple[orm.Peer, Worker, int]] = []
        self.evidence: list[orm.LiveAttempt] = []
        self.pieces = 0
        self.saved = 0
        self.starts = 0

    def _published(self, wakeups: list[orm.WakeUp], window: int, *, more: bool) -> None:
        for run, queue in wakeups:
            expected = self.runs[run]
            assert expected.state in WAITING
            assert not expected.published
            assert queue == self.rows[run].queue
            expected.published = True
            self.touched.add(run)
        now, rows = time.time(), read_runs(self.database)
        published = Counter(row.queue for row in rows.values() if row.published is not None)
        before = Counter(row.queue for row in self.rows.values() if row.published is not None)
        for queue, number in published.items():
            assert number <= max(window, before[queue])
        known = [row for row in rows.values() if row.application in self.applications]
        ready = [row for row in known if row.is_ready(now)]
        assert more or not (ready or any(row.blocked for row in rows.values()))
        for row in ready:  # the window is full of runs that precede it
            assert published[row.queue] >= window
            selected = [self.rows[run] for run, queue in wakeups if queue == row.queue]
            # A run that a limit has only just released keeps its original due time.
            assert all(_publication_order(each) <= _publication_order(row) for each in selected)

    def _unpublished(self, runs: list[str], number: int) -> None:
        published = [run for run in runs if self.runs[run].published]
        assert number == len(published)
        for run in published:
            self.runs[run].published = False
        self.touched |= {*published}

    def _depth(self, queue: str) -> int:
        return sum(message.queue == queue for message in self.broker)

    def _lost(self, number: int) -> None:
        after = read_runs(self.database)
        lost = [run for run in after if self.runs[run].published and not after[run].published]
        self._unpublished(lost, number)

    def _up(self) -> list[Worker]:
        return [each for each in self.workers if each.condition == "up"]

    def _claim(self, run: str, worker: Worker) -> Holder | None:
        expected, pid = self.runs[run], len(self.holders)
        process = claimant(worker.uuid, *self.applications.values(), host=HOST, pid=pid)
        claim = orm.claim(self.database, run, process)
        assert (claim is not None) == expected.published
        if claim is None:
            return None
        assert run not in self.holding, "two attempts of one run overlap"
        expected.attempt += 1
        expected.state, expected.published, expected.worker = "running", False, worker.uuid
        limited = concurrency_of(self.applications, expected.application) is not None
        assert (claim.attempt, claim.application, claim.limited, claim.failures) == (
            *(expected.attempt, expected.application, limited, expected.failures),
        )
        self.starts += expected.application == "paced"
        self.holding[run] = Holder(claim, worker, pid)
        self.holders.append(self.holding[run])
        self.touched.add(run)
        return self.holding[run]

    def _active(self) -> list[Holder]:
        """Return the processes that can act, with valid or lost claims."""
        return [each for each in self.holders if each.alive and each.worker.condition in ACTIVE]

    def _is_live(self, holder: Holder) -> bool:
        return self.holding.get(holder.claim.run) is holder

    def _piece(self) -> Piece:
        self.pieces += 1
        return Piece("stdout", self.pieces, 1.0, b"output")

    def _end(self, holder: Holder, how: str) -> None:
        claim, live = holder.claim, self._is_live(holder)
        state, done = record(how, self.database, claim, self.applications, self._piece())
        assert done == live
        if live:
            self.saved += 1
            self.runs[claim.run].leave(state)
            del self.holding[claim.run]
            self.touched.add(claim.run)

    def _crash(self, held: orm.LiveAttempt) -> None:
        expected, holder = self.runs[held.run], self.holding.get(held.run)
        live = holder is not None and holder.claim.attempt == held.attempt
        application = self.applications.get(held.application)
        limit = 3 if application is None else application.max_crashes
        cancelling = expected.cancelling
        state = orm.crash(self.database, held, "process died", limit)
        if not live:
            assert state is None
            return
        del self.holding[held.run]
        expected.crashes += 1
        expected.leave("queued")
        if not cancelling and expected.crashes >= limit:
            expected.state = "failed"
        assert state == expected.state
        self.touched.add(held.run)

    def _cancel(self, run: str) -> None:
        expected = self.runs[run]
        if expected.state in FINAL:
            with pytest.raises(ConflictError):
                orm.ask_to_cancel(self.database, run)
            return
        if expected.state == "running":
            expected.cancelling = True
        else:
            expected.state, expected.published = "cancelled", False
        assert orm.ask_to_cancel(self.database, run) == expected.state
        self.touched.add(run)

    @invariant()
    def runs_match_the_model(self) -> None:
        before, self.rows = self.rows, read_runs(self.database)
        attempted, self.attempts = self.attempts, read_attempts(self.database)
        assert self.rows.keys() == self.runs.keys()
        for run, row in self.rows.items():
            check_form(row)
            check_attempts(row, self.attempts.get(run, []))
            assert expected_from(row) == astuple(self.runs[run])
            ended = [each for each in attempted.get(run, []) if each.finished is not None]
            assert self.attempts.get(run, [])[: len(ended)] == ended
            if run not in self.touched:
                assert row._replace(blocked=None) == before[run]._replace(blocked=None)
                assert self.attempts.get(run) == attempted.get(run)
        self.touched = set()
        taken_before = taken(before.values())
        for place, number in taken(self.rows.values()).items():
            concurrency = concurrency_of(self.applications, place[0])
            assert concurrency is None or number <= max(concurrency, taken_before[place])
        published = [row for row in self.rows.values() if row.published is not None]
        assert self.starts + sum(row.application == "paced" for row in published) <= 1
        check_blocked(
            (row for row in self.rows.values() if row.application in self.reconsidered),
            self.applications,
        )

    def teardown(self) -> None:
        """Check that one healthy worker can finish every run from this state."""
        self.broker.clear()
        self.applications = {**INITIAL, **self.applications}  # or some runs would wait forever
        settle(self.database, self.applications, self._crash, self._publish_all, self._finish)
        assert not self.holding
        states = {run: row.state for run, row in read_runs(self.database).items()}
        assert set(states.values()) <= {*FINAL}
        assert {each.run: each.state for each in orm.recent(self.database, 0)} == states
        self.no_event_is_lost()
        assert count(self.database, "output") == self.saved

    @invariant()
    def no_event_is_lost(self) -> None:
        assert count(self.database, "event") == len(self.events)

    def _publish_all(self) -> list[orm.WakeUp]:
        for expected in self.runs.values():  # All wake-ups have been lost.
            expected.published = False
        self.starts = 0
        wakeups, _ = orm.publish(self.database, 256, self.applications)
        for wakeup in wakeups:
            self.runs[wakeup.run].published = True
        return wakeups

    def _finish(self, run: str, worker: str) -> None:
        holder = self._claim(run, Worker(worker))
        assert holder is not None
        self._end(holder, "succeeded")
