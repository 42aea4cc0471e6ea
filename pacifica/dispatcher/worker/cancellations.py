"""Requests to cancel a worker's attempts, in memory that its processes share.

The main process reads the requests from the database; the process that makes an attempt looks for
it here. So a cancel needs no file, which an application could remove or a full disk prevent.
"""

import mmap
from collections.abc import Iterable
from typing import Final

_ENTRY: Final = 48  # bytes: a run's uuid and the attempt's number
_MAX_ENTRIES: Final = 1024


class Cancellations:
    """The attempts to cancel, at most 1024 at a time, in memory shared with forked children."""

    def __init__(self) -> None:
        """Start without requests."""
        self._shared = mmap.mmap(-1, _ENTRY * _MAX_ENTRIES)

    def replace(self, attempts: Iterable[tuple[str, int]]) -> None:
        """Request to cancel exactly these attempts, each a run's uuid and a number."""
        entries = [_entry(run, number) for run, number in attempts][:_MAX_ENTRIES]
        content = b"".join(entries).ljust(len(self._shared), b"\0")
        if self._shared[:] != content:
            self._shared[:] = content

    def requested(self, run: str, number: int) -> bool:
        """Return True if the attempt is to be cancelled."""
        if not self._shared[0]:  # nearly always; a search takes 30 microseconds
            return False
        return self._shared.find(_entry(run, number), 0) >= 0


def _entry(run: str, number: int) -> bytes:
    return f"{run}.{number};".encode().ljust(_ENTRY, b"\0")
