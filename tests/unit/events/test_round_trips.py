"""Random valid events survive a round trip in every mode."""

import base64
import json
from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st

from pacifica.dispatcher.events import ABSENT, Event, Json, parse_event, parse_request

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
STRINGS = st.text(
    st.characters(
        exclude_categories=["Cc", "Cs"],
        exclude_characters=[
            *map(chr, range(0xFDD0, 0xFDF0)),
            *(chr(plane << 16 | end) for plane in range(17) for end in (0xFFFE, 0xFFFF)),
        ],
    ),
    min_size=1,
    max_size=20,
)
REFERENCES = STRINGS.map(lambda text: f"/{quote(text)}") | st.sampled_from(
    ["#", "urn:a:b", "http://[::1]:80/?a#b"]
)
TIMES = st.datetimes().map(lambda moment: f"{moment.isoformat()}Z") | st.sampled_from(
    ["2016-12-31t23:59:60z", "2026-11-23T16:57:37.123456789-00:00"]
)
NAMES = st.from_regex(r"x[a-z0-9]{0,18}", fullmatch=True)
JSON: st.SearchStrategy[Json] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
ATTRIBUTES = st.fixed_dictionaries(
    {"specversion": st.just("1.0"), "id": STRINGS, "source": REFERENCES, "type": STRINGS},
    optional={
        "subject": STRINGS,
        "time": TIMES,
        "expirytime": TIMES,
        "dataschema": REFERENCES,
        "datacontenttype": st.sampled_from(["application/json", "text/plain", "image/png; a=b"]),
    },
)
EXTENSIONS = st.dictionaries(
    NAMES, st.booleans() | st.integers(-(2**31), 2**31 - 1) | STRINGS | st.just(""), max_size=5
)


def in_json(data: Json) -> dict[str, Json]:
    """Return the member for a JSON value."""
    return {"data": data}


def in_base64(data: bytes) -> dict[str, Json]:
    """Return the member for bytes."""
    return {"data_base64": base64.b64encode(data).decode()}


NOTHING: dict[str, Json] = {}
PAYLOADS = JSON.map(in_json) | st.binary().map(in_base64) | st.just(NOTHING)
DOCUMENTS = st.tuples(ATTRIBUTES, EXTENSIONS, PAYLOADS).map(
    lambda parts: {**parts[0], **parts[1], **parts[2]}
)
HEADERS = st.tuples(ATTRIBUTES, st.dictionaries(NAMES, STRINGS, max_size=5)).map(
    lambda parts: {**parts[0], **parts[1]}
)


def exact(value: object) -> str:
    """Return a value with its types, because True == 1 == 1.0 in Python."""
    return repr(sorted(value.items())) if isinstance(value, dict) else repr(value)


@given(DOCUMENTS)
def test_structured_mode_round_trip(document: dict[str, Json]) -> None:
    [event] = parse_request(STRUCTURED, json.dumps(document).encode()).events
    assert exact(event.structured()) == exact(document)
    assert exact(parse_event(event.to_json()).structured()) == exact(document)
    assert parse_event(event.sent) == event


@given(st.lists(DOCUMENTS, max_size=4))
def test_batch_round_trip(documents: list[dict[str, Json]]) -> None:
    received = parse_request(BATCH, json.dumps(documents, indent=1).encode())
    assert [exact(event.structured()) for event in received.events] == list(map(exact, documents))
    assert [parse_event(event.sent) for event in received.events] == list(received.events)


def binary(attributes: dict[str, str], body: bytes) -> Event:
    """Return the event parsed from binary mode."""
    headers = [
        (f"ce-{name}", quote(text, safe="!#$&'()*+,/:;=?@[]^`{|}~\\"))
        for name, text in attributes.items()
        if name != "datacontenttype"
    ]
    [event] = parse_request(attributes.get("datacontenttype", ""), body, headers).events
    return event


@given(HEADERS, JSON)
def test_binary_mode_with_json_round_trip(attributes: dict[str, str], data: Json) -> None:
    attributes["datacontenttype"] = "application/json"
    event = binary(attributes, json.dumps(data).encode())
    assert exact(event.structured()) == exact({**attributes, "data": data})
    assert parse_event(event.sent) == event


@given(HEADERS, st.binary(min_size=1))
def test_binary_mode_with_bytes_round_trip(attributes: dict[str, str], data: bytes) -> None:
    attributes["datacontenttype"] = "application/octet-stream"
    event = binary(attributes, data)
    encoded = base64.b64encode(data).decode()
    assert exact(event.structured()) == exact({**attributes, "data_base64": encoded})
    assert parse_event(event.sent) == event


@given(HEADERS, st.binary(min_size=1))
def test_binary_mode_with_text_round_trip(attributes: dict[str, str], data: bytes) -> None:
    attributes["datacontenttype"] = "text/plain"
    event = binary(attributes, data)
    assert event.attributes == attributes
    assert event.data is not ABSENT
    assert (event.data.encode() if isinstance(event.data, str) else event.data) == data
