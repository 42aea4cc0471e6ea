"""Detection of rules that no event can match, judging by their attribute comparisons."""

import json
from collections.abc import Iterable, Iterator
from itertools import combinations

from pacifica.dispatcher.rules.comparison import Comparison, Exact, Prefix, Suffix
from pacifica.dispatcher.rules.composite import All, Any, Not
from pacifica.dispatcher.rules.filter import Filter

MAX_FILTERS = 200
"""Maximum number of filters in a rule to check, since every pair is compared."""

# Events of every version are upgraded to this one.
_VERSION = Exact("specversion", "1.0")


def find_contradiction(rule: Iterable[Filter]) -> str | None:
    """Return the reason why no event can match all of these filters, or None.

    CESQL expressions and JSONPath queries are not analysed, nor are rules with more than
    MAX_FILTERS filters. Each `any` is examined on its own.
    """
    filters = tuple(rule)
    return None if _count(filters) > MAX_FILTERS else _find(filters)


def _count(rule: Iterable[Filter]) -> int:
    return sum(1 + (_count(each.parts) if isinstance(each, All | Any) else 0) for each in rule)


def _find(rule: Iterable[Filter]) -> str | None:
    clauses = list(_flatten(rule))
    for each in clauses:
        if (
            isinstance(each, Comparison)
            and each.attribute == _VERSION.attribute
            and not _implies(_VERSION, each)
        ):
            return f"{each.clause}, but every event is converted to version {_VERSION.value}"
    for one, other in combinations(clauses, 2):
        if reason := _conflict(one, other):
            return reason
    for each in clauses:
        if isinstance(each, Any):
            rest = [clause for clause in clauses if not isinstance(clause, Any)]
            reasons = [_find([*rest, part]) for part in each.parts]
            if all(reasons):
                return reasons[0]
    return None


def _flatten(rule: Iterable[Filter]) -> Iterator[Filter]:
    for each in rule:
        if isinstance(each, All):
            yield from _flatten(each.parts)
        else:
            yield each


def _conflict(one: Filter, other: Filter) -> str | None:
    for negation, assertion in ((one, other), (other, one)):
        if isinstance(negation, Not) and negation.part == assertion:
            return f"{_as_json(assertion)} is both required and excluded"
        if isinstance(negation, Not) and _implies(assertion, negation.part):
            return f"{_as_json(assertion)} is required but {_as_json(negation.part)} is excluded"
    if (
        isinstance(one, Comparison)
        and isinstance(other, Comparison)
        and one.attribute == other.attribute
        and not _compatible(one, other)
    ):
        return f"{one.clause} contradicts {other.clause}"
    return None


def _as_json(clause: Filter) -> str:
    return json.dumps(clause.document(), ensure_ascii=False)


def _compatible(one: Comparison, other: Comparison) -> bool:
    match one, other:
        case (Prefix(), Suffix()) | (Suffix(), Prefix()):
            return True
        case _:
            return _implies(one, other) or _implies(other, one)


def _implies(one: Filter, other: Filter) -> bool:
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
