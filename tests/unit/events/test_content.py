"""The digest of an event's content: equal for all spellings of the same event."""

import base64
import json
import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacifica.dispatcher.events import (
    Event,
    Json,
    content_digest,
    differing_parts,
    parse_event,
    parse_request,
)
from tests.factories import make_event
from tests.unit.events.test_round_trips import DOCUMENTS, HEADERS, JSON, binary

ATTRIBUTES = '"specversion": "1.0", "id": "1", "source": "/tests", "type": "org.example"'


def with_data(text: str) -> Event:
    """Return an event whose data has this JSON text."""
    return parse_event(f'{{{ATTRIBUTES}, "data": {text}}}')


def parts(one: Event, other: Event) -> tuple[str, ...]:
    """Return the parts in which two events differ."""
    return differing_parts(content_digest(one), content_digest(other))


def shuffled(value: Json) -> Json:
    """Return a value with the members of its objects in another order."""
    if isinstance(value, dict):
        members = [(name, shuffled(each)) for name, each in value.items()]
        return dict(random.sample(members, len(members)))
    return [shuffled(each) for each in value] if isinstance(value, list) else value


def encoded(data: bytes) -> str:
    """Return bytes as they are sent in JSON."""
    return base64.b64encode(data).decode()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('{"a": 1, "b": [true, null]}', '{ "b":[true,null],\n"a":1}'),
        ("[1, 100, -5]", "[1.0, 1e2, -50E-1]"),
        ("0", "-0.0"),
        ("1000000000000000000000000", "1e24"),
        ("1.5", "15.0e-1"),
        (r'"a/é😀"', r'"\u0061\/\u00e9\ud83d\ude00"'),
        (r'{"é": 1}', r'{"\u00e9": 1}'),
    ],
)
def test_other_spellings_of_json_do_not_differ(one: str, other: str) -> None:
    assert parts(with_data(one), with_data(other)) == ()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1", '"1"'),
        ("1", "true"),
        ("0", "false"),
        ("null", '""'),
        ("[]", "{}"),
        ("[1, 2]", "[2, 1]"),
        ("[[1], 2]", "[1, [2]]"),
        ("9007199254740993", "9007199254740992"),
        ("1.5", "1.25"),
        ('{"a": "b"}', '{"b": "a"}'),
        (r'"\u00e9"', r'"e\u0301"'),
    ],
)
def test_other_data_differs(one: str, other: str) -> None:
    assert parts(with_data(one), with_data(other)) == ("data",)


def test_null_is_data() -> None:
    assert parts(with_data("null"), make_event()) == ("data",)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"time": "2026-11-23T16:57:37Z"}, {"time": "2026-11-23t17:57:37.000+01:00"}),
        ({"time": "2026-11-23T16:57:37.10z"}, {"time": "2026-11-23T16:57:37.1-00:00"}),
        ({"time": "2016-12-31T23:59:60Z"}, {"time": "2017-01-01T00:59:60+01:00"}),
        ({"time": "0001-01-01T00:00:00+05:00"}, {"time": "0001-01-01T00:00:00.0+05:00"}),
        ({"expirytime": "2126-01-01T00:00:00Z"}, {"expirytime": "2126-01-01T01:00:00+01:00"}),
        ({}, {"datacontenttype": "application/json"}),
        ({}, {"datacontenttype": 'Application/JSON ; Charset="utf-8"'}),
        ({"datacontenttype": "a/b;x=1; y=2"}, {"datacontenttype": 'A/B; Y=2;x="1"'}),
        ({"extension": 5}, {"extension": "5"}),
        ({"extension": True}, {"extension": "true"}),
        ({"extension": None}, {}),
        ({"traceparent": "00-1"}, {"traceparent": "00-2", "tracestate": "a=1"}),
        ({"knativearrivaltime": "2026-11-23T16:57:37Z"}, {"knativehistory": "a; b"}),
    ],
)
def test_other_spellings_of_attributes_do_not_differ(
    one: dict[str, Json], other: dict[str, Json]
) -> None:
    assert parts(make_event(**one), make_event(**other)) == ()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"type": "org.example"}, {"type": "org.Example"}),
        ({"subject": "a"}, {}),
        ({"time": "2026-11-23T16:57:37Z"}, {"time": "2026-11-23T16:57:37+01:00"}),
        ({"time": "2026-11-23T16:57:37.1Z"}, {"time": "2026-11-23T16:57:37.1000000001Z"}),
        ({"time": "2016-12-31T23:59:60Z"}, {"time": "2016-12-31T23:59:59Z"}),
        ({"time": "2026-11-23T16:57:37Z"}, {}),
        ({"datacontenttype": "a/b;c=d"}, {"datacontenttype": "a/b;c=D"}),
        ({"datacontenttype": "a/b;charset=latin-1"}, {"datacontenttype": "a/b"}),
        ({"extension": ""}, {}),
    ],
)
def test_other_attributes_differ(one: dict[str, Json], other: dict[str, Json]) -> None:
    assert parts(make_event(**one), make_event(**other)) == ("attributes",)


def test_attributes_and_data_may_both_differ() -> None:
    assert parts(make_event(subject="a", data=1), make_event(data=2)) == ("attributes", "data")


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [
        ("application/json", {"data": {"a": 1}}, {"data_base64": encoded(b'{"a":1.0}')}),
        ("image/svg+xml", {"data": "<svg/>"}, {"data_base64": encoded(b"<svg/>")}),
        ("text/plain", {"data": "é"}, {"data_base64": encoded("é".encode())}),
        ("text/plain", {"data": ""}, {}),
        ("image/png", {"data_base64": ""}, {}),
        ("application/json", {"data_base64": ""}, {}),
    ],
)
def test_other_forms_of_a_payload_do_not_differ(
    kind: str, one: dict[str, Json], other: dict[str, Json]
) -> None:
    assert (
        parts(make_event(datacontenttype=kind, **one), make_event(datacontenttype=kind, **other))
        == ()
    )


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [
        ("application/json", {"data": "a"}, {"data_base64": encoded(b"a")}),
        ("text/plain", {"data": "1"}, {"data": 1}),
        ("image/png", {"data_base64": "AAAA"}, {"data_base64": "AAAB"}),
    ],
)
def test_other_payloads_differ(kind: str, one: dict[str, Json], other: dict[str, Json]) -> None:
    assert parts(
        make_event(datacontenttype=kind, **one), make_event(datacontenttype=kind, **other)
    ) == ("data",)


def test_an_event_in_version_0_1_does_not_differ_from_the_same_in_1_0() -> None:
    old = parse_event(
        '{"cloudEventsVersion": "0.1", "eventID": "1", "source": "/tests", "data": {},'
        '"eventType": "org.example", "extensions": {"Number-Of": 5}}'
    )
    assert parts(old, make_event(data={}, numberof=5)) == ()


def test_a_string_that_is_not_unicode_has_a_digest() -> None:
    lone = r'"\ud800"'
    assert parts(with_data(lone), with_data('"?"')) == ("data",)
    text = f'{{{ATTRIBUTES}, "datacontenttype": "text/plain", "data": {lone}}}'
    assert parts(parse_event(text), with_data(lone)) == ("attributes", "data")


@given(DOCUMENTS)
def test_structured_and_batched_events_agree(document: dict[str, Json]) -> None:
    [one] = parse_request("application/cloudevents+json", json.dumps(document).encode()).events
    text = json.dumps([shuffled(document)], indent=2, ensure_ascii=False)
    body = text.encode("utf-8", "surrogatepass")
    try:
        body.decode()
    except UnicodeDecodeError:
        body = json.dumps([shuffled(document)], indent=2).encode()
    [other] = parse_request("application/cloudevents-batch+json", body).events
    assert parts(one, other) == ()


@given(HEADERS, JSON)
def test_binary_and_structured_events_agree(attributes: dict[str, str], data: Json) -> None:
    attributes["datacontenttype"] = "application/json"
    one = binary(attributes, json.dumps(data).encode())
    del attributes["datacontenttype"]
    assert parts(one, parse_event(json.dumps({**attributes, "data": shuffled(data)}))) == ()


@given(HEADERS, st.text(st.characters(exclude_categories=["Cs"])), st.sampled_from(["text", "a"]))
def test_text_agrees_in_each_form(attributes: dict[str, str], text: str, kind: str) -> None:
    attributes["datacontenttype"] = f"{kind}/plain"
    one = binary(attributes, text.encode())
    for data in ({"data": text}, {"data_base64": encoded(text.encode())}):
        assert parts(one, parse_event(json.dumps({**attributes, **data}))) == ()


@pytest.mark.parametrize(
    "text", ["[" * 120 + "]" * 120, f"[{'1.5,' * 200_000}1]", '"' + "é" * 500_000 + '"', "1e308"]
)
def test_a_large_value_is_digested_in_linear_time(text: str) -> None:
    event = with_data(text)
    began = time.process_time()
    content_digest(event)
    assert time.process_time() - began < 3
