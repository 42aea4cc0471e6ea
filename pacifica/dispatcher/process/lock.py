"""A file that the system keeps locked while a process, or a child that it forked, lives."""

import sys
from pathlib import Path
from typing import IO


def hold(path: Path) -> IO[bytes]:
    """Make a file and lock it for as long as it is open, here or in a child that was forked.

    Raises:
        OSError: the file cannot be made, or is held.
    """
    file = path.open("wb", buffering=0)
    try:
        _lock(file)
    except OSError:
        file.close()
        raise
    return file


def is_free(path: Path) -> bool | None:
    """Whether nobody holds a file any more; None when there is no such file."""
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
