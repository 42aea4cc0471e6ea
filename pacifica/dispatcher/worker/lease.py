"""A worker's lease: the right to its runs, renewed by a heartbeat and limited by a deadline.

The lease is a row in the database that a thread of the worker's main process keeps updating. Any
worker that has seen it unchanged for the lease's length may take it (see `recovery`). A worker
therefore ends its applications before that time has passed since the last renewal: each of its
processes checks the deadline, and the watchdog, a separate process, acts if they cannot.
"""

import mmap
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, Self

from pacifica.dispatcher import orm
from pacifica.dispatcher.errors import DatabaseBusyError, DatabaseUnavailableError, DispatcherError
from pacifica.dispatcher.execution.marks import WORKER_MARK
from pacifica.dispatcher.execution.process import end_tree, hold, kill_helper, now, start
from pacifica.dispatcher.periodic import Periodic
from pacifica.dispatcher.telemetry import ERROR, WARNING, emit

_WATCHDOG: Final = "pacifica.dispatcher.worker.watchdog"
_BEATS: Final = 4  # heartbeats per length of a lease
_MARGIN: Final = 0.2  # of a lease's length: the time reserved for ending applications
_RETRY: Final = 0.2  # seconds until the next heartbeat after a failed one
_SHORT_RETRY: Final = 0.1  # … after one that a lock held up, or that found its connection closed
_WATCHDOG_TIMEOUT: Final = 5.0
LOCK_WAIT: Final = 1.0
"""Seconds that a heartbeat waits for a lock; servers know no shorter time."""

REVOKED_WAIT: Final = 3.5
"""Seconds between the end of a lease and the recovery of its runs, unless the worker is dead.

A heartbeat that a lock held up extends the deadline by most of them, counted from the end of its
wait; the next one must have ended by then, so this is more than twice LOCK_WAIT.
"""

_OUTAGE_WAIT: Final = REVOKED_WAIT / 2
"""Seconds beyond a lease's length for which it is held while the database is down.

A peer that has seen the lease's last stamp can only revoke it after its length, and takes its runs
REVOKED_WAIT later.
"""

_LAYOUT: Final = struct.Struct("=36sd")


class Lease:
    """A worker's lease in memory that is shared with forked children."""

    def __init__(self) -> None:
        """Start without a lease."""
        self._shared = mmap.mmap(-1, _LAYOUT.size)

    @property
    def worker(self) -> str:
        """The uuid of the current or last lease."""
        return self._unpack()[0]

    @property
    def deadline(self) -> float:
        """The time at which the lease ends unless it is renewed, on the clock of `now`."""
        return self._unpack()[1]

    def is_held(self, worker: str) -> bool:
        """Return True if the lease with this uuid is held now."""
        holder, deadline = self._unpack()
        return worker == holder and now() < deadline

    def set(self, worker: str, deadline: float) -> None:
        """Hold a lease until a deadline."""
        _LAYOUT.pack_into(self._shared, 0, worker.encode(), deadline)

    def _unpack(self) -> tuple[str, float]:
        worker, deadline = _LAYOUT.unpack_from(self._shared)
        return worker.decode().rstrip("\0"), deadline


class Heartbeat:
    """The thread that renews a lease and keeps the watchdog informed."""

    def __init__(
        self, database: orm.Database, lease: Lease, registration: orm.Registration, directory: Path
    ) -> None:
        """Prepare the heartbeat; `begin` begins the lease and `start` starts the thread.

        Args:
            database: the database that stores the lease.
            lease: the lease in memory, shared with the worker's other processes.
            registration: the public facts about the worker; `begin` creates the lock it names.
            directory: the folder of the locks of this machine's workers.
        """
        self._database = database
        self._lease = lease
        self._registration = registration
        self._directory = directory
        self._length = registration.length
        self._noticed = max_gap(registration.length)
        self._lock: IO[bytes] | None = None
        self._watchdog: subprocess.Popen[bytes] | None = None
        self._pipe_reader, self._pipe_writer = os.pipe()
        os.set_blocking(self._pipe_writer, False)
        self._watched_since = 0.0  # no peer can have begun to count the lease's length before
        self._outage: _Outage | None = None
        self._waiting = False
        pause = self._length / _BEATS
        self._thread = Periodic("heartbeat", self._beat, first=pause)

    def begin(self) -> None:
        """Begin the lease before the worker forks, so that its children share the lock.

        It may be called again if the database was unavailable.

        Raises:
            DispatcherError: the database is unavailable, or the lock cannot be created.
        """
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = lock_file(self._directory, self._registration.lock)
            self._lock = self._lock or hold(file)
        except OSError as exc:
            raise DispatcherError(f"cannot create the worker's lock: {exc}") from exc
        began = now()
        self._register()
        self._extend(began)
        self._database.close()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread, the lease and the watchdog."""
        self._thread.stop()
        try:
            orm.deregister(self._database, self._lease.worker)
        except DatabaseUnavailableError as exc:
            emit("lease.kept", WARNING, worker=self._lease.worker, reason=str(exc))
        self._lease.set("", 0.0)
        self._database.close()
        os.close(self._pipe_writer)
        if self._watchdog is not None:
            try:
                self._watchdog.wait(_WATCHDOG_TIMEOUT)
            except subprocess.TimeoutExpired:
                emit("watchdog.busy", WARNING, worker=self._lease.worker)
        os.close(self._pipe_reader)
        if self._lock is not None:
            self._lock.close()
        lock_file(self._directory, self._registration.lock).unlink(missing_ok=True)

    def _beat(self) -> float:
        """Renew the lease, or begin a new one if it was lost; return the seconds to the next beat.

        A lease that was renewed too late counts as lost, even if no other worker took it.
        """
        began = now()
        worker = self._lease.worker
        held = self._lease.is_held(worker)
        try:
            kept = held and orm.renew(self._database, worker) and self._lease.is_held(worker)
            if not kept:
                self._lose(worker)
                orm.deregister(self._database, worker)
                began = now()  # renewing may have taken longer than a lease
                self._register()
        except DatabaseBusyError as exc:
            self._wait_for_database(exc)
            self._outage = None
            if self._lease.is_held(worker):
                # The database works, and the lock was held until the end of the wait. A peer that
                # revokes the lease needs the same lock, and recovery waits before it takes the
                # runs.
                locked = began + min(LOCK_WAIT, now() - began)
                self._set_deadline(locked + REVOKED_WAIT * (1 - _MARGIN))
            return _SHORT_RETRY
        except DatabaseUnavailableError as exc:
            retry = _RETRY if self._waiting else _SHORT_RETRY
            self._wait_for_database(exc)
            self._outage = _Outage.after(self._outage, began) if exc.for_all else None
            if self._outage and self._lease.is_held(worker):
                self._outlast(self._outage)
            return retry
        if self._waiting:
            emit("heartbeat.resumed", WARNING, worker=self._lease.worker)
        self._waiting = False
        self._outage = None
        self._extend(began)
        return self._length / _BEATS

    def _wait_for_database(self, exc: DatabaseUnavailableError) -> None:
        if not self._waiting:
            emit("heartbeat.waiting", WARNING, worker=self._lease.worker, reason=str(exc))
        self._waiting = True

    def _lose(self, worker: str) -> None:
        if self._lease.deadline:
            emit("lease.lost", ERROR, worker=worker)
        self._lease.set(worker, 0.0)
        end_tree({WORKER_MARK: worker})

    def _register(self) -> None:
        worker = orm.new_uuid()
        orm.register(self._database, worker, self._registration)
        self._lease.set(worker, 0.0)

    def _extend(self, began: float) -> None:
        self._watched_since = began
        self._set_deadline(began + self._length * (1 - _MARGIN))

    def _outlast(self, outage: "_Outage") -> None:
        """Hold the lease for as long as no other worker can have taken its runs."""
        if outage.last - outage.first > self._noticed:
            self._watched_since = outage.previous  # all observers of the lease start over
        self._set_deadline(self._watched_since + self._length + _OUTAGE_WAIT)

    def _set_deadline(self, deadline: float) -> None:
        deadline = max(deadline, self._lease.deadline)
        worker = self._lease.worker
        self._lease.set(worker, deadline)
        if self._watchdog is None or self._watchdog.poll() is not None:
            self._watchdog = self._start_watchdog()
        with suppress(BlockingIOError):  # the pipe is full because the watchdog is stopped
            os.write(self._pipe_writer, f"{worker} {deadline}\n".encode())

    def _start_watchdog(self) -> subprocess.Popen[bytes]:
        assert self._lock is not None  # noqa: S101 - created by `begin`
        # In a session of its own; it holds the lock as long as it is alive.
        return start(
            [sys.executable, "-P", "-m", _WATCHDOG, WORKER_MARK, *kill_helper()],
            stdin=self._pipe_reader,
            env={**os.environ, WORKER_MARK: "watchdog"},  # not part of any application
            pass_fds=() if sys.platform == "win32" else (self._lock.fileno(),),
        )


@dataclass(frozen=True, slots=True)
class _Outage:
    """An outage of the database: the times at which the heartbeat found it down.

    Attributes:
        first: at the beginning.
        previous: the time before the last one.
        last: most recently.
    """

    first: float
    previous: float
    last: float

    @classmethod
    def after(cls, known: Self | None, began: float) -> Self:
        """Return the outage after one more try."""
        return cls(began, began, began) if known is None else cls(known.first, known.last, began)


def max_gap(length: float) -> float:
    """Return the most seconds between two looks at a lease that may count as a continuous watch.

    A database outage that lasts longer is therefore noticed by everyone who watches the lease.

    Args:
        length: seconds for which the lease outlives its last renewal.
    """
    return length / 3


def lock_file(directory: Path, name: str) -> Path:
    """Return the file that is locked as long as a process of a worker is alive."""
    return directory / f"{name}.lock"


def lock_files(directory: Path) -> Iterator[Path]:
    """Yield the lock files of all workers."""
    return directory.glob("*.lock")
