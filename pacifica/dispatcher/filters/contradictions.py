"""Whether a rule can never hold, as far as its comparisons of attributes tell."""

import json
from collections.abc import Iterable, Iterator
from itertools import combinations

from pacifica.dispatcher.filters.attributes import Comparison, Exact, Prefix, Suffix
from pacifica.dispatcher.filters.composite import All, Any, Not
from pacifica.dispatcher.filters.filter import Filter

MAX_FILTERS = 200
"""Filters of a rule that is looked at: each is compared with each."""


def contradiction(rule: Iterable[Filter]) -> str | None:
    """Why no event passes all of these filters; None when nothing speaks against it.

    Expressions and queries are not looked into, nor rules of more than MAX_FILTERS. Of several
    `any`, each is looked at alone.
    """
    filters = tuple(rule)
    return None if _count(filters) > MAX_FILTERS else _contradiction(filters)


def _count(rule: Iterable[Filter]) -> int:
    """The filters of a rule, with those within others."""
    return sum(1 + (_count(each.parts) if isinstance(each, All | Any) else 0) for each in rule)


def _contradiction(rule: Iterable[Filter]) -> str | None:
    clauses = list(_flat(rule))
    for one, other in combinations(clauses, 2):
        if reason := _between(one, other):
            return reason
    for each in clauses:
        if isinstance(each, Any):
            rest = [clause for clause in clauses if not isinstance(clause, Any)]
            reasons = [_contradiction([*rest, part]) for part in each.parts]
            if all(reasons):
                return reasons[0]
    return None


def _flat(rule: Iterable[Filter]) -> Iterator[Filter]:
    """The filters of a rule and of every `all` in it."""
    for each in rule:
        if isinstance(each, All):
            yield from _flat(each.parts)
        else:
            yield each


def _between(one: Filter, other: Filter) -> str | None:
    """Why two filters cannot both hold."""
    for denied, said in ((one, other), (other, one)):
        if isinstance(denied, Not) and denied.part == said:
            return f"{json.dumps(said.document(), ensure_ascii=False)} must hold and must not"
    if (
        isinstance(one, Comparison)
        and isinstance(other, Comparison)
        and one.attribute == other.attribute
        and not (_compatible(one, other) and _compatible(other, one))
    ):
        return f"it would need an event whose {one.clause} and whose {other.clause}"
    return None


def _compatible(one: Comparison, other: Comparison) -> bool:
    """Whether there can be a string that fits both; the pair is looked at in either order."""
    match one, other:
        case Exact(), Exact():
            return one.value == other.value
        case Prefix(), Exact():
            return other.value.startswith(one.value)
        case Suffix(), Exact():
            return other.value.endswith(one.value)
        case Prefix(), Prefix():
            return one.value.startswith(other.value) or other.value.startswith(one.value)
        case Suffix(), Suffix():
            return one.value.endswith(other.value) or other.value.endswith(one.value)
        case _:
            return True
