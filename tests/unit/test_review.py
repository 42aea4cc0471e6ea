"""What is allowed and most likely a mistake."""

import json
from dataclasses import replace
from typing import Any

import pytest

from pacifica.dispatcher.applications import BUILT_IN, Application, Handler
from pacifica.dispatcher.command import Command
from pacifica.dispatcher.filters import Exact, Sql, parse_filters
from pacifica.dispatcher.review import warnings

A = Exact("type", "a")
B = Sql.parse("id = 1")
ONE = Application("one", Command("true", ()), rule=(A, B), environment={"X": "1"})


def said(*applications: Application) -> list[str]:
    return [str(each) for each in warnings(applications)]


def test_a_rule_that_can_never_hold() -> None:
    [message] = said(replace(ONE, rule=(A, Exact("type", "b"))))
    reason = "it would need an event whose type is 'a' and whose type is 'b'"
    assert message == f"[application:one]: no event can match: {reason}"


def test_an_expression_on_the_data() -> None:
    [message] = said(replace(ONE, rule=parse_filters('[{"not": {"sql": "data = 1"}}]')))
    assert message.startswith("[application:one]: sql sees attributes and no data")


@pytest.mark.parametrize(
    ("query", "older"),
    [
        ('$[?(@["count"] > 5)]', '$[?$["count"] > 5]'),
        ('$[?(@["source"])]', '$[?$["source"]]'),
        ('$["data"][*][?(@["size"] > 10)]', '$["data"][?@["size"] > 10]'),
        ('$[?@["count"] > 5]', None),
        ("$.data[?(@.size > 10)]", None),
        ('$["data"][*]["size"]', None),
    ],
)
def test_a_query_that_an_older_library_reads_otherwise(query: str, older: str | None) -> None:
    rule = parse_filters(json.dumps([{"not": {"any": [{"jsonpath": query}]}}]))
    messages = said(replace(ONE, rule=rule))
    assert len(messages) == bool(older)
    assert all(f"write instead: {older}; if not" in each for each in messages)


@pytest.mark.parametrize(
    ("change", "same"),
    [
        pytest.param({}, True, id="nothing"),
        pytest.param({"rule": (B, A)}, True, id="the order of the rule"),
        pytest.param({"rule": (A, Sql.parse("id = 1"), A)}, True, id="a line twice"),
        pytest.param({"priority": 9, "timeout": 1.0}, True, id="limits"),
        pytest.param({"rule": (A,)}, False, id="the rule"),
        pytest.param({"way": Command("false", ())}, False, id="the command"),
        pytest.param({"way": Handler("a", "b")}, False, id="a handler"),
        pytest.param({"environment": {"X": "2"}}, False, id="the environment"),
        pytest.param({"dispatch": True}, False, id="dispatch"),
    ],
)
def test_two_applications_that_are_the_same(change: dict[str, Any], *, same: bool) -> None:
    wanted = ["[application:two]: does the same for the same events as one"] if same else []
    assert said(ONE, replace(ONE, name="two", **change)) == wanted


def test_there_is_nothing_to_say_of_the_built_in_applications() -> None:
    assert said(*BUILT_IN) == []
