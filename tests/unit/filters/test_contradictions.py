"""Rules that no event can pass."""

import json

import pytest

from pacifica.dispatcher.events import Json
from pacifica.dispatcher.filters import contradiction, parse_filters
from pacifica.dispatcher.filters.contradictions import MAX_FILTERS

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
            "it would need an event whose type is 'a.b' and whose type is 'b'",
            id="two values",
        ),
        pytest.param([A, {"exact": {"id": "b"}}], None, id="two attributes"),
        pytest.param([A, clause("prefix", "a.")], None, id="exact, its beginning"),
        pytest.param(
            [A, clause("prefix", "b")],
            "it would need an event whose type is 'a.b' and whose type begins with 'b'",
            id="exact, another beginning",
        ),
        pytest.param([clause("prefix", "b"), A], "begins with 'b'", id="likewise, reversed"),
        pytest.param([A, clause("suffix", ".b")], None, id="exact, its end"),
        pytest.param([A, clause("suffix", ".c")], "ends with '.c'", id="exact, another end"),
        pytest.param([clause("prefix", "a"), clause("prefix", "a.b")], None, id="longer"),
        pytest.param([clause("prefix", "a"), clause("prefix", "b")], "'b'", id="two beginnings"),
        pytest.param([clause("suffix", "a"), clause("suffix", "ba")], None, id="longer end"),
        pytest.param([clause("suffix", "a"), clause("suffix", "b")], "'b'", id="two ends"),
        pytest.param([clause("prefix", "a"), clause("suffix", "b")], None, id="both ends"),
        pytest.param([A, {"all": [{"sql": "TRUE"}, B]}], "is 'b'", id="within all"),
        pytest.param([{"all": [A, B]}], "is 'b'", id="all of it"),
        pytest.param([{"any": [A, B]}], None, id="either"),
        pytest.param([A, {"any": [A, B]}], None, id="one of any"),
        pytest.param([A, {"any": [B, clause("prefix", "b")]}], "is 'b'", id="none of any"),
        pytest.param([{"any": [{"all": [A, B]}]}], "is 'b'", id="all within any"),
        pytest.param(
            [A, {"not": A}], '{"exact": {"type": "a.b"}} must hold and must not', id="and not"
        ),
        pytest.param([{"not": A}, A], "must hold and must not", id="not, and"),
        pytest.param([A, {"not": B}], None, id="and not another"),
        pytest.param(
            [A, {"not": clause("prefix", "a.")}],
            '{"exact": {"type": "a.b"}} must hold, and {"prefix": {"type": "a."}} must not',
            id="and not its beginning",
        ),
        pytest.param([{"not": clause("suffix", "b")}, A], "must hold, and", id="nor its end"),
        pytest.param([A, {"not": clause("prefix", "b")}], None, id="not another beginning"),
        pytest.param([A, {"not": {"prefix": {"id": "a"}}}], None, id="not that of another"),
        pytest.param(
            [clause("prefix", "a.b"), {"not": clause("prefix", "a")}], "must not", id="longer, not"
        ),
        pytest.param(
            [clause("prefix", "a"), {"not": clause("prefix", "a.b")}], None, id="the rest"
        ),
        pytest.param(
            [clause("suffix", "ab"), {"not": clause("suffix", "b")}], "must not", id="ends"
        ),
        pytest.param([clause("prefix", "a"), {"not": A}], None, id="all but one"),
        pytest.param(
            [{"exact": {"specversion": "0.1"}}],
            "specversion is '0.1', and every event is read as version 1.0",
            id="an older version",
        ),
        pytest.param([{"prefix": {"specversion": "0"}}], "version 1.0", id="older versions"),
        pytest.param([{"prefix": {"specversion": "1"}}], None, id="any version 1"),
        pytest.param([{"exact": {"specversion": "1.0"}}], None, id="this version"),
        pytest.param([{"sql": "a = 1"}, {"not": {"sql": "a = 1"}}], "must not", id="sql"),
        pytest.param([{"sql": "type = 'a'"}, {"sql": "type = 'b'"}], None, id="not looked into"),
    ],
)
def test_why_a_rule_can_never_hold(rule: Json, reason: str | None) -> None:
    found = contradiction(parse_filters(json.dumps(rule)))
    if reason is None:
        assert found is None
    else:
        assert found is not None
        assert reason in found


@pytest.mark.parametrize(("more", "looked_at"), [(MAX_FILTERS - 2, True), (MAX_FILTERS - 1, False)])
def test_a_rule_of_very_many_filters_is_not_looked_at(more: int, *, looked_at: bool) -> None:
    others: list[Json] = [{"exact": {"id": "a"}}] * (more - 1)
    rule = parse_filters(json.dumps([{"any": others}, A, B]))
    assert bool(contradiction(rule)) is looked_at
