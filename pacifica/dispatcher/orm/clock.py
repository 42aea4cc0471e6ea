"""The clock of a database server, read on this host without asking each time.

All stamps and due times are by one clock, so a host whose clock is wrong or jumps delays nothing.
Between two measurements, the host's monotonic clock is used. SQLite has the host's clock.
"""

import time
from collections.abc import Callable
from typing import Final

from pacifica.dispatcher.execution.process import now
from pacifica.dispatcher.telemetry import WARNING, emit

MAX_SKEW: Final = 5.0
"""Seconds by which a host's clock may differ before this is logged."""

_AGE: Final = 5.0  # seconds after which it is measured again
_SLOWEST: Final = 1.0  # seconds that a measurement may take, unless it is the first


class Clock:
    """A server's clock; the threads of a process may share it, and forked children inherit it.

    Attributes:
        skew: seconds by which the host's clock was ahead of the server's when last measured.
    """

    def __init__(
        self, host: Callable[[], float] = time.time, steady: Callable[[], float] = now
    ) -> None:
        """Start unmeasured.

        Args:
            host: the host's clock, which may be wrong and may jump.
            steady: the host's monotonic clock, which nobody can set.
        """
        self.skew = 0.0
        self._host = host
        self._steady = steady
        self._offset: float | None = None
        self._measured = 0.0
        self._is_skewed = False

    @property
    def is_old(self) -> bool:
        """True if it should be measured."""
        return self._offset is None or self._steady() - self._measured >= _AGE

    def time(self) -> float | None:
        """Return the server's time in seconds since the epoch; None if it was never measured."""
        return None if self._offset is None else self._steady() + self._offset

    def convert(self, moment: float) -> float:
        """Return a time by the host's clock as one by the server's, if that was ever measured."""
        server = self.time()
        return moment if server is None else moment + server - self._host()

    def measure(self, ask: Callable[[], float]) -> None:
        """Compare the clocks.

        The server read its clock at some time between the question and the answer, so a difference
        of less than that round trip proves nothing and changes nothing.

        Args:
            ask: asks the server for its time.
        """
        began, host = self._steady(), self._host()
        theirs = ask()
        took = self._steady() - began
        self._measured = began + took
        if self._offset is not None and took > _SLOWEST:
            return
        offset = theirs - (began + took / 2)
        if self._offset is None or abs(offset - self._offset) > took:
            self._offset = offset
        self.skew = host + took / 2 - theirs
        self._report(abs(self.skew) - took / 2 > MAX_SKEW)

    def _report(self, is_skewed: bool) -> None:  # noqa: FBT001 - its only argument
        if is_skewed and not self._is_skewed:
            emit("clock.skewed", WARNING, seconds=self.skew)
        elif self._is_skewed and not is_skewed:
            emit("clock.corrected", WARNING, seconds=self.skew)
        self._is_skewed = is_skewed
