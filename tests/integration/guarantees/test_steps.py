"""Hypothesis performs one step after another; a model predicts the result of each.

TEST_EXAMPLES=1000 tries more examples, different ones each time.
"""

import os
import time
from collections import Counter

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from pacifica.dispatcher import orm
from pacifica.dispatcher.errors import ConflictError
from pacifica.dispatcher.execution.handles import local_handle
from pacifica.dispatcher.worker.recovery import recover_wakeups
from tests.factories import make_event, registration
from tests.integration.guarantees.model import Expected, Model, Worker, choices, chosen
from tests.integration.guarantees.rows import (
    CONFIGURATIONS,
    ENDS,
    FINAL,
    HOST,
    INITIAL,
    WAITING,
    databases,
    pass_time,
)

EXAMPLES = int(os.environ.get("TEST_EXAMPLES", "0"))


class Dispatcher(Model):
    """All possible operations on runs, in any order."""

    @initialize(number=choices)
    def begin(self, number: int) -> None:
        self.register()
        self.accept([number % 8], set(INITIAL))

    @rule(
        numbers=st.lists(st.integers(0, 7), min_size=1, max_size=3),
        names=st.sets(st.sampled_from(sorted(INITIAL))),
    )
    def accept(self, numbers: list[int], names: set[str]) -> None:
        selected = [each for name, each in self.applications.items() if name in names]
        batch = [
            orm.Arrival(make_event(number, data={"key": number % 2}), selected)
            for number in numbers
        ]
        for arrival, accepted in zip(batch, orm.accept(self.database, batch), strict=True):
            event, matched = arrival.event, arrival.applications
            assert accepted.duplicate == (event.id in self.events)
            if accepted.duplicate:
                assert accepted.uuid == self.events[event.id][0]
                continue
            self.events[event.id] = (accepted.uuid, event)
            runs = orm.event(self.database, accepted.uuid).runs
            assert [run.application for run in runs] == [each.name for each in matched]
            for run in runs:
                self.runs[run.uuid] = Expected(accepted.uuid, run.application)
                self.touched.add(run.uuid)

    @precondition(lambda self: self.events)
    @rule(
        choice=choices,
        names=st.sets(st.sampled_from(sorted(INITIAL))),
        cancelled=st.booleans(),
    )
    def replay(self, choice: int, names: set[str], *, cancelled: bool) -> None:
        uuid, event = chosen(list(self.events.values()), choice)
        selected = [each for name, each in self.applications.items() if name in names]
        previous = {
            run: expected
            for run, expected in self.runs.items()
            if expected.event == uuid and not expected.superseded
        }
        for run, expected in previous.items():
            if cancelled and expected.state in WAITING:
                self._cancel(run)
        if not selected or any(expected.state not in FINAL for expected in previous.values()):
            with pytest.raises(ConflictError):
                orm.replay(self.database, uuid, event, selected)
            return
        origins = {expected.application: run for run, expected in previous.items()}
        runs = orm.replay(self.database, uuid, event, selected)
        for run, expected in previous.items():
            expected.superseded = True
            with pytest.raises(ConflictError):
                orm.retry(self.database, run, self.applications)
        for run, each in zip(runs, selected, strict=True):
            self.runs[run] = Expected(uuid, each.name, origins.get(each.name))
        self.touched |= {*previous, *runs}

    @rule(window=st.sampled_from([256, 3, 1]), sent=st.sampled_from([True, True, False]))
    def publish(self, window: int, *, sent: bool) -> None:
        wakeups, more = orm.publish(self.database, window, self.applications)
        self._published(wakeups, window, more=more)
        if sent:
            self.broker += wakeups
        else:
            self.batches.append(wakeups)

    @precondition(lambda self: self.batches)
    @rule(choice=choices, refused_from=st.sampled_from([99, 0, 1]))
    def send(self, choice: int, refused_from: int) -> None:
        batch = chosen(self.batches, choice)
        self.batches.remove(batch)
        self.broker += batch[:refused_from]
        refused = [run for run, _ in batch[refused_from:]]
        self._unpublished(refused, orm.unpublish(self.database, refused))

    @precondition(lambda self: self.broker)
    @rule(choice=choices, how=st.sampled_from(["lost", "doubled", "given back", "purged"]))
    def mishandle(self, choice: int, how: str) -> None:
        message = chosen(self.broker, choice)
        if how == "doubled":
            self.broker.append(message)
        elif how == "purged":
            self.broker.clear()
        else:
            self.broker.remove(message)
            if how == "given back":  # by a worker that is stopping
                self._unpublished([message.run], orm.unpublish(self.database, [message.run]))

    @rule()
    def recover_wakeups(self) -> None:
        published = [row.queue for row in self.rows.values() if row.published is not None]
        missing = Counter(published) - Counter(message.queue for message in self.broker)
        number = recover_wakeups(self.database, self._depth, 0)
        assert number == missing.total()
        self._lost(number)

    @rule(queue=st.sampled_from(["", "other"]), limit=st.integers(1, 3))
    def republish_lost(self, queue: str, limit: int) -> None:
        assert orm.republish_lost(self.database, queue, limit, 0) == 0
        published = [
            row for row in self.rows.values() if row.queue == queue and row.published is not None
        ]
        number = orm.republish_lost(self.database, queue, limit, time.time() + 60)
        assert number == min(limit, len(published))
        self._lost(number)

    @rule(choice=st.integers(0, len(CONFIGURATIONS) - 1))
    def configure(self, choice: int) -> None:
        changed = {
            name
            for name in INITIAL
            if self.applications.get(name) != CONFIGURATIONS[choice].get(name)
        }
        self.applications = CONFIGURATIONS[choice]
        self.reconsidered -= changed

    @rule()
    def reconsider(self) -> None:
        orm.reconsider(self.database, self.applications)
        unlimited = {
            each.claim.application for each in self.holding.values() if not each.claim.limited
        }
        self.reconsidered |= set(INITIAL) - unlimited

    @rule()
    def pass_time(self) -> None:
        pass_time(self.database)
        self.starts = 0
        self.touched |= {*self.runs}

    @precondition(lambda self: sum(each.condition != "dead" for each in self.workers) < 4)
    @rule()
    def register(self) -> None:
        worker = Worker(orm.new_uuid())
        orm.register(self.database, worker.uuid, registration(HOST, "lock"))
        self.workers.append(worker)

    @precondition(lambda self: self._up())
    @rule(choice=choices)
    def beat(self, choice: int) -> None:
        worker = chosen(self._up(), choice)
        assert orm.renew(self.database, worker.uuid) == worker.leased
        worker.beats += 1
        if not worker.leased:  # It takes a new lease and loses its runs.
            orm.deregister(self.database, worker.uuid)
            worker.condition = "lost"
            self.register()

    @precondition(lambda self: self._up())
    @rule(choice=choices, how=st.sampled_from(["frozen", "dead", "left"]))
    def fail_worker(self, choice: int, how: str) -> None:
        worker = chosen(self._up(), choice)
        worker.condition = "dead" if how == "left" else how
        if how == "left":
            orm.deregister(self.database, worker.uuid)
            worker.leased = False

    @precondition(lambda self: any(each.condition == "frozen" for each in self.workers))
    @rule()
    def thaw(self) -> None:
        for worker in self.workers:
            if worker.condition == "frozen":
                worker.condition = "up"

    @rule()
    def list_peers(self) -> None:
        leased = {each.uuid: each for each in self.workers if each.leased}
        peers = orm.peers(self.database)
        assert {peer.uuid for peer in peers} == leased.keys()
        by_age = sorted(peers, key=lambda peer: peer.uuid)
        self.seen_peers += [(peer, leased[peer.uuid], leased[peer.uuid].beats) for peer in by_age]

    @precondition(lambda self: self.seen_peers)
    @rule(choice=choices)
    def revoke(self, choice: int) -> None:
        peer, worker, beats = chosen(self.seen_peers, choice)
        unchanged = worker.leased and worker.beats == beats
        assert orm.revoke(self.database, peer) == unchanged
        worker.leased = worker.leased and not unchanged

    @rule(message=choices, worker=choices)
    def claim(self, message: int, worker: int) -> None:
        if not self.broker:
            self.publish(256, sent=True)
            self.runs_match_the_model()
        if not self._up():
            self.register()
        if self.broker:
            wakeup = chosen(self.broker, message)
            self.broker.remove(wakeup)
            self._claim(wakeup.run, chosen(self._up(), worker))

    @rule(message=choices, worker=choices)
    def claim_again(self, message: int, worker: int) -> None:
        self.claim(message, worker)

    @rule(choice=choices, how=st.sampled_from(ENDS), cancelled=st.booleans())
    def end(self, choice: int, how: str, *, cancelled: bool) -> None:
        active = [each for each in self._active() if self._is_live(each)]
        if active:
            holder = chosen(active, choice)
            if cancelled:
                self._cancel(holder.claim.run)
            self._end(holder, how)
        else:
            self.claim(choice, choice)

    @precondition(lambda self: self._active())
    @rule(choice=choices, how=st.sampled_from(ENDS))
    def end_again(self, choice: int, how: str) -> None:
        holder = chosen(self._active(), choice)
        self._end(holder, how)
        self.runs_match_the_model()
        self._end(holder, how)

    @precondition(lambda self: self.holding)
    @rule(choice=choices, how=st.sampled_from(ENDS), late=st.booleans())
    def take_over(self, choice: int, how: str, *, late: bool) -> None:
        """Revoke the lease of a worker that does not notice, and run its attempt elsewhere."""
        previous = chosen(list(self.holding.values()), choice)
        run = previous.claim.run
        self.list_peers()
        for peer in range(len(self.workers)):
            self.revoke(peer)
        self.find_lost_attempts()
        evidence = [each for each in self.evidence if each.run == run]
        for held in evidence:
            self._crash(held)
        self.runs_match_the_model()
        self.register()
        self.publish(256, sent=True)
        self.runs_match_the_model()
        if late:
            self._end(previous, how)
        later = self._claim(run, self.workers[-1])
        self.runs_match_the_model()
        for held in evidence:
            self._crash(held)
        if previous.alive:
            self._end(previous, how)
        self.runs_match_the_model()
        if later is not None:
            self._end(later, how)

    @precondition(lambda self: self._active())
    @rule(choice=choices)
    def save_output(self, choice: int) -> None:
        holder = chosen(self._active(), choice)
        live = self._is_live(holder)
        assert orm.save_output(self.database, holder.claim, [self._piece()], orm.Outcome()) == live
        self.saved += live

    @precondition(lambda self: self._active())
    @rule(choice=choices)
    def kill_process(self, choice: int) -> None:
        holder = chosen(self._active(), choice)
        holder.alive = False
        if holder.worker.condition == "up":
            held = orm.attempts_of(self.database, holder.worker.uuid)
            assert {(each.run, each.attempt, each.handle, each.cancelling) for each in held} == {
                (run, each.claim.attempt, local_handle(each.pid), self.runs[run].cancelling)
                for run, each in self.holding.items()
                if each.worker is holder.worker
            }
            self.evidence += [each for each in held if each.handle == local_handle(holder.pid)]

    @rule()
    def find_lost_attempts(self) -> None:
        lost = {each.worker.uuid for each in self.holding.values() if not each.worker.leased}
        found = orm.lost_workers(self.database)
        assert sorted(found) == sorted(lost)
        for worker in sorted(found):
            held = orm.attempts_of(self.database, worker)
            self.evidence += sorted(held, key=lambda each: each.run)

    @precondition(lambda self: self.evidence)
    @rule(choice=choices)
    def crash(self, choice: int) -> None:
        self._crash(chosen(self.evidence, choice))

    @precondition(lambda self: self.runs)
    @rule(choice=choices, held_back=st.booleans())
    def ask_to_cancel(self, choice: int, *, held_back: bool) -> None:
        blocked = [run for run in self.runs if self.rows[run].blocked]
        self._cancel(chosen((held_back and blocked) or list(self.runs), choice))

    @precondition(lambda self: self.runs)
    @rule(choice=choices, failed=st.booleans())
    def retry(self, choice: int, *, failed: bool) -> None:
        if failed:
            self.end(choice, "failed", cancelled=False)
            self.runs_match_the_model()
        failed_runs = [run for run, expected in self.runs.items() if expected.state == "failed"]
        run = chosen((failed and failed_runs) or list(self.runs), choice)
        expected = self.runs[run]
        if (
            expected.state not in {"failed", "cancelled"}
            or expected.superseded
            or expected.application not in self.applications
        ):
            with pytest.raises(ConflictError):
                orm.retry(self.database, run, self.applications)
            return
        orm.retry(self.database, run, self.applications)
        expected.state, expected.failures, expected.crashes = "queued", 0, 0
        self.touched.add(run)


@databases
def test_no_interleaving_breaks_a_guarantee(database_url: str) -> None:
    database = orm.Database(database_url)
    database.prepare(attempts=1, wait=0)

    class Machine(Dispatcher):
        def __init__(self) -> None:
            super().__init__(database)

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=EXAMPLES or (50 if database.is_server else 120),
            stateful_step_count=50,
            derandomize=not EXAMPLES,
            database=None,
            print_blob=False,
            suppress_health_check=list(HealthCheck),
        ),
    )
    database.close()
