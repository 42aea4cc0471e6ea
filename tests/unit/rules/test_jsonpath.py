"""The dialect jsonpath: RFC 9535 queries, and the translation of legacy expressions."""

import json
import time
from typing import Any

import pytest

from pacifica.dispatcher import events
from pacifica.dispatcher.errors import TooMuchWorkError
from pacifica.dispatcher.events import Event
from pacifica.dispatcher.rules import JsonPath, legacy_jsonpath, work
from pacifica.dispatcher.rules.jsonpath import MAX_LENGTH

PACIFICA = {
    "cloudEventsVersion": "0.1",
    "eventType": "org.pacifica.metadata.ingest",
    "source": "/pacifica/metadata/ingest",
    "eventID": "metadata.ingest.11",
    "extensions": {"mySubscription": "abc"},
    "data": [
        {"destinationTable": "Transactions._id", "value": 11},
        {"destinationTable": "TransactionKeyValue", "key": "task", "value": "advance"},
        {"destinationTable": "Files", "name": "advance", "subdir": ""},
    ],
}


def event(document: dict[str, Any]) -> Event:
    return events.parse_event(json.dumps(document))


def plain(**members: Any) -> Event:  # noqa: ANN401 - JSON
    return event({"specversion": "1.0", "id": "1", "source": "/a", "type": "t", **members})


@pytest.mark.parametrize(
    ("query", "found", "held"),
    [
        pytest.param("$.type", plain(), True, id="an attribute"),
        pytest.param("$.subject", plain(), False, id="a missing attribute"),
        pytest.param("$[?@ == 't']", plain(), True, id="any attribute"),
        pytest.param("$[?$.type == 't']", plain(), True, id="the event itself"),
        pytest.param("$[?$.type == 'u']", plain(), False, id="the event itself, another"),
        pytest.param("$.count", plain(count=0), True, id="a value that is zero"),
        pytest.param("$.data", plain(data=None), True, id="a payload that is null"),
        pytest.param("$.data", plain(), False, id="no payload"),
        pytest.param("$.data.a[?@.b > 1]", plain(data={"a": [{"b": 2}]}), True, id="the payload"),
        pytest.param("$..b", plain(data={"a": [{"b": 2}]}), True, id="anywhere"),
        pytest.param("$.data_base64", plain(data_base64="AA=="), True, id="a binary payload"),
        pytest.param("$.data[?match(@, 'a.*')]", plain(data=["abc"]), True, id="match"),
        pytest.param("$.data[?match(@, 'b')]", plain(data=["abc"]), False, id="match a part"),
        pytest.param("$.data[?match(@, 'a.c')]", plain(data=["a\nc"]), False, id="a line break"),
        pytest.param("$.data[?match(@, '[.]a\\\\.')]", plain(data=[".a."]), True, id="dots"),
        pytest.param("$.data[?match(@, '[0-9]{10}')]", plain(data=["1" * 10]), True, id="ten"),
        pytest.param("$.data[?match(@, '(a|b){9,11}')]", plain(data=["a" * 12]), False, id="12"),
        pytest.param("$.data[?match(@, 'a{2,1}')]", plain(data=["aa"]), False, id="2 to 1"),
        pytest.param("$.data[?match(@, '[{]10}')]", plain(data=["{10}"]), False, id="a brace"),
        pytest.param("$.data[?match(@, 'a{0}b')]", plain(data=["b"]), True, id="none"),
        pytest.param("$.data[?match(@, '[.]')]", plain(data=["a"]), False, id="a dot in a class"),
        pytest.param("$.data[?match(@, '\\\\p{Lu}')]", plain(data=["Ä"]), True, id="a property"),
        pytest.param("$.data[?match(@, '(?i)a')]", plain(data=["a"]), False, id="not an I-Regexp"),
        pytest.param("$.data[?match('a', @)]", plain(data=["\ud800"]), False, id="a surrogate"),
        pytest.param(
            "$.data[?match(@, '.')]", plain(data=["\ud800"]), True, id="a surrogate in the text"
        ),
        pytest.param("$.data[?match(@, 1)]", plain(data=["1"]), False, id="not a pattern"),
        pytest.param("$.data[?match(@, '1')]", plain(data=[1]), False, id="not a string"),
        pytest.param("$.data[?search(@, 'b')]", plain(data=["abc"]), True, id="search"),
        pytest.param(
            "$.data[?search(@, 'd')]", plain(data=["abc"]), False, id="search without a match"
        ),
        pytest.param(f"$.data[?@ == {2**64 + 1}]", plain(data=[2**64 + 1]), True, id="exact"),
        pytest.param(f"$.data[?@ == -{2**64}]", plain(data=[-(2**64) + 1]), False, id="not exact"),
        pytest.param("$.data[?@ == 1e2]", plain(data=[100]), True, id="an exponent"),
        pytest.param("$.data[?length(@) == 3]", plain(data=["abc"]), True, id="length"),
    ],
)
def test_a_query_matches_if_it_selects_anything(query: str, found: Event, *, held: bool) -> None:
    assert JsonPath.parse(query).matches(found) is held


@pytest.mark.parametrize("pattern", ["(a|aa)+b", "(.*)*x", "(a?){30}b", "(a+a+)+b"])
def test_regular_expressions_do_not_backtrack(pattern: str) -> None:
    query = JsonPath.parse(f"$.data[?search(@, '{pattern}')]")
    hostile = plain(data=["a" * 50 + "c"] * 1000)
    assert not query.matches(hostile)
    assert query.explain(hostile).error is None
    assert query.matches(plain(data=["a" * 50 + "bx"]))


@pytest.mark.parametrize(
    "pattern",
    ["(" * 8 + "a" + "){9}" * 8, "(" * 50 + "a" + "){1,9}" * 50, "a{2000000000}",
     f"a{{{'9' * 4000}}}", "(" * 100 + ")" * 100, "(" * 200_000, "a|" * 5000,
     "(" * 6 + "a" * 1000 + "){1,9}" * 6, "a{1001}", r"\p{L}{500}", r"\p{Cn}"],
    ids=lambda pattern: pattern[:20],
)  # fmt: skip
def test_excessive_patterns_are_rejected(pattern: str) -> None:
    query = JsonPath.parse("$.data[?match('a', @)]")
    sent = plain(data=[pattern])
    assert not query.matches(sent)
    assert "regular expression is " in str(query.explain(sent).error)


@pytest.mark.parametrize(
    "query",
    [
        "$.data.a[?count($.data.b[*]) == 0]",
        "$.data.a[?count($.data..*) == 0]",
        "$..*..*..*..nothing",
        "$.data[?search(@, 'a.{900}b')]",
    ],
)
def test_a_query_that_takes_too_long_ends_with_an_error(query: str) -> None:
    deep: list[Any] = []
    for _ in range(100):
        deep = [deep, [1] * 100]
    sent = plain(data={"a": [*range(100_000)], "b": [*range(100_000)], "c": deep, "d": "a" * 10**6})
    parsed = JsonPath.parse(query)
    began = time.thread_time()
    with pytest.raises(TooMuchWorkError):
        parsed.matches(sent)
    assert time.thread_time() - began < work.SECONDS + 1
    with pytest.raises(TooMuchWorkError):
        parsed.explain(sent)


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("a{1001}", "regular expression is not supported: more than 1000 repetitions"),
        ("(?i)a", "'(?i)a' is not a valid regular expression (RFC 9485)"),
        ("a{9}", None),
    ],
)
def test_a_pattern_that_never_matches_is_named(pattern: str, reason: str | None) -> None:
    query = JsonPath.parse(f"$.data[?@.a == 1 && !search(@, '{pattern}')]")
    assert query.unusable_patterns == ([reason] if reason else [])


def test_an_event_of_maximum_nesting_can_be_searched() -> None:
    data: Any = {"needle": 1}
    for _ in range(126):
        data = [data]
    assert JsonPath.parse("$..needle").matches(plain(data=data))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must not be empty"),
        (" ", "must not be empty"),
        ("data", "is not a valid JSONPath query (RFC 9535): "),
        ("$.", "is not a valid JSONPath query (RFC 9535): "),
        ("$.data[?nosuch(@)]", "is not a valid JSONPath query (RFC 9535): "),
        ("$.data[?@.a = 1]", "is not a valid JSONPath query (RFC 9535): "),
        ("$.data[?@.a == 1e999]", "is not a valid JSONPath query (RFC 9535): number is too large"),
        (
            f"$.data[?@.a == {'1' * 5000}]",
            "is not a valid JSONPath query (RFC 9535): number is too large",
        ),
        ("$" + ".a" * MAX_LENGTH, f"must be at most {MAX_LENGTH} characters long"),
        (
            "$[?" + "(" * 5000 + "@.a" + ")" * 5000 + "]",
            "is not a valid JSONPath query (RFC 9535): ",
        ),
    ],
    ids=lambda text: text[:30],
)
def test_an_invalid_query_is_rejected(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        JsonPath.parse(text)
    assert str(caught.value).startswith(message)


OLDER: list[tuple[str, str | None, bool]] = [
    ('$[?(@["eventType"] = "io.cloudevents")]', '$[?$.type == "io.cloudevents"]', False),
    (
        '$[?($["eventType"] = "org.pacifica.metadata.ingest" and $["eventID"])]',
        '$[?$.type == "org.pacifica.metadata.ingest" && $.id]',
        True,
    ),
    ('$["eventID"]', "$.id", True),
    ("$.eventTime", "$.time", False),
    (
        '$["data"][*][?(@["destinationTable"] = "Files")]',
        '$["data"][?@["destinationTable"] == "Files"]',
        True,
    ),
    ("$.data[*][?(@.value > 10.5)]", "$.data[?@.value > 10.5]", True),
    ("$.data[0:2][?(@.value = 11)]", None, True),
    ("$.data.*[?(not @.key)].value", "$.data[?!@.key].value", True),
    ("$..[?(@.value = 11)]", "$..[?@.value == 11]", True),
    ('$..["key"][?(@ = 1)]', None, False),
    (
        "$.data[*][?(@.value = 1 or @.value = 11 and @.key)]",
        "$.data[?(@.value == 1 || @.value == 11) && @.key]",
        False,
    ),
    ("$.data[*][?(not @.value = 11)]", "$.data[?!(@.value == 11)]", True),
    ("$.data[*][?(not not (@.value = 11))]", "$.data[?(@.value == 11)]", True),
    ('$[?(@.extensions.mySubscription = "abc")]', '$[?$["mysubscription"] == "abc"]', True),
    (
        '$[?($.data[*][?(@.name = $.data[*][?(@.key = "task")].value)])]',
        '$[?$.data[?@.name == value($.data[?@.key == "task"].value)]]',
        True,
    ),
    (
        '$[?(@.data[0].value = 11 and @.source != "x")]',
        '$[?$.data[0].value == 11 && ($.source && $.source != "x")]',
        True,
    ),
    ('$.data[*][?(@.key != "task")]', '$.data[?(@.key && @.key != "task")]', False),
    ("$[?(@.eventType and 1)]", None, False),
    ('$["data"]["a", 0, 1:3, ::2, *]', '$["data"]["a", 0, 1:3, ::2, *]', True),
    ('$[?(@.cloudEventsVersion = "0.1")]', None, True),
    ("$.data.length()", None, True),
    ("$.data[?(@[0] = 1)]", None, False),
    ('$[?(@.eventType = "a")]["data"]', None, False),
]
"""Legacy expressions with their RFC 9535 form, and whether that matches PACIFICA."""


@pytest.mark.parametrize(("older", "instead", "held"), OLDER)
def test_a_legacy_expression_is_translated(older: str, instead: str | None, *, held: bool) -> None:
    found = legacy_jsonpath.translate(older)
    assert found is not None
    assert found.text == instead
    if instead is not None:
        assert JsonPath.parse(instead).matches(event(PACIFICA)) is held


@pytest.mark.parametrize(
    ("older", "message"),
    [
        pytest.param(
            '$[?(@["eventType"] = "a")]', 'use instead: $[?$.type == "a"]', id="a single ="
        ),
        pytest.param('$["eventID"]', "use instead: $.id", id="a name of 0.1 only"),
        pytest.param(
            "$.data.length()", "has no direct equivalent; see docs/reference.md", id="no equivalent"
        ),
        pytest.param('$["extensions"]["a"]', 'use instead: $["a"]', id="an extension of 0.1"),
    ],
)
def test_a_legacy_expression_is_rejected_with_its_translation(older: str, message: str) -> None:
    with pytest.raises(ValueError, match="legacy JSONPath") as caught:
        JsonPath.parse(older)
    assert str(caught.value).endswith(message)


@pytest.mark.parametrize(
    "text",
    [
        "$.data[?(@.a == 1)]",
        "$.data[?@.a]",
        "$.data[?(@.a)]",
        "$['a']",
        "$.data[?(@.a && @.b)]",
        "$.data.a[*]",
    ],
)
def test_a_valid_rfc_9535_query_is_not_legacy(text: str) -> None:
    assert JsonPath.parse(text).document() == {"jsonpath": text}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "$ $",
        "@",
        "$[",
        "$[?(@.a",
        "$[?(@.a = )]",
        "$[?(= 1)]",
        "$.1",
        "$.data[?(@.a = 1)] x",
        "$[1.5]",
        "$[?(" + "(" * 100 + "@" + ")" * 100 + ")]",
        "$" + "[?(@" * 100,
    ],
)
def test_any_other_text_is_not_legacy(text: str) -> None:
    assert legacy_jsonpath.translate(text) is None
