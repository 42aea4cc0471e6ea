"""Disturbances of the broker and the database server."""

import asyncio
import random
import signal
from contextlib import suppress
from functools import partial
from typing import Final

from kombu.exceptions import OperationalError

from chaos.disturbance import Disturbance
from chaos.ground import Act, Acts, Ground
from chaos.journal import now
from chaos.onlooker import LOCKS, locked
from chaos.tiers import LEASE, QUEUE
from harness.brokers import RabbitMQ, Redis
from harness.ports import free_port
from harness.queues import purge
from harness.servers import Server

_BURST: Final = 40
_PURGE_TIMEOUT: Final = 3.0
_LONG_OUTAGE: Final = 60.0
_REPLICA: Final = 2.0
_ALARM: Final = 3.0


class Outages:
    """Stop, kill, demote, block and purge servers."""

    def __init__(self, ground: Ground, *, long: bool) -> None:
        """Choose the ground.

        Args:
            ground: the ground.
            long: True to let one outage of the database last a minute.
        """
        self._ground = ground
        self._long_outage = long
        site = ground.site
        acts: dict[str, Act] = {"database locked": self._lock_table, "queue purged": self._purge}
        for name, server in (("broker", site.broker), ("database", site.database)):
            if server.can_fail:
                for kind in (f"{name} stopped", f"{name} killed"):
                    acts[kind] = partial(self._stop, kind, name, server)
        if isinstance(site.broker, Redis):
            acts["broker demoted"] = partial(self._demote, site.broker)
        if isinstance(site.broker, RabbitMQ):
            acts["broker blocked"] = partial(self._block, site.broker)
        self.acts: Acts = acts

    async def _purge(self, _: random.Random) -> None:
        """Delete wake-ups from the queue, where a burst makes sure that there are some."""
        broker = self._ground.site.broker
        async with self._ground.only_one("broker"):
            entry = self._ground.add(Disturbance("queue purged", now(), "broker"))
            burst = asyncio.create_task(asyncio.to_thread(self._ground.clients.burst, _BURST))
            end = now() + _PURGE_TIMEOUT
            while entry.purged < _BURST / 4 and now() < end:
                with suppress(OSError, OperationalError):
                    entry.purged += await asyncio.to_thread(purge, broker.url, QUEUE)
            entry.until = now()
            await burst

    async def _stop(self, kind: str, name: str, server: Server, rng: random.Random) -> None:
        async with self._ground.only_one(name):
            entry = self._note(kind, name, server)
            await server.stop(signal.SIGKILL if "killed" in kind else server.fast_stop)
            long = self._long_outage and name == "database"
            self._long_outage = self._long_outage and not long
            await asyncio.sleep(_LONG_OUTAGE if long else rng.uniform(1, 3))
            await server.start()
            entry.until = now()

    async def _demote(self, broker: Redis, _: random.Random) -> None:
        """Make Redis a read-only replica for a moment, as a failover does."""
        async with self._ground.only_one("broker"):
            entry = self._note("broker demoted", "broker", broker)
            broker.replicate(free_port())
            await asyncio.sleep(_REPLICA)
            broker.replicate(None)
            entry.until = now()

    async def _block(self, broker: RabbitMQ, _: random.Random) -> None:
        """Raise RabbitMQ's memory alarm, at which it reads from no publisher any more."""
        async with self._ground.only_one("broker"):
            entry = self._note("broker blocked", "broker", broker)
            await asyncio.to_thread(broker.control, "set_vm_memory_high_watermark", "0.00001")
            await asyncio.sleep(_ALARM)
            await asyncio.to_thread(broker.control, "set_vm_memory_high_watermark", "0.4")
            entry.until = now()

    async def _lock_table(self, rng: random.Random) -> None:
        """Lock a table that everybody needs for longer than a lease, as an operator can."""
        database = self._ground.site.database
        statement = rng.choice(LOCKS[type(database)])
        async with self._ground.only_one("database"):
            entry = self._note("database locked", "database", database)
            self._ground.progress(f"database locked: {statement}")
            async with locked(database, statement):
                await asyncio.sleep(LEASE + rng.uniform(1, 2))
            entry.until = now()

    def _note(self, kind: str, name: str, server: Server) -> Disturbance:
        entry = Disturbance(kind, now(), type(server).__name__, server=name)
        if kind in {"database stopped", "database killed"}:
            # A proxy or pooler does not say that the server refuses everybody, so a lease may end.
            entry.cut_off = [each.identity for each in self._ground.site.workers if each.via]
            entry.suspends = True
        return self._ground.add(entry)
