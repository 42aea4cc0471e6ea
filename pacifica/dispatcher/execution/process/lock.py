"""A file that stays locked as long as a process, or a child that it forked, is alive."""

import sys
from pathlib import Path
from typing import IO


def hold(path: Path) -> IO[bytes]:
    """Create a file and lock it for as long as it is open, here or in a forked child.

    Raises:
        OSError: the file cannot be created, or is already locked.
    """
    file = path.open("wb", buffering=0)
    try:
        _lock(file)
    except OSError:
        file.close()
        raise
    return file


def is_free(path: Path) -> bool | None:
    """Return True if no process holds the file, or None if the file does not exist."""
    try:
        with path.open("r+b", buffering=0) as file:
            _lock(file)
    except FileNotFoundError:
        return None
    except OSError:
        return False
    return True


if sys.platform != "win32":
    import fcntl

    def _lock(file: IO[bytes]) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

else:
    import msvcrt

    def _lock(file: IO[bytes]) -> None:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
