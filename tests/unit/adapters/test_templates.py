"""Templates: what they take from a delivery, and that nothing else comes out than our errors."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacifica.dispatcher.adapters import Template, Templates
from pacifica.dispatcher.adapters.templates import ATTRIBUTES, header, templates
from pacifica.dispatcher.errors import EventError
from pacifica.dispatcher.events import Event, Json, parse
from tests.unit.adapters.conftest import delivered, made, missing

SENSOR = Templates(
    id=templates("{data.serial}-{xrun}"),
    source=templates("/sensors/{data.where}"),
    type=templates("org.example.{data.what}"),
    subject=templates("{data.channels.0}"),
    time=templates("{data.at}"),
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
def test_a_template_takes_from_body_and_headers(text: str, filled: str) -> None:
    body: Json = {"a": "x y", "b": [True, {"c": 1}], "n": None, "nul": "\0"}
    assert Template.parse(text).fill(delivered(body, X_Request_ID="r-1")) == filled


@pytest.mark.parametrize(("text", "filled"), [("a#b#c", "a#b"), ("abc", "abc"), ("#a", "#a")])
def test_a_template_may_end_before_a_text(text: str, filled: str) -> None:
    assert Template.parse("{data}", until="#").fill(delivered(text)) == filled


def test_a_header_is_a_template() -> None:
    assert header("X-Request-ID").fill(delivered({}, X_Request_ID="r-1")) == "r-1"
    assert header("X-Request-ID").text == "the header X-Request-ID"


@pytest.mark.parametrize(
    ("attribute", "text"), [("source", "a b"), ("time", "noon"), ("type", "a\x07"), ("type", "")]
)
def test_a_text_that_no_event_could_have_is_found_out(attribute: str, text: str) -> None:
    with pytest.raises(ValueError, match="cannot be used"):
        Template.parse(text).check_literal(attribute)


@pytest.mark.parametrize("text", ["/sensors", "{data}", "a b {data}"])
def test_a_text_that_an_event_could_have_may_stand(text: str) -> None:
    Template.parse(text).check_literal("source")


def test_an_event_of_templates() -> None:
    body: Json = {"serial": 5, "where": "roof", "what": "wind", "channels": ["n"], "at": 1795453057}
    assert made(SENSOR.read, body, X_Run="r") == {
        "id": "5-r",
        "source": "/sensors/roof",
        "type": "org.example.wind",
        "subject": "n",
        "time": "2026-11-23T16:57:37Z",
    }


def test_what_need_not_be_there_is_left_out() -> None:
    body: Json = {"serial": 5, "where": "", "what": "wind", "channels": [None], "at": ""}
    assert made(SENSOR.read, body, X_Run="r").keys() == {"id", "source", "type"}


def test_what_must_be_there_is_named() -> None:
    assert missing(SENSOR.read, {"serial": 5, "where": "a b", "at": "noon"}) == {
        "/id": "this is made of {data.serial}-{xrun}, which is not there",
        "/source": "this must be a URI-reference (RFC 3986); percent-encode what it cannot hold",
        "/time": "a time is an RFC 3339 timestamp such as 2026-11-23T16:57:37Z",
        "/type": "this is made of org.example.{data.what}, which is not there",
    }


def test_the_body_is_kept_character_by_character() -> None:
    sent = ' {"serial": 1.50, "where": "\\u00e4\\/", "what": "w"}\n'
    event = Templates(
        id=templates("{data.what}"), source=templates("/"), type=templates("t")
    ).event(Event({}, json.loads(sent), sent))
    assert event.sent.endswith(f'"data": {sent}}}')
    assert parse(event.sent) == event


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
def test_any_json_makes_an_event_or_one_of_our_errors(
    body: Json, value: str, texts: tuple[str, ...]
) -> None:
    of = {name: templates(text) for name, text in zip(ATTRIBUTES, texts, strict=True)}
    with suppress(EventError):
        [event] = Templates(**of).read(delivered(body, X_Header=value)).events
        assert event.data == body
