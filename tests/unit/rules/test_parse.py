"""Filters in JSON."""

import json

import pytest

from pacifica.dispatcher.errors import RuleError
from pacifica.dispatcher.events import Json
from pacifica.dispatcher.rules import (
    All,
    Any,
    Exact,
    Filter,
    JsonPath,
    Not,
    Prefix,
    Sql,
    Suffix,
    parse_filters,
)

ONE = Exact("type", "a")
TWO = Prefix("source", "b")
THREE = Suffix("subject", "c")


@pytest.mark.parametrize(
    ("document", "found"),
    [
        pytest.param([], (), id="nothing"),
        pytest.param([{"exact": {"type": "a"}}], (ONE,), id="exact"),
        pytest.param([{"prefix": {"source": "b"}}], (TWO,), id="prefix"),
        pytest.param([{"suffix": {"subject": "c"}}], (THREE,), id="suffix"),
        pytest.param([{"sql": "TRUE"}], (Sql.parse("TRUE"),), id="sql"),
        pytest.param([{"cesql": "TRUE"}], (Sql.parse("TRUE"),), id="Knative's name for sql"),
        pytest.param([{"jsonpath": "$.a"}], (JsonPath.parse("$.a"),), id="jsonpath"),
        pytest.param([{"not": {"exact": {"type": "a"}}}], (Not(ONE),), id="not"),
        pytest.param([{"all": [{"exact": {"type": "a"}}]}], (All((ONE,)),), id="all, one"),
        pytest.param([{"any": [{"exact": {"type": "a"}}]}], (Any((ONE,)),), id="any, one"),
        pytest.param(
            [{"exact": {"type": "a"}}, {"prefix": {"source": "b"}}], (ONE, TWO), id="several"
        ),
        pytest.param(
            [{"exact": {"type": "a", "id": "b"}}],
            (All((ONE, Exact("id", "b"))),),
            id="several attributes",
        ),
        pytest.param(
            [{"any": [{"not": {"all": [{"exact": {"type": "a"}}, {"sql": "TRUE"}]}}]}],
            (Any((Not(All((ONE, Sql.parse("TRUE")))),)),),
            id="nested",
        ),
        pytest.param(
            [{"any": [{"jsonpath": "$.a"}, {"sql": "TRUE"}, {"exact": {"type": "a"}}]}],
            (Any((ONE, Sql.parse("TRUE"), JsonPath.parse("$.a"))),),
            id="cheapest first",
        ),
    ],
)
def test_valid_filters(document: Json, found: tuple[Filter, ...]) -> None:
    assert parse_filters(json.dumps(document)) == found


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        pytest.param("", {"": "Invalid JSON"}, id="nothing"),
        pytest.param("[", {"": "Invalid JSON"}, id="invalid JSON"),
        pytest.param(
            "[" * 500 + "]" * 500, {"": "is nested deeper than 128 levels"}, id="too deep"
        ),
        pytest.param(
            '[{"sql": "a", "sql": "b"}]', {"": "duplicate member name"}, id="a duplicate name"
        ),
        pytest.param("{}", {"": "must be a JSON array"}, id="an object"),
        pytest.param('"a"', {"": "must be a JSON array"}, id="a string"),
        pytest.param('["a"]', {"/0": "must be an object with one dialect"}, id="not an object"),
        pytest.param("[{}]", {"/0": "must be an object with one dialect"}, id="no dialect"),
        pytest.param(
            '[{"exact": {"type": "a"}, "prefix": {"type": "a"}}]',
            {"/0": "must be an object with one dialect"},
            id="two dialects",
        ),
        pytest.param(
            '[{"Exact": {"type": "a"}}]',
            {"/0/Exact": "is not a supported dialect; use one of exact, prefix, suffix, all,"},
            id="an unknown dialect",
        ),
        pytest.param(
            '[{"a/~\\n": 1}]', {"/0/a~1~0\ufffd": "is not a supported dialect"}, id="a strange name"
        ),
        pytest.param('[{"exact": {}}]', {"/0/exact": "must be an object of"}, id="no attribute"),
        pytest.param(
            '[{"exact": "a"}]',
            {"/0/exact": "must be an object of"},
            id="not an object of attributes",
        ),
        pytest.param('[{"exact": {"type": ""}}]', {"/0/exact/type": "must not be empty"}, id="''"),
        pytest.param('[{"exact": {"type": 1}}]', {"/0/exact/type": "must be a string"}, id="1"),
        pytest.param(
            '[{"exact": {"": "a"}}]', {"/0/exact/": "is not a valid attribute name"}, id="no name"
        ),
        pytest.param(
            '[{"exact": {"Type": "a"}}]',
            {"/0/exact/Type": "is not a valid attribute name"},
            id="capitals",
        ),
        pytest.param('[{"exact": {"data": "a"}}]', {"/0/exact/data": "not data"}, id="data"),
        pytest.param('[{"all": []}]', {"/0/all": "at least one filter"}, id="all of none"),
        pytest.param('[{"any": []}]', {"/0/any": "at least one filter"}, id="any of none"),
        pytest.param('[{"any": {}}]', {"/0/any": "at least one filter"}, id="any of an object"),
        pytest.param(
            '[{"not": []}]', {"/0/not": "must be an object with one"}, id="not, with a list"
        ),
        pytest.param('[{"sql": ""}]', {"/0/sql": "must not be empty"}, id="an empty expression"),
        pytest.param('[{"sql": 1}]', {"/0/sql": "must be a string"}, id="not an expression"),
        pytest.param(
            '[{"cesql": "("}]', {"/0/cesql": "is not a valid CESQL"}, id="a bad expression"
        ),
        pytest.param(
            '[{"jsonpath": "a"}]', {"/0/jsonpath": "is not a valid JSONPath"}, id="a bad path"
        ),
        pytest.param(
            '[{"sql": "("}, {"any": [{"exact": {"a": "b"}}, {"x": 1}, {"not": {"y": 1}}]}]',
            {
                "/0/sql": "is not a valid CESQL",
                "/1/any/1/x": "is not a supported dialect",
                "/1/any/2/not/y": "is not a supported dialect",
            },
            id="all problems",
        ),
    ],
)
def test_invalid_filters_are_rejected_with_their_location(
    text: str, problems: dict[str, str]
) -> None:
    with pytest.raises(RuleError) as caught:
        parse_filters(text)
    found = {each.where: each.what for each in caught.value.problems}
    assert [*found] == [*problems]
    for where, what in problems.items():
        assert what in found[where]


@pytest.mark.parametrize(
    "document",
    [
        {"exact": {"type": "a"}},
        {"prefix": {"type": "a"}},
        {"suffix": {"type": "a"}},
        {"not": {"exact": {"type": "a"}}},
        {"all": [{"exact": {"type": "a"}}, {"sql": "TRUE"}]},
        {"any": [{"exact": {"type": "a"}}, {"jsonpath": "$.a"}]},
    ],
)
def test_a_filter_round_trips_as_json(document: Json) -> None:
    [found] = parse_filters(json.dumps([document]))
    assert found.document() == document
