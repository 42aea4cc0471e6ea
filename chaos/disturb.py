"""Breaks things at random, and remembers what, when, and whom it hit."""

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

import psutil
from kombu.exceptions import OperationalError

from chaos import processes, servers
from chaos.clients import Clients
from chaos.journal import Execution, now
from chaos.servers import Server
from chaos.tiers import LEASE, Site, Tier
from chaos.waiting import WaitedInVainError, until

_BURST: Final = 40
_PURGES_WITHIN: Final = 3.0
_LONG_OUTAGE: Final = 60.0
_LONG_FORM: Final = 180.0
_LONGEST_INTERVAL: Final = 4.0
_VICTIM_WITHIN: Final = 60.0
_BUSY_WITHIN: Final = 5.0
_MEANT_TO_LAST: Final = 0.2
_KILLS_OF_A_RUN: Final = 2
"""Applications may be repeated three times when they fail, and one of those is for `flaky`."""

_FREEZES_BEYOND: Final = (5.0, 10.0)
_INIT: Final = 1
_THAWS: Final = 0.5
"""Seconds in which a worker that goes on ends what it had just been starting."""
_TAKES_A_LEASE: Final = ("worker frozen", "host lost")
KINDS: Final = (
    *_TAKES_A_LEASE,
    "web server killed",
    "worker killed",
    "worker group killed",
    "worker stopped",
    "pool process killed",
    "application killed",
    "queue purged",
    "broker stopped",
    "broker killed",
    "database stopped",
    "database killed",
)


@dataclass(slots=True)
class Disturbance:
    """Something that was broken.

    Attributes:
        kind: what, one of KINDS.
        at: when.
        target: whom: a server's or tier's name.
        worker: the worker and which start of it, when it was one.
        pid: the pool process or application, when it was one.
        adopter: the main process of the worker, which adopts what its pool processes leave.
        until: when that was over; None when it was over at once.
        next_start: which start of the tier follows, counted from 0.
        tier: the tier, when it was one.
        thrown_away: how many wake-ups were lost by it.
    """

    kind: str
    at: float
    target: str
    worker: str = ""
    pid: int = 0
    adopter: int = 0
    until: float | None = None
    tier: Tier | None = None
    next_start: int = 0
    thrown_away: int = 0

    @property
    def restarted(self) -> float | None:
        """When its tier was started again."""
        starts = self.tier.starts if self.tier else []
        return starts[self.next_start] if 0 < self.next_start < len(starts) else None

    def hit(self, execution: Execution, recorded: float) -> bool:
        """Whether it hit an execution, or its worker before that had recorded the end.

        Args:
            execution: which.
            recorded: when its end must have been recorded.
        """
        if recorded < self.at:
            return False
        match self.kind:
            case "application killed":
                return execution.pid == self.pid and execution.end is None
            case "pool process killed":
                # An application that was just being started may have found itself adopted.
                parents = {self.pid, self.adopter, _INIT}
                return execution.worker == self.worker and execution.parent in parents
            case "worker frozen":
                # What was just being started then begins when the worker goes on, and is ended.
                over = (self.until or float("inf")) + _THAWS
                return execution.worker == self.worker and execution.start < over
            case _:
                return bool(self.worker) and execution.worker == self.worker


class Disturber:
    """Breaks what belongs to a site."""

    def __init__(
        self,
        site: Site,
        clients: Clients,
        rng: random.Random,
        tell: Callable[[str], None],
        only: Collection[str],
    ) -> None:
        """Prepare; `run` begins.

        Args:
            site: what is disturbed.
            clients: who posts.
            rng: decides everything.
            tell: is told what happens.
            only: the kinds of disturbances; all that there are when it is empty.
        """
        self.log: list[Disturbance] = []
        self._site, self._clients, self._rng, self._tell = site, clients, rng, tell
        self._alone: dict[str, asyncio.Lock] = {}
        self._long_form = self._long_outage = False
        outages = {
            "broker stopped": site.broker,
            "broker killed": site.broker,
            "database stopped": site.database,
            "database killed": site.database,
        }
        kinds: dict[str, Callable[[], Awaitable[None]]] = {
            "worker frozen": self._freeze,
            "host lost": self._lose_host,
            "web server killed": self._kill_web,
            "worker killed": self._kill_worker,
            "worker group killed": self._kill_group,
            "worker stopped": self._stop_worker,
            "pool process killed": self._kill_pool_process,
            "application killed": self._kill_application,
            "queue purged": self._purge,
            **{
                kind: partial(self._outage, kind, server)
                for kind, server in outages.items()
                if server.can_fail
            },
        }
        self._kinds = {name: way for name, way in kinds.items() if not only or name in only}

    async def run(self, seconds: float) -> None:
        """Break every kind of thing once, in any order, then anything, for so long at least."""
        end = now() + seconds
        self._long_form = self._long_outage = seconds >= _LONG_FORM
        tried: set[str] = set()
        interval = min(_LONGEST_INTERVAL, seconds / (len(self._kinds) + 1))
        async with asyncio.TaskGroup() as tasks:
            for kind in self._order(end):
                await asyncio.sleep(self._rng.uniform(0.5, 1.5) * interval)
                if now() > end and tried >= {*self._kinds}:
                    break
                tried.add(kind)
                tasks.create_task(self._try(kind))

    async def _try(self, kind: str) -> None:
        try:
            await self._kinds[kind]()
        except WaitedInVainError as exc:
            self._tell(f"{kind}: {exc}")

    def _order(self, end: float) -> Iterator[str]:
        """Each kind once, then any; what takes as long as a lease begins early enough."""
        long = [kind for kind in self._kinds if kind in _TAKES_A_LEASE]
        short = [kind for kind in self._kinds if kind not in _TAKES_A_LEASE]
        self._rng.shuffle(short)
        early = [*long, *short[:2]]
        self._rng.shuffle(early)
        yield from [*early, *short[2:]]
        while True:
            there_is_time = now() + LEASE + _FREEZES_BEYOND[-1] < end
            yield self._rng.choice([*self._kinds] if there_is_time or not short else short)

    async def _kill_web(self) -> None:
        web = await self._one_of(self._site.webs)
        self._end(web, "web server killed", signal.SIGKILL, pause=self._rng.uniform(0, 2))

    async def _kill_worker(self) -> None:
        worker = await self._busy_worker()
        self._end(worker, "worker killed", signal.SIGKILL, pause=self._rng.uniform(0, 3))

    async def _stop_worker(self) -> None:
        worker = await self._busy_worker()
        self._end(worker, "worker stopped", signal.SIGTERM, pause=self._rng.uniform(0, 3))

    async def _kill_group(self) -> None:
        worker = await self._busy_worker()
        kind = "worker group killed"
        self._end(worker, kind, signal.SIGKILL, pause=self._rng.uniform(0, 3), group=True)

    async def _lose_host(self) -> None:
        """All that runs on a machine is gone at once, and it comes back after a lease."""
        async with self._only_one("host lost"):
            worker, identity = await self._one_of([self._site.other]), self._site.other.identity
            pause = LEASE + self._rng.uniform(5, 8)
            self._end(worker, "host lost", signal.SIGKILL, pause=pause, group=True)
            await processes.kill_marked(CHAOS_WORKER=identity)
            await until(lambda: worker.lives, f"the return of {worker.name}", pause + 10)

    async def _freeze(self) -> None:
        async with self._only_one("worker frozen"):
            worker = await self._busy_worker()
            entry = self._note("worker frozen", worker)
            worker.stand_still()
            await asyncio.sleep(LEASE + self._rng.uniform(*_FREEZES_BEYOND))
            worker.go_on()
            entry.until = now()

    async def _kill_pool_process(self) -> None:
        worker = await self._busy_worker()
        pool: list[psutil.Process] = []

        def there_is_a_pool() -> bool:
            pool[:] = processes.pool_of(worker.pid)
            return bool(pool)

        await until(there_is_a_pool, f"a pool of {worker.name}", _VICTIM_WITHIN)
        busy = [each for each in pool if processes.is_busy(each)]
        # Now and then one that waits: it may hold what the others wait for.
        chosen = self._rng.choice(busy if busy and self._rng.random() < 0.8 else pool)
        self._note("pool process killed", worker, chosen.pid)
        with suppress(psutil.Error):
            chosen.kill()

    async def _kill_application(self) -> None:
        found: list[Execution] = []

        def there_is_one() -> bool:
            self._site.journal.refresh()
            living = {*self._site.applications()}
            found[:] = [
                each
                for each in self._site.journal.going_on()
                if each.pid in living and self._kills_of(each.run) < _KILLS_OF_A_RUN
            ]
            return bool(found)

        await until(there_is_one, "an application to kill", _VICTIM_WITHIN)
        chosen = self._rng.choice(found)
        entry = Disturbance("application killed", now(), chosen.run, pid=chosen.pid)
        with suppress(ProcessLookupError):
            os.kill(chosen.pid, signal.SIGKILL)
            self._add(entry)

    async def _purge(self) -> None:
        """Throw away wake-ups, which seldom lie in the queue for long: so many come at once."""
        broker = self._site.broker
        async with self._only_one(self._lock_of(broker)):
            entry = Disturbance("queue purged", now(), "broker")
            self._add(entry)
            burst = asyncio.create_task(asyncio.to_thread(self._clients.burst, _BURST))
            end = now() + _PURGES_WITHIN
            while entry.thrown_away < _BURST / 4 and now() < end:
                with suppress(OSError, OperationalError):
                    entry.thrown_away += await asyncio.to_thread(servers.purge, broker)
            entry.until = now()
            await burst

    async def _outage(self, kind: str, server: Server) -> None:
        async with self._only_one(self._lock_of(server)):
            entry = Disturbance(kind, now(), type(server).__name__)
            self._add(entry)
            await server.stop(signal.SIGKILL if "killed" in kind else server.fast_stop)
            long = self._long_outage and "database" in kind
            self._long_outage = self._long_outage and not long
            await asyncio.sleep(_LONG_OUTAGE if long else self._rng.uniform(1, 5))
            await server.start()
            entry.until = now()

    def _end(
        self, tier: Tier, kind: str, number: signal.Signals, *, pause: float, group: bool = False
    ) -> None:
        self._note(kind, tier)
        tier.pause = pause
        tier.signal(number, group=group)

    def _note(self, kind: str, tier: Tier, pid: int = 0) -> Disturbance:
        worker = "" if tier.port else tier.identity
        entry = Disturbance(kind, now(), tier.name, worker, pid, tier.pid)
        entry.tier, entry.next_start = tier, len(tier.starts)
        self._add(entry)
        return entry

    def _add(self, entry: Disturbance) -> None:
        self.log.append(entry)
        self._tell(f"{entry.kind}: {entry.target}{f' {entry.pid}' if entry.pid else ''}")

    async def _one_of(self, tiers: Sequence[Tier]) -> Tier:
        """One that lives, and that nothing was done to yet since its start."""
        free: list[Tier] = []

        def one_is_free() -> bool:
            free[:] = [tier for tier in tiers if self._is_free(tier)]
            return bool(free)

        await until(one_is_free, f"one of {[tier.name for tier in tiers]}", _VICTIM_WITHIN)
        return self._rng.choice(free)

    async def _busy_worker(self) -> Tier:
        """A worker that runs something: mostly the one that has the most to do yet."""
        left: dict[str, float] = {}

        def one_is_busy() -> bool:
            self._site.journal.refresh()
            left.clear()
            for each in self._site.journal.going_on():
                seconds = each.start + each.seconds - now()
                if seconds > _MEANT_TO_LAST:
                    left[each.worker] = left.get(each.worker, 0.0) + seconds
            return any(self._is_free(each) and each.identity in left for each in workers)

        workers = self._site.workers
        with suppress(WaitedInVainError):
            await until(one_is_busy, "a worker that runs something", _BUSY_WITHIN)
        busy = [each for each in workers if self._is_free(each) and each.identity in left]
        if not busy:
            return await self._one_of(workers)
        if self._rng.random() < 0.3:
            return self._rng.choice(busy)
        return max(busy, key=lambda each: left[each.identity])

    def _is_free(self, tier: Tier) -> bool:
        return tier.lives and tier.pause is None

    def _kills_of(self, run: str) -> int:
        return sum(each.target == run for each in self.log)

    def _lock_of(self, server: Server) -> str:
        """Broker and database are away at once in the long form only: else little is left."""
        return type(server).__name__ if self._long_form else "server"

    @asynccontextmanager
    async def _only_one(self, what: str) -> AsyncIterator[None]:
        async with self._alone.setdefault(what, asyncio.Lock()):
            yield
