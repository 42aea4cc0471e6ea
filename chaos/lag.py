"""The lag of a busy machine: how long it keeps a small process waiting."""

import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Final

from chaos.journal import now

_COMMAND: Final = (sys.executable, "-I", "-S", "-c", "pass")
_INTERVAL: Final = 0.2

Sample = tuple[float, float]
"""The begin and the end of a small process."""


class LagMeter:
    """A thread that runs a small process again and again, and records how long it took."""

    def __init__(self) -> None:
        """Prepare the thread; `start` starts it."""
        self._samples: list[Sample] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._measure, daemon=True)

    def start(self) -> None:
        """Start measuring."""
        self._thread.start()

    def stop(self) -> "Lag":
        """Stop measuring; return the measurements."""
        self._stopping.set()
        self._thread.join()
        return Lag(self._samples)

    def _measure(self) -> None:
        while not self._stopping.wait(_INTERVAL):
            begin = now()
            subprocess.run(_COMMAND, check=True)
            self._samples.append((begin, now()))


class Lag:
    """The lag of a machine: what processes took longer than the fastest one of the same kind."""

    def __init__(self, samples: Sequence[Sample] = ()) -> None:
        """Choose the measurements."""
        self._samples = samples
        self._best = min((end - begin for begin, end in samples), default=0.0)

    def during(self, begin: float, end: float) -> float:
        """Return the seconds of a span for which processes were kept waiting."""
        lags = (
            max(0.0, min(last, end) - max(first, begin)) * (1 - self._best / (last - first))
            for first, last in self._samples
        )
        return sum(lags)

    def busy_spans(self, length: float, least: float) -> int:
        """Count the spans of a length, one after the other, with at least some seconds of lag."""
        return sum(each >= least for each in self._spans(length))

    def longest(self, length: float) -> float:
        """Return the most seconds of lag in one of these spans."""
        return max(self._spans(length), default=0.0)

    def _spans(self, length: float) -> Iterator[float]:
        if self._samples:
            start, (_, end) = self._samples[0][0], self._samples[-1]
            while start < end:
                yield self.during(start, start + length)
                start += length
