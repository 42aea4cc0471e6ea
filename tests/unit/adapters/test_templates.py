"""Templates and the events built from them."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacifica.dispatcher.adapters import Template, Templates
from pacifica.dispatcher.adapters.templates import ATTRIBUTES, header_template, parse_templates
from pacifica.dispatcher.errors import EventError
from pacifica.dispatcher.events import Event, Json, parse_event
from tests.unit.adapters.deliveries import delivery, made, missing

SENSOR = Templates(
    id=parse_templates("{data.serial}-{xrun}"),
    source=parse_templates("/sensors/{data.where}"),
    type=parse_templates("org.example.{data.what}"),
    subject=parse_templates("{data.channels.0}"),
    time=parse_templates("{data.at}"),
)


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("{data.a}", "x y"),
        ("{data.b.1.c}", "1"),
        ("{data.b}", '[true, {"c": 1}]'),
        ("<{data.b.0}>", "<true>"),
        ("{xrequestid}/{{}}", "r-1/{}"),
        ("{data.n}", ""),
        ("{data.no}", ""),
        ("{data.a} {data.no}", ""),
        ("{data.nul}", "\0"),
        ("{xother}", ""),
        ("{id}", ""),
    ],
)
def test_a_template_is_filled_from_body_and_headers(text: str, filled: str) -> None:
    body: Json = {"a": "x y", "b": [True, {"c": 1}], "n": None, "nul": "\0"}
    assert Template.parse(text).fill(delivery(body, X_Request_ID="r-1")) == filled


@pytest.mark.parametrize(("text", "filled"), [("a#b#c", "a#b"), ("abc", "abc"), ("#a", "#a")])
def test_a_template_is_cut_before_until(text: str, filled: str) -> None:
    assert Template.parse("{data}", until="#").fill(delivery(text)) == filled


def test_a_header_template() -> None:
    assert header_template("X-Request-ID").fill(delivery({}, X_Request_ID="r-1")) == "r-1"
    assert header_template("X-Request-ID").label == "header X-Request-ID"


@pytest.mark.parametrize(
    ("attribute", "text"), [("source", "a b"), ("time", "noon"), ("type", "a\x07"), ("type", "")]
)
def test_an_invalid_literal_is_rejected(attribute: str, text: str) -> None:
    with pytest.raises(ValueError, match=r"^must "):
        Template.parse(text).check_literal(attribute)


@pytest.mark.parametrize("text", ["/sensors", "{data}", "a b {data}"])
def test_a_valid_literal_is_accepted(text: str) -> None:
    Template.parse(text).check_literal("source")


def test_an_event_is_built_from_templates() -> None:
    body: Json = {"serial": 5, "where": "roof", "what": "wind", "channels": ["n"], "at": 1795453057}
    assert made(SENSOR.convert, body, X_Run="r") == {
        "id": "5-r",
        "source": "/sensors/roof",
        "type": "org.example.wind",
        "subject": "n",
        "time": "2026-11-23T16:57:37Z",
    }


def test_missing_optional_attributes_are_omitted() -> None:
    body: Json = {"serial": 5, "where": "", "what": "wind", "channels": [None], "at": ""}
    assert made(SENSOR.convert, body, X_Run="r").keys() == {"id", "source", "type"}


def test_missing_required_attributes_are_named() -> None:
    assert missing(SENSOR.convert, {"serial": 5, "where": "a b", "at": "noon"}) == {
        "/id": "is required, but the delivery has no value for {data.serial}-{xrun}",
        "/source": "must be a URI-reference (RFC 3986) with other characters percent-encoded, "
        "not '/sensors/a b'",
        "/time": "must be an RFC 3339 timestamp such as 2026-11-23T16:57:37Z, not 'noon'",
        "/type": "is required, but the delivery has no value for org.example.{data.what}",
    }


def test_the_body_is_kept_unchanged() -> None:
    sent = ' {"serial": 1.50, "where": "\\u00e4\\/", "what": "w"}\n'
    event = Templates(
        id=parse_templates("{data.what}"), source=parse_templates("/"), type=parse_templates("t")
    ).build_event(Event({}, json.loads(sent), sent))
    assert event.sent.endswith(f'"data": {sent}}}')
    assert parse_event(event.sent) == event


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec=None, exclude_categories=())),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "b", "0", "é", ""]), inner, max_size=3)
    ),
    max_leaves=10,
)
PATHS = st.lists(st.sampled_from(["a", "b", "0", "é", "-1"]), max_size=3)
TEXTS = st.lists(
    PATHS.map(lambda path: f"{{{'.'.join(['data', *path])}}}")
    | st.sampled_from(["/x", "{{", "{xheader}", "2026", "://", "#"]),
    min_size=1,
    max_size=3,
).map("".join)


@given(JSON, st.text(), st.tuples(*[TEXTS] * len(ATTRIBUTES)))
def test_any_json_becomes_an_event_or_an_event_error(
    body: Json, value: str, texts: tuple[str, ...]
) -> None:
    of = {name: parse_templates(text) for name, text in zip(ATTRIBUTES, texts, strict=True)}
    with suppress(EventError):
        [event] = Templates(**of).convert(delivery(body, X_Header=value)).events
        assert event.data == body
