"""Disturbances that end processes."""

import os
import random
import signal
from contextlib import suppress
from typing import Final

import psutil

from chaos.disturbance import Disturbance
from chaos.ground import Acts, Ground
from chaos.journal import Execution, now
from chaos.tiers import LEASE, Tier
from harness import processes, until

_TARGET_TIMEOUT: Final = 60.0
_MAX_KILLS_PER_RUN: Final = 2
"""Applications have three retries, and `flaky` uses one of them."""


class Kills:
    """Kill or stop tiers, pool processes and applications."""

    def __init__(self, ground: Ground) -> None:
        """Choose the ground."""
        self._ground = ground
        self.acts: Acts = {
            "host lost": self._lose_host,
            "web server killed": self._kill_web,
            "worker killed": self._kill_worker,
            "worker group killed": self._kill_group,
            "worker stopped": self._stop_worker,
            "pool process killed": self._kill_pool_process,
            "application killed": self._kill_application,
        }

    async def _kill_web(self, rng: random.Random) -> None:
        web = await self._ground.one_of(self._ground.site.webs, rng)
        self._end(web, "web server killed", signal.SIGKILL, pause=rng.uniform(0, 2))

    async def _kill_worker(self, rng: random.Random) -> None:
        worker = await self._ground.busy_worker(rng)
        self._end(worker, "worker killed", signal.SIGKILL, pause=rng.uniform(0, 3))

    async def _stop_worker(self, rng: random.Random) -> None:
        worker = await self._ground.busy_worker(rng)
        self._end(worker, "worker stopped", signal.SIGTERM, pause=rng.uniform(0, 3))

    async def _kill_group(self, rng: random.Random) -> None:
        worker = await self._ground.busy_worker(rng)
        kind = "worker group killed"
        self._end(worker, kind, signal.SIGKILL, pause=rng.uniform(0, 3), group=True)

    async def _lose_host(self, rng: random.Random) -> None:
        """Kill all processes of a host at once, and restart its worker after its lease ended."""
        async with self._ground.only_one("elsewhere"):
            site = self._ground.site
            worker = await self._ground.one_of([site.other], rng)
            identity = worker.identity
            pause = LEASE + rng.uniform(1, 3)
            self._end(worker, "host lost", signal.SIGKILL, pause=pause, group=True)
            await site.kill_all_of(identity)
            await until(lambda: worker.is_running, f"the return of {worker.name}", pause + 10)

    async def _kill_pool_process(self, rng: random.Random) -> None:
        worker = await self._ground.busy_worker(rng)
        pool: list[psutil.Process] = []

        def pool_exists() -> bool:
            pool[:] = processes.pool_of(worker.pid)
            return bool(pool)

        await until(pool_exists, f"a pool of {worker.name}", _TARGET_TIMEOUT)
        busy = [each for each in pool if processes.is_busy(each)]
        # Sometimes an idle one, which may hold a lock that the others wait for.
        chosen = rng.choice(busy if busy and rng.random() < 0.8 else pool)
        self._ground.note("pool process killed", worker, chosen.pid)
        with suppress(psutil.Error):
            chosen.kill()

    async def _kill_application(self, rng: random.Random) -> None:
        site, found = self._ground.site, list[Execution]()

        def one_is_running() -> bool:
            site.journal.refresh()
            running = {*site.applications()}
            found[:] = [
                each
                for each in site.journal.unfinished()
                if each.pid in running and self._kills_of(each.run) < _MAX_KILLS_PER_RUN
            ]
            return bool(found)

        await until(one_is_running, "an application to kill", _TARGET_TIMEOUT)
        chosen = rng.choice(found)
        entry = Disturbance("application killed", now(), chosen.run, pid=chosen.pid)
        with suppress(ProcessLookupError):
            os.kill(chosen.pid, signal.SIGKILL)
            self._ground.add(entry)

    def _end(
        self, tier: Tier, kind: str, number: signal.Signals, *, pause: float, group: bool = False
    ) -> None:
        self._ground.note(kind, tier)
        tier.end(number, pause=pause, group=group)

    def _kills_of(self, run: str) -> int:
        return sum(each.target == run for each in self._ground.log)
