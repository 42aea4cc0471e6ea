"""Events: canonical strings, JSON and expiry."""

import dataclasses
import json

import pytest

from pacifica.dispatcher.events import ABSENT, Attribute, Json, canonical
from tests.factories import make_event


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


def test_an_unset_attribute_has_no_text() -> None:
    assert make_event(subject=None).text("subject") is None


def test_the_identifying_attributes() -> None:
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
def test_the_payload_as_json(data: Json, member: dict[str, Json]) -> None:
    event = dataclasses.replace(make_event(), data=data)
    assert json.loads(event.to_json()) == {**event.attributes, **member}


def test_an_event_is_immutable() -> None:
    event = make_event()
    with pytest.raises(dataclasses.FrozenInstanceError):
        event.sent = ""  # type: ignore[misc] # must fail


@pytest.mark.parametrize(
    ("expirytime", "expired"),
    [
        (None, False),
        ("1970-01-01T00:01:41Z", False),
        ("1970-01-01T00:01:40Z", True),
        ("1970-01-01T01:01:40.000+01:00", True),
    ],
)
def test_an_event_expires(expirytime: str | None, *, expired: bool) -> None:
    assert make_event(expirytime=expirytime).expired(100.0) is expired
