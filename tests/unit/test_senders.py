"""Senders that there are: the CNCF's SDK for real, Knative and Event Grid as they document it."""

import json
from collections.abc import Callable
from typing import Any, TypeAlias

import pytest
from cloudevents.core.base import BaseCloudEvent
from cloudevents.core.bindings import http as sdk
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v03.event import CloudEvent as CloudEvent03
from cloudevents.core.v1.event import CloudEvent

from pacifica.dispatcher import events, orm
from tests.unit.conftest import Postbox
from tests.unit.test_rest import BATCH, Answer, Client, make_service

Payload: TypeAlias = dict[str, Any] | str | bytes
Mode: TypeAlias = Callable[[BaseCloudEvent], sdk.HTTPMessage]

ATTRIBUTES = {
    "id": "A234-1234-1234",
    "source": "https://example.org/spectrometer?bay=3",
    "type": "org.example.scan",
    "subject": 'Größe 5 % "q" 😀',
    "comexample": "a b",
}
PAYLOADS = [
    pytest.param("application/json", {"a": [1, 2.5, None], "b": "ä"}, id="JSON"),
    pytest.param("text/plain", "two\nlines, ä", id="text"),
    pytest.param("application/octet-stream", b"\x00\xff\xfe", id="bytes"),
]


@pytest.fixture
def client(database: orm.Database, postbox: Postbox) -> Client:
    return Client(make_service(database, postbox))


def post(client: Client, headers: dict[str, str], body: bytes, target: str = "/receive") -> Answer:
    """Send a request with these headers."""
    return client.request(
        "POST", target, body, **{name.replace("-", "_"): text for name, text in headers.items()}
    )


def stored(client: Client, answer: Answer) -> events.Event:
    """What is kept of an event that was accepted."""
    assert answer.status == 202, answer.body
    document = client.get(f"/events/{answer.json['uuid']}").json["event"]
    return events.parse(json.dumps(document))


def made(content_type: str, data: Payload, **more: str) -> CloudEvent:
    """An event of the SDK's, which adds its time."""
    attributes: dict[str, Any] = {**ATTRIBUTES, "datacontenttype": content_type, **more}
    return CloudEvent(attributes, data)


@pytest.mark.parametrize("mode", [sdk.to_structured_event, sdk.to_binary_event])
@pytest.mark.parametrize(("content_type", "data"), PAYLOADS)
def test_the_sdk_of_the_cncf(client: Client, mode: Mode, content_type: str, data: Payload) -> None:
    message = mode(made(content_type, data))
    event = stored(client, post(client, message.headers, message.body))
    assert event.attributes.items() >= {**ATTRIBUTES, "datacontenttype": content_type}.items()
    assert "time" in event.attributes
    assert event.data == data


def test_a_batch_of_the_sdks_events(client: Client) -> None:
    sent = [made("application/json", {"n": n}, id=str(n)) for n in range(3)]
    body = b"[%b]" % b",".join(JSONFormat().write(each) for each in sent)
    answer = post(client, {"content-type": BATCH}, body)
    assert [each["duplicate"] for each in answer.json["events"]] == [False] * 3


@pytest.mark.parametrize("mode", [sdk.to_structured_event, sdk.to_binary_event])
@pytest.mark.parametrize(("content_type", "data"), PAYLOADS)
def test_the_sdk_of_the_cncf_in_version_03(
    client: Client, mode: Mode, content_type: str, data: Payload
) -> None:
    attributes = {
        **ATTRIBUTES,
        "datacontenttype": content_type,
        "schemaurl": "http://example.org/s",
    }
    message = mode(CloudEvent03(dict(attributes), data))
    event = stored(client, post(client, message.headers, message.body))
    assert event.attributes["dataschema"] == "http://example.org/s"
    assert event.attributes["subject"] == ATTRIBUTES["subject"]
    assert event.data == data


KNATIVE = {
    "Ce-Id": "4eb6ca4f-0e4c-4c5a-9a0e-2d6e3b0b7a11",
    "Ce-Knativearrivaltime": "2026-11-23T16:57:37.123456789Z",
    "Ce-Source": "/apis/v1/namespaces/default/pingsources/test-ping-source",
    "Ce-Specversion": "1.0",
    "Ce-Time": "2026-11-23T16:57:37.000301Z",
    "Ce-Type": "dev.knative.sources.ping",
    "Content-Type": "application/json",
    "Kn-Namespace": "default",
    "Prefer": "reply",
    "Traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
    "User-Agent": "Go-http-client/1.1",
}
"""What a broker of Knative's sends to a subscriber."""


def test_knative(client: Client) -> None:
    answer = post(client, KNATIVE, b'{"message":"Hello world!"}', "/")
    assert (answer.status, answer.body) == (202, b"")
    shown = client.get(answer.headers["location"]).json["event"]
    assert shown == {
        "specversion": "1.0",
        "id": KNATIVE["Ce-Id"],
        "source": KNATIVE["Ce-Source"],
        "type": "dev.knative.sources.ping",
        "time": KNATIVE["Ce-Time"],
        "knativearrivaltime": KNATIVE["Ce-Knativearrivaltime"],
        "datacontenttype": "application/json",
    }


EVENT_GRID = {
    "specversion": "1.0",
    "type": "Microsoft.Storage.BlobCreated",
    "source": "/subscriptions/5f1c/resourceGroups/lab/providers/Microsoft.Storage/"
    "storageAccounts/scans",
    "id": "9aeb0fdf-c01e-0131-0922-9eb54906e209",
    "time": "2026-11-23T16:57:37.6209971Z",
    "subject": "blobServices/default/containers/raw/blobs/scan.raw",
    "dataschema": "#",
    "data": {
        "api": "PutBlockList",
        "contentType": "application/octet-stream",
        "contentLength": 524288,
        "blobType": "BlockBlob",
        "url": "https://scans.blob.core.windows.net/raw/scan.raw",
        "sequencer": "00000000000004420000000000028963",
        "storageDiagnostics": {"batchId": "b68529f3-68cd-4744-baa4-3c0498ec19f0"},
    },
}
DELIVERY = {
    "Aeg-Subscription-Name": "DISPATCHER",
    "Aeg-Delivery-Count": "0",
    "Aeg-Data-Version": "",
    "Aeg-Metadata-Version": "1",
    "Aeg-Event-Type": "Notification",
    "WebHook-Request-Origin": "eventgrid.azure.net",
}


def test_event_grid(client: Client) -> None:
    headers = {**DELIVERY, "Content-Type": "application/cloudevents+json; charset=utf-8"}
    event = stored(client, post(client, headers, json.dumps(EVENT_GRID).encode()))
    assert event.structured() == EVENT_GRID


def test_event_grid_in_batches(client: Client) -> None:
    headers = {**DELIVERY, "Content-Type": f"{BATCH}; charset=utf-8"}
    answer = post(client, headers, json.dumps([EVENT_GRID]).encode())
    assert (answer.status, len(answer.json["events"])) == (202, 1)
