"""Error classes and their messages."""

import pytest

from pacifica.dispatcher import errors
from pacifica.dispatcher.errors import (
    DatabaseUnavailableError,
    DispatcherError,
    EventError,
    Problem,
    SettingsError,
)

PROBLEMS = [Problem("a.ini: [server] port", "is wrong"), Problem("a.ini: [x]", "is not known")]


def test_a_configuration_error_lists_each_problem_on_its_own_line() -> None:
    error = SettingsError(PROBLEMS)
    assert str(error) == "a.ini: [server] port: is wrong\na.ini: [x]: is not known"
    assert error.problems == tuple(PROBLEMS)


def test_an_event_error_separates_its_summary_from_its_problems() -> None:
    error = EventError("Not a valid CloudEvent", PROBLEMS)
    assert str(error) == "Not a valid CloudEvent"
    assert error.problems == tuple(PROBLEMS)


def test_a_database_is_not_unavailable_for_all_by_default() -> None:
    assert not DatabaseUnavailableError("no connection").for_all
    error = DatabaseUnavailableError("no connection", for_all=True)
    assert (str(error), error.for_all) == ("no connection", True)


@pytest.mark.parametrize(
    "kind",
    [each for name, each in vars(errors).items() if name.endswith("Error")],
    ids=lambda kind: kind.__name__,
)
def test_every_error_has_the_common_base(kind: type) -> None:
    assert issubclass(kind, DispatcherError)
