"""The site under test: choose what to hit, and note it."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final

from chaos.clients import Clients
from chaos.disturbance import Disturbance
from chaos.journal import now
from chaos.tiers import Site, Tier
from harness import DeadlineError, until

_TARGET_TIMEOUT: Final = 60.0
_BUSY_TIMEOUT: Final = 5.0
_MIN_SECONDS_LEFT: Final = 0.2

Act = Callable[[random.Random], Awaitable[None]]
"""Causes a disturbance; makes its choices with the given generator."""

Acts = Mapping[str, Act]
"""What causes each kind of disturbance."""


class Ground:
    """A site with its clients and the disturbances caused so far.

    Attributes:
        log: the disturbances.
        site: the site.
        clients: post events to it.
        progress: is called with each step.
    """

    def __init__(self, site: Site, clients: Clients, progress: Callable[[str], None]) -> None:
        """Begin with an empty log."""
        self.log: list[Disturbance] = []
        self.site, self.clients, self.progress = site, clients, progress
        self._locks: dict[str, asyncio.Lock] = {}

    def note(self, kind: str, tier: Tier, pid: int = 0) -> Disturbance:
        """Note a disturbance of a tier."""
        return self.add(self.describe(kind, tier, pid))

    def describe(self, kind: str, tier: Tier, pid: int = 0) -> Disturbance:
        """Return a disturbance of a tier that begins now."""
        worker = "" if tier.port else tier.identity
        entry = Disturbance(kind, now(), tier.name, worker, pid, tier.pid)
        entry.tier, entry.next_start = tier, len(tier.starts)
        return entry

    def add(self, entry: Disturbance) -> Disturbance:
        """Note a disturbance."""
        self.log.append(entry)
        self.progress(f"{entry.kind}: {entry.target}{f' {entry.pid}' if entry.pid else ''}")
        return entry

    async def one_of(self, tiers: Sequence[Tier], rng: random.Random) -> Tier:
        """Choose a running tier that was not hit since its start."""
        free: list[Tier] = []

        def one_is_free() -> bool:
            free[:] = [tier for tier in tiers if tier.is_free]
            return bool(free)

        await until(one_is_free, f"one of {[tier.name for tier in tiers]}", _TARGET_TIMEOUT)
        return rng.choice(free)

    async def all_of(self, tiers: Sequence[Tier]) -> None:
        """Wait until tiers are running and not hit."""
        names = f"all of {[tier.name for tier in tiers]}"
        await until(lambda: all(tier.is_free for tier in tiers), names, _TARGET_TIMEOUT)

    async def busy_worker(self, rng: random.Random) -> Tier:
        """Choose a worker that runs applications: mostly the one with the most work left."""
        left: dict[str, float] = {}

        def one_is_busy() -> bool:
            self.site.journal.refresh()
            left.clear()
            for each in self.site.journal.unfinished():
                seconds = each.start + each.seconds - now()
                if seconds > _MIN_SECONDS_LEFT:
                    left[each.worker] = left.get(each.worker, 0.0) + seconds
            return any(each.is_free and each.identity in left for each in workers)

        workers = self.site.workers
        with suppress(DeadlineError):
            await until(one_is_busy, "a busy worker", _BUSY_TIMEOUT)
        busy = [each for each in workers if each.is_free and each.identity in left]
        if not busy:
            return await self.one_of(workers, rng)
        if rng.random() < 0.3:
            return rng.choice(busy)
        return max(busy, key=lambda each: left[each.identity])

    @asynccontextmanager
    async def only_one(self, lock: str) -> AsyncIterator[None]:
        """Cause one disturbance of a group at a time."""
        async with self._locks.setdefault(lock, asyncio.Lock()):
            yield
