"""One event in JSON: CloudEvents 1.0.2 and its JSON format."""

import json
from collections.abc import Callable

import pytest

from pacifica.dispatcher.errors import EventError
from pacifica.dispatcher.events import ABSENT, Attribute, Json, parse_event
from tests.factories import make_event


def with_member(member: str) -> str:
    """Return the JSON text of an event with a member appended."""
    return f"{make_event().sent[:-1]}, {member}}}"


def refused(make: Callable[[], object]) -> dict[str, str]:
    """Return the problems of an event by pointer."""
    with pytest.raises(EventError, match=r"^Not a valid CloudEvent$") as caught:
        make()
    return {each.where: each.what for each in caught.value.problems}


def test_an_event_has_its_attributes_and_no_data() -> None:
    event = make_event(1)
    assert event.attributes == {
        "specversion": "1.0",
        "id": "1",
        "source": "/tests",
        "type": "org.example",
    }
    assert event.data is ABSENT


@pytest.mark.parametrize(
    "text",
    [
        with_member('"data": 1.50'),
        with_member('"subject": "\\u00e4"'),
        " \n" + with_member('"nothing": null') + "\t",
    ],
    ids=["a number's digits", "an escape", "white space and null"],
)
def test_the_sent_text_is_kept(text: str) -> None:
    assert parse_event(text).sent == text


@pytest.mark.parametrize("text", ["[]", "null", "1", '"{}"', "true"])
def test_json_other_than_an_object_is_rejected(text: str) -> None:
    with pytest.raises(EventError, match=r"^An event must be a JSON object"):
        parse_event(text)


@pytest.mark.parametrize("name", ["id", "source", "type", "specversion"])
class TestRequired:
    """The four required attributes."""

    def test_missing(self, name: str) -> None:
        document = json.loads(make_event().sent)
        del document[name]
        problems = refused(lambda: parse_event(json.dumps(document)))
        assert problems == {f"/{name}": "is required"}

    def test_null_is_missing(self, name: str) -> None:
        problems = refused(lambda: make_event(**{"id": "1", name: None}))
        assert problems == {f"/{name}": "is required"}

    def test_empty(self, name: str) -> None:
        problems = refused(lambda: make_event(**{"id": "1", name: ""}))
        assert problems == {f"/{name}": "must not be empty"}

    @pytest.mark.parametrize("value", [1, 1.0, True, [], {}], ids=repr)
    def test_not_a_string(self, name: str, value: Json) -> None:
        problems = refused(lambda: make_event(**{"id": "1", name: value}))
        assert problems == {f"/{name}": "must be a string"}


def test_all_invalid_attributes_are_named() -> None:
    problems = refused(lambda: parse_event('{"specversion": "0.9", "id": "", "type": 5, "Bad": 1}'))
    assert set(problems) == {"/specversion", "/id", "/source", "/type", "/Bad"}


@pytest.mark.parametrize("name", ["subject", "time", "datacontenttype", "dataschema"])
def test_an_optional_attribute_must_not_be_empty(name: str) -> None:
    assert set(refused(lambda: make_event(**{name: ""}))) == {f"/{name}"}


@pytest.mark.parametrize("name", ["subject", "time", "datacontenttype", "dataschema"])
def test_an_optional_attribute_must_be_a_string(name: str) -> None:
    problems = refused(lambda: make_event(**{name: 1}))
    assert problems == {f"/{name}": "must be a string"}


@pytest.mark.parametrize("name", ["subject", "time", "comexampleextension", "Bad-Name"])
def test_null_is_unset(name: str) -> None:
    assert make_event(**{name: None}).attributes == make_event().attributes


@pytest.mark.parametrize("version", ["1", "1.0.2", "0.1", "0.4", "2.0", " 1.0"])
def test_an_unsupported_version_is_rejected(version: str) -> None:
    problems = refused(lambda: make_event(specversion=version))
    assert problems == {
        "/specversion": "must be 1.0, 0.3 or 0.2 (or cloudEventsVersion must be 0.1), "
        f"not {version!r}"
    }


@pytest.mark.parametrize(
    ("name", "pointer"),
    [
        pytest.param("Upper", "/Upper", id="upper case"),
        pytest.param("with_underscore", "/with_underscore", id="underscore"),
        pytest.param("", "/", id="empty"),
        pytest.param("ä", "/ä", id="not ASCII"),
        pytest.param("\u0661", "/\u0661", id="a digit that is not ASCII"),
        pytest.param("a/b~c", "/a~1b~0c", id="escaped as RFC 6901 says"),
        pytest.param("a\x00\ud800", "/a\ufffd\ufffd", id="unprintable"),
        pytest.param("A" * 1000, "/" + "A" * 80, id="long"),
    ],
)
def test_an_invalid_name_is_rejected_and_safe_to_display(name: str, pointer: str) -> None:
    problems = refused(lambda: make_event(**{name: 1}))
    assert problems == {
        pointer: "is not a valid attribute name; use only lower-case letters and digits"
    }


@pytest.mark.parametrize(
    "value",
    [True, False, 0, -(2**31), 2**31 - 1, "", " ", "ä", "\N{GRINNING FACE}", "\ufffd", "\u00a0"],
    ids=ascii,
)
def test_an_extension_keeps_its_value_and_type(value: Attribute) -> None:
    found = make_event(extension=value).attributes["extension"]
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize(
    "number", ["2147483648", "-2147483649", "9" * 4300], ids=lambda number: number[:20]
)
def test_an_integer_must_fit_in_32_bits(number: str) -> None:
    problems = refused(lambda: parse_event(with_member(f'"extension": {number}')))
    assert problems == {"/extension": "must be a 32-bit integer"}


@pytest.mark.parametrize("value", ["1.5", "1.0", "1e2", "[]", "{}", '["a"]'])
def test_an_extension_of_an_unsupported_type_is_rejected(value: str) -> None:
    problems = refused(lambda: parse_event(with_member(f'"extension": {value}')))
    assert problems == {"/extension": "must be a string, an integer or a Boolean"}


@pytest.mark.parametrize(
    "character",
    [
        pytest.param("\x00", id="U+0000"),
        pytest.param("\n", id="U+000A"),
        pytest.param("\x1f", id="U+001F"),
        pytest.param("\x7f", id="U+007F"),
        pytest.param("\x9f", id="U+009F"),
        pytest.param("\ud800", id="lone high surrogate"),
        pytest.param("\udfff", id="lone low surrogate"),
        pytest.param("\ufdd0", id="U+FDD0"),
        pytest.param("\ufdef", id="U+FDEF"),
        pytest.param("\ufffe", id="U+FFFE"),
        pytest.param("\uffff", id="U+FFFF"),
        pytest.param("\U0001fffe", id="U+1FFFE"),
        pytest.param("\U0009ffff", id="U+9FFFF"),
        pytest.param("\U0010ffff", id="U+10FFFF"),
    ],
)
@pytest.mark.parametrize("name", ["id", "subject", "extension"])
def test_disallowed_characters_are_rejected(name: str, character: str) -> None:
    """Section 2.4: no control characters, noncharacters or lone surrogates."""
    problems = refused(lambda: make_event(**{"id": "1", name: f"a{character}b"}))
    assert set(problems) == {f"/{name}"}


@pytest.mark.parametrize(
    "time",
    [
        "2026-11-23T16:57:37Z",
        "2026-11-23t16:57:37z",
        "2026-11-23T16:57:37.1+05:30",
        "2026-11-23T16:57:37.123456789-23:59",
        "2026-11-23T16:57:37-00:00",
        "2024-02-29T00:00:00Z",
        "2016-12-31T23:59:60Z",
        "2017-01-01T00:59:60.5+01:00",
    ],
)
def test_a_timestamp_is_unchanged(time: str) -> None:
    assert make_event(time=time).attributes["time"] == time


@pytest.mark.parametrize(
    "time",
    [
        "now",
        "2026-11-23",
        "2026-11-23T16:57:37",
        "2026-11-23 16:57:37Z",
        "2026-11-23T16:57Z",
        "20261123T165737Z",
        "2026-11-23T16:57:37.Z",
        "2026-11-23T16:57:37+0530",
        "2026-13-01T00:00:00Z",
        "2025-02-29T00:00:00Z",
        "2026-11-23T24:00:00Z",
        "2026-11-23T16:60:00Z",
        "2026-11-23T16:57:61Z",
        "2026-11-23T16:57:37+24:00",
        "2026-11-23T16:57:37+00:60",
        "\u0662026-11-23T16:57:37Z",
        "2026-11-23T16:57:37Z ",
    ],
)
def test_an_invalid_timestamp_is_rejected(time: str) -> None:
    problems = refused(lambda: make_event(time=time))
    assert set(problems) == {"/time"}
    assert "RFC 3339" in problems["/time"]


@pytest.mark.parametrize(
    ("member", "data"),
    [
        pytest.param('"data": null', None, id="null is a payload"),
        pytest.param('"data": {"a": [1]}', {"a": [1]}, id="object"),
        pytest.param('"data": ""', "", id="empty string"),
        pytest.param('"data": "\\ud800"', "\ud800", id="lone surrogate"),
        pytest.param(f'"data": {10**4000}', 10**4000, id="an integer of 4001 digits"),
        pytest.param('"data_base64": "//4="', b"\xff\xfe", id="bytes"),
        pytest.param('"data_base64": ""', b"", id="no bytes"),
        pytest.param('"data_base64": null', ABSENT, id="null bytes are unset"),
        pytest.param('"data": 1, "data_base64": null', 1, id="data with unset bytes"),
    ],
)
def test_the_payload(member: str, data: object) -> None:
    assert parse_event(with_member(member)).data == data


@pytest.mark.parametrize(
    "encoded",
    ["a", "YQ", "YQ===", "YQ==\n", " YQ==", "Y Q==", "-_-_", "YQ==YQ==", "ä", "=", 5, True, [], {}],
    ids=ascii,
)
def test_invalid_base64_is_rejected(encoded: Json) -> None:
    problems = refused(lambda: make_event(data_base64=encoded))
    assert problems == {"/data_base64": "is not valid Base64 (RFC 4648, section 4)"}


@pytest.mark.parametrize("data", [1, None, ""], ids=repr)
def test_data_and_data_base64_are_mutually_exclusive(data: Json) -> None:
    problems = refused(lambda: make_event(data=data, data_base64="YQ=="))
    assert problems == {"/data_base64": "must not be combined with data"}
