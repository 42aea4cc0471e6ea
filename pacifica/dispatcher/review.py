"""What is allowed in a configuration and yet most likely a mistake."""

from collections.abc import Iterable, Iterator
from itertools import combinations

from pacifica.dispatcher.applications import Application
from pacifica.dispatcher.errors import Problem
from pacifica.dispatcher.filters import All, Any, Filter, JsonPath, Not, Sql, contradiction


def warnings(applications: Iterable[Application]) -> tuple[Problem, ...]:
    """Rules that can never hold, or have two meanings, and applications that are the same."""
    applications = tuple(applications)
    return (
        *_never(applications),
        *_of_data(applications),
        *_ambiguous(applications),
        *_twice(applications),
    )


def _never(applications: tuple[Application, ...]) -> Iterator[Problem]:
    for each in applications:
        if reason := contradiction(each.rule):
            yield Problem(_where(each), f"no event can match: {reason}")


def _of_data(applications: tuple[Application, ...]) -> Iterator[Problem]:
    for application in applications:
        for each in _all_filters(application.rule):
            if isinstance(each, Sql) and "data" in each.expression.attributes:
                what = "sql sees attributes and no data, so this finds none: jsonpath looks into it"
                yield Problem(_where(application), what)


def _ambiguous(applications: tuple[Application, ...]) -> Iterator[Problem]:
    for application in applications:
        for each in _all_filters(application.rule):
            if isinstance(each, JsonPath) and each.older:
                what = (
                    f"{each.text} is read as RFC 9535; if it is one of Pacifica's older "
                    f"expressions (jsonpath2), write instead: {each.older}; if not, leave out the "
                    "parentheses behind the question mark"
                )
                yield Problem(_where(application), what)


def _all_filters(rule: Iterable[Filter]) -> Iterator[Filter]:
    """The filters of a rule, and those within others."""
    for each in rule:
        yield each
        if isinstance(each, All | Any):
            yield from _all_filters(each.parts)
        elif isinstance(each, Not):
            yield from _all_filters((each.part,))


def _twice(applications: tuple[Application, ...]) -> Iterator[Problem]:
    for one, other in combinations(applications, 2):
        if _same(one, other):
            yield Problem(_where(other), f"does the same for the same events as {one.name}")


def _same(one: Application, other: Application) -> bool:
    return (
        one.way == other.way
        and one.dispatch == other.dispatch
        and one.environment == other.environment
        and set(one.rule) == set(other.rule)
    )


def _where(application: Application) -> str:
    return f"[application:{application.name}]"
