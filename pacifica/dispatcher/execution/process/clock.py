"""The clock shared by the processes of one machine."""

import time


def now() -> float:
    """Return seconds on a clock that cannot be set and that runs while the machine sleeps."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()
