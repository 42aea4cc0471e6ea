"""One combination of a broker and a database: start, disturb, settle, look, clean up."""

import asyncio
import random
import uuid
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, Final

import psutil

from chaos import processes, servers
from chaos.check import is_final
from chaos.clients import Clients
from chaos.disturb import Disturber
from chaos.journal import now
from chaos.observed import Observed
from chaos.tiers import Site, environment
from chaos.waiting import WaitedInVainError, until

_SETTLE: Final = 120.0
_TELL_EVERY: Final = 5.0
_ASK_EVERY: Final = 0.5
_LEFT_AFTER: Final = 5.0


class Combination:
    """Runs once."""

    def __init__(
        self, folder: Path, broker: str, database: str, tell: Callable[[str], None]
    ) -> None:
        """Prepare the servers; nothing is started yet."""
        self._mark = uuid.uuid4().hex[:12]
        inherited = environment(CHAOS_SITE=self._mark)
        self._broker = servers.BROKERS[broker](folder / broker, inherited)
        self._database = servers.DATABASES[database](folder / database, inherited)
        self._folder, self._tell = folder, tell
        self._site: Site | None = None

    async def run(self, seconds: float, seed: int, only: Collection[str] = ()) -> Observed:
        """Do all of it.

        Args:
            seconds: for how long things are broken.
            seed: of all that is random.
            only: the kinds of disturbances; all that there are when it is empty.
        """
        try:
            return await self._run(seconds, seed, only)
        finally:
            if self._site is not None:
                self._site.leave()
            for server in (self._broker, self._database):
                await server.close()
            await processes.kill_marked(CHAOS_SITE=self._mark)

    async def _run(self, seconds: float, seed: int, only: Collection[str]) -> Observed:
        begin = now()
        await servers.start_together(self._broker, self._database)
        self._site = site = Site(self._folder, self._mark, self._broker, self._database)
        await site.start()
        self._tell("everything runs")
        ports = [web.port for web in site.webs]
        clients = Clients(ports, random.Random(seed + 1))  # noqa: S311 - no secret
        rng = random.Random(seed)  # noqa: S311 - likewise
        disturber = Disturber(site, clients, rng, self._tell, only)
        clients.start()
        try:
            await disturber.run(seconds)
            self._tell("no more disturbances")
            await asyncio.to_thread(clients.stop, _SETTLE)
        finally:
            clients.stop(0)
        statuses = await self._settle(clients)
        leftovers = [*await self._strays(site), *await site.stop()]
        for server in (self._broker, self._database):
            await server.close()
        leftovers += await self._remains()
        site.journal.refresh()
        return Observed(
            accepted=clients.accepted,
            statuses=statuses,
            executions=site.journal.by_run(),
            log=disturber.log,
            workers=[worker.name for worker in site.workers],
            unexpected=clients.unexpected,
            leftovers=leftovers,
            figures={
                "trouble that clients saw": dict(sorted(clients.errors.items())),
                "tiers that ended by themselves": sum(tier.own_ends for tier in site.tiers),
                "seconds in all": now() - begin,
            },
        )

    async def _settle(self, clients: Clients) -> dict[str, Any]:
        """Wait until every accepted event has its final status."""
        statuses: dict[str, Any] = {event.uuid: None for event in clients.accepted}
        end, tell_at = now() + _SETTLE, now() + _TELL_EVERY
        while waiting := [uuid for uuid, status in statuses.items() if not is_final(status)]:
            await asyncio.to_thread(_ask_all, clients, statuses, waiting)
            if now() > end:
                break
            if now() >= tell_at:
                self._tell(f"{len(waiting)} of {len(statuses)} events have no final status yet")
                tell_at += _TELL_EVERY
            await asyncio.sleep(_ASK_EVERY)
        return statuses

    async def _strays(self, site: Site) -> list[str]:
        """Applications that live although no run goes on."""
        try:
            await until(lambda: not site.applications(), "the end of applications", _LEFT_AFTER)
        except WaitedInVainError:
            return [f"application {_describe(pid)}" for pid in site.applications()]
        return []

    async def _remains(self) -> list[str]:
        """Whatever lives although everything was stopped."""
        try:
            await until(lambda: not self._ours(), "the end of everything", _LEFT_AFTER)
        except WaitedInVainError:
            return [f"process {_describe(pid)}" for pid in self._ours()]
        return []

    def _ours(self) -> list[int]:
        return [each.pid for each in processes.marked(CHAOS_SITE=self._mark)]


def _ask_all(clients: Clients, statuses: dict[str, Any], uuids: list[str]) -> None:
    for each in uuids:
        statuses[each] = clients.ask(f"/status/{each}") or statuses[each]


def _describe(pid: int) -> str:
    try:
        return f"{pid}: {' '.join(psutil.Process(pid).cmdline())}"
    except psutil.Error:
        return f"{pid}"
