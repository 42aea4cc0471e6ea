"""The limit on the work that rules do for one request.

Rules come from the operator and events from anybody, so a harmless rule can be expensive for one
event, or for each event of a batch. The limit is on processor time, which does not depend on what
other threads do: a busy server does not refuse events that an idle one accepts.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from pacifica.dispatcher.errors import TooMuchWorkError

SECONDS: Final = 1.0
"""Processor time for all rules on all events of one request."""

MAX_STEPS: Final = 50_000_000
"""Maximum work of one operation that cannot be interrupted: text length times pattern size."""

_STRIDE: Final = 4  # steps between two looks at the clock, which is a system call


class _Work:
    """The time left in this context; it belongs to one thread."""

    __slots__ = ("_end", "_steps")

    def __init__(self) -> None:
        self._end = time.thread_time() + SECONDS
        self._steps = 0

    def step(self) -> None:
        """Count a small piece of work."""
        self._steps += 1
        if self._steps % _STRIDE == 0:
            self.check()

    def check(self) -> None:
        """Raise an error if the time is up."""
        if time.thread_time() > self._end:
            raise TooMuchWorkError(f"more than {SECONDS:g} s of processor time for one request")


_current: ContextVar[_Work | None] = ContextVar("work", default=None)


@contextmanager
def limited() -> Iterator[None]:
    """Limit all rules that are evaluated in this context, unless an outer one already does."""
    if _current.get() is not None:
        yield
        return
    token = _current.set(_Work())
    try:
        yield
    finally:
        _current.reset(token)


def step() -> None:
    """Count a small piece of work, such as looking at one value.

    Raises:
        TooMuchWorkError: the time of the request is up.
    """
    if work := _current.get():
        work.step()


def require(steps: int) -> None:
    """Announce an operation that cannot be interrupted.

    Raises:
        TooMuchWorkError: the time of the request is up, or the operation alone is too much.
    """
    if steps > MAX_STEPS:
        raise TooMuchWorkError(f"an operation of {steps} steps, of which {MAX_STEPS} are allowed")
    if work := _current.get():
        work.check()
