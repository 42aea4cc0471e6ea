"""Troubles that a worker warns of once, however many attempts and processes they affect."""

import enum
import mmap
import struct
from typing import Final

from pacifica.dispatcher.execution.process import now

_QUIET: Final = 60.0  # seconds without a trouble after which it counts as over


class Trouble(enum.Enum):
    """A trouble; the value is its place in memory."""

    SPACE = 0  # no space for an attempt's folder
    INODES = 1
    QUOTA = 2
    OUTPUT = 3  # output cannot be stored
    OUTCOME = 4  # an outcome cannot be stored


class Troubles:
    """The times of the latest troubles, in memory shared with forked children."""

    _LAYOUT: Final = struct.Struct("=d")

    def __init__(self) -> None:
        """Start without troubles."""
        self._shared = mmap.mmap(-1, self._LAYOUT.size * len(Trouble))

    def begins(self, trouble: Trouble) -> bool:
        """Take note of a trouble; return True if it is new, so that a warning is due."""
        place, at = self._LAYOUT.size * trouble.value, now()
        [latest] = self._LAYOUT.unpack_from(self._shared, place)
        self._LAYOUT.pack_into(self._shared, place, at)
        return not latest or at - latest > _QUIET
