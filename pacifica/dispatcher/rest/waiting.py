"""Responses that wait for the end of an event or a run."""

import time
from collections.abc import Callable
from typing import Final, Protocol, TypeVar

from pacifica.dispatcher.rest.context import Context
from pacifica.dispatcher.rest.request import Request

_PAUSE: Final = 5.0  # seconds until the next query without a notice
_UNENDED: Final = frozenset({"queued", "running", "retrying"})


class Ending(Protocol):
    """A view with a status."""

    @property
    def status(self) -> str:
        """The status of an event or the state of a run."""


V = TypeVar("V", bound=Ending)


def await_end(
    context: Context, request: Request, event: str, query: Callable[[], V], seconds: float
) -> V:
    """Wait until an event or a run has ended, and return its latest view.

    Return early if the time is up, the client disconnects or the server stops, and at once if no
    slot is free: waiting occupies a thread.

    Args:
        context: the context of the resources.
        request: the request to hold open.
        event: the id of the event, or of the event of the run.
        query: queries the view.
        seconds: maximum waiting time.
    """
    view = query()
    if not seconds or view.status not in _UNENDED:
        return view
    slot = context.slots.try_take(request)
    if slot is None:
        return view
    deadline = time.monotonic() + seconds
    try:
        with context.notices.waiting(event) as waiter:
            while (view := query()).status in _UNENDED:
                left = deadline - time.monotonic()
                if left <= 0 or not slot.wait(0.0):
                    break
                waiter.wait(min(left, _PAUSE))
    finally:
        slot.release()
    return view
