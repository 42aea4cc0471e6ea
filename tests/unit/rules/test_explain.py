"""Explanations and costs of every dialect."""

import json

import pytest

from pacifica.dispatcher.events import Json
from pacifica.dispatcher.rules import cheapest_first, parse_filters
from tests.factories import make_event

EVENT = make_event(7, type="org.example", source="/a", count=5, data={"files": [{"name": "x.raw"}]})
YES: Json = {"exact": {"type": "org.example"}}
NO: Json = {"exact": {"type": "other"}}
MATCH: Json = {"held": True, "clause": "type is 'org.example'", "value": "org.example"}
MISMATCH: Json = {"held": False, "clause": "type is 'other'", "value": "org.example"}

EXPLAINED: list[tuple[Json, Json]] = [
    (YES, MATCH),
    (NO, MISMATCH),
    (
        {"prefix": {"type": "org."}},
        {"held": True, "clause": "type begins with 'org.'", "value": "org.example"},
    ),
    (
        {"suffix": {"count": "6"}},
        {"held": False, "clause": "count ends with '6'", "value": "5"},
    ),
    ({"exact": {"subject": "a"}}, {"held": False, "clause": "subject is 'a'", "value": None}),
    (
        {"exact": {"type": "a\n\x1b[0m"}},
        {"held": False, "clause": r"type is 'a\n\x1b[0m'", "value": "org.example"},
    ),
    ({"not": YES}, {"held": False, "clause": "this does not match", "parts": [MATCH]}),
    ({"not": NO}, {"held": True, "clause": "this does not match", "parts": [MISMATCH]}),
    (
        {"all": [YES, NO]},
        {"held": False, "clause": "all of these match", "parts": [MATCH, MISMATCH]},
    ),
    (
        {"all": [YES, YES]},
        {"held": True, "clause": "all of these match", "parts": [MATCH, MATCH]},
    ),
    (
        {"any": [NO, YES]},
        {"held": True, "clause": "any of these matches", "parts": [MISMATCH, MATCH]},
    ),
    (
        {"any": [NO, NO]},
        {"held": False, "clause": "any of these matches", "parts": [MISMATCH, MISMATCH]},
    ),
    (
        {"sql": "count = 5 OR EXISTS subject"},
        {
            "held": True,
            "clause": "the expression count = 5 OR EXISTS subject is true",
            "value": {"count": 5, "subject": None},
        },
    ),
    (
        {"sql": "subject = 'a'"},
        {
            "held": False,
            "clause": "the expression subject = 'a' is true",
            "value": {"subject": None},
            "error": "missingAttribute error: the event has no attribute 'subject'",
        },
    ),
    (
        {"sql": "NOT 10"},
        {
            "held": False,
            "clause": "the expression NOT 10 is true",
            "value": {},
            "error": "cast error: NOT requires a Boolean, not 10",
        },
    ),
    (
        {"sql": "count + 1"},
        {
            "held": False,
            "clause": "the expression count + 1 is true",
            "value": {"count": 5},
            "error": "result 6 is not a Boolean",
        },
    ),
    (
        {"not": {"sql": "subject = 'a'"}},
        {
            "held": True,
            "clause": "this does not match",
            "parts": [
                {
                    "held": False,
                    "clause": "the expression subject = 'a' is true",
                    "value": {"subject": None},
                    "error": "missingAttribute error: the event has no attribute 'subject'",
                }
            ],
        },
    ),
    (
        {"jsonpath": "$.data.files[?@.name]"},
        {
            "held": True,
            "clause": "$.data.files[?@.name] selects something",
            "value": ["$['data']['files'][0]"],
        },
    ),
    (
        {"jsonpath": "$.data.nothing"},
        {"held": False, "clause": "$.data.nothing selects something", "value": []},
    ),
]


@pytest.mark.parametrize(("document", "explanation"), EXPLAINED, ids=json.dumps)
def test_the_explanation_of_a_filter(document: Json, explanation: Json) -> None:
    [found] = parse_filters(json.dumps([document]))
    assert found.explain(EVENT).document() == explanation


@pytest.mark.parametrize("document", [each for each, _ in EXPLAINED], ids=json.dumps)
def test_the_explanation_agrees_with_the_match(document: Json) -> None:
    [found] = parse_filters(json.dumps([document]))
    assert found.explain(EVENT).held is found.matches(EVENT)


def test_cheap_filters_come_first() -> None:
    written = ["jsonpath", "all", "sql", "not", "any", "exact", "suffix"]
    documents: dict[str, Json] = {
        "jsonpath": "$.a",
        "sql": "TRUE",
        "all": [{"sql": "TRUE"}, YES],
        "any": [NO, YES],
        "not": YES,
        "exact": {"a": "b"},
        "suffix": {"a": "b"},
    }
    filters = [parse_filters(json.dumps([{name: documents[name]}]))[0] for name in written]
    names = [next(iter(each.document())) for each in cheapest_first(filters)]
    assert names == ["not", "exact", "suffix", "any", "sql", "all", "jsonpath"]
