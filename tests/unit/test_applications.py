"""Which applications an event is for."""

import pytest

from pacifica.dispatcher.applications import BUILT_IN, Application, Handler, matching
from pacifica.dispatcher.events import Event
from pacifica.dispatcher.filters import Exact, Filter, Prefix, Suffix
from tests.unit.conftest import make_event

EVENT = make_event(type="org.example.files")
HOLDS = Exact("type", "org.example.files")
HOLDS_TOO = Suffix("type", ".files")
FAILS = Prefix("type", "com.")


def application(name: str, *rule: Filter, dispatch: bool = False) -> Application:
    """An application with this rule."""
    return Application(name, Handler("module", "name"), rule=rule, dispatch=dispatch)


@pytest.mark.parametrize(
    ("one", "matches"),
    [
        pytest.param(application("a"), True, id="no rule: every event"),
        pytest.param(application("a", HOLDS), True, id="a filter that holds"),
        pytest.param(application("a", HOLDS, HOLDS_TOO), True, id="all filters hold"),
        pytest.param(application("a", FAILS), False, id="a filter that fails"),
        pytest.param(application("a", HOLDS, FAILS), False, id="one of two fails"),
        pytest.param(application("a", dispatch=True), False, id="dispatch and no rule: none"),
        pytest.param(application("a", HOLDS, dispatch=True), True, id="dispatch and a rule"),
    ],
)
def test_whether_an_event_is_for_an_application(one: Application, *, matches: bool) -> None:
    assert one.matches(EVENT) is matches


@pytest.mark.parametrize(
    ("event", "names"),
    [
        pytest.param(EVENT, ["late", "early", "all"], id="all that match, in order"),
        pytest.param(make_event(type="com.example"), ["other", "all"], id="others"),
    ],
)
def test_all_matching_applications_get_the_event(event: Event, names: list[str]) -> None:
    applications = [
        *BUILT_IN,
        application("late", HOLDS),
        application("other", FAILS),
        application("early", HOLDS_TOO),
        application("all"),
    ]
    assert [each.name for each in matching(applications, event)] == names


def test_the_built_in_applications_run_by_dispatch_only() -> None:
    assert [each.name for each in BUILT_IN] == ["add", "mul"]
    assert all(each.dispatch for each in BUILT_IN)
    assert matching(BUILT_IN, EVENT) == ()
