"""Applications: matching, concurrency slots, rates and retries."""

from dataclasses import replace
from typing import Any

import pytest

from pacifica.dispatcher.applications import BUILT_IN, Application, Handler, Rate, Retry, matching
from pacifica.dispatcher.applications.command_template import Argument
from pacifica.dispatcher.events import Event
from pacifica.dispatcher.rules import Exact, Filter, Prefix, Suffix
from tests.factories import make_event

EVENT = make_event(type="org.example.files")
HOLDS = Exact("type", "org.example.files")
ALSO_HOLDS = Suffix("type", ".files")
FAILS = Prefix("type", "com.")


def application(name: str, *rule: Filter, dispatch: bool = False) -> Application:
    """Return an application with this rule."""
    return Application(name, Handler("module", "name"), rule=rule, dispatch=dispatch)


@pytest.mark.parametrize(
    ("one", "matches"),
    [
        pytest.param(application("a"), True, id="no rule: every event"),
        pytest.param(application("a", HOLDS), True, id="a filter that holds"),
        pytest.param(application("a", HOLDS, ALSO_HOLDS), True, id="all filters hold"),
        pytest.param(application("a", FAILS), False, id="a filter that fails"),
        pytest.param(application("a", HOLDS, FAILS), False, id="one of two fails"),
        pytest.param(application("a", dispatch=True), False, id="dispatch and no rule: none"),
        pytest.param(application("a", HOLDS, dispatch=True), True, id="dispatch and a rule"),
    ],
)
def test_an_application_matches_an_event(one: Application, *, matches: bool) -> None:
    assert one.matches(EVENT) is matches


@pytest.mark.parametrize(
    ("event", "names"),
    [
        pytest.param(EVENT, ["late", "early", "all"], id="all that match, in order"),
        pytest.param(make_event(type="com.example"), ["other", "all"], id="others"),
    ],
)
def test_all_matching_applications_receive_the_event(event: Event, names: list[str]) -> None:
    applications = [
        *BUILT_IN,
        application("late", HOLDS),
        application("other", FAILS),
        application("early", ALSO_HOLDS),
        application("all"),
    ]
    assert [each.name for each in matching(applications, event)] == names


def test_the_built_in_applications_run_by_dispatch_only() -> None:
    assert [each.name for each in BUILT_IN] == ["add", "mul"]
    assert all(each.dispatch for each in BUILT_IN)
    assert matching(BUILT_IN, EVENT) == ()


def keyed(key: str) -> Application:
    """Return an application with this concurrency key."""
    return replace(application("a"), concurrency=1, concurrency_key=Argument.parse(key))


def test_without_a_key_all_runs_share_a_slot() -> None:
    one = replace(application("a"), concurrency=3)
    assert {one.slot(make_event(number)) for number in range(3)} == {""}


@pytest.mark.parametrize(
    ("key", "members"),
    [
        pytest.param("{subject}", {"subject": "x"}, id="attribute"),
        pytest.param("{data.path}", {"data": {"path": "x"}}, id="data"),
        pytest.param("{data}", {"data": [1, {"a": 2}]}, id="a structure"),
        pytest.param("{subject}", {"subject": "x" * 1_000_000}, id="any length"),
        pytest.param("always", {}, id="no placeholder"),
    ],
)
def test_runs_with_the_same_key_share_a_slot(key: str, members: dict[str, Any]) -> None:
    slots = {keyed(key).slot(make_event(number, **members)) for number in range(2)}
    [slot] = slots
    assert len(slot) == 64


def test_runs_with_different_keys_have_different_slots() -> None:
    one = keyed("{type}/{subject}")
    slots = {one.slot(make_event(type=t, subject=s)) for t in "ab" for s in "cd"}
    assert len(slots) == 4


@pytest.mark.parametrize(
    "members",
    [
        pytest.param({}, id="no data"),
        pytest.param({"data": {}}, id="nothing there"),
        pytest.param({"data": {"path": None}}, id="null"),
        pytest.param({"data": {"path": "\ud800"}}, id="not encodable"),
    ],
)
def test_events_without_the_key_share_a_slot(members: dict[str, Any]) -> None:
    assert keyed("{data.path}").slot(make_event(**members)) == ""


def test_events_with_binary_data_share_a_slot() -> None:
    assert keyed("{data}").slot(make_event(data_base64="//4=")) == ""


@pytest.mark.parametrize(
    ("rate", "interval", "burst"),
    [
        pytest.param(Rate(1, 1.0), 1.0, 1, id="1/s"),
        pytest.param(Rate(10, 1.0), 0.1, 10, id="10/s"),
        pytest.param(Rate(1, 60.0), 60.0, 1, id="1/m"),
        pytest.param(Rate(60, 60.0), 1.0, 1, id="60/m"),
        pytest.param(Rate(90, 60.0), 60 / 90, 1, id="90/m"),
        pytest.param(Rate(120, 60.0), 0.5, 2, id="120/m"),
        pytest.param(Rate(7200, 3600.0), 0.5, 2, id="7200/h"),
        pytest.param(Rate(2, 86400.0), 43200.0, 1, id="2/d"),
    ],
)
def test_a_rate_is_spread_evenly(rate: Rate, interval: float, burst: int) -> None:
    assert (rate.interval, rate.burst) == (interval, burst)


def test_without_retries_a_failure_is_final() -> None:
    assert Retry().wait(1, 1) is None


def test_the_number_of_retries_is_limited() -> None:
    waits = [Retry(retries=2).wait(failures, 1) for failures in range(1, 5)]
    assert [wait is not None for wait in waits] == [True, True, False, False]


@pytest.mark.parametrize(
    ("failures", "longest"),
    [(1, 10.0), (2, 20.0), (3, 40.0), (5, 160.0), (6, 200.0), (70, 200.0), (2000, 200.0)],
)
def test_the_delay_doubles_up_to_the_maximum(failures: int, longest: float) -> None:
    retry = Retry(retries=10_000, delay=10.0, delay_max=200.0)
    waits = [retry.wait(failures, 1) or 0.0 for _ in range(1000)]
    assert 0.0 <= min(waits) < longest * 0.05
    assert longest * 0.95 < max(waits) <= longest


def test_the_first_delay_is_limited() -> None:
    waits = [Retry(1, delay=100.0, delay_max=1.0).wait(1, 1) or 0.0 for _ in range(100)]
    assert max(waits) <= 1.0


def test_a_delay_of_zero() -> None:
    assert Retry(retries=5, delay=0.0).wait(3, 1) == 0.0


@pytest.mark.parametrize(
    ("exit_code", "again"), [(75, True), (1, True), (2, False), (None, False), (0, False)]
)
def test_only_the_listed_exit_codes_are_retried(exit_code: int | None, *, again: bool) -> None:
    retry = Retry(retries=1, exit_codes=frozenset({1, 75}))
    assert (retry.wait(1, exit_code) is not None) is again


@pytest.mark.parametrize("exit_code", [None, 0, 1, 255])
def test_any_failure_is_retried_without_listed_exit_codes(exit_code: int | None) -> None:
    assert Retry(retries=1).wait(1, exit_code) is not None
