"""SQLite: a file that may be deleted, replaced or overwritten while tiers have it open.

SQLite continues to write to the file that it has opened, whatever is at its path by then, and
trusts its log (FILE-wal) whatever it finds in the file. So each use of a connection, and each
commit before it counts, compares the files that the connection has open with those that are there.
A connection that differs is given up. Another file is opened only if it is clean: it has our
tables, passes a quick check, and the log of the previous file is not beside it.
"""

import ctypes
import math
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit
from weakref import WeakSet

import peewee

from pacifica.dispatcher.orm import migrations
from pacifica.dispatcher.orm.servers import Waits
from pacifica.dispatcher.orm.sqlite import Sqlite
from pacifica.dispatcher.telemetry import WARNING, emit

_DESCRIPTORS: Final = "/dev/fd"
_MAGIC: Final = b"SQLite format 3\0"
_HEADER: Final = 100  # bytes
_SEE_AGAIN: Final = 0.01  # seconds between two looks at the file, unless something was committed
_LOOK_AGAIN: Final = 0.1  # seconds between two looks at all files of a connection
_INSPECT_AGAIN: Final = 1.0  # seconds for which a file that is not clean is refused unseen
_CHECK_WITHIN: Final = 2.0  # seconds; of a larger file, only a part is checked
_GLANCE: Final = 0.2  # seconds for the check of a file that is in use
_DAMAGE_AGAIN: Final = 10.0  # seconds between two such checks
_TORN: Final = 0.01  # seconds until a header that was read while it was written is read again
_STEPS: Final = 10_000  # of SQLite's virtual machine, between two looks at the clock

_Identity = tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class _Files:
    """The identities of the file, its log and the log's index; None for an absent one."""

    main: _Identity
    log: _Identity
    index: _Identity


@dataclass(frozen=True, slots=True)
class _Content:
    """Facts about a file that change only when a checkpoint writes to it."""

    modified: int
    size: int
    changes: int
    has_log: bool

    def follows(self, earlier: "_Content") -> bool:
        """Return True if checkpoints can have led here from an earlier content."""
        if earlier.has_log and not self.has_log:
            return False
        return (self.changes, self.size) >= (earlier.changes, earlier.size)


class _Connection(sqlite3.Connection):
    """A connection and the files that it has open; none once it is closed."""

    files: _Files | None = None
    durable: bool | None = None
    abandoned = False
    process = 0
    seen = 0.0
    looked = 0.0


class _File:
    """Knowledge of a process, shared with its forks, about the file at a path.

    Attributes:
        path: where it is.
        log: where its log is; for a symbolic link, beside the target.
        suspect: true if another file has to be inspected before it is used.
    """

    def __init__(self, path: str) -> None:
        """Know nothing yet."""
        self.path = path
        self.log = f"{path}-wal"
        self.suspect = False
        self._accepted: _Files | None = None
        self._foreign_log: _Identity = None
        self._moved_main: _Identity = None
        self._content: _Content | None = None
        self._overwritten = False
        self._connections: WeakSet[_Connection] = WeakSet()
        self._lock = threading.Lock()

    def difference(self, connection: _Connection, *, committed: bool = False) -> str:
        """Return how the files differ from those that a connection has open; "" if they do not.

        Args:
            connection: the connection.
            committed: True if it has just written to its log.
        """
        opened, now = connection.files, time.monotonic()
        if opened is None or (not committed and now - connection.seen < _SEE_AGAIN):
            return ""
        connection.seen = now
        try:
            found = os.stat(self.path)  # noqa: PTH116 - quicker, and in each transaction
        except OSError:
            return self._moved(opened, self._is_gone())
        if (found.st_dev, found.st_ino) != opened.main:
            return self._moved(opened, f"its file {self.path} was replaced")
        if self._is_overwritten(found):
            return self._was_overwritten()
        if opened.log is None:  # no tier has turned it on yet
            return ""
        if now - connection.looked >= _LOOK_AGAIN:
            connection.looked = now
            same = self._files() == opened
        else:
            same = not committed or _identity(self.log) == opened.log
        return "" if same else self._log_removed()

    def refusal(self) -> str:
        """Return why no connection may be opened now; "" if one may."""
        found = self._files()
        if found.main is None:
            return self._is_gone()
        if self._accepted is None:
            return ""
        if found.main != self._accepted.main and not self.suspect:
            self._suspect(self._accepted)
        if found.log != self._foreign_log or found.main == self._moved_main:
            self._foreign_log = None
        if self._foreign_log:
            return (
                f"{self.path} was replaced, but {self.log} belongs to the previous file; "
                f"remove {self.log} and {self.log[:-4]}-shm"
            )
        if self._overwritten and not self.suspect:
            return self._was_overwritten()
        if found.log is None and not self.suspect and self._holds_log():
            return self._log_removed()
        return ""

    def accept(self, connection: _Connection, main: _Identity) -> bool:
        """Note what a new connection has open; return False if it was replaced meanwhile.

        Args:
            connection: it has read from the file.
            main: the file's identity before the connection was opened.
        """
        self.log = f"{os.path.realpath(self.path)}-wal"
        found = self._files()
        if found.main != main:
            return False
        with self._lock:
            if self.suspect or self._accepted is None:
                self._content = _content(found.main)
                self._overwritten = False
            self.suspect, self._accepted = False, found
        connection.files, connection.process = found, os.getpid()
        self._connections.add(connection)
        return True

    def forget(self) -> None:
        """Accept any file next."""
        self.suspect, self._accepted, self._foreign_log = False, None, None
        self._overwritten = False

    def identity(self) -> _Identity:
        """Return the identity of what is there now."""
        return _identity(self.path)

    def can_close(self, connection: _Connection) -> bool:
        """Return False if SQLite would damage what is there by closing a connection.

        The last connection to be closed copies its log to the file and deletes whatever is at the
        log's path, unless the file itself was moved.
        """
        opened = connection.files
        if opened is None or self.identity() != opened.main:
            return True
        connection.seen = connection.looked = 0.0
        return not self.difference(connection)

    def save_log(self, connection: _Connection) -> None:
        """Copy a log that was removed, but is still open, to its file."""
        opened = connection.files
        if self._overwritten or opened is None or _identity(self.log) not in {None, opened.log}:
            return  # the file continues with another log
        with suppress(sqlite3.Error):
            busy, pages, copied = connection.execute("PRAGMA wal_checkpoint(FULL)").fetchone()
            emit("database.log_saved", WARNING, pages=pages, copied=copied, complete=not busy)

    def _files(self) -> _Files:
        return _Files(*map(_identity, (self.path, self.log, f"{self.log[:-4]}-shm")))

    def _moved(self, opened: _Files, reason: str) -> str:
        self._suspect(opened)
        return reason

    def _suspect(self, opened: _Files) -> None:
        # As long as a connection has its files open, no other ones can have the same identities.
        self.suspect = True
        self._foreign_log = opened.log if _identity(self.log) == opened.log else None
        self._moved_main = opened.main if _has_name(opened.main) else None

    def _holds_log(self) -> bool:
        process = os.getpid()
        return any(
            each.process == process and each.files and each.files.log
            for each in list(self._connections)
        )

    def _is_overwritten(self, found: os.stat_result) -> bool:
        content = self._content
        if content and (content.modified, content.size) == (found.st_mtime_ns, found.st_size):
            return self._overwritten
        main = (found.st_dev, found.st_ino)
        with self._lock:
            now = _content(main)
            if now and self._content and not now.follows(self._content):
                time.sleep(_TORN)
                now = _content(main)
            if now and self._content and not now.follows(self._content):
                self._overwritten = True
            else:
                self._content = now
        return self._overwritten

    def _is_gone(self) -> str:
        return f"its file {self.path} is not there; restore it, or start the tiers again"

    def _was_overwritten(self) -> str:
        return (
            f"its file {self.path} was overwritten or truncated while it was open; stop all tiers, "
            f"restore it again, remove {self.log} and {self.log[:-4]}-shm, and start them"
        )

    def _log_removed(self) -> str:
        return f"{self.log} or {self.log[:-4]}-shm was removed while it was open"


class WatchedSqlite(Sqlite):
    """PeeWee's database, each of whose connections knows the files that it has open.

    Attributes:
        path: the absolute path of the file.
        creating: true while a missing file is created, and another one taken as it is.
    """

    def __init__(self, path: str, waits: Waits) -> None:
        """Choose the file without opening it."""
        self.path = os.path.abspath(path)  # noqa: PTH100 - not resolved: a link may change
        self.creating = False
        self._file = _watched(self.path)
        self._refused = ("", 0.0)
        self._damage = ("", 0.0)
        super().__init__(self.path, lock=waits.lock, pragmas={"foreign_keys": 1})

    @contextmanager
    def founding(self) -> Iterator[None]:
        """Create the file if it is missing, and take it as it is, whatever was there before."""
        self.close()
        self._file.forget()
        self.creating = True
        try:
            yield
        finally:
            self.creating = False
            self.close()
            self._file.forget()

    def connect(self, reuse_if_open: bool = False) -> bool:  # noqa: FBT001, FBT002 - PeeWee's
        """Connect this thread, or again if its connection has other files open than are there."""
        if not self.is_closed() and not self.in_transaction():
            reason = self._file.difference(self._opened())
            if reason:
                emit("database.abandoned", WARNING, reason=reason)
                self.close()
        return bool(super().connect(reuse_if_open=reuse_if_open))

    def synchronize(self, *, durable: bool) -> None:
        """Let the next commits of this thread wait for the disk, or not."""
        connection = self._opened()
        if connection.durable is not durable:
            self.execute_sql(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")  # type: ignore[no-untyped-call]
            connection.durable = durable

    def verify_commit(self) -> None:
        """Check that what this thread has just committed is in the file that is there.

        Raises:
            peewee.OperationalError: it is not.
        """
        reason = self._file.difference(self._opened(), committed=True)
        if reason:
            raise peewee.OperationalError(reason)

    def explanation(self) -> str:
        """Return what may have made a statement of this thread fail; "" if nothing is known."""
        if self.is_closed():
            return ""
        return self._file.difference(self._opened(), committed=True)

    def obstacle(self) -> str:
        """Return why the file cannot be written, or created; "" if it can."""
        folder = Path(self.path).parent
        if Path(self.path).exists() and not Path(self.path).is_file():
            return f"{self.path} is not a regular file"
        if folder.exists() and not _allowed(folder, os.W_OK | os.X_OK):
            return f"folder {folder} cannot be written, which SQLite needs for its log"
        if Path(self.path).exists() and not _allowed(self.path, os.R_OK | os.W_OK):
            return f"file {self.path} cannot be read and written"
        return ""

    def damage(self, *, fully: bool) -> str:
        """Return what is wrong with the file's pages, according to the last check; "" for nothing.

        Args:
            fully: True to check all now; otherwise a part, at most every ten seconds.
        """
        found, until = self._damage
        if fully or time.monotonic() >= until:
            connection = self._connect()
            try:
                found = quick_check(connection, within=None if fully else _GLANCE)
            finally:
                self._close(connection)
            self._damage = (found, time.monotonic() + _DAMAGE_AGAIN)
        return found and f"file {self.path} {found}"

    def closing(self) -> Callable[[], None]:
        """Return what closes this thread's connection, from any thread."""
        return partial(self._close, self._opened())

    def _opened(self) -> _Connection:
        connection: _Connection = self.connection()  # type: ignore[no-untyped-call]
        return connection

    def _close(self, conn: _Connection) -> None:
        """Close a connection, unless that would damage what is there."""
        if conn.abandoned:
            return
        conn.abandoned = not self._file.can_close(conn)
        if conn.abandoned:
            self._file.save_log(conn)
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(conn))  # nothing will close it
        else:
            conn.close()
        conn.files = None

    def _connect(self) -> _Connection:
        _refuse(self._refusal())
        main = self._file.identity()
        mode = "rwc" if self.creating else "rw"
        connection = sqlite3.connect(
            f"{Path(self.path).as_uri()}?mode={mode}",
            uri=True,
            factory=_Connection,
            timeout=self._lock_wait,
            isolation_level=None,
            check_same_thread=False,  # the last thread to forget a database may be another
        )
        try:
            self._add_conn_hooks(connection)  # type: ignore[attr-defined]
            connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()  # opens the log
            connection.execute(f"PRAGMA busy_timeout = {self._timeout * 1000:.0f}")  # type: ignore[attr-defined]
            if self._file.suspect:
                self._inspect(connection)
            if not self._file.accept(connection, main or self._file.identity()):
                _refuse(f"its file {self.path} was replaced")
        except BaseException:
            connection.close()
            raise
        return connection

    def _refusal(self) -> str:
        reason, until = self._refused
        if self.creating:
            return ""
        return reason if time.monotonic() < until else self._file.refusal()

    def _inspect(self, connection: _Connection) -> None:
        """Refuse a file that was put there while the previous one was open, if it is not clean."""
        reason = _lacking(connection) or quick_check(connection)
        if reason:
            reason = f"its file {self.path} was replaced by another one, which {reason}"
            self._refused = (reason, time.monotonic() + _INSPECT_AGAIN)
            _refuse(reason)
        emit("database.reopened", WARNING, file=self.path)


def open_sqlite(url: str, waits: Waits) -> WatchedSqlite:
    """Choose the file of a URL; nothing is opened yet.

    Raises:
        ValueError: the URL names no file.
    """
    parts = urlsplit(url)
    path = parts.path[1:]
    if parts.netloc or not path or path == ":memory:":
        raise ValueError("it names no file; expected sqlite:///FILE")
    if parts.query or parts.fragment:
        raise ValueError("a file has no options; remove what follows its name")
    if Path(path).is_dir():
        raise ValueError(f"{path} is a directory")
    return WatchedSqlite(path, waits)


def quick_check(connection: sqlite3.Connection, within: float | None = _CHECK_WITHIN) -> str:
    """Return what is wrong with the pages of a file; "" if nothing was found in some seconds."""
    deadline = time.monotonic() + (math.inf if within is None else within)
    connection.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS)
    try:
        [found] = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.DatabaseError as exc:
        return "" if "interrupted" in str(exc) else f"is damaged: {exc}"
    finally:
        connection.set_progress_handler(None, 0)
    return "" if found == "ok" else f"is damaged: {' '.join(found.split())}"


def _refuse(reason: str) -> None:
    if reason:
        raise peewee.OperationalError(reason)


def _lacking(connection: _Connection) -> str:
    folder = Path(migrations.__file__).parent
    wanted = {each.stem for each in folder.glob("[0-9]*.py")}
    try:
        applied = {name for (name,) in connection.execute("SELECT name FROM schema_migration")}
    except sqlite3.DatabaseError as exc:
        return f"cannot be used: {exc}"
    return "" if applied == wanted else "has tables of another version"


@cache
def _allowed(path: str | Path, mode: int) -> bool:
    """Return True if this process has the rights, including those that it was given on top."""
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)


def _watched(path: str) -> _File:
    return _File(path)


def _identity(path: str) -> _Identity:
    try:
        found = os.stat(path)  # noqa: PTH116 - quicker, and in each transaction
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _content(main: _Identity) -> _Content | None:
    """Return facts about a file; None if this process does not have it open."""
    for descriptor, found in _opened_as(main):
        with suppress(OSError):
            header = os.pread(descriptor, _HEADER, 0)
            if os.path.samestat(found, os.fstat(descriptor)):  # not closed meanwhile
                return _parsed(header, found)
    return None


def _parsed(header: bytes, found: os.stat_result) -> _Content:
    if len(header) < _HEADER or not header.startswith(_MAGIC):
        return _Content(found.st_mtime_ns, found.st_size, changes=-1, has_log=False)
    changes = int.from_bytes(header[24:28])
    return _Content(found.st_mtime_ns, found.st_size, changes, header[18:20] == b"\2\2")


def _has_name(main: _Identity) -> bool:
    """Return True if a file that is open was moved rather than deleted."""
    return any(found.st_nlink for _, found in _opened_as(main))


def _opened_as(main: _Identity) -> Iterator[tuple[int, os.stat_result]]:
    """Find the descriptors by which SQLite has opened a file.

    Opening and closing it ourselves would release the locks that SQLite holds.
    """
    folder = Path(_DESCRIPTORS)  # not on Windows, where an open file cannot be replaced
    for each in folder.iterdir() if folder.exists() else ():
        with suppress(OSError):
            found = os.fstat(int(each.name))
            if (found.st_dev, found.st_ino) == main:
                yield int(each.name), found
