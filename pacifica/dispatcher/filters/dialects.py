"""Filters from their JSON form, as a Knative trigger or a subscription has them.

Subscriptions API 1.0, section 3.2.4; Knative writes `cesql` for `sql`. `jsonpath` is ours.
"""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

from pacifica.dispatcher.errors import EventError, Problem, RuleError
from pacifica.dispatcher.events import Json, strict_json
from pacifica.dispatcher.filters.attributes import ATTRIBUTE_DIALECTS, attribute_filter
from pacifica.dispatcher.filters.composite import All, Any, Not
from pacifica.dispatcher.filters.filter import Filter, cheapest_first
from pacifica.dispatcher.filters.json_path import JsonPath
from pacifica.dispatcher.filters.sql import Sql

TEXT_DIALECTS: Mapping[str, Callable[[str], Filter]] = MappingProxyType(
    {"sql": Sql.parse, "jsonpath": JsonPath.parse}
)
"""The dialects that are one text: name → text → filter; a ValueError says what is wrong."""

_ALIASES = {"cesql": "sql"}
_SEVERAL: Mapping[str, type[All | Any]] = {"all": All, "any": Any}

COMPOSITE_DIALECTS = (*_SEVERAL, "not")
"""The dialects that are made of other filters."""


def parse_filters(text: str) -> tuple[Filter, ...]:
    """Read a JSON array of filters, all of which must hold; an empty one asks for nothing.

    Raises:
        RuleError: it is none; every problem is named with a JSON pointer into it.
    """
    try:
        document = strict_json.loads(text)
    except EventError as exc:
        raise RuleError([Problem("", str(exc).replace("it is not", "is not"))]) from exc
    if not isinstance(document, list):
        raise RuleError([Problem("", 'must be a list such as [{"exact": {"type": "…"}}]')])
    problems: list[Problem] = []
    found = _filters(document, "", problems)
    if problems:
        raise RuleError(problems)
    return found


def _filters(document: list[Json], pointer: str, problems: list[Problem]) -> tuple[Filter, ...]:
    found = [_filter(each, f"{pointer}/{n}", problems) for n, each in enumerate(document)]
    return cheapest_first(each for each in found if each is not None)


def _filter(document: Json, pointer: str, problems: list[Problem]) -> Filter | None:
    """The filter of a JSON object; None, and a problem, when there is none in it."""
    if not isinstance(document, dict) or len(document) != 1:
        what = 'must be an object with one dialect, such as {"exact": {"type": "…"}}'
        problems.append(Problem(pointer, what))
        return None
    [(name, value)] = document.items()
    dialect = _ALIASES.get(name, name)
    pointer = f"{pointer}/{_token(name)}"
    if dialect in ATTRIBUTE_DIALECTS:
        return _attributes(dialect, value, pointer, problems)
    if dialect in _SEVERAL:
        return _several(_SEVERAL[dialect], value, pointer, problems)
    if dialect == "not":
        part = _filter(value, pointer, problems)
        return None if part is None else Not(part)
    if dialect in TEXT_DIALECTS:
        return _checked(TEXT_DIALECTS[dialect], value, pointer, problems)
    known = ", ".join((*ATTRIBUTE_DIALECTS, *COMPOSITE_DIALECTS, *TEXT_DIALECTS))
    problems.append(Problem(pointer, f"is no dialect; there are {known}"))
    return None


def _attributes(dialect: str, value: Json, pointer: str, problems: list[Problem]) -> Filter | None:
    """A comparison, or all of several, of attributes with values."""
    if not isinstance(value, dict) or not value:
        problems.append(Problem(pointer, "must be an object of attributes and values"))
        return None
    found: list[Filter] = []
    for name, text in value.items():
        make = partial(attribute_filter, dialect, name)
        comparison = _checked(make, text, f"{pointer}/{_token(name)}", problems)
        if comparison is not None:
            found.append(comparison)
    return All(tuple(found)) if len(value) > 1 else next(iter(found), None)


def _several(
    kind: type[All | Any], value: Json, pointer: str, problems: list[Problem]
) -> Filter | None:
    if not isinstance(value, list) or not value:
        problems.append(Problem(pointer, "must be a list of at least one filter"))
        return None
    return kind(_filters(value, pointer, problems))


def _checked(
    make: Callable[[str], Filter], value: Json, pointer: str, problems: list[Problem]
) -> Filter | None:
    """What is made of a string, or None and a problem."""
    if not isinstance(value, str):
        problems.append(Problem(pointer, "must be a string"))
        return None
    try:
        return make(value)
    except ValueError as exc:
        problems.append(Problem(pointer, str(exc)))
        return None


def _token(name: str) -> str:
    """A name as a part of a JSON pointer (RFC 6901, section 3), safe to show."""
    shown = "".join(
        each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in name[:80]
    )
    return shown.replace("~", "~0").replace("/", "~1")
