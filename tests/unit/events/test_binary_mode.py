"""Binary mode: attributes in headers, the payload as the body."""

import json
import time
from collections.abc import Mapping

import pytest

from pacifica.dispatcher.errors import EventError
from pacifica.dispatcher.events import ABSENT, Event, parse_event
from pacifica.dispatcher.events.binary_mode import decode_header_value, parse_binary_event
from pacifica.dispatcher.events.strict_json import MAX_DEPTH

REQUIRED = {
    "ce-specversion": "1.0",
    "ce-id": "1",
    "ce-source": "/tests",
    "ce-type": "org.example",
}
VERSION01 = {
    "CE-CloudEventsVersion": '"0.1"',
    "CE-EventID": '"1"',
    "CE-Source": '"/tests"',
    "CE-EventType": '"org.example"',
}


def received(
    body: bytes = b"",
    content_type: str = "",
    headers: Mapping[str, str] = REQUIRED,
    **more: str,
) -> Event:
    """Parse the event of a request; `more` are headers without `ce-`."""
    added = [(f"ce-{name}", text) for name, text in more.items()]
    return parse_binary_event([*headers.items(), *added], content_type, body)


def refused(
    body: bytes = b"", content_type: str = "", headers: Mapping[str, str] = REQUIRED
) -> dict[str, str]:
    """Return the problems of a request by pointer."""
    with pytest.raises(EventError, match=r"^Not a valid CloudEvent$") as caught:
        received(body, content_type, headers)
    return {each.where: each.what for each in caught.value.problems}


def test_attributes_are_headers() -> None:
    event = received(subject="a", extension="5")
    assert event.attributes == {
        "specversion": "1.0",
        "id": "1",
        "source": "/tests",
        "type": "org.example",
        "subject": "a",
        "extension": "5",
    }
    assert event.data is ABSENT


def test_header_names_are_case_insensitive() -> None:
    shouted = {name.upper(): text for name, text in REQUIRED.items()}
    assert received(headers=shouted) == received()


def test_other_headers_are_ignored() -> None:
    headers = {**REQUIRED, "Content-Length": "0", "X-CE-Id": "2", "traceparent": "00-1-2-01"}
    assert received(headers=headers) == received()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Euro%20%E2%82%AC%20%F0%9F%98%80", "Euro € 😀"),
        ("%e2%82%ac", "€"),
        ("a b", "a b"),
        ('"a b"', "a b"),
        ('"a\\"b\\\\c"', 'a"b\\c'),
        ('"%41"', "A"),
        ('"\\%41"', "A"),
        ('a" b "c', "a b c"),
        ('a"b', 'a"b'),
        ('"a\\"b', '"a\\"b'),
        ('"a" "b', 'a "b'),
        ('"a\\', '"a\\'),
        ("a\\b", "a\\b"),
        ("(a)", "(a)"),
        ("%2541", "%41"),
        ("100%", "100%"),
        ("%zz", "%zz"),
        ("a+b", "a+b"),
        ("\xe2\x82\xac", "€"),
        ("", ""),
    ],
)
def test_the_value_of_a_header(text: str, found: str) -> None:
    """HTTP binding 1.0.2, section 3.1.3.2: unquote first, then percent-decode once."""
    assert decode_header_value(text) == found


@pytest.mark.parametrize("pump", ['\\"', '"', "\\", '"\\', "%"])
def test_a_long_value_is_decoded_in_linear_time(pump: str) -> None:
    text = f'"{pump * 100_000}'
    began = time.process_time()
    decode_header_value(text)
    assert time.process_time() - began < 2


@pytest.mark.parametrize("text", ["%C0%A0", "%ED%A0%80", "%FF", "%E2%82", "\xff", "\u20ac"])
def test_a_header_that_is_not_utf_8_is_rejected(text: str) -> None:
    problems = refused(headers={**REQUIRED, "ce-subject": text})
    assert problems == {"/subject": "header is not valid UTF-8 after percent-decoding"}


@pytest.mark.parametrize("name", ["datacontenttype", "contenttype", "data", "data_base64"])
def test_the_payload_and_its_type_are_not_ce_headers(name: str) -> None:
    problems = refused(b"1", "application/json", {**REQUIRED, f"ce-{name}": "x"})
    assert "must not be a ce- header" in problems[f"/{name}"]


@pytest.mark.parametrize("name", ["data-base64", "my-extension", "my_extension", ""])
def test_a_header_with_an_invalid_name_is_rejected(name: str) -> None:
    assert set(refused(headers={**REQUIRED, f"ce-{name}": "x"})) == {f"/{name}"}


def test_a_repeated_header_is_rejected() -> None:
    assert refused(headers={**REQUIRED, "CE-ID": "2"}) == {"/id": "header must not be repeated"}
    joined = {**REQUIRED, "ce-id": "1\n2"}
    assert refused(headers=joined) == {"/id": "header must not be repeated"}


def test_all_invalid_attributes_are_named() -> None:
    headers = {"ce-id": "1", "ce-source": "a b", "ce-time": "now", "ce-a-b": "c"}
    assert set(refused(b"{", "application/json", headers)) == {
        "/source", "/time", "/a-b", "/type", "/specversion", "/data",
    }  # fmt: skip


def test_the_content_type_is_an_attribute() -> None:
    assert received(b"<a/>", "text/xml; a=b").attributes["datacontenttype"] == "text/xml; a=b"


def test_an_invalid_content_type_is_rejected() -> None:
    assert set(refused(b"a", "json")) == {"/datacontenttype"}


@pytest.mark.parametrize(
    ("content_type", "body", "data"),
    [
        ("application/json", b' {"a": [1]} ', {"a": [1]}),
        ("application/json", b"null", None),
        ("application/json", b'"{}"', "{}"),
        ("application/json; charset=UTF-8", '"ä"'.encode(), "ä"),
        ("Application/Vnd.Api+JSON;a=b", b"[]", []),
        ("text/json", b"1", 1),
        ("application/json", b"9" * 4300, int("9" * 4300)),
        ("application/json", b"", ABSENT),
        ("application/json; charset=utf-16", '"a"'.encode("utf-16"), '"a"'.encode("utf-16")),
        ("text/plain", "{ä".encode(), "{ä"),
        ("text/plain; charset=utf-8", b"1", "1"),
        ("text/plain; charset=latin-1", b"\xe4", b"\xe4"),
        ("text/plain", b"\xff", b"\xff"),
        ("application/octet-stream", b"{}", b"{}"),
        ("application/jsonx", b"{}", b"{}"),
        ("image/png", b"\x89PNG\0", b"\x89PNG\0"),
        ("", b'{"a": 1}', {"a": 1}),
        ("", b"{a", b"{a"),
        ("", b"", ABSENT),
    ],
)
def test_the_payload(content_type: str, body: bytes, data: object) -> None:
    found = received(body, content_type).data
    assert (type(found), found) == (type(data), data)


@pytest.mark.parametrize("body", [b"{", b"NaN", b'{"a":1,"a":2}', b"\xff", b"1e999", b"1}"])
def test_a_json_content_type_requires_valid_json(body: bytes) -> None:
    assert set(refused(body, "application/json")) == {"/data"}


@pytest.mark.parametrize(("depth", "taken"), [(MAX_DEPTH - 1, True), (MAX_DEPTH, False)])
def test_the_nesting_limit_equals_that_of_structured_mode(depth: int, *, taken: bool) -> None:
    body = b"[" * depth + b"]" * depth
    if taken:
        assert parse_event(received(body, "application/json").sent)
    else:
        assert "nested deeper" in refused(body, "application/json")["/data"]


def test_a_json_payload_is_kept_unchanged() -> None:
    event = received(b'{"a":\t1.50, "b": "\\u00e4"}', "application/json")
    assert event.sent.endswith('"data": {"a":\t1.50, "b": "\\u00e4"}}')


@pytest.mark.parametrize("headers", [REQUIRED, VERSION01], ids=["1.0", "0.1"])
def test_the_kept_text_parses_as_the_same_event(headers: Mapping[str, str]) -> None:
    event = received(b"\xff", "image/png", headers)
    assert parse_event(event.sent) == event
    assert json.loads(event.sent) == {
        **REQUIRED_ATTRIBUTES,
        "datacontenttype": "image/png",
        "data_base64": "/w==",
    }


REQUIRED_ATTRIBUTES = {name.removeprefix("ce-"): text for name, text in REQUIRED.items()}


def test_version_01_names() -> None:
    headers = {
        **VERSION01,
        "CE-EventTypeVersion": '"2"',
        "CE-EventTime": '"2018-04-05T03:56:24"',
        "CE-SchemaURL": "http://example.org/schema",
        "CE-X-MyExtension": '"a b"',
    }
    event = received(b'{"a": 1}', "application/json", headers)
    assert event.attributes == {
        **REQUIRED_ATTRIBUTES,
        "eventtypeversion": "2",
        "time": "2018-04-05T03:56:24-00:00",
        "dataschema": "http://example.org/schema",
        "datacontenttype": "application/json",
        "myextension": "a b",
    }
    assert event.data == {"a": 1}


@pytest.mark.parametrize("version", ["0.2", "0.3"])
def test_versions_02_and_03_names(version: str) -> None:
    headers = {**REQUIRED, "ce-specversion": version}
    event = received(b"a", "text/plain", headers, schemaurl="/schema", time="2026-11-23T16:57:37")
    assert event.attributes == {
        **REQUIRED_ATTRIBUTES,
        "dataschema": "/schema",
        "datacontenttype": "text/plain",
        "time": "2026-11-23T16:57:37-00:00",
    }


@pytest.mark.parametrize(
    ("headers", "pointers"),
    [
        ({**VERSION01, "CE-EventID": ""}, {"/eventID"}),
        ({**VERSION01, "CE-CloudEventsVersion": "0.2"}, {"/cloudEventsVersion"}),
        ({**REQUIRED, "ce-specversion": "0.3", "ce-schemaurl": "a b"}, {"/schemaurl"}),
        ({**REQUIRED, "ce-specversion": "0.1"}, {"/specversion"}),
    ],
)
def test_an_invalid_attribute_is_named_as_in_json(
    headers: Mapping[str, str], pointers: set[str]
) -> None:
    assert set(refused(headers=headers)) == pointers


def test_a_base64_body_of_version_03_is_decoded() -> None:
    headers = {**REQUIRED, "ce-specversion": "0.3", "ce-datacontentencoding": "Base64"}
    event = received(b"//\r\n4=", "image/png", headers)
    assert event.data == b"\xff\xfe"
    assert "datacontentencoding" not in event.attributes


@pytest.mark.parametrize(
    ("encoding", "pointer"), [("base64", "/data"), ("8bit", "/datacontentencoding")]
)
def test_a_body_that_cannot_be_decoded_is_rejected(encoding: str, pointer: str) -> None:
    headers = {**REQUIRED, "ce-specversion": "0.3", "ce-datacontentencoding": encoding}
    assert set(refused(b"?", "image/png", headers)) == {pointer}
