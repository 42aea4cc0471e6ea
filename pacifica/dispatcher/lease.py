"""A worker's lease: the right to what it runs, kept alive by a heartbeat and limited by a deadline.

The lease is a row in the database that a thread of the worker's main process goes on changing. Who
has watched it unchanged for a lease's length may take it (see `recovery`). So before that time has
passed since its last renewal, a worker ends what it runs: each of its processes looks at the
deadline, and the guard, a process of its own, does it for them when they cannot.
"""

import logging
import mmap
import os
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

from pacifica.dispatcher import orm
from pacifica.dispatcher.errors import DatabaseUnavailableError, DispatcherError
from pacifica.dispatcher.process import end_family, hold, now, start

_log = logging.getLogger(__name__)

WORKER_MARK: Final = "DISPATCHER_WORKER"
MARKS: Final = (WORKER_MARK, "DISPATCHER_RUN", "DISPATCHER_ATTEMPT")
"""Variables whose values mark the processes of one attempt."""


def marks(worker: str, run: str, attempt: int) -> dict[str, str]:
    """The marks of one attempt, as they stand in its environment."""
    return dict(zip(MARKS, (worker, run, str(attempt)), strict=True))


_BEATS: Final = 3  # heartbeats for each length of a lease
_MARGIN: Final = 0.2  # of a lease's length: the time that it takes to end what runs
_AGAIN: Final = 1.0  # seconds after a heartbeat that failed
_NOTICED: Final = 2.0  # seconds that the database must be away for all to have noticed
_GUARD_ENDS: Final = 5.0
_LAYOUT: Final = struct.Struct("=36sd")


class Lease:
    """What a worker's processes know of its lease; children that are forked share it."""

    def __init__(self) -> None:
        """Hold nothing yet."""
        self._shared = mmap.mmap(-1, _LAYOUT.size)

    @property
    def worker(self) -> str:
        """The uuid under which the worker holds, or held, its lease."""
        return self._read()[0]

    @property
    def deadline(self) -> float:
        """When it ends unless it is renewed, on the clock of `now`."""
        return self._read()[1]

    def is_held(self, worker: str) -> bool:
        """Whether the lease of this uuid is the one that is held, now."""
        holder, deadline = self._read()
        return worker == holder and now() < deadline

    def set(self, worker: str, deadline: float) -> None:
        """Hold a lease until a deadline."""
        _LAYOUT.pack_into(self._shared, 0, worker.encode(), deadline)

    def _read(self) -> tuple[str, float]:
        worker, deadline = _LAYOUT.unpack_from(self._shared)
        return worker.decode().rstrip("\0"), deadline


class Heartbeat:
    """The thread that renews a lease, and the guard that is told of it."""

    def __init__(
        self, database: orm.Database, lease: Lease, registration: orm.Registration, directory: Path
    ) -> None:
        """Prepare; `begin` begins the lease and `start` the thread.

        Args:
            database: where the lease is.
            lease: what is shared with the worker's other processes.
            registration: what others are told of the worker; its lock is made here.
            directory: where workers of this machine find each other's locks.
        """
        self._database = database
        self._lease = lease
        self._registration = registration
        self._directory = directory
        self._length = registration.length
        self._lock: IO[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._guarded, self._telling = os.pipe()
        os.set_blocking(self._telling, False)
        self._away_since: float | None = None
        self._failing = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="heartbeat", daemon=True)

    def begin(self) -> None:
        """Begin the lease; before the worker forks, so that its children share what shows its life.

        Raises:
            DispatcherError: the database does not take it, or the lock cannot be made.
        """
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = hold(lock_file(self._directory, self._registration.lock))
        except OSError as exc:
            raise DispatcherError(f"the worker's lock cannot be made: {exc}") from exc
        began = now()
        self._register()
        self._extend(began)
        self._database.close()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread, the lease and the guard."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        try:
            orm.leave(self._database, self._lease.worker)
        except DatabaseUnavailableError as exc:
            _log.warning("the lease could not be given back: %s", exc)
        self._lease.set("", 0.0)
        self._database.close()
        os.close(self._telling)
        if self._guard is not None:
            try:
                self._guard.wait(_GUARD_ENDS)
            except subprocess.TimeoutExpired:
                _log.warning("processes of this worker live on; its guard waits for them")
        os.close(self._guarded)
        if self._lock is not None:
            self._lock.close()
        lock_file(self._directory, self._registration.lock).unlink(missing_ok=True)

    def _loop(self) -> None:
        pause = self._length / _BEATS
        while not self._stopping.wait(pause):
            try:
                pause = self._length / _BEATS if self._beat() else _AGAIN
            except Exception:  # noqa: BLE001 - whatever it is, this thread goes on
                _log.exception("the heartbeat failed")
                pause = _AGAIN

    def _beat(self) -> bool:
        """Renew the lease, or begin another when it was lost. Says whether the database did it."""
        began = now()
        worker = self._lease.worker
        held = self._lease.is_held(worker)
        try:
            kept = held and orm.renew(self._database, worker) and self._lease.is_held(worker)
            if not kept:
                self._lose(worker)
                orm.leave(self._database, worker)
                self._register()
        except DatabaseUnavailableError as exc:
            if not self._failing:
                _log.warning("no heartbeat: %s", exc)
            self._failing = True
            self._away_since = (self._away_since or began) if exc.for_all else None
            held = self._lease.is_held(worker)
            if held and self._away_since and began - self._away_since >= _NOTICED:
                self._extend(began)  # nobody can have taken it
            return False
        if self._failing:
            _log.warning("the heartbeat goes on")
        self._failing = False
        self._away_since = None
        self._extend(began)
        return True

    def _lose(self, worker: str) -> None:
        if self._lease.deadline:
            _log.error("the lease was lost; what ran under it is ended and taken up again")
        self._lease.set(worker, 0.0)
        end_family({WORKER_MARK: worker})

    def _register(self) -> None:
        worker = orm.new_uuid()
        orm.register(self._database, worker, self._registration)
        self._lease.set(worker, 0.0)

    def _extend(self, began: float) -> None:
        deadline = began + self._length * (1 - _MARGIN)
        worker = self._lease.worker
        self._lease.set(worker, deadline)
        if self._guard is None or self._guard.poll() is not None:
            self._guard = self._start_guard()
        with suppress(BlockingIOError):  # it is stopped, and will read on
            os.write(self._telling, f"{worker} {deadline}\n".encode())

    def _start_guard(self) -> subprocess.Popen[bytes]:
        """Start the guard in a session of its own; it holds the lock as long as it lives."""
        assert self._lock is not None  # noqa: S101 - `begin` made it
        return start(
            [sys.executable, "-P", "-m", "pacifica.dispatcher.guard", WORKER_MARK],
            stdin=self._guarded,
            env={**os.environ, WORKER_MARK: "guard"},  # nobody's application
            pass_fds=() if sys.platform == "win32" else (self._lock.fileno(),),
        )


def lock_file(directory: Path, name: str) -> Path:
    """The file that is locked as long as a process of a worker lives."""
    return directory / f"{name}.lock"


def lock_files(directory: Path) -> Iterator[Path]:
    """All such files."""
    return directory.glob("*.lock")
