"""What is allowed in a configuration and yet most likely a mistake."""

from collections.abc import Iterable, Iterator
from itertools import combinations

from pacifica.dispatcher.applications import Application
from pacifica.dispatcher.errors import Problem
from pacifica.dispatcher.filters import contradiction


def warnings(applications: Iterable[Application]) -> tuple[Problem, ...]:
    """Rules that can never hold, and applications that do the same for the same events."""
    applications = tuple(applications)
    return (*_never(applications), *_twice(applications))


def _never(applications: tuple[Application, ...]) -> Iterator[Problem]:
    for each in applications:
        if reason := contradiction(each.rule):
            yield Problem(_where(each), f"no event can match: {reason}")


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
