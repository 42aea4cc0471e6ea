"""The schedule of a run: which kind of disturbance where and when, from the seed alone."""

import random
from collections.abc import Collection, Mapping, Sequence
from itertools import accumulate
from typing import Final, NamedTuple

Pair = tuple[str, str]
"""The names of a broker and a database."""

_LONGEST_INTERVAL: Final = 4.0


class Planned(NamedTuple):
    """A planned disturbance.

    Attributes:
        at: seconds from the beginning.
        kind: its kind.
        seed: the seed of its own choices.
    """

    at: float
    kind: str
    seed: int


def deal(possible: Mapping[Pair, Collection[str]], times: int, seed: int) -> dict[Pair, list[str]]:
    """Share kinds out over pairs, so that each occurs in some pairs and each pair gets a few.

    Args:
        possible: the kinds that can be caused in each pair.
        times: the number of pairs that get a kind, if so many can.
        seed: the seed of all choices.
    """
    rng = random.Random(seed)  # noqa: S311 - not a secret
    hands: dict[Pair, list[str]] = {pair: [] for pair in possible}
    takers = {
        kind: [pair for pair, able in possible.items() if kind in able]
        for kind in dict.fromkeys(kind for able in possible.values() for kind in able)
    }
    # The kinds that few pairs can take come first, so that the others level out.
    for kind in sorted(takers, key=lambda kind: len(takers[kind])):
        pairs = rng.sample(takers[kind], len(takers[kind]))
        for pair in sorted(pairs, key=lambda pair: len(hands[pair]))[:times]:
            hands[pair].append(kind)
    return hands


def plan(
    phases: Sequence[Sequence[str]],
    long: Collection[str],
    seconds: float,
    lasting: float,
    seed: int,
) -> list[Planned]:
    """Plan each kind once, then random kinds until the time is up.

    Args:
        phases: the kinds of each phase; within a phase, the order is random. A phase begins when
            the long kinds of the previous one have ended.
        long: the kinds that last as long as a lease: none is repeated that would not end in time.
        seconds: the duration.
        lasting: the seconds that a long kind lasts.
        seed: the seed of all choices.
    """
    rng = random.Random(seed)  # noqa: S311 - not a secret
    kinds = [kind for phase in phases for kind in rng.sample(phase, len(phase))]
    boundaries = {*accumulate(map(len, phases))}
    short = [kind for kind in kinds if kind not in long]
    interval = min(_LONGEST_INTERVAL, seconds / (len(kinds) + 1))
    planned: list[Planned] = []
    at = rng.uniform(0.5, 1.5) * interval
    while len(planned) < len(kinds) or at < seconds:
        choices = kinds if at + lasting < seconds or not short else short
        kind = kinds[len(planned)] if len(planned) < len(kinds) else rng.choice(choices)
        planned.append(Planned(at, kind, rng.randrange(2**32)))
        at += rng.uniform(0.5, 1.5) * interval
        if len(planned) in boundaries:
            ends = (each.at + lasting for each in planned if each.kind in long)
            at = max(at, *ends, 0.0)
    return planned
