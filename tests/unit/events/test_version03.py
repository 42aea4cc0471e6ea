"""Upgrade of CloudEvents 0.2 and 0.3."""

import json
from collections.abc import Callable

import pytest

from pacifica.dispatcher.errors import EventError
from pacifica.dispatcher.events import ABSENT, Attribute, Event, Json, parse_event

VERSIONS = ("0.2", "0.3")
CONTENT_TYPE = {"0.2": "contenttype", "0.3": "datacontenttype"}


def old(version: str, **members: Json) -> Event:
    """Parse an event of an older version with these members added or replaced."""
    document = {"specversion": version, "id": "1", "source": "/tests", "type": "org.example"}
    return parse_event(json.dumps({**document, **members}))


def refused(make: Callable[[], object]) -> list[str]:
    """Return the pointers to the invalid parts of an event."""
    with pytest.raises(EventError, match=r"^Not a valid CloudEvent$") as caught:
        make()
    return [each.where for each in caught.value.problems]


@pytest.mark.parametrize("version", VERSIONS)
class TestBoth:
    """Behaviour common to 0.2 and 0.3."""

    def test_a_minimal_event(self, version: str) -> None:
        event = old(version)
        assert event.attributes == {
            "specversion": "1.0",
            "id": "1",
            "source": "/tests",
            "type": "org.example",
        }
        assert event.data is ABSENT

    def test_all_attributes(self, version: str) -> None:
        event = old(
            version,
            time="2026-11-23T16:57:37Z",
            schemaurl="http://example.org/schema",
            subject="a file",
            **{CONTENT_TYPE[version]: "text/plain"},
        )
        assert event.attributes == {
            **old(version).attributes,
            "time": "2026-11-23T16:57:37Z",
            "dataschema": "http://example.org/schema",
            "subject": "a file",
            "datacontenttype": "text/plain",
        }

    def test_the_sent_text_is_kept(self, version: str) -> None:
        sent = f' {{"data": 1.50, "source": "/", "type":"t","id":"1","specversion":"{version}"}}'
        assert parse_event(sent).sent == sent

    def test_a_time_without_a_zone_is_marked(self, version: str) -> None:
        event = old(version, time="2026-11-23T16:57:37")
        assert event.attributes["time"] == "2026-11-23T16:57:37-00:00"

    @pytest.mark.parametrize("data", [None, "", "YQ==", 0, [], {"a": 1}], ids=repr)
    def test_data_is_unchanged(self, version: str, data: Json) -> None:
        assert old(version, data=data).data == data

    @pytest.mark.parametrize(
        ("value", "found"),
        [("a", "a"), (5, 5), (False, False), (1.5, "1.5"), (2**40, str(2**40)), ({}, "{}")],
        ids=repr,
    )
    def test_an_extension_is_converted_to_a_type_of_version_1(
        self, version: str, value: Json, found: Attribute
    ) -> None:
        taken = old(version, extension=value).attributes["extension"]
        assert (type(taken), taken) == (type(found), found)

    def test_null_is_unset(self, version: str) -> None:
        unset = old(version, schemaurl=None, extension=None, time=None)
        assert unset.attributes == old(version).attributes

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("id", None),
            ("id", 5),
            ("source", ""),
            ("source", "a b"),
            ("type", []),
            ("time", "yesterday"),
            ("schemaurl", "a b"),
            ("data_base64", "YQ=="),
            ("Extension", "a"),
        ],
        ids=repr,
    )
    def test_an_invalid_attribute_has_its_sent_name(
        self, version: str, name: str, value: Json
    ) -> None:
        assert refused(lambda: old(version, **{name: value})) == [f"/{name}"]

    def test_members_with_colliding_names_are_rejected(self, version: str) -> None:
        both: dict[str, Json] = {"dataschema": "/a", "schemaurl": "/b"}
        assert refused(lambda: old(version, **both)) == ["/schemaurl"]


@pytest.mark.parametrize("encoding", ["base64", "Base64"])
@pytest.mark.parametrize("encoded", ["//4=", "//\r\n4=\r\n"], ids=["one line", "two lines"])
def test_base64_data_of_version_03_is_decoded(encoding: str, encoded: str) -> None:
    event = old("0.3", datacontentencoding=encoding, data=encoded)
    assert event.data == b"\xff\xfe"
    assert "datacontentencoding" not in event.attributes


def test_an_encoding_without_data_is_ignored() -> None:
    assert old("0.3", datacontentencoding="base64").data is ABSENT


@pytest.mark.parametrize("data", ["?", 5, {}], ids=repr)
def test_invalid_base64_is_rejected(data: Json) -> None:
    assert refused(lambda: old("0.3", datacontentencoding="base64", data=data)) == ["/data"]


@pytest.mark.parametrize("encoding", ["quoted-printable", "", 5], ids=repr)
def test_an_unsupported_encoding_is_rejected(encoding: Json) -> None:
    pointers = refused(lambda: old("0.3", datacontentencoding=encoding, data="a"))
    assert pointers == ["/datacontentencoding"]


def test_version_02_has_no_encoding() -> None:
    event = old("0.2", datacontentencoding="base64", data="//4=")
    assert event.data == "//4="
    assert event.attributes["datacontentencoding"] == "base64"
