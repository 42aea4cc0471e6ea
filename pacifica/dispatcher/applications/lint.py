"""Warnings about valid configurations that are most likely mistakes."""

from collections.abc import Iterable, Iterator
from itertools import combinations

from pacifica.dispatcher.applications import Application
from pacifica.dispatcher.errors import Problem
from pacifica.dispatcher.rules import All, Any, Filter, JsonPath, Not, Sql, find_contradiction


def warnings(applications: Iterable[Application]) -> tuple[Problem, ...]:
    """Find rules that can never match or are ambiguous, and duplicate applications."""
    applications = tuple(applications)
    return (
        *_contradictory(applications),
        *_sql_on_data(applications),
        *_ambiguous(applications),
        *_unusable(applications),
        *_duplicate(applications),
    )


def _contradictory(applications: tuple[Application, ...]) -> Iterator[Problem]:
    for each in applications:
        if reason := find_contradiction(each.rule):
            yield Problem(_where(each), f"no event can match: {reason}")


def _sql_on_data(applications: tuple[Application, ...]) -> Iterator[Problem]:
    for application in applications:
        for each in _all_filters(application.rule):
            if isinstance(each, Sql) and "data" in each.expression.attributes:
                what = "sql cannot access data, only attributes; use jsonpath to query data"
                yield Problem(_where(application), what)


def _ambiguous(applications: tuple[Application, ...]) -> Iterator[Problem]:
    for application in applications:
        for each in _all_filters(application.rule):
            if isinstance(each, JsonPath) and (legacy := each.legacy_translation):
                what = (
                    f"{each.text} is ambiguous: it is interpreted as RFC 9535, but may be a legacy "
                    f"expression (jsonpath2). If it is legacy, use instead: {legacy}; otherwise "
                    "remove the parentheses after the question mark"
                )
                yield Problem(_where(application), what)


def _unusable(applications: tuple[Application, ...]) -> Iterator[Problem]:
    for application in applications:
        for each in _all_filters(application.rule):
            for reason in each.unusable_patterns if isinstance(each, JsonPath) else ():
                yield Problem(_where(application), f"a filter in jsonpath never matches: {reason}")


def _all_filters(rule: Iterable[Filter]) -> Iterator[Filter]:
    for each in rule:
        yield each
        if isinstance(each, All | Any):
            yield from _all_filters(each.parts)
        elif isinstance(each, Not):
            yield from _all_filters((each.part,))


def _duplicate(applications: tuple[Application, ...]) -> Iterator[Problem]:
    for one, other in combinations(applications, 2):
        if _same(one, other):
            yield Problem(_where(other), f"duplicates {one.name}: same target, same events")


def _same(one: Application, other: Application) -> bool:
    return (
        one.target == other.target
        and one.dispatch == other.dispatch
        and one.environment == other.environment
        and set(one.rule) == set(other.rule)
    )


def _where(application: Application) -> str:
    return f"[application:{application.name}]"
