"""Waiting with a deadline."""

import asyncio
from collections.abc import Callable
from typing import Final

from chaos.journal import now

_EVERY: Final = 0.05


class WaitedInVainError(Exception):
    """Something did not come about in its time."""


async def until(condition: Callable[[], object], what: str, seconds: float) -> None:
    """Wait until a condition gives something true.

    Raises:
        WaitedInVainError: it does not within these seconds.
    """
    end = now() + seconds
    while not condition():
        if now() > end:
            raise WaitedInVainError(f"waited {seconds:g} s in vain for {what}")
        await asyncio.sleep(_EVERY)
