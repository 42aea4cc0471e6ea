"""Every dialect: which events pass, what it costs, and what it says of why."""

import json

import pytest

from pacifica.dispatcher.events import Json
from pacifica.dispatcher.filters import cheapest_first, parse_filters
from tests.unit.conftest import make_event

EVENT = make_event(7, type="org.example", source="/a", count=5, data={"files": [{"name": "x.raw"}]})
YES: Json = {"exact": {"type": "org.example"}}
NO: Json = {"exact": {"type": "other"}}
SAYS_YES: Json = {"held": True, "clause": "type is 'org.example'", "value": "org.example"}
SAYS_NO: Json = {"held": False, "clause": "type is 'other'", "value": "org.example"}

EXPLAINED: list[tuple[Json, Json]] = [
    (YES, SAYS_YES),
    (NO, SAYS_NO),
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
    ({"not": YES}, {"held": False, "clause": "this does not hold", "parts": [SAYS_YES]}),
    ({"not": NO}, {"held": True, "clause": "this does not hold", "parts": [SAYS_NO]}),
    (
        {"all": [YES, NO]},
        {"held": False, "clause": "all of these hold", "parts": [SAYS_YES, SAYS_NO]},
    ),
    (
        {"all": [YES, YES]},
        {"held": True, "clause": "all of these hold", "parts": [SAYS_YES, SAYS_YES]},
    ),
    (
        {"any": [NO, YES]},
        {"held": True, "clause": "one of these holds", "parts": [SAYS_NO, SAYS_YES]},
    ),
    (
        {"any": [NO, NO]},
        {"held": False, "clause": "one of these holds", "parts": [SAYS_NO, SAYS_NO]},
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
            "error": "missingAttribute error: the event has no attribute subject",
        },
    ),
    (
        {"sql": "NOT 10"},
        {
            "held": False,
            "clause": "the expression NOT 10 is true",
            "value": {},
            "error": "cast error: NOT takes no integer: 10",
        },
    ),
    (
        {"sql": "count + 1"},
        {
            "held": False,
            "clause": "the expression count + 1 is true",
            "value": {"count": 5},
            "error": "the result is 6 and no Boolean",
        },
    ),
    (
        {"not": {"sql": "subject = 'a'"}},
        {
            "held": True,
            "clause": "this does not hold",
            "parts": [
                {
                    "held": False,
                    "clause": "the expression subject = 'a' is true",
                    "value": {"subject": None},
                    "error": "missingAttribute error: the event has no attribute subject",
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
def test_what_is_said_of_an_event(document: Json, explanation: Json) -> None:
    [found] = parse_filters(json.dumps([document]))
    assert found.explain(EVENT).document() == explanation


@pytest.mark.parametrize("document", [each for each, _ in EXPLAINED], ids=json.dumps)
def test_the_explanation_says_what_the_match_says(document: Json) -> None:
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
