"""SQLite: how its writers wait for each other."""

import random
import time
from typing import Any, Final

import peewee
from peewee import SqliteDatabase

_OWN_WAIT: Final = 0.25  # seconds that SQLite itself waits for a lock
_PAUSE: Final = 0.01  # seconds at most between two tries


class Sqlite(SqliteDatabase):
    """A database file whose writers wait for their turn in short steps.

    SQLite asks for the lock again after pauses of up to 0.1 s. Where other processes write all the
    time, that is too seldom to get it.
    """

    def __init__(self, database: str, *, lock: float, **options: Any) -> None:  # noqa: ANN401
        """Choose the file.

        Args:
            database: its path.
            lock: seconds that a transaction waits for those of other processes.
            options: passed on to PeeWee and sqlite3.
        """
        super().__init__(database, timeout=min(lock, _OWN_WAIT), **options)
        self._lock_wait = lock

    def begin(self, wait: bool | None = None) -> None:  # noqa: FBT001 - PeeWee's parameter
        """Begin a transaction that writes.

        Args:
            wait: False to fail at once if another process is writing.
        """
        if wait is False:
            self._begin_at_once()
            return
        deadline = time.monotonic() + self._lock_wait
        while True:
            try:
                super().begin("IMMEDIATE")
            except peewee.OperationalError as exc:
                if "locked" not in str(exc) or time.monotonic() >= deadline:
                    raise
                time.sleep(random.uniform(0, _PAUSE))  # noqa: S311 - spreads the tries
            else:
                return

    def _begin_at_once(self) -> None:
        self.execute_sql("PRAGMA busy_timeout = 0")  # type: ignore[no-untyped-call]
        try:
            super().begin("IMMEDIATE")
        finally:
            wait = min(self._lock_wait, _OWN_WAIT)
            self.execute_sql(f"PRAGMA busy_timeout = {wait * 1000:.0f}")  # type: ignore[no-untyped-call]
