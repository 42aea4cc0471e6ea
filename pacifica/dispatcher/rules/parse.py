"""Parsing of filters in JSON, the form used by Knative triggers and subscriptions.

Subscriptions API 1.0, section 3.2.4; Knative calls `sql` `cesql`. `jsonpath` is our extension.
"""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

from pacifica.dispatcher.errors import EventError, Problem, RuleError
from pacifica.dispatcher.events import Json, strict_json
from pacifica.dispatcher.rules.comparison import ATTRIBUTE_DIALECTS, make_comparison
from pacifica.dispatcher.rules.composite import All, Any, Not
from pacifica.dispatcher.rules.filter import Filter, cheapest_first
from pacifica.dispatcher.rules.jsonpath import JsonPath
from pacifica.dispatcher.rules.sql import Sql

TEXT_DIALECTS: Mapping[str, Callable[[str], Filter]] = MappingProxyType(
    {"sql": Sql.parse, "jsonpath": JsonPath.parse}
)
"""The dialects written as one text, with their parsers, which raise ValueError."""

_ALIASES = {"cesql": "sql"}
_COMPOSITES: Mapping[str, type[All | Any]] = {"all": All, "any": Any}

COMPOSITE_DIALECTS = (*_COMPOSITES, "not")
"""The dialects composed of other filters."""


def parse_filters(text: str) -> tuple[Filter, ...]:
    """Parse a JSON array of filters, all of which must match; an empty one matches every event.

    Raises:
        RuleError: not a valid array of filters; every problem is named with a JSON pointer.
    """
    try:
        document = strict_json.loads(text)
    except EventError as exc:
        raise RuleError([Problem("", str(exc))]) from exc
    if not isinstance(document, list):
        raise RuleError([Problem("", 'must be a JSON array such as [{"exact": {"type": "…"}}]')])
    problems: list[Problem] = []
    found = _parse_list(document, "", problems)
    if problems:
        raise RuleError(problems)
    return found


def _parse_list(document: list[Json], pointer: str, problems: list[Problem]) -> tuple[Filter, ...]:
    found = [_parse_filter(each, f"{pointer}/{n}", problems) for n, each in enumerate(document)]
    return cheapest_first(each for each in found if each is not None)


def _parse_filter(document: Json, pointer: str, problems: list[Problem]) -> Filter | None:
    if not isinstance(document, dict) or len(document) != 1:
        what = 'must be an object with one dialect, such as {"exact": {"type": "…"}}'
        problems.append(Problem(pointer, what))
        return None
    [(name, value)] = document.items()
    dialect = _ALIASES.get(name, name)
    pointer = f"{pointer}/{_pointer_token(name)}"
    if dialect in ATTRIBUTE_DIALECTS:
        return _parse_comparisons(dialect, value, pointer, problems)
    if dialect in _COMPOSITES:
        return _parse_composite(_COMPOSITES[dialect], value, pointer, problems)
    if dialect == "not":
        part = _parse_filter(value, pointer, problems)
        return None if part is None else Not(part)
    if dialect in TEXT_DIALECTS:
        return _parse_text(TEXT_DIALECTS[dialect], value, pointer, problems)
    known = ", ".join((*ATTRIBUTE_DIALECTS, *COMPOSITE_DIALECTS, *TEXT_DIALECTS))
    problems.append(Problem(pointer, f"is not a supported dialect; use one of {known}"))
    return None


def _parse_comparisons(
    dialect: str, value: Json, pointer: str, problems: list[Problem]
) -> Filter | None:
    if not isinstance(value, dict) or not value:
        problems.append(Problem(pointer, "must be an object of attribute names and values"))
        return None
    found: list[Filter] = []
    for name, text in value.items():
        make = partial(make_comparison, dialect, name)
        comparison = _parse_text(make, text, f"{pointer}/{_pointer_token(name)}", problems)
        if comparison is not None:
            found.append(comparison)
    return All(tuple(found)) if len(value) > 1 else next(iter(found), None)


def _parse_composite(
    kind: type[All | Any], value: Json, pointer: str, problems: list[Problem]
) -> Filter | None:
    if not isinstance(value, list) or not value:
        problems.append(Problem(pointer, "must be an array of at least one filter"))
        return None
    return kind(_parse_list(value, pointer, problems))


def _parse_text(
    make: Callable[[str], Filter], value: Json, pointer: str, problems: list[Problem]
) -> Filter | None:
    if not isinstance(value, str):
        problems.append(Problem(pointer, "must be a string"))
        return None
    try:
        return make(value)
    except ValueError as exc:
        problems.append(Problem(pointer, str(exc)))
        return None


def _pointer_token(name: str) -> str:
    """Escape a name for a JSON pointer (RFC 6901, section 3), safe to display."""
    shown = "".join(
        each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in name[:80]
    )
    return shown.replace("~", "~0").replace("/", "~1")
