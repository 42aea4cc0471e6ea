"""Upgrade of CloudEvents 0.1, as sent by Pacifica."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pacifica.dispatcher.errors import EventError
from pacifica.dispatcher.events import ABSENT, Attribute, Event, Json, parse_event, parse_request

VECTOR = Path(__file__).parents[4] / "shared" / "vectors" / "pacifica-event-0.1.json"


@pytest.fixture
def real() -> str:
    """Return the text of an event sent by a Pacifica deployment."""
    if not VECTOR.is_file():
        pytest.skip("the directory of real events is missing")
    return VECTOR.read_text(encoding="utf-8")


def old(**members: Json) -> Event:
    """Parse an event of version 0.1 with these members added or replaced."""
    document = {
        "cloudEventsVersion": "0.1",
        "eventID": "1",
        "eventType": "org.example",
        "source": "/tests",
    }
    return parse_event(json.dumps({**document, **members}))


def refused(make: Callable[[], object]) -> list[str]:
    """Return the pointers to the invalid parts of an event."""
    with pytest.raises(EventError, match=r"^Not a valid CloudEvent$") as caught:
        make()
    return [each.where for each in caught.value.problems]


def test_a_real_event_of_pacifica(real: str) -> None:
    [event] = parse_request("application/json", real.encode()).events
    assert event.attributes == {
        "specversion": "1.0",
        "type": "org.pacifica.metadata.ingest",
        "source": "http://metadata.pacifica.org/transactions?_id=11",
        "id": "metadata.ingest.11",
        "time": "2026-11-23T16:57:37-00:00",
        "mysubscription": "abc",
        "datacontenttype": "application/json",
    }
    assert event.data == json.loads(real)["data"]
    assert event.sent == real


def test_a_real_event_of_pacifica_round_trips_as_version_1(real: str) -> None:
    event = parse_event(real)
    again = parse_event(event.to_json())
    assert (again.attributes, again.data) == (event.attributes, event.data)


def test_a_minimal_event() -> None:
    event = old()
    assert event.attributes == {
        "specversion": "1.0",
        "id": "1",
        "type": "org.example",
        "source": "/tests",
    }
    assert event.data is ABSENT


@pytest.mark.parametrize(
    ("name", "value", "attribute"),
    [
        ("eventTypeVersion", "2", "eventtypeversion"),
        ("schemaURL", "http://example.org/schema", "dataschema"),
        ("contentType", "text/plain", "datacontenttype"),
        ("eventTime", "2026-11-23T16:57:37Z", "time"),
    ],
)
def test_an_attribute_is_renamed(name: str, value: str, attribute: str) -> None:
    assert old(**{name: value}).attributes[attribute] == value
    assert attribute not in old(**{name: None}).attributes


@pytest.mark.parametrize(
    ("sent", "time"),
    [
        ("2026-11-23T16:57:37", "2026-11-23T16:57:37-00:00"),
        ("2026-11-23T16:57:37.123456", "2026-11-23T16:57:37.123456-00:00"),
        ("2026-11-23T16:57:37Z", "2026-11-23T16:57:37Z"),
        ("2026-11-23T16:57:37+01:00", "2026-11-23T16:57:37+01:00"),
    ],
)
def test_a_time_without_a_zone_is_marked(sent: str, time: str) -> None:
    assert old(eventTime=sent).attributes["time"] == time


@pytest.mark.parametrize("data", [None, "", 0, [], {"a": 1}], ids=repr)
def test_data_is_unchanged(data: Json) -> None:
    assert old(data=data).data == data


@pytest.mark.parametrize(
    ("name", "value", "attribute", "found"),
    [
        pytest.param("myExtension", "Abc", "myextension", "Abc", id="lower case"),
        pytest.param("my-ext_2.x", "a", "myext2x", "a", id="letters and digits"),
        pytest.param("number", -5, "number", -5, id="integer"),
        pytest.param("flag", True, "flag", True, id="Boolean"),
        pytest.param("fraction", 1.5, "fraction", "1.5", id="number"),
        pytest.param("large", 2**40, "large", "1099511627776", id="integer of 64 bits"),
        pytest.param("deep", {"a": [1]}, "deep", '{"a": [1]}', id="object"),
        pytest.param("list", [], "list", "[]", id="array"),
        pytest.param("subject", "run1", "subject", "run1", id="an attribute that 0.1 lacks"),
    ],
)
def test_an_extension_becomes_an_attribute(
    name: str, value: Json, attribute: str, found: Attribute
) -> None:
    taken = old(extensions={name: value}).attributes[attribute]
    assert (type(taken), taken) == (type(found), found)


@pytest.mark.parametrize("extensions", [None, {}, {"unset": None}], ids=repr)
def test_extensions_are_optional(extensions: Json) -> None:
    assert old(extensions=extensions).attributes == old().attributes


@pytest.mark.parametrize("extensions", [[], "a", 1, False], ids=repr)
def test_extensions_must_be_an_object(extensions: Json) -> None:
    assert refused(lambda: old(extensions=extensions)) == ["/extensions"]


@pytest.mark.parametrize("name", ["id", "ID", "source", "type", "specversion"])
def test_an_extension_must_not_replace_an_attribute(name: str) -> None:
    assert refused(lambda: old(extensions={name: "mine"})) == ["/extensions"]


@pytest.mark.parametrize(
    "name", ["data", "time", "dataschema", "dataContentType", "eventTypeVersion"]
)
def test_an_extension_must_not_replace_a_missing_attribute(name: str) -> None:
    assert refused(lambda: old(extensions={name: "mine"})) == ["/extensions"]


def test_an_extension_must_not_replace_a_missing_id() -> None:
    assert "/extensions" in refused(lambda: old(eventID=None, extensions={"id": "mine"}))


def test_extensions_with_colliding_names_are_rejected() -> None:
    assert refused(lambda: old(extensions={"my-sub": 1, "mySub": 2})) == ["/extensions"]


@pytest.mark.parametrize("name", ["--", "ä", ""])
def test_an_extension_needs_a_name(name: str) -> None:
    assert len(refused(lambda: old(extensions={name: 1}))) == 1


@pytest.mark.parametrize("version", ["0.2", "0.3", "1.0", "", 0.1, 1, None, [], {}], ids=repr)
def test_an_unsupported_version_is_rejected(version: Json) -> None:
    assert refused(lambda: old(cloudEventsVersion=version)) == ["/cloudEventsVersion"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("eventID", None),
        ("eventID", ""),
        ("eventID", 5),
        ("eventType", None),
        ("eventType", ""),
        ("source", ""),
        ("eventTime", "yesterday"),
        ("eventTime", 1.5),
        ("eventTypeVersion", []),
        ("schemaURL", ""),
        ("contentType", 1),
    ],
    ids=repr,
)
def test_an_invalid_attribute_has_its_sent_name(name: str, value: Json) -> None:
    """The pointer refers to the event as sent, with the names of its version."""
    assert refused(lambda: old(**{name: value})) == [f"/{name}"]
