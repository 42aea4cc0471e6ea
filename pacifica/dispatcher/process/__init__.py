"""Processes: one child with its whole tree, and what a worker's processes share. Knows no run.

What differs between POSIX and Windows stands here, and nowhere else.
"""

from pacifica.dispatcher.process.child import (
    TICK,
    Cause,
    Ended,
    Interruption,
    Limits,
    Sink,
    execute,
)
from pacifica.dispatcher.process.clock import now
from pacifica.dispatcher.process.family import (
    Life,
    adopt_orphans,
    end_family,
    life_of,
    start,
)
from pacifica.dispatcher.process.lock import hold, is_free
from pacifica.dispatcher.process.stop import Stop

__all__ = [
    "TICK",
    "Cause",
    "Ended",
    "Interruption",
    "Life",
    "Limits",
    "Sink",
    "Stop",
    "adopt_orphans",
    "end_family",
    "execute",
    "hold",
    "is_free",
    "life_of",
    "now",
    "start",
]
