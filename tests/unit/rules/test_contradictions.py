"""Rules that no event can match."""

import json

import pytest

from pacifica.dispatcher.events import Json
from pacifica.dispatcher.rules import find_contradiction, parse_filters
from pacifica.dispatcher.rules.contradictions import MAX_FILTERS

A: Json = {"exact": {"type": "a.b"}}
B: Json = {"exact": {"type": "b"}}


def clause(dialect: str, value: str) -> Json:
    return {dialect: {"type": value}}


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        pytest.param([], None, id="nothing"),
        pytest.param([A], None, id="one"),
        pytest.param([A, A], None, id="the same twice"),
        pytest.param(
            [A, B],
            "type is 'a.b' contradicts type is 'b'",
            id="two values",
        ),
        pytest.param([A, {"exact": {"id": "b"}}], None, id="two attributes"),
        pytest.param([A, clause("prefix", "a.")], None, id="exact and its prefix"),
        pytest.param(
            [A, clause("prefix", "b")],
            "type is 'a.b' contradicts type begins with 'b'",
            id="exact and another prefix",
        ),
        pytest.param([clause("prefix", "b"), A], "begins with 'b'", id="the same, reversed"),
        pytest.param([A, clause("suffix", ".b")], None, id="exact and its suffix"),
        pytest.param([A, clause("suffix", ".c")], "ends with '.c'", id="exact and another suffix"),
        pytest.param([clause("prefix", "a"), clause("prefix", "a.b")], None, id="longer"),
        pytest.param([clause("prefix", "a"), clause("prefix", "b")], "'b'", id="two prefixes"),
        pytest.param([clause("suffix", "a"), clause("suffix", "ba")], None, id="a longer suffix"),
        pytest.param([clause("suffix", "a"), clause("suffix", "b")], "'b'", id="two suffixes"),
        pytest.param(
            [clause("prefix", "a"), clause("suffix", "b")], None, id="a prefix and a suffix"
        ),
        pytest.param([A, {"all": [{"sql": "TRUE"}, B]}], "is 'b'", id="within all"),
        pytest.param([{"all": [A, B]}], "is 'b'", id="all of it"),
        pytest.param([{"any": [A, B]}], None, id="either"),
        pytest.param([A, {"any": [A, B]}], None, id="one of any"),
        pytest.param([A, {"any": [B, clause("prefix", "b")]}], "is 'b'", id="none of any"),
        pytest.param([{"any": [{"all": [A, B]}]}], "is 'b'", id="all within any"),
        pytest.param(
            [A, {"not": A}],
            '{"exact": {"type": "a.b"}} is both required and excluded',
            id="and not",
        ),
        pytest.param([{"not": A}, A], "both required and excluded", id="not, and"),
        pytest.param([A, {"not": B}], None, id="and not another"),
        pytest.param(
            [A, {"not": clause("prefix", "a.")}],
            '{"exact": {"type": "a.b"}} is required but {"prefix": {"type": "a."}} is excluded',
            id="and not its prefix",
        ),
        pytest.param(
            [{"not": clause("suffix", "b")}, A], "is required but", id="not its suffix, and"
        ),
        pytest.param([A, {"not": clause("prefix", "b")}], None, id="and not another prefix"),
        pytest.param([A, {"not": {"prefix": {"id": "a"}}}], None, id="and not another attribute's"),
        pytest.param(
            [clause("prefix", "a.b"), {"not": clause("prefix", "a")}],
            "is excluded",
            id="a longer prefix, and not the prefix",
        ),
        pytest.param(
            [clause("prefix", "a"), {"not": clause("prefix", "a.b")}],
            None,
            id="a prefix, and not a longer one",
        ),
        pytest.param(
            [clause("suffix", "ab"), {"not": clause("suffix", "b")}],
            "is excluded",
            id="a longer suffix, and not the suffix",
        ),
        pytest.param([clause("prefix", "a"), {"not": A}], None, id="a prefix, and not one value"),
        pytest.param(
            [{"exact": {"specversion": "0.1"}}],
            "specversion is '0.1', but every event is converted to version 1.0",
            id="an older version",
        ),
        pytest.param([{"prefix": {"specversion": "0"}}], "version 1.0", id="older versions"),
        pytest.param([{"prefix": {"specversion": "1"}}], None, id="any version 1"),
        pytest.param([{"exact": {"specversion": "1.0"}}], None, id="this version"),
        pytest.param([{"sql": "a = 1"}, {"not": {"sql": "a = 1"}}], "excluded", id="sql"),
        pytest.param(
            [{"sql": "type = 'a'"}, {"sql": "type = 'b'"}], None, id="expressions are not analysed"
        ),
    ],
)
def test_a_contradiction_is_found(rule: Json, reason: str | None) -> None:
    found = find_contradiction(parse_filters(json.dumps(rule)))
    if reason is None:
        assert found is None
    else:
        assert found is not None
        assert reason in found


@pytest.mark.parametrize(("more", "checked"), [(MAX_FILTERS - 2, True), (MAX_FILTERS - 1, False)])
def test_a_rule_with_too_many_filters_is_not_checked(more: int, *, checked: bool) -> None:
    others: list[Json] = [{"exact": {"id": "a"}}] * (more - 1)
    rule = parse_filters(json.dumps([{"any": others}, A, B]))
    assert bool(find_contradiction(rule)) is checked
