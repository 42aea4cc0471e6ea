"""Whether a rule can never hold, as far as its comparisons of attributes tell."""

import json
from collections.abc import Iterable, Iterator
from itertools import combinations

from pacifica.dispatcher.filters.attributes import Comparison, Exact, Prefix, Suffix
from pacifica.dispatcher.filters.composite import All, Any, Not
from pacifica.dispatcher.filters.filter import Filter

MAX_FILTERS = 200
"""Filters of a rule that is looked at: each is compared with each."""


_VERSION = Exact("specversion", "1.0")
"""What every event has here, whatever its version was."""


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
    for each in clauses:
        if (
            isinstance(each, Comparison)
            and each.attribute == _VERSION.attribute
            and not _implies(_VERSION, each)
        ):
            return f"{each.clause}, and every event is read as version {_VERSION.value}"
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
            return f"{_shown(said)} must hold and must not"
        if isinstance(denied, Not) and _implies(said, denied.part):
            return f"{_shown(said)} must hold, and {_shown(denied.part)} must not"
    if (
        isinstance(one, Comparison)
        and isinstance(other, Comparison)
        and one.attribute == other.attribute
        and not _compatible(one, other)
    ):
        return f"it would need an event whose {one.clause} and whose {other.clause}"
    return None


def _shown(clause: Filter) -> str:
    return json.dumps(clause.document(), ensure_ascii=False)


def _compatible(one: Comparison, other: Comparison) -> bool:
    """Whether there can be a string that fits both."""
    match one, other:
        case (Prefix(), Suffix()) | (Suffix(), Prefix()):
            return True
        case _:
            return _implies(one, other) or _implies(other, one)


def _implies(one: Filter, other: Filter) -> bool:
    """Whether one comparison with an attribute holds only where the other, with it too, does."""
    match one, other:
        case Comparison(), Comparison() if one.attribute != other.attribute:
            return False
        case Exact(), Exact():
            return one.value == other.value
        case Exact() | Prefix(), Prefix():
            return one.value.startswith(other.value)
        case Exact() | Suffix(), Suffix():
            return one.value.endswith(other.value)
        case _:
            return False
