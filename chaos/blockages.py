"""Disturbances that suspend tiers, cut them off or take locks, so that others could be blocked."""

import asyncio
import random
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final

from chaos.disturbance import Disturbance
from chaos.ground import Act, Acts, Ground
from chaos.journal import now
from chaos.onlooker import GATES, is_in_transaction, locked, rows_locked
from chaos.tiers import LEASE, Tier
from harness import DeadlineError, processes
from harness.databases import SQLite

_BEYOND_LEASE: Final = (1.0, 3.0)
_SEARCH_TIMEOUT: Final = 20.0
_LOOK: Final = 0.12
"""Seconds after which the server has noticed what a tier did before it was suspended; MariaDB
looks at its transactions ten times per second."""

_HOUR: Final = 3600.0
_BURST: Final = 10
_BURST_INTERVAL: Final = 3.0
_IDLE_LIMIT: Final = 4.0
"""Seconds after which a server has ended the transaction of a client that says nothing."""


class Blockages:
    """Suspend tiers, also inside transactions, cut a host off, and lock rows."""

    def __init__(self, ground: Ground) -> None:
        """Choose the ground."""
        self._ground, self._site = ground, ground.site
        self._is_sqlite = isinstance(ground.site.database, SQLite)
        self._ended_by = 0.0
        self._look = 0.0 if self._is_sqlite else _LOOK
        self._pauses = (0.02, 0.1) if self._is_sqlite else (0.2, 0.6)
        acts: dict[str, Act] = {
            "worker frozen": self._freeze,
            "worker frozen in transaction": self._freeze_worker_inside,
            "web server frozen in transaction": self._freeze_web_inside,
            "power lost in transaction": self._lose_power,
            "worker reconfigured": self._reconfigure,
        }
        if ground.site.other.links:
            acts["host cut off"] = self._cut_off
        if not self._is_sqlite:  # it locks no rows
            acts["rows locked"] = self._lock_rows
            acts["clock moved"] = self._move_clock  # SQLite has the host's
        self.acts: Acts = acts

    async def _freeze(self, rng: random.Random) -> None:
        async with self._ground.only_one("frozen worker"):
            worker = await self._ground.busy_worker(rng)
            entry = self._ground.note("worker frozen", worker)
            entry.suspends = True
            worker.freeze()
            await asyncio.sleep(_beyond_lease(rng))
            worker.thaw()
            entry.until = now()

    async def _freeze_worker_inside(self, rng: random.Random) -> None:
        async with self._ground.only_one("frozen worker"):
            worker = await self._ground.busy_worker(rng)
            await self._freeze_inside("worker frozen in transaction", worker, rng)

    async def _freeze_web_inside(self, rng: random.Random) -> None:
        web = await self._ground.one_of(self._site.webs, rng)
        await self._freeze_inside("web server frozen in transaction", web, rng)

    async def _freeze_inside(self, kind: str, tier: Tier, rng: random.Random) -> None:
        async with self._suspended_inside(kind, tier, rng) as entry:
            await asyncio.sleep(_beyond_lease(rng))
        entry.until = now()

    async def _lose_power(self, rng: random.Random) -> None:
        """Kill a whole host while its worker is inside a transaction, and close no connection."""
        async with self._ground.only_one("elsewhere"):
            worker, tiers = self._site.other, self._site.elsewhere
            kind, pause = "power lost in transaction", _beyond_lease(rng)
            await self._ground.all_of(tiers)
            identity = worker.identity
            async with self._suspended_inside(kind, worker, rng) as entry, _cut(tiers):
                for tier in tiers:
                    tier.end(signal.SIGKILL, pause=pause + 0.5, group=True)
                await self._site.kill_all_of(identity)
                await asyncio.sleep(pause)
            entry.until, entry.suspends = now(), False
            await self._ground.all_of(tiers)

    async def _cut_off(self, rng: random.Random) -> None:
        """Let nothing pass between a host and the servers for longer than the lease."""
        async with self._ground.only_one("elsewhere"):
            tiers = self._site.elsewhere
            await self._ground.all_of(tiers)
            entry = self._ground.note("host cut off", self._site.other)
            entry.spares_others, entry.delays, entry.suspends = True, _IDLE_LIMIT, True
            async with _cut(tiers):
                await asyncio.sleep(_beyond_lease(rng))
            entry.until = now()

    async def _lock_rows(self, rng: random.Random) -> None:
        entry = Disturbance("rows locked", now(), "database", spares_others=True)
        seconds = _beyond_lease(rng)
        entry.delays = seconds + _IDLE_LIMIT
        async with rows_locked(self._site.database):
            self._ground.add(entry)
            await asyncio.sleep(seconds)
        entry.until = now()

    async def _move_clock(self, rng: random.Random) -> None:
        """Let a host's clock be wrong for longer than the lease, and right again."""
        async with self._ground.only_one("clock"):
            ahead = rng.choice((-_HOUR, _HOUR))
            entry = Disturbance("clock moved", now(), self._site.other.name, spares_others=True)
            self._ground.add(entry)
            self._site.move_clock(ahead)
            await asyncio.sleep(_beyond_lease(rng))
            self._site.move_clock(0.0)
            entry.until = now()

    async def _reconfigure(self, rng: random.Random) -> None:
        """Restart a worker whose configuration lacks an application, and later with all."""
        async with self._ground.only_one("elsewhere"):
            worker = self._site.other
            for missing in (rng.choice(self._site.names), ""):
                await self._ground.all_of([worker])
                self._site.configure_elsewhere(without=missing)
                self._ground.note("worker reconfigured", worker)
                worker.end(signal.SIGTERM, pause=0.1)
                await asyncio.sleep(LEASE if missing else 0)

    @asynccontextmanager
    async def _suspended_inside(
        self, kind: str, tier: Tier, rng: random.Random
    ) -> AsyncIterator[Disturbance]:
        """Suspend a tier while it is inside a transaction.

        The search suspends it for moments, so it is noted also if it finds nothing.
        """
        entry = self._ground.describe(f"{kind} (sought)", tier)
        entry.suspends = tier.frozen = True  # from now on, nothing else hits it
        self._ground.log.append(entry)
        found = asyncio.Event()
        load = asyncio.create_task(self._post_until(found))
        try:
            await self._suspend_inside(tier, rng)
            found.set()
            entry.kind, entry.found, entry.delays = kind, now(), _IDLE_LIMIT
            entry.spares_others = not self._is_sqlite
            entry.server = "database" if self._is_sqlite else ""
            self._ground.progress(f"{kind}: {tier.name}")
            yield entry
        finally:
            found.set()
            tier.thaw()
            entry.until = now()
            await load

    async def _post_until(self, found: asyncio.Event) -> None:
        """Post bursts, because idle tiers have no transactions."""
        while not found.is_set():
            await asyncio.to_thread(self._ground.clients.burst, _BURST)
            with suppress(TimeoutError):
                await asyncio.wait_for(found.wait(), _BURST_INTERVAL)

    async def _suspend_inside(self, tier: Tier, rng: random.Random) -> None:
        """Suspend a tier, look, and resume it, until it is inside a transaction.

        Each transaction may delay the others until the server ends it, so there is one at a time.
        """
        async with self._ground.only_one("transaction"):
            await asyncio.sleep(max(0.0, self._ended_by - now()))
            end = now() + _SEARCH_TIMEOUT
            while not await self._is_suspended_inside(tier, rng):
                if now() > end:
                    raise DeadlineError(f"{tier.name} was never seen inside a transaction")
                tier.signal(signal.SIGCONT, group=True)
                await asyncio.sleep(rng.uniform(*self._pauses))
            self._ended_by = now() + _IDLE_LIMIT

    async def _is_suspended_inside(self, tier: Tier, rng: random.Random) -> bool:
        """Suspend a tier; mostly while a short lock makes it wait inside a transaction.

        SQLite's writers wait before they begin one, so there the lock has just been released.
        """
        database, seconds = self._site.database, rng.uniform(*self._pauses)
        async with locked(database, rng.choice(GATES[type(database)])):
            await asyncio.sleep(seconds)
            if not self._is_sqlite:
                tier.freeze()
        tier.freeze()
        pids = {tier.pid, *(each.pid for each in processes.pool_of(tier.pid))}
        return await asyncio.to_thread(is_in_transaction, database, pids, tier.gateway, self._look)


def _beyond_lease(rng: random.Random) -> float:
    return LEASE + rng.uniform(*_BEYOND_LEASE)


@asynccontextmanager
async def _cut(tiers: Sequence[Tier]) -> AsyncIterator[None]:
    """Let nothing pass between tiers and the servers."""
    for tier in tiers:
        tier.cut()
    try:
        yield
    finally:
        for tier in tiers:
            tier.heal()
