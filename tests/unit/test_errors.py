"""The errors: their messages carry everything that was found."""

import pytest

from pacifica.dispatcher import errors
from pacifica.dispatcher.errors import (
    ConfigError,
    DatabaseUnavailableError,
    DispatcherError,
    EventError,
    Problem,
)

PROBLEMS = [Problem("a.ini: [server] port", "is wrong"), Problem("a.ini: [x]", "is not known")]


def test_a_configuration_error_says_every_problem_on_a_line_of_its_own() -> None:
    error = ConfigError(PROBLEMS)
    assert str(error) == "a.ini: [server] port: is wrong\na.ini: [x]: is not known"
    assert error.problems == tuple(PROBLEMS)


def test_an_event_error_keeps_its_summary_apart_from_its_problems() -> None:
    error = EventError("this is no valid CloudEvent", PROBLEMS)
    assert str(error) == "this is no valid CloudEvent"
    assert error.problems == tuple(PROBLEMS)


def test_a_database_is_not_known_to_be_away_for_all_unless_that_is_said() -> None:
    assert not DatabaseUnavailableError("gone").for_all
    error = DatabaseUnavailableError("gone", for_all=True)
    assert (str(error), error.for_all) == ("gone", True)


@pytest.mark.parametrize(
    "kind",
    [each for name, each in vars(errors).items() if name.endswith("Error")],
    ids=lambda kind: kind.__name__,
)
def test_every_error_is_caught_by_the_one_base(kind: type) -> None:
    assert issubclass(kind, DispatcherError)
