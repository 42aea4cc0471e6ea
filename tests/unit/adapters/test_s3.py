"""Notifications of S3 and MinIO, as in their documentation and code."""

import json
from typing import Any

import pytest

from pacifica.dispatcher.adapters import s3
from pacifica.dispatcher.errors import MAX_PROBLEMS, EventError
from pacifica.dispatcher.events import Event, Json
from tests.unit.adapters.deliveries import delivery, missing


def amazon(key: str = "scans/a+b.raw", **more: Json) -> dict[str, Any]:
    """Return a record of Amazon S3."""
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "us-west-2",
        "eventTime": "2026-11-23T16:57:37.123Z",
        "eventName": "ObjectCreated:Put",
        "userIdentity": {"principalId": "A1"},
        "requestParameters": {"sourceIPAddress": "127.0.0.1"},
        "responseElements": {"x-amz-request-id": "C3D13FE5", "x-amz-id-2": "FMyUVURI/xTWv="},
        "s3": {
            "s3SchemaVersion": "1.0",
            "bucket": {"name": "lab", "arn": "arn:aws:s3:::lab"},
            "object": {"key": key, "size": 1024, "eTag": "d41d", "sequencer": "0055AED6"},
        },
        **more,
    }


def minio(key: str = "a.raw", **response: str) -> dict[str, Any]:
    """Return a record of MinIO."""
    return amazon(
        key,
        eventSource="minio:s3",
        awsRegion="",
        eventName="s3:ObjectCreated:Put",
        responseElements={"x-minio-deployment-id": "90e8", **response},
    )


def events(*records: Json) -> tuple[Event, ...]:
    """Return the events of a notification with these records."""
    received = s3.convert_s3_notification(delivery({"Records": list(records)}))
    assert received.batch
    return received.events


def test_a_record_of_amazon() -> None:
    [event] = events(amazon())
    assert event.data == amazon()
    assert dict(event.attributes) == {
        "specversion": "1.0",
        "datacontenttype": "application/json",
        "id": "C3D13FE5.FMyUVURI/xTWv=.758666c8fa77865b",  # must stay the same across releases
        "source": "aws:s3.us-west-2.lab",
        "type": "com.amazonaws.s3.ObjectCreated:Put",
        "subject": "scans/a+b.raw",
        "time": "2026-11-23T16:57:37.123Z",
    }


@pytest.mark.parametrize(
    ("response", "beginning"),
    [
        ({"x-amz-request-id": "17AB", "x-amz-id-2": "dd90"}, "17AB.dd90."),
        ({"x-amz-request-id": "17AB"}, "17AB."),
        ({"x-amz-request-id": "", "x-amz-id-2": ""}, ""),
    ],
    ids=["current", "older", "without a request, such as an expiry"],
)
def test_a_record_of_minio(response: dict[str, str], beginning: str) -> None:
    [event] = events(minio(**response))
    assert event.id.removeprefix(beginning).isalnum()
    assert event.source == "minio:s3..lab"
    assert event.type == "com.amazonaws.s3.ObjectCreated:Put"


def test_records_of_one_request_have_different_ids() -> None:
    names = ("ObjectRemoved:Delete", "ObjectRemoved:DeleteMarkerCreated")
    records = [amazon(key, eventName=name) for key in ("a", "b") for name in names]
    assert len({each.id for each in events(*records)}) == 4


def test_a_repeated_record_has_the_same_id() -> None:
    alone, among = events(amazon()), events(amazon("x"), amazon())
    assert alone[0].id == among[1].id


def test_a_record_is_kept_unchanged() -> None:
    record = json.dumps(amazon()).replace("1024", "1.024e3 ")
    sent = f'{{"a": [{{"Records": 1}}], "Records" : [ {record} ,{record}], "Key": ""}}'
    first, _ = s3.convert_s3_notification(Event({}, json.loads(sent), sent)).events
    assert first.sent.endswith(f'"data": {record}}}')


def test_the_test_notification_has_no_event() -> None:
    test = {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "lab", "RequestId": "55"}
    received = s3.convert_s3_notification(delivery(dict(test)))
    assert (received.events, received.batch) == ((), True)


def test_an_empty_notification_has_no_event() -> None:
    assert events() == ()


@pytest.mark.parametrize(
    "body",
    [{}, [], None, 1, "Records", [amazon()], {"Records": None}, {"Records": {}}, {"records": []}],
)
def test_an_invalid_notification_is_rejected(body: Json) -> None:
    with pytest.raises(EventError, match="Records"):
        s3.convert_s3_notification(delivery(body))


@pytest.mark.parametrize(
    ("record", "places"),
    [
        (None, {"/1/id", "/1/source", "/1/type"}),
        (1, {"/1/id", "/1/source", "/1/type"}),
        (amazon(eventName=None), {"/1/type"}),
        (amazon(s3={"object": {"key": "a"}}), {"/1/source"}),
        (amazon(responseElements=None, s3={"bucket": {"name": "lab"}}), {"/1/id"}),
        (amazon(eventTime="noon"), {"/1/time"}),
        (amazon(awsRegion="a b"), {"/1/source"}),
        (amazon("a\0"), {"/1/subject"}),
    ],
)
def test_an_invalid_record_is_named_by_its_index(record: Json, places: set[str]) -> None:
    assert missing(s3.convert_s3_notification, {"Records": [amazon(), record]}).keys() == places


def test_the_number_of_problems_is_limited() -> None:
    assert len(missing(s3.convert_s3_notification, {"Records": [1] * 1000})) == MAX_PROBLEMS
