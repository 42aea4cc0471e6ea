"""Events of a request: content types and batches."""

import json

import pytest

from pacifica.dispatcher.errors import EventError, UnsupportedFormatError
from pacifica.dispatcher.events import parse_request
from tests.factories import make_event

ONE = make_event(1).sent
TWO = make_event(2).sent
BATCH = "application/cloudevents-batch+json"
REQUIRED = ("id", "source", "type", "specversion")


@pytest.mark.parametrize(
    "content_type",
    [
        "application/cloudevents+json",
        "application/json",
        "Application/CloudEvents+JSON",
        " application/json ",
        "application/json;",
        "application/json;charset=utf-8",
        'application/json; charset="UTF-8"',
        "application/json ; Charset=UTF8",
        "application/json; charset=us-ascii",
        "application/json; profile=a; charset=utf-8; x=y",
        'application/json; profile="charset=latin1"',
        "application/json; x-charset=latin1",
    ],
)
def test_one_event(content_type: str) -> None:
    received = parse_request(content_type, ONE.encode())
    assert not received.batch
    assert received.events == (make_event(1),)


@pytest.mark.parametrize(
    "content_type", [BATCH, BATCH.upper(), f"{BATCH}; charset=utf-8", f"{BATCH};charset=UTF-8"]
)
def test_a_batch(content_type: str) -> None:
    received = parse_request(content_type, f"[{ONE}, {TWO}]".encode())
    assert received.batch
    assert received.events == (make_event(1), make_event(2))


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        ";",
        "text/plain",
        "application/xml",
        "application/cloudevents",
        "application/cloudevents+xml",
        "application/cloudevents-batch",
        "application/vnd.api+json",
        "application/json, text/plain",
        "application/jsonx",
        "multipart/form-data; boundary=application/json",
        "json",
        "application/" + "x" * 1000,
    ],
    ids=lambda text: text[:40] or "none",
)
def test_an_unsupported_content_type_is_rejected(content_type: str) -> None:
    with pytest.raises(UnsupportedFormatError, match="Unsupported Content-Type") as caught:
        parse_request(content_type, ONE.encode())
    assert "application/cloudevents+json" in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("charset", ["iso-8859-1", "UTF-16", '"latin1"', "utf-8x"])
@pytest.mark.parametrize("media_type", ["application/json", BATCH])
def test_an_unsupported_charset_is_rejected(media_type: str, charset: str) -> None:
    with pytest.raises(UnsupportedFormatError, match="JSON is always UTF-8, so omit charset"):
        parse_request(f"{media_type}; charset={charset}", ONE.encode())


@pytest.mark.parametrize("media_type", ["application/json", BATCH])
def test_a_body_that_is_not_utf_8_is_rejected(media_type: str) -> None:
    with pytest.raises(EventError, match=r"^Invalid UTF-8: .* at byte 8"):
        parse_request(media_type, b'[{"id":"\xff"}]')


@pytest.mark.parametrize("media_type", ["application/json", BATCH])
def test_an_empty_body_is_rejected(media_type: str) -> None:
    with pytest.raises(EventError):
        parse_request(media_type, b"")


def test_an_array_without_the_batch_content_type_is_rejected() -> None:
    with pytest.raises(EventError, match=r"^An event must be a JSON object"):
        parse_request("application/json", f"[{ONE}]".encode())


@pytest.mark.parametrize("body", [ONE, "null", "1"])
def test_a_batch_that_is_not_an_array_is_rejected(body: str) -> None:
    with pytest.raises(EventError, match=r"^A batch must be a JSON array of events"):
        parse_request(BATCH, body.encode())


@pytest.mark.parametrize("body", ["[]", " [ ]\n"])
def test_a_batch_may_be_empty(body: str) -> None:
    received = parse_request(BATCH, body.encode())
    assert received.batch
    assert received.events == ()


def test_the_sent_text_of_each_event_in_a_batch_is_kept() -> None:
    spaced = f'{{ "data":\t1.50,\n"subject": "\\u00e4", {ONE[1:]}'
    received = parse_request(BATCH, f"[\n {spaced} , {TWO}\t]\n".encode())
    assert [event.sent for event in received.events] == [spaced, TWO]


OLD = '{"cloudEventsVersion": "0.1", "eventID": "1", "eventType": "t", "source": "/s"}'
OLDER = {each: ONE.replace('"1.0"', f'"{each}"') for each in ("0.2", "0.3")}


@pytest.mark.parametrize("one", [OLD, *OLDER.values()], ids=["0.1", *OLDER])
def test_a_batch_may_contain_events_of_an_older_version(one: str) -> None:
    assert len(parse_request(BATCH, f"[{one}, {one}]".encode()).events) == 2


@pytest.mark.parametrize("other", [OLD, *OLDER.values()], ids=["0.1", *OLDER])
def test_a_batch_must_not_mix_versions(other: str) -> None:
    with pytest.raises(EventError, match="none was accepted") as caught:
        parse_request(BATCH, f"[{ONE}, {TWO}, {other}, {ONE}]".encode())
    [problem] = caught.value.problems
    assert (problem.where, "began with version 1.0" in problem.what) == ("/2", True)


@pytest.mark.parametrize(
    ("bad", "problems"),
    [
        pytest.param("{}", {f"/1/{name}" for name in REQUIRED}, id="empty object"),
        pytest.param("5", {"/1"}, id="not an object"),
        pytest.param("[]", {"/1"}, id="array"),
        pytest.param(ONE[:-1] + ', "time": "now"}', {"/1/time"}, id="bad attribute"),
        pytest.param('{"cloudEventsVersion": "0.2"}', {"/1/cloudEventsVersion"}, id="version"),
    ],
)
def test_an_invalid_event_of_a_batch_is_named_by_its_index(bad: str, problems: set[str]) -> None:
    with pytest.raises(EventError, match="none was accepted") as caught:
        parse_request(BATCH, f"[{ONE}, {bad}, {TWO}]".encode())
    assert {each.where for each in caught.value.problems} == problems


def test_all_invalid_events_of_a_batch_are_named() -> None:
    with pytest.raises(EventError) as caught:
        parse_request(
            BATCH,
            f'[1, {ONE}, {{"specversion": "1.0", "source": "/", "type": "t", "id": ""}}]'.encode(),
        )
    assert [each.where for each in caught.value.problems] == ["/0", "/2/id"]


@pytest.mark.parametrize(
    ("broken", "what"),
    [
        (ONE[:-1] + ', "id": "2"}', "duplicate member name 'id'"),
        (ONE[:-1] + ', "data": NaN}', "NaN is not a JSON number"),
        (ONE[:-1] + ', "data": }', "Expecting value"),
    ],
    ids=["a duplicate name", "NaN", "no value"],
)
def test_invalid_json_in_a_batch_is_named_by_its_index(broken: str, what: str) -> None:
    with pytest.raises(EventError, match=f"^Invalid JSON: {what}") as caught:
        parse_request(BATCH, f"[{ONE}, {broken}, {TWO}]".encode())
    assert [each.where for each in caught.value.problems] == ["/1"]
    with pytest.raises(EventError, match="none was accepted") as caught:
        parse_request(BATCH, f"[5, {ONE}, {broken}, {TWO}]".encode())
    assert [each.where for each in caught.value.problems] == ["/0", "/2"]
    assert what in caught.value.problems[1].what


def test_the_problems_of_an_invalid_batch_are_no_larger_than_the_batch() -> None:
    body = json.dumps([{}] * 50_000).encode()
    with pytest.raises(EventError) as caught:
        parse_request(BATCH, body)
    assert sum(len(str(each)) for each in caught.value.problems) < len(body)


@pytest.mark.parametrize(
    "body",
    [f"[{ONE},]", f"[{ONE}", f"[{ONE},", f"[{ONE}]x", f"[{ONE} {TWO}]", f"[{ONE}}}", "[{}", "[,]"],
    ids=["[e,]", "[e", "[e,", "[e]x", "[e e]", "[e}", "[{}", "[,]"],
)
def test_a_malformed_batch_is_rejected(body: str) -> None:
    with pytest.raises(EventError, match=r"^Invalid JSON: "):
        parse_request(BATCH, body.encode())


def test_a_batch_nested_too_deeply_is_rejected() -> None:
    with pytest.raises(EventError, match="nested deeper than"):
        parse_request(BATCH, b"[" * 100_000)


HEADERS = [("ce-specversion", "1.0"), ("ce-id", "h"), ("ce-source", "/h"), ("ce-type", "t")]


@pytest.mark.parametrize(
    "content_type",
    ["", "application/json", "text/plain", "multipart/form-data; boundary=a", "application/xml"],
)
def test_any_other_content_type_with_ce_headers_is_binary_mode(content_type: str) -> None:
    received = parse_request(content_type, ONE.encode(), [("Host", "localhost"), *HEADERS])
    assert not received.batch
    assert [event.id for event in received.events] == ["h"]


@pytest.mark.parametrize(
    "content_type", ["application/cloudevents+json", "APPLICATION/CLOUDEVENTS+JSON; charset=utf-8"]
)
def test_structured_mode_ignores_ce_headers(content_type: str) -> None:
    assert parse_request(content_type, ONE.encode(), HEADERS).events == (make_event(1),)


def test_a_batch_ignores_ce_headers() -> None:
    assert parse_request(BATCH, f"[{ONE}]".encode(), HEADERS).events == (make_event(1),)


@pytest.mark.parametrize(
    "content_type",
    [
        "application/cloudevents",
        "application/cloudevents+xml",
        "application/cloudevents+avro",
        "application/cloudevents-batch",
        "application/cloudevents-batch+protobuf",
    ],
)
def test_an_unsupported_event_format_is_not_binary_mode(content_type: str) -> None:
    with pytest.raises(UnsupportedFormatError, match="Unsupported Content-Type"):
        parse_request(content_type, ONE.encode(), HEADERS)


def test_other_headers_do_not_select_binary_mode() -> None:
    headers = [("Host", "localhost"), ("X-Ce-Id", "1"), ("Cell", "1")]
    assert parse_request("application/json", ONE.encode(), headers).events == (make_event(1),)
