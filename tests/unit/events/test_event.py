"""The event as a value: canonical strings, and JSON that reads back as the same event."""

import dataclasses
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pacifica.dispatcher.events import ABSENT, Attribute, Event, Json, canonical, parse
from tests.unit.conftest import make_event

STRINGS = st.text(st.characters(exclude_categories=["Cc", "Cs", "Cn"]), min_size=1, max_size=20)
REQUIRED = st.fixed_dictionaries(
    {"specversion": st.just("1.0"), "id": STRINGS, "source": STRINGS, "type": STRINGS},
    optional={"subject": STRINGS, "time": st.just("2026-11-23T16:57:37.25+01:00")},
)
EXTENSIONS = st.dictionaries(
    st.from_regex(r"x[a-z0-9]{0,18}", fullmatch=True),
    st.booleans() | st.integers(-(2**31), 2**31 - 1) | STRINGS | st.just(""),
    max_size=5,
)
JSON: st.SearchStrategy[Json] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None)  # the machine may be busy
@given(REQUIRED, EXTENSIONS, JSON | st.binary() | st.just(ABSENT))
def test_an_event_written_as_json_reads_back_with_the_same_attributes_and_data(
    required: dict[str, Attribute], extensions: dict[str, Attribute], data: Json
) -> None:
    event = Event({**required, **extensions}, data, "")
    again = parse(event.to_json())
    # by their text, for True == 1 and 1 == 1.0 in Python
    assert repr(again.attributes) == repr(event.attributes)
    assert repr(again.data) == repr(event.data)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        pytest.param("Abc ", "Abc ", id="a string as it is"),
        pytest.param("", "", id="an empty string"),
        pytest.param(True, "true", id="true"),
        pytest.param(False, "false", id="false"),
        pytest.param(0, "0", id="zero"),
        pytest.param(-(2**31), "-2147483648", id="the least integer"),
    ],
)
def test_the_canonical_string_of_an_attribute(value: Attribute, text: str) -> None:
    assert canonical(value) == text
    assert make_event(xvalue=value).text("xvalue") == text


def test_an_attribute_that_is_not_set_has_no_text() -> None:
    assert make_event(subject=None).text("subject") is None


def test_the_identifying_attributes_have_names_of_their_own() -> None:
    event = make_event(7)
    assert (event.id, event.source, event.type) == ("7", "/tests", "org.example")


@pytest.mark.parametrize(
    ("data", "member"),
    [
        pytest.param(ABSENT, {}, id="no data"),
        pytest.param(None, {"data": None}, id="data: null"),
        pytest.param({"a": [1]}, {"data": {"a": [1]}}, id="a JSON value"),
        pytest.param(b"", {"data_base64": ""}, id="no bytes"),
        pytest.param(b"\xff\xfe", {"data_base64": "//4="}, id="bytes"),
    ],
)
def test_the_payload_in_the_event_as_json(data: Json, member: dict[str, Json]) -> None:
    event = dataclasses.replace(make_event(), data=data)
    assert json.loads(event.to_json()) == {**event.attributes, **member}


def test_an_event_does_not_change() -> None:
    event = make_event()
    with pytest.raises(dataclasses.FrozenInstanceError):
        event.sent = ""  # type: ignore[misc] # this is what must not work
