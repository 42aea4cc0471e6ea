"""Which events a request carries: content types and batches."""

import json

import pytest

from pacifica.dispatcher.errors import EventError, UnsupportedFormatError
from pacifica.dispatcher.events import receive
from tests.unit.conftest import make_event

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
    received = receive(content_type, ONE.encode())
    assert not received.batch
    assert received.events == (make_event(1),)


@pytest.mark.parametrize(
    "content_type", [BATCH, BATCH.upper(), f"{BATCH}; charset=utf-8", f"{BATCH};charset=UTF-8"]
)
def test_a_batch(content_type: str) -> None:
    received = receive(content_type, f"[{ONE}, {TWO}]".encode())
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
def test_another_content_type_is_no_event_format(content_type: str) -> None:
    with pytest.raises(UnsupportedFormatError, match="is no event format; send one of") as caught:
        receive(content_type, ONE.encode())
    assert "application/cloudevents+json" in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("charset", ["iso-8859-1", "UTF-16", '"latin1"', "utf-8x"])
@pytest.mark.parametrize("media_type", ["application/json", BATCH])
def test_another_charset_is_no_event_format(media_type: str, charset: str) -> None:
    with pytest.raises(UnsupportedFormatError, match="JSON is UTF-8: leave charset out"):
        receive(f"{media_type}; charset={charset}", ONE.encode())


@pytest.mark.parametrize("media_type", ["application/json", BATCH])
def test_a_body_that_is_not_utf_8_is_no_event(media_type: str) -> None:
    with pytest.raises(EventError, match=r"^it is not UTF-8: .* at byte 8"):
        receive(media_type, b'[{"id":"\xff"}]')


@pytest.mark.parametrize("media_type", ["application/json", BATCH])
def test_no_body_is_no_event(media_type: str) -> None:
    with pytest.raises(EventError):
        receive(media_type, b"")


def test_an_array_that_is_not_called_a_batch_is_no_event() -> None:
    with pytest.raises(EventError, match=r"^an event is a JSON object"):
        receive("application/json", f"[{ONE}]".encode())


@pytest.mark.parametrize("body", [ONE, "null", "1"])
def test_what_is_no_array_is_no_batch(body: str) -> None:
    with pytest.raises(EventError, match=r"^a batch is a JSON array of events"):
        receive(BATCH, body.encode())


@pytest.mark.parametrize("body", ["[]", " [ ]\n"])
def test_a_batch_may_be_empty(body: str) -> None:
    received = receive(BATCH, body.encode())
    assert received.batch
    assert received.events == ()


def test_each_event_of_a_batch_is_kept_as_it_was_sent() -> None:
    spaced = f'{{ "data":\t1.50,\n"subject": "\\u00e4", {ONE[1:]}'
    received = receive(BATCH, f"[\n {spaced} , {TWO}\t]\n".encode())
    assert [event.sent for event in received.events] == [spaced, TWO]


OLD = '{"cloudEventsVersion": "0.1", "eventID": "1", "eventType": "t", "source": "/s"}'
OLDER = {each: ONE.replace('"1.0"', f'"{each}"') for each in ("0.2", "0.3")}


@pytest.mark.parametrize("one", [OLD, *OLDER.values()], ids=["0.1", *OLDER])
def test_a_batch_may_hold_events_of_an_older_version(one: str) -> None:
    assert len(receive(BATCH, f"[{one}, {one}]".encode()).events) == 2


@pytest.mark.parametrize("other", [OLD, *OLDER.values()], ids=["0.1", *OLDER])
def test_a_batch_does_not_mix_versions(other: str) -> None:
    with pytest.raises(EventError, match="none was taken") as caught:
        receive(BATCH, f"[{ONE}, {TWO}, {other}, {ONE}]".encode())
    [problem] = caught.value.problems
    assert (problem.where, "began with 1.0" in problem.what) == ("/2", True)


@pytest.mark.parametrize(
    ("bad", "problems"),
    [
        pytest.param("{}", {f"/1/{name}" for name in REQUIRED}, id="empty object"),
        pytest.param("5", {"/1"}, id="no object"),
        pytest.param("[]", {"/1"}, id="array"),
        pytest.param(ONE[:-1] + ', "time": "now"}', {"/1/time"}, id="bad attribute"),
        pytest.param('{"cloudEventsVersion": "0.2"}', {"/1/cloudEventsVersion"}, id="version"),
    ],
)
def test_one_bad_event_of_a_batch_is_named_by_its_index(bad: str, problems: set[str]) -> None:
    with pytest.raises(EventError, match="none was taken") as caught:
        receive(BATCH, f"[{ONE}, {bad}, {TWO}]".encode())
    assert {each.where for each in caught.value.problems} == problems


def test_all_bad_events_of_a_batch_are_named() -> None:
    with pytest.raises(EventError) as caught:
        receive(
            BATCH,
            f'[1, {ONE}, {{"specversion": "1.0", "source": "/", "type": "t", "id": ""}}]'.encode(),
        )
    assert [each.where for each in caught.value.problems] == ["/0", "/2/id"]


@pytest.mark.parametrize(
    ("broken", "what"),
    [
        (ONE[:-1] + ', "id": "2"}', "the name 'id' stands twice"),
        (ONE[:-1] + ', "data": NaN}', "NaN is no JSON number"),
        (ONE[:-1] + ', "data": }', "Expecting value"),
    ],
    ids=["a name twice", "NaN", "no value"],
)
def test_an_event_of_a_batch_that_is_no_json_is_named_by_its_index(broken: str, what: str) -> None:
    with pytest.raises(EventError, match=f"^it is not JSON: {what}") as caught:
        receive(BATCH, f"[{ONE}, {broken}, {TWO}]".encode())
    assert [each.where for each in caught.value.problems] == ["/1"]
    with pytest.raises(EventError, match="none was taken") as caught:
        receive(BATCH, f"[5, {ONE}, {broken}, {TWO}]".encode())
    assert [each.where for each in caught.value.problems] == ["/0", "/2"]
    assert what in caught.value.problems[1].what


def test_a_batch_of_bad_events_only_has_an_answer_no_larger_than_itself() -> None:
    body = json.dumps([{}] * 50_000).encode()
    with pytest.raises(EventError) as caught:
        receive(BATCH, body)
    assert sum(len(str(each)) for each in caught.value.problems) < len(body)


@pytest.mark.parametrize(
    "body",
    [f"[{ONE},]", f"[{ONE}", f"[{ONE},", f"[{ONE}]x", f"[{ONE} {TWO}]", f"[{ONE}}}", "[{}", "[,]"],
    ids=["[e,]", "[e", "[e,", "[e]x", "[e e]", "[e}", "[{}", "[,]"],
)
def test_a_broken_array_brings_no_event(body: str) -> None:
    with pytest.raises(EventError, match=r"^it is not JSON: "):
        receive(BATCH, body.encode())


def test_a_batch_nested_beyond_all_limits_brings_no_event() -> None:
    with pytest.raises(EventError, match="nested deeper than"):
        receive(BATCH, b"[" * 100_000)


HEADERS = [("ce-specversion", "1.0"), ("ce-id", "h"), ("ce-source", "/h"), ("ce-type", "t")]


@pytest.mark.parametrize(
    "content_type",
    ["", "application/json", "text/plain", "multipart/form-data; boundary=a", "application/xml"],
)
def test_any_other_content_type_beside_headers_is_binary_mode(content_type: str) -> None:
    received = receive(content_type, ONE.encode(), [("Host", "localhost"), *HEADERS])
    assert not received.batch
    assert [event.id for event in received.events] == ["h"]


@pytest.mark.parametrize(
    "content_type", ["application/cloudevents+json", "APPLICATION/CLOUDEVENTS+JSON; charset=utf-8"]
)
def test_structured_mode_takes_the_attributes_of_the_body(content_type: str) -> None:
    assert receive(content_type, ONE.encode(), HEADERS).events == (make_event(1),)


def test_a_batch_takes_the_attributes_of_the_body() -> None:
    assert receive(BATCH, f"[{ONE}]".encode(), HEADERS).events == (make_event(1),)


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
def test_another_event_format_is_not_taken_for_binary_mode(content_type: str) -> None:
    with pytest.raises(UnsupportedFormatError, match="is no event format"):
        receive(content_type, ONE.encode(), HEADERS)


def test_other_headers_make_no_binary_mode() -> None:
    headers = [("Host", "localhost"), ("X-Ce-Id", "1"), ("Cell", "1")]
    assert receive("application/json", ONE.encode(), headers).events == (make_event(1),)
