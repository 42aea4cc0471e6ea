"""Filters in JSON: what is read, what is refused, and where."""

import json

import pytest

from pacifica.dispatcher.errors import RuleError
from pacifica.dispatcher.events import Json
from pacifica.dispatcher.filters import (
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
            id="within one another",
        ),
        pytest.param(
            [{"any": [{"jsonpath": "$.a"}, {"sql": "TRUE"}, {"exact": {"type": "a"}}]}],
            (Any((ONE, Sql.parse("TRUE"), JsonPath.parse("$.a"))),),
            id="the cheapest first",
        ),
    ],
)
def test_what_is_read(document: Json, found: tuple[Filter, ...]) -> None:
    assert parse_filters(json.dumps(document)) == found


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        pytest.param("", {"": "is not JSON"}, id="nothing"),
        pytest.param("[", {"": "is not JSON"}, id="no JSON"),
        pytest.param(
            "[" * 500 + "]" * 500, {"": "is nested deeper than 128 levels"}, id="too deep"
        ),
        pytest.param('[{"sql": "a", "sql": "b"}]', {"": "stands twice"}, id="a name twice"),
        pytest.param("{}", {"": "must be a list"}, id="an object"),
        pytest.param('"a"', {"": "must be a list"}, id="a string"),
        pytest.param('["a"]', {"/0": "must be an object with one dialect"}, id="no object"),
        pytest.param("[{}]", {"/0": "must be an object with one dialect"}, id="no dialect"),
        pytest.param(
            '[{"exact": {"type": "a"}, "prefix": {"type": "a"}}]',
            {"/0": "must be an object with one dialect"},
            id="two dialects",
        ),
        pytest.param(
            '[{"Exact": {"type": "a"}}]',
            {"/0/Exact": "is no dialect; there are exact, prefix, suffix, all, any, not, sql,"},
            id="an unknown dialect",
        ),
        pytest.param('[{"a/~\\n": 1}]', {"/0/a~1~0\ufffd": "is no dialect"}, id="a strange name"),
        pytest.param('[{"exact": {}}]', {"/0/exact": "must be an object of"}, id="no attribute"),
        pytest.param('[{"exact": "a"}]', {"/0/exact": "must be an object of"}, id="no pair"),
        pytest.param('[{"exact": {"type": ""}}]', {"/0/exact/type": "must not be empty"}, id="''"),
        pytest.param('[{"exact": {"type": 1}}]', {"/0/exact/type": "must be a string"}, id="1"),
        pytest.param('[{"exact": {"": "a"}}]', {"/0/exact/": "an attribute's name"}, id="no name"),
        pytest.param(
            '[{"exact": {"Type": "a"}}]', {"/0/exact/Type": "an attribute's name"}, id="capitals"
        ),
        pytest.param('[{"exact": {"data": "a"}}]', {"/0/exact/data": "not data"}, id="data"),
        pytest.param('[{"all": []}]', {"/0/all": "at least one filter"}, id="all of none"),
        pytest.param('[{"any": []}]', {"/0/any": "at least one filter"}, id="any of none"),
        pytest.param('[{"any": {}}]', {"/0/any": "at least one filter"}, id="any of an object"),
        pytest.param('[{"not": []}]', {"/0/not": "must be an object with one"}, id="not a list"),
        pytest.param('[{"sql": ""}]', {"/0/sql": "must not be empty"}, id="an empty expression"),
        pytest.param('[{"sql": 1}]', {"/0/sql": "must be a string"}, id="no expression"),
        pytest.param('[{"cesql": "("}]', {"/0/cesql": "is no CESQL"}, id="a bad expression"),
        pytest.param('[{"jsonpath": "a"}]', {"/0/jsonpath": "is no JSONPath"}, id="a bad path"),
        pytest.param(
            '[{"sql": "("}, {"any": [{"exact": {"a": "b"}}, {"x": 1}, {"not": {"y": 1}}]}]',
            {
                "/0/sql": "is no CESQL",
                "/1/any/1/x": "is no dialect",
                "/1/any/2/not/y": "is no dialect",
            },
            id="all problems",
        ),
    ],
)
def test_what_is_refused_and_where(text: str, problems: dict[str, str]) -> None:
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
def test_a_filter_gives_back_the_json_that_it_was_read_from(document: Json) -> None:
    [found] = parse_filters(json.dumps([document]))
    assert found.document() == document
