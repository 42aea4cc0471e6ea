"""The roster of a worker: the runs that its processes work on, in memory that they share.

A handle in the database says which process claimed a run, not that it still works on it: a claim
may have been committed although its process got an error, and the outcome of an attempt may have
been refused. Recovery takes up the runs that are not on the roster.
"""

import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_PLACES: Final = 4096  # more than a worker has processes or threads
_LENGTH: Final = 36  # of a uuid
_NOTHING: Final = bytes(_LENGTH)


class Roster:
    """The runs that a process, its threads and its forked children work on.

    Each writes to a place of its own, so that none waits for another.
    """

    def __init__(self) -> None:
        """Start with an empty roster."""
        self._shared = mmap.mmap(-1, _PLACES * _LENGTH)
        self._free = [*range(_PLACES)]
        self._user = os.getpid()

    def inherited(self, place: int) -> None:
        """Use one place in a forked child, and no other; do nothing in the creator.

        Args:
            place: a number from 0 that no other living child has.

        Raises:
            ValueError: the number is out of range.
        """
        if os.getpid() == self._user:
            return
        if not 0 <= place < _PLACES:
            raise ValueError(f"invalid place {place}: expected 0 to {_PLACES - 1}")
        self._write(place, _NOTHING)
        self._free = [place]
        self._user = os.getpid()

    @contextmanager
    def working_on(self, run: str) -> Iterator[None]:
        """Have a run on the roster; it must be there before it is claimed.

        Raises:
            RuntimeError: this process was forked and has no place of its own.
        """
        if os.getpid() != self._user:
            raise RuntimeError("no place on the roster: another process would lose its own")
        place = self._free.pop()
        self._write(place, run.encode())
        try:
            yield
        finally:
            self._write(place, _NOTHING)
            self._free.append(place)

    def has(self, run: str) -> bool:
        """Return True if somebody works on a run."""
        return self._shared.find(run.encode(), 0) >= 0

    def _write(self, place: int, content: bytes) -> None:
        start = place * _LENGTH
        self._shared[start : start + len(content)] = content
