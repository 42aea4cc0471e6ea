"""The clock by which the processes of one machine tell each other times."""

import time


def now() -> float:
    """Seconds since some moment; it goes on while the machine sleeps, and nobody can set it."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()
