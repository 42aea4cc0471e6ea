"""Brings back what got lost: by evidence, not by the mere passing of time.

In each worker's main process a thread looks after the worker's own attempts (one whose process has
died, one that is to be cancelled), after other workers (one whose lease has ended, one on this
machine that has died), after wake-ups that are gone, and after limits that hold nobody back.
"""

import logging
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pacifica.dispatcher import orm
from pacifica.dispatcher.applications import Application
from pacifica.dispatcher.errors import BrokerUnavailableError, DatabaseUnavailableError
from pacifica.dispatcher.lease import WORKER_MARK, Lease, lock_file, lock_files, marks
from pacifica.dispatcher.process import Life, end_family, is_free, life_of, now
from pacifica.dispatcher.workplace import Workplace

_log = logging.getLogger(__name__)

_INTERVAL: Final = 0.5
_OTHERS: Final = 2  # every how many looks at one's own attempts one looks at the rest
_LIMITS: Final = 20
_AGE: Final = 2.0
_STARTED_WITHIN: Final = 60.0  # seconds from the making of a lock to the lease that names it
_MAX_CRASHES: Final = 3  # of an application that is not configured here
_DIED: Final = "the process that ran it died"
_LOST: Final = "its worker died, or lost its lease"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What recovery looks at and acts on.

    Attributes:
        database: where runs and leases are.
        lease: this worker's.
        length: seconds for which a lease outlives its last renewal.
        host: this machine's name.
        directory: where working directories, and the locks of this machine's workers, are.
        applications: all that are configured, by name.
        depth: how many wake-ups lie in one of the broker's queues.
        wake: is called when runs have become due.
    """

    database: orm.Database
    lease: Lease
    length: float
    host: str
    directory: Path
    applications: Mapping[str, Application]
    depth: Callable[[str], int]
    wake: Callable[[], None]


class Recovery:
    """The thread that recovers."""

    def __init__(self, around: Surroundings) -> None:
        """Prepare the thread; `start` starts it."""
        self._around = around
        self._watch = Watch()
        self._stopped: dict[int, float] = {}
        self._looks = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="recovery", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()
        self._thread.join()

    def _loop(self) -> None:
        while not self._stopping.is_set():
            try:
                self.look()
            except DatabaseUnavailableError as exc:
                self._watch.forget()
                _log.debug("recovery waits: %s", exc)
            except BrokerUnavailableError as exc:
                _log.debug("recovery waits: %s", exc)
            except Exception:  # noqa: BLE001 - whatever it is, this thread goes on
                _log.exception("recovery failed")
            self._stopping.wait(_INTERVAL)
        self._around.database.close()

    def look(self) -> None:
        """Look once, at what is due to be looked at; at everything the first time.

        Raises:
            DatabaseUnavailableError: it could not be looked at.
            BrokerUnavailableError: likewise, for lost wake-ups.
        """
        looks = self._looks
        self._looks += 1
        self._own_attempts()
        if looks % _LIMITS == 0:
            orm.reconsider(self._around.database, self._around.applications)
            self._tidy()
        if looks % _OTHERS == 0:
            self._other_workers()
            recover_wakeups(self._around.database, self._around.depth, _AGE)

    def _own_attempts(self) -> None:
        worker = self._around.lease.worker
        attempts = orm.held(self._around.database, worker)
        pids = {held.pid for held in attempts}
        self._stopped = {pid: since for pid, since in self._stopped.items() if pid in pids}
        for held in attempts:
            if held.cancelling:
                Workplace.of(self._around.directory, held.run, held.attempt).ask_to_cancel()
            life = life_of(held.pid)
            if life is Life.STOPPED:
                self._end_if_stopped_for_long(held.pid)
            elif life is Life.GONE:
                end_family(marks(worker, held.run, held.attempt))
                self._crash(held, _DIED)
            else:
                self._stopped.pop(held.pid, None)

    def _end_if_stopped_for_long(self, pid: int) -> None:
        """Kill a process of this worker that somebody stopped: it records nothing for its run."""
        since = self._stopped.setdefault(pid, now())
        if now() - since >= self._around.length:
            _log.warning("process %d has been stopped for %g s; killing it", pid, now() - since)
            del self._stopped[pid]
            os.kill(pid, signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)

    def _other_workers(self) -> None:
        database, ours = self._around.database, self._around.lease.worker
        asked = now()
        peers = [peer for peer in orm.peers(database) if peer.uuid != ours]
        dead = [peer for peer in peers if self._is_dead(peer)]
        for peer in {*dead, *self._watch.expired(peers, asked)}:
            if peer.host == self._around.host:
                end_family({WORKER_MARK: peer.uuid})
            if orm.take(database, peer):
                _log.warning("worker %s on %s is lost", peer.uuid, peer.host)
                if peer in dead:
                    lock_file(self._around.directory, peer.lock).unlink(missing_ok=True)
        for worker in orm.lost(database):
            for held in orm.held(database, worker):
                self._crash(held, _LOST)

    def _tidy(self) -> None:
        """Remove the locks of workers that are dead and have no lease any more."""
        of_leases = {peer.lock for peer in orm.peers(self._around.database)}
        for file in lock_files(self._around.directory):
            if file.stem not in of_leases and is_free(file) and _age(file) > _STARTED_WITHIN:
                file.unlink(missing_ok=True)

    def _is_dead(self, peer: orm.Peer) -> bool:
        """Whether the system says that no process of a worker on this machine is left."""
        return bool(
            peer.host == self._around.host and is_free(lock_file(self._around.directory, peer.lock))
        )

    def _crash(self, held: orm.Held, error: str) -> None:
        application = self._around.applications.get(held.application)
        most = _MAX_CRASHES if application is None else application.max_crashes
        state = orm.crash(self._around.database, held, error, most)
        if state is not None:
            _log.warning("run %s: attempt %d: %s; %s", held.run, held.attempt, error, state)
            self._around.wake()


def _age(file: Path) -> float:
    with suppress(FileNotFoundError):
        return time.time() - file.stat().st_mtime
    return 0.0


class Watch:
    """Sees from the outside which leases have ended: those that were not renewed for their length.

    Only time counts in which the database was asked again and again and answered: while it is away
    nobody can renew, and when it is back every holder has the whole length again.
    """

    def __init__(self) -> None:
        """Watch leases; none was seen yet."""
        self._seen: dict[orm.Peer, float] = {}
        self._looked = -math.inf

    def forget(self) -> None:
        """Begin anew: the database did not answer."""
        self._seen = {}

    def expired(self, peers: list[orm.Peer], at: float) -> list[orm.Peer]:
        """Look at the leases as they stand.

        Args:
            peers: all of them.
            at: when the database was asked for them, on the clock of `process.now`.

        Returns:
            those that have been seen unchanged for their length.
        """
        gap = at - self._looked
        self._looked = at
        self._seen = {
            peer: self._seen.get(peer, at) if gap <= peer.length / 3 else at for peer in peers
        }
        return [peer for peer, since in self._seen.items() if at - since >= peer.length]


def recover_wakeups(database: orm.Database, depth: Callable[[str], int], age: float) -> int:
    """Make runs due again whose wake-up is neither in the queue nor was acted on.

    When fewer lie in the queue than are on their way, some are not there any more: the oldest. One
    that a busy worker has taken along is so sent twice, which harms nobody, and once, because the
    second one then lies in the queue.

    Args:
        database: where runs are looked for.
        depth: how many wake-ups lie in one of the broker's queues.
        age: seconds for which a wake-up must have been on its way.

    Returns:
        how many runs were made due.
    """
    before = time.time() - age
    recovered = 0
    for queue, number, oldest in orm.wakeups_on_their_way(database):
        if oldest <= before and (missing := number - depth(queue)) > 0:
            recovered += orm.republish_lost(database, queue, missing, before)
    if recovered:
        _log.info("%d wake-ups are not in the queue; they are sent again", recovered)
    return recovered
