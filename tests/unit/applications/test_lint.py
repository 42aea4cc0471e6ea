"""Warnings about likely mistakes."""

import json
from dataclasses import replace
from typing import Any

import pytest

from pacifica.dispatcher.applications import BUILT_IN, Application, Handler
from pacifica.dispatcher.applications.command_template import CommandTemplate
from pacifica.dispatcher.applications.lint import warnings
from pacifica.dispatcher.rules import Exact, Sql, parse_filters

A = Exact("type", "a")
B = Sql.parse("id = 1")
ONE = Application("one", CommandTemplate("true", ()), rule=(A, B), environment={"X": "1"})


def messages_of(*applications: Application) -> list[str]:
    return [str(each) for each in warnings(applications)]


def test_a_contradictory_rule() -> None:
    [message] = messages_of(replace(ONE, rule=(A, Exact("type", "b"))))
    reason = "type is 'a' contradicts type is 'b'"
    assert message == f"[application:one]: no event can match: {reason}"


def test_an_sql_expression_on_data() -> None:
    [message] = messages_of(replace(ONE, rule=parse_filters('[{"not": {"sql": "data = 1"}}]')))
    assert message.startswith("[application:one]: sql cannot access data")


def test_a_regular_expression_that_never_matches() -> None:
    rule = parse_filters(json.dumps([{"jsonpath": "$[?search(@.data, 'a{1001}')]"}]))
    [message] = messages_of(replace(ONE, rule=rule))
    assert message.startswith("[application:one]: a filter in jsonpath never matches: ")


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
def test_a_query_with_a_different_legacy_meaning(query: str, older: str | None) -> None:
    rule = parse_filters(json.dumps([{"not": {"any": [{"jsonpath": query}]}}]))
    messages = messages_of(replace(ONE, rule=rule))
    assert len(messages) == bool(older)
    assert all(f"use instead: {older}; otherwise" in each for each in messages)


@pytest.mark.parametrize(
    ("change", "same"),
    [
        pytest.param({}, True, id="nothing"),
        pytest.param({"rule": (B, A)}, True, id="the order of the rule"),
        pytest.param({"rule": (A, Sql.parse("id = 1"), A)}, True, id="a duplicate line"),
        pytest.param({"priority": 9, "timeout": 1.0}, True, id="limits"),
        pytest.param({"rule": (A,)}, False, id="the rule"),
        pytest.param({"target": CommandTemplate("false", ())}, False, id="the command"),
        pytest.param({"target": Handler("a", "b")}, False, id="a handler"),
        pytest.param({"environment": {"X": "2"}}, False, id="the environment"),
        pytest.param({"dispatch": True}, False, id="dispatch"),
    ],
)
def test_duplicate_applications(change: dict[str, Any], *, same: bool) -> None:
    expected = ["[application:two]: duplicates one: same target, same events"] if same else []
    assert messages_of(ONE, replace(ONE, name="two", **change)) == expected


def test_the_built_in_applications_have_no_warnings() -> None:
    assert messages_of(*BUILT_IN) == []
