"""Recovery of lost runs and wake-ups, based on evidence rather than on elapsed time alone.

A thread in each worker's main process checks the worker's own attempts (has one died, must one be
cancelled?), other workers (has a lease ended, has a worker on this machine died?), lost wake-ups,
limits that no longer block a run, and notices that are too old. The executor decides what a stored
handle says about an attempt, and the roster which runs somebody works on.

An attempt whose pool process died while its worker lives has crashed: its application may have
killed the process, or used up the memory. Whatever else interrupts an attempt (its worker stopped,
was killed as a whole or lost its lease, its outcome could not be recorded) makes it lost, which
never fails a run.
"""

import math
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from pacifica.dispatcher import orm
from pacifica.dispatcher.applications import Application
from pacifica.dispatcher.errors import (
    BrokerUnavailableError,
    DatabaseBusyError,
    DatabaseUnavailableError,
)
from pacifica.dispatcher.execution.executor import Executor
from pacifica.dispatcher.execution.process import Life, is_free, now
from pacifica.dispatcher.periodic import Periodic
from pacifica.dispatcher.telemetry import DEBUG, ERROR, WARNING, emit
from pacifica.dispatcher.worker.cancellations import Cancellations
from pacifica.dispatcher.worker.lease import REVOKED_WAIT, Lease, lock_file, lock_files, max_gap
from pacifica.dispatcher.worker.recorder import first_line
from pacifica.dispatcher.worker.roster import Roster

_INTERVAL: Final = 0.5
_OTHERS: Final = 2  # checks of the worker's own attempts per check of other workers
_LIMITS: Final = 20  # … and per check of limits, locks and notices
_AGE: Final = 2.0  # seconds after which a wake-up may count as lost
_STARTED_WITHIN: Final = 60.0  # maximum seconds between creating a lock and its lease
_KEEP_NOTICES: Final = 600.0  # seconds
_MAX_CRASHES: Final = 3  # for an application that is not configured here
_MAX_REFUSALS: Final = 1000  # that are remembered, to log each one once
_DIED: Final = "the worker process died"
_STOPPED: Final = "the worker process died while the worker stopped"
_ABANDONED: Final = "the worker could not record the outcome"
_KILLED: Final = "the worker was killed, or its host restarted"
_EXPIRED: Final = "the worker died or lost its lease"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The dependencies of recovery.

    Attributes:
        database: the database with the runs and leases.
        lease: this worker's lease.
        length: seconds for which a lease outlives its last renewal.
        host: this machine's name.
        roster: the runs that this worker's processes work on.
        stopping: returns True once this worker has been told to stop.
        directory: the folder of the attempts' folders and of the locks of this machine's workers.
        cancellations: receives the requests to cancel the worker's own attempts.
        applications: all configured applications, by name.
        executor: the executor, which interprets the handles of attempts.
        default_queue: the Celery queue of applications without one of their own.
        depth: returns the number of wake-ups in one of the broker's queues.
        wake: called when runs have become due.
        death_wait: seconds between the death of a process and the conclusion that it crashed.
        revoked_wait: seconds between the end of a lease and the recovery of its runs.
    """

    database: orm.Database
    lease: Lease
    roster: Roster
    stopping: Callable[[], bool]
    length: float
    host: str
    directory: Path
    cancellations: Cancellations
    applications: Mapping[str, Application]
    executor: Executor
    default_queue: str
    depth: Callable[[str], int]
    wake: Callable[[], None]
    death_wait: float = 0.5
    revoked_wait: float = REVOKED_WAIT


class Recovery:
    """The thread that recovers lost runs and wake-ups."""

    def __init__(self, around: Surroundings) -> None:
        """Prepare the thread; `start` starts it."""
        self._around = around
        self._watch = Watch()
        self._stopped: dict[str, float] = {}
        self._dead: set[str] = set()
        self._left: dict[str, str] = {}
        self._revoked: dict[str, float] = {}
        self._refusals: set[str] = set()
        self._looks = 0
        self._thread = Periodic("recovery", self._act, at_end=around.database.close)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._thread.stop()

    def _act(self) -> float:
        try:
            self.look()
        except DatabaseUnavailableError as exc:
            self._watch.forget()
            emit("recovery.waiting", DEBUG, reason=str(exc))
        except BrokerUnavailableError as exc:
            emit("recovery.waiting", DEBUG, reason=str(exc))
        except Exception as exc:  # noqa: BLE001 - the next look may succeed
            self._refused(exc)
        return _INTERVAL

    def look(self) -> None:
        """Perform the checks that are due; the first call performs all of them.

        Raises:
            DatabaseUnavailableError: the database is unavailable.
            BrokerUnavailableError: the broker is unavailable, so lost wake-ups were not recovered.
        """
        looks = self._looks
        self._looks += 1
        self._own_attempts()
        if looks % _LIMITS == 0:
            self._correct_times()
            orm.reconsider(self._around.database, self._around.applications)
            self._orphans()
            self._remove_stale_locks()
            orm.prune(self._around.database, _KEEP_NOTICES)
        if looks % _OTHERS == 0:
            self._other_workers()
            recover_wakeups(self._around.database, self._around.depth, _AGE)

    def _own_attempts(self) -> None:
        around, worker = self._around, self._around.lease.worker
        attempts = orm.attempts_of(around.database, worker)
        handles = {each.handle for each in attempts}
        self._stopped = {each: since for each, since in self._stopped.items() if each in handles}
        around.cancellations.replace((e.run, e.attempt) for e in attempts if e.cancelling)
        died: list[orm.LiveAttempt] = []
        unattended: list[orm.LiveAttempt] = []
        for each in attempts:
            match around.executor.inspect(each.handle, worker_lives=True):
                case Life.GONE:
                    died.append(each)
                case Life.ALIVE | Life.STOPPED if not around.roster.has(each.run):
                    unattended.append(each)
                case Life.STOPPED:
                    self._kill_if_stopped_for_long(each.handle)
                case Life.ALIVE:
                    self._stopped.pop(each.handle, None)
        for each in self._still_running(unattended, worker):
            self._lose(each, worker, _ABANDONED, self._swept(each, worker))
        if died:
            self._processes_died(died, worker)

    def _still_running(self, attempts: list[orm.LiveAttempt], worker: str) -> list[orm.LiveAttempt]:
        """Leave out the attempts that have ended since they were queried.

        A busy worker ends some in each look. To sweep them would search all processes of the
        machine for nothing.
        """
        if not attempts:
            return []
        running = {(e.run, e.attempt) for e in orm.attempts_of(self._around.database, worker)}
        return [each for each in attempts if (each.run, each.attempt) in running]

    def _processes_died(self, attempts: list[orm.LiveAttempt], worker: str) -> None:
        # A signal to all processes of the worker may end them before the main thread handles it.
        if not self._around.stopping():
            self._thread.pause(self._around.death_wait)
        for each in self._still_running(attempts, worker):
            left = self._swept(each, worker)
            if self._around.stopping():
                self._lose(each, worker, _STOPPED, left)
            else:
                self._crash(each, worker, _DIED, left)

    def _kill_if_stopped_for_long(self, handle: str) -> None:
        # A stopped process records nothing for its run; it gets as long as a lease to continue.
        since = self._stopped.setdefault(handle, now())
        if now() - since >= self._around.length:
            emit("attempt.killed", WARNING, handle=handle, stopped_for=now() - since)
            del self._stopped[handle]
            self._around.executor.kill(handle)

    def _other_workers(self) -> None:
        database, ours = self._around.database, self._around.lease.worker
        asked = now()
        peers = [peer for peer in orm.peers(database) if peer.uuid != ours]
        found_dead = [peer for peer in peers if self._is_dead(peer)]
        for peer in {*found_dead, *self._watch.expired(peers, asked)}:
            self._sweep(peer)
            try:
                revoked = orm.revoke(database, peer)
            except DatabaseBusyError:  # maybe its own heartbeat waits for a lock, too
                self._watch.renew(peer)
                continue
            if revoked:
                emit("worker.lost", WARNING, worker=peer.uuid, host=peer.host)
                if peer in found_dead:
                    self._dead.add(peer.uuid)
                    lock_file(self._around.directory, peer.lock).unlink(missing_ok=True)
        lost = orm.lost_workers(database)
        self._dead.intersection_update(lost)
        known = {*lost, *(peer.uuid for peer in peers)}
        self._left = {worker: left for worker, left in self._left.items() if worker in known}
        self._revoked = {worker: self._revoked.get(worker, asked) for worker in lost}
        for worker, since in self._revoked.items():
            dead = worker in self._dead
            if not dead and now() - since < self._around.revoked_wait:
                continue
            for each in orm.attempts_of(database, worker):
                if self._around.executor.inspect(each.handle, worker_lives=False) is Life.GONE:
                    left = self._left.get(worker, "")
                    self._lose(each, worker, _KILLED if dead else _EXPIRED, left)

    def _sweep(self, peer: orm.Peer) -> None:
        left = peer.host == self._around.host and self._around.executor.sweep(peer.uuid)
        if left:
            self._left[peer.uuid] = left

    def _correct_times(self) -> None:
        number = orm.correct_times(self._around.database, self._around.applications)
        if number:
            emit("times.corrected", WARNING, number=number)
            self._around.wake()

    def _orphans(self) -> None:
        """Free publishers from runs that no worker knows; move those whose queue has changed."""
        around = self._around
        orm.block_unknown(around.database, around.applications)
        for name, number in orm.move(around.database, around.applications, around.default_queue):
            emit("runs.moved", WARNING, application=name, number=number)
            around.wake()

    def _remove_stale_locks(self) -> None:
        # Those of dead workers whose leases no longer exist.
        leased = {peer.lock for peer in orm.peers(self._around.database)}
        for file in lock_files(self._around.directory):
            if file.stem not in leased and is_free(file) and _age(file) > _STARTED_WITHIN:
                file.unlink(missing_ok=True)

    def _is_dead(self, peer: orm.Peer) -> bool:
        # The lock is free only if no process of a worker on this machine is alive.
        return bool(
            peer.host == self._around.host and is_free(lock_file(self._around.directory, peer.lock))
        )

    def _swept(self, attempt: orm.LiveAttempt, worker: str) -> str:
        """End the leftover processes of an attempt; name those that cannot be ended."""
        return self._around.executor.sweep(worker, attempt.run, attempt.attempt)

    def _crash(self, attempt: orm.LiveAttempt, worker: str, reason: str, left: str) -> None:
        application = self._around.applications.get(attempt.application)
        max_crashes = _MAX_CRASHES if application is None else application.max_crashes
        if left:  # another attempt would overlap with them
            reason, max_crashes = f"{reason}; {left}", 0
        crash = partial(orm.crash, self._around.database, attempt, reason, max_crashes)
        self._interrupt("run.crashed", crash, attempt, worker, reason)

    def _lose(self, attempt: orm.LiveAttempt, worker: str, reason: str, left: str) -> None:
        if left:
            self._crash(attempt, worker, reason, left)
            return
        lose = partial(orm.lose, self._around.database, attempt, reason)
        self._interrupt("run.lost", lose, attempt, worker, reason)

    def _interrupt(
        self,
        name: str,
        write: Callable[[], orm.State | None],
        attempt: orm.LiveAttempt,
        worker: str,
        reason: str,
    ) -> None:
        try:
            state = write()
        except DatabaseBusyError:
            return  # until the next look
        except Exception as exc:  # noqa: BLE001 - no run may keep the others from being recovered
            self._around.database.check()  # or it is unavailable to the others, too
            self._refused(exc, attempt.run)
            return
        if state is not None:
            emit(
                name,
                WARNING,
                run=attempt.run,
                attempt=attempt.attempt,
                application=attempt.application,
                worker=worker,
                reason=reason,
                state=state,
            )
            self._around.wake()

    def _refused(self, exc: Exception, run: str | None = None) -> None:
        reason = first_line(exc)  # the rest has details that differ each time
        refusal = f"{run} {reason}"
        if refusal not in self._refusals:
            emit("recovery.refused", ERROR, run=run, reason=reason)
        if len(self._refusals) >= _MAX_REFUSALS:
            self._refusals.clear()
        self._refusals.add(refusal)


def _age(file: Path) -> float:
    with suppress(FileNotFoundError):
        return time.time() - file.stat().st_mtime
    return 0.0


class Watch:
    """An observer of leases, which have ended when they were not renewed for their length.

    Only time during which the database was available counts: during an outage nobody can renew a
    lease, so afterwards every holder has the whole length again.
    """

    def __init__(self) -> None:
        """Start without observations."""
        self._seen: dict[orm.Peer, float] = {}
        self._looked = -math.inf

    def forget(self) -> None:
        """Start over, because the database was unavailable."""
        self._seen = {}

    def renew(self, peer: orm.Peer) -> None:
        """Take note of a sign of life: its lease has the whole length again."""
        self._seen[peer] = now()

    def expired(self, peers: list[orm.Peer], at: float) -> list[orm.Peer]:
        """Record the current leases; return those that have not changed for their length.

        Args:
            peers: all leases.
            at: the time at which they were queried, on the clock of `process.now`.
        """
        gap = at - self._looked
        self._looked = at
        self._seen = {
            peer: self._seen.get(peer, at) if gap <= max_gap(peer.length) else at for peer in peers
        }
        return [peer for peer, since in self._seen.items() if at - since >= peer.length]


def recover_wakeups(database: orm.Database, depth: Callable[[str], int], age: float) -> int:
    """Make runs due again whose wake-up was lost; return their number.

    If a queue holds fewer wake-ups than are in flight, the oldest ones are missing. A wake-up that
    a busy worker has already taken may thus be sent again, which is harmless, and happens only
    once: the second wake-up is then in the queue.

    Args:
        database: the database.
        depth: returns the number of wake-ups in one of the broker's queues.
        age: seconds for which a wake-up must have been in flight.
    """
    before = database.now() - age
    recovered = 0
    for queue, number, oldest in orm.wakeups_in_flight(database):
        if oldest <= before and (missing := number - depth(queue)) > 0:
            recovered += orm.republish_lost(database, queue, missing, before)
    if recovered:
        emit("wakeups.lost", number=recovered)
    return recovered
