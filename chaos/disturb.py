"""Cause disturbances at random."""

import asyncio
import random
from collections.abc import Awaitable, Collection
from typing import Final

from chaos.blockages import Blockages
from chaos.ground import Ground
from chaos.journal import now
from chaos.kills import Kills
from chaos.outages import Outages
from chaos.schedule import plan
from chaos.tiers import LEASE
from harness import DeadlineError
from harness.brokers import RabbitMQ, Redis
from harness.servers import Server

_LONG_FORM: Final = 180.0
_LASTING: Final = LEASE + 3.0

_LONG: Final = (
    "worker frozen",
    "worker frozen in transaction",
    "web server frozen in transaction",
    "power lost in transaction",
    "host cut off",
    "host lost",
    "rows locked",
    "database locked",
    "worker reconfigured",
    "clock moved",
)
KINDS: Final = (
    *_LONG,
    "web server killed",
    "worker killed",
    "worker group killed",
    "worker stopped",
    "pool process killed",
    "application killed",
    "queue purged",
    "broker stopped",
    "broker killed",
    "broker demoted",
    "broker blocked",
    "database stopped",
    "database killed",
)


def possible(broker: type[Server], database: type[Server]) -> list[str]:
    """Return the kinds that can be caused with a broker and a database."""
    impossible = set[str]()
    if not broker.can_fail:
        impossible |= {"broker stopped", "broker killed"}
    if not database.can_fail:
        impossible |= {"database stopped", "database killed", "rows locked", "clock moved"}
    if not broker.can_fail and not database.can_fail:
        impossible.add("host cut off")
    if broker is not Redis:
        impossible.add("broker demoted")
    if broker is not RabbitMQ:
        impossible.add("broker blocked")
    return [kind for kind in KINDS if kind not in impossible]


async def disturb(
    ground: Ground, seconds: float, seed: int, kinds: Collection[str]
) -> Collection[str]:
    """Cause each of some kinds of disturbances once, then random ones until the time is up.

    Args:
        ground: the site to disturb.
        seconds: the duration.
        seed: the seed of all choices.
        kinds: the kinds of disturbances.

    Returns:
        The kinds that could not be caused.
    """
    kills, outages = Kills(ground).acts, Outages(ground, long=seconds >= _LONG_FORM).acts
    blockages = Blockages(ground).acts
    acts = {**kills, **blockages, **outages}
    # While a server is away, blockages show nothing; so they come first, with half of the kills.
    phases = (
        [kind for kind in (*blockages, *[*kills][::2]) if kind in kinds],
        [kind for kind in (*outages, *[*kills][1::2]) if kind in kinds],
    )
    begin = now()
    async with asyncio.TaskGroup() as tasks:
        for planned in plan(phases, _LONG, seconds, _LASTING, seed):
            await asyncio.sleep(max(0.0, begin + planned.at - now()))
            choices = random.Random(planned.seed)  # noqa: S311 - not a secret
            tasks.create_task(_try(ground, planned.kind, acts[planned.kind](choices)))
    return {kind for phase in phases for kind in phase} - {each.kind for each in ground.log}


async def _try(ground: Ground, kind: str, act: Awaitable[None]) -> None:
    try:
        await act
    except (DeadlineError, ProcessLookupError) as exc:
        ground.progress(f"{kind}: {exc}")
