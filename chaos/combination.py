"""One combination of a broker and a database: start, disturb, settle, collect, clean up."""

import asyncio
import random
import uuid
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import psutil

from chaos.check import is_final
from chaos.clients import Clients
from chaos.disturb import disturb
from chaos.ground import Ground
from chaos.journal import now
from chaos.lag import LagMeter
from chaos.observed import Observed
from chaos.tiers import Site
from harness import DeadlineError, processes, until
from harness.brokers import BROKERS
from harness.databases import DATABASES
from harness.ports import HOST
from harness.servers import start_together

_SETTLE_TIMEOUT: Final = 120.0
_PROGRESS_INTERVAL: Final = 5.0
_POLL_INTERVAL: Final = 0.5
_END_TIMEOUT: Final = 5.0
_GETTERS: Final = 4


class Combination:
    """A broker and a database with a dispatcher, for a single use."""

    def __init__(
        self, folder: Path, broker: str, database: str, progress: Callable[[str], None]
    ) -> None:
        """Prepare the servers; `run` starts them."""
        self._mark = uuid.uuid4().hex[:12]
        inherited = processes.environment(CHAOS_SITE=self._mark)
        self._broker = BROKERS[broker](folder / broker, inherited)
        self._database = DATABASES[database](folder / database, inherited)
        self._folder, self._progress = folder, progress
        self._site: Site | None = None

    async def run(self, seconds: float, seed: int, kinds: Collection[str]) -> Observed:
        """Disturb the dispatcher, wait until it has settled, and stop everything.

        Args:
            seconds: the duration of the disturbances.
            seed: the seed of all random choices.
            kinds: the kinds of disturbances.
        """
        try:
            return await self._run(seconds, seed, kinds)
        finally:
            if self._site is not None:
                self._site.stop_restarting()
            await processes.kill_marked(CHAOS_SITE=self._mark)

    async def _run(self, seconds: float, seed: int, kinds: Collection[str]) -> Observed:
        begin = now()
        await start_together(self._broker, self._database)
        self._site = site = Site(self._folder, self._mark, self._broker, self._database)
        await site.start()
        self._progress("all tiers are up")
        urls = [f"http://{HOST}:{web.port}" for web in site.webs]
        clients = Clients(urls, random.Random(seed + 1))  # noqa: S311 - not a secret
        ground = Ground(site, clients, self._progress)
        meter = LagMeter()
        meter.start()
        clients.start()
        try:
            missed = await disturb(ground, seconds, seed, kinds)
            self._progress("disturbances are over")
            await asyncio.to_thread(clients.stop, _SETTLE_TIMEOUT)
        finally:
            clients.stop(0)
            lag = meter.stop()
        statuses = await self._settle(clients)
        leftovers = [*await self._strays(site), *await site.stop()]
        for server in (self._broker, self._database):
            await server.close()
        await site.disconnect()
        leftovers += await self._remaining()
        site.journal.refresh()
        return Observed(
            accepted=clients.accepted,
            statuses=statuses,
            executions=site.journal.by_run(),
            log=ground.log,
            workers=[worker.name for worker in site.workers],
            lost_leases=site.lost_leases(),
            unexpected=clients.unexpected,
            leftovers=leftovers,
            lag=lag,
            figures={
                "client errors": dict(sorted(clients.errors.items())),
                "unexpected exits of tiers": [
                    identity for tier in site.tiers for identity in tier.unexpected_exits
                ],
                "kinds not caused": ", ".join(sorted(missed)) or "none",
                "total seconds": now() - begin,
            },
        )

    async def _settle(self, clients: Clients) -> dict[str, Any]:
        """Wait until every accepted event has its final status."""
        statuses: dict[str, Any] = {event.uuid: None for event in clients.accepted}
        end, progress_at = now() + _SETTLE_TIMEOUT, now() + _PROGRESS_INTERVAL
        while waiting := [uuid for uuid, status in statuses.items() if not is_final(status)]:
            await asyncio.to_thread(_get_all, clients, statuses, waiting)
            if now() > end:
                break
            if now() >= progress_at:
                self._progress(f"{len(waiting)} of {len(statuses)} events have no final status yet")
                progress_at += _PROGRESS_INTERVAL
            await asyncio.sleep(_POLL_INTERVAL)
        return statuses

    async def _strays(self, site: Site) -> list[str]:
        """Return the applications that outlive their runs."""
        try:
            await until(lambda: not site.applications(), "the end of applications", _END_TIMEOUT)
        except DeadlineError:
            return [f"application {_describe(pid)}" for pid in site.applications()]
        return []

    async def _remaining(self) -> list[str]:
        """Return the processes still running after everything was stopped."""
        try:
            await until(lambda: not self._processes(), "the end of all processes", _END_TIMEOUT)
        except DeadlineError:
            return [f"process {_describe(pid)}" for pid in self._processes()]
        return []

    def _processes(self) -> list[int]:
        return [each.pid for each in processes.marked(CHAOS_SITE=self._mark)]


def _get_all(clients: Clients, statuses: dict[str, Any], uuids: list[str]) -> None:
    with ThreadPoolExecutor(_GETTERS) as pool:
        found = pool.map(clients.get, map("/status/{}".format, uuids))
        for uuid, status in zip(uuids, found, strict=True):
            statuses[uuid] = status or statuses[uuid]


def _describe(pid: int) -> str:
    try:
        return f"{pid}: {' '.join(psutil.Process(pid).cmdline())}"
    except psutil.Error:
        return f"{pid}"
