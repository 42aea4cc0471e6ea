"""Wait for a condition until a deadline."""

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

T = TypeVar("T")

DEADLINE = 120.0
"""Seconds after which something that should happen at once counts as failed.

It costs time only when something is wrong, and a machine that runs other tests may be slow.
"""


class DeadlineError(AssertionError):
    """A condition did not become true in time."""


def wait_until(
    condition: Callable[[], T],
    what: str = "the condition",
    timeout: float = DEADLINE,
    longest: float = 0.2,
) -> T:
    """Wait until a condition is true; return its value.

    Args:
        condition: is polled, at growing intervals.
        what: names the condition in the error.
        timeout: seconds until the deadline.
        longest: the longest interval in seconds.

    Raises:
        DeadlineError: the condition is still false at the deadline.
    """
    pauses = _pauses(what, timeout, longest)
    while not (found := condition()):
        time.sleep(next(pauses))
    return found


async def until(condition: Callable[[], T], what: str, seconds: float) -> T:
    """Wait like `wait_until`, without blocking the event loop."""
    pauses = _pauses(what, seconds, 0.05)
    while not (found := condition()):  # noqa: ASYNC110 - processes set no event
        await asyncio.sleep(next(pauses))
    return found


def _pauses(what: str, timeout: float, longest: float) -> Iterator[float]:
    deadline = time.monotonic() + timeout
    pause = min(0.01, longest)
    while time.monotonic() < deadline:
        yield pause
        pause = min(pause * 1.5, longest)
    raise DeadlineError(f"timed out after {timeout:g} s waiting for {what}")
