"""Real senders against a running server.

The CNCF SDK with both of its interfaces, curl, and requests as documented by Knative, Event Grid,
Eventarc, EventBridge and Argo Events.
"""

import http.client
import json
import shutil
import socket
import subprocess
import uuid
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import pytest
from cloudevents.core.base import BaseCloudEvent
from cloudevents.core.bindings import http as sdk
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v03.event import CloudEvent as CloudEvent03
from cloudevents.core.v1.event import CloudEvent
from cloudevents.v1 import conversion as sdk1
from cloudevents.v1.http import CloudEvent as CloudEventOfV1

from harness import DEADLINE, Response, Site
from harness import http as ask
from pacifica.dispatcher import events
from tests.servers import absent

Payload: TypeAlias = dict[str, Any] | str | bytes
Mode: TypeAlias = Callable[[BaseCloudEvent], sdk.HTTPMessage]
OlderMode: TypeAlias = Callable[[CloudEventOfV1], tuple[dict[str, str], bytes]]

BATCH = "application/cloudevents-batch+json"
CONFIG = """
[celery]
broker_url = filesystem:///{folder}/broker
[webhook]
allowed_origins = eventgrid.azure.net
rate = 120
"""
ATTRIBUTES = {
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


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A web tier that accepts all events and runs nothing."""
    site = Site(tmp_path_factory.mktemp("senders"))
    site.configure(CONFIG.format(folder=site.folder))
    try:
        site.start_web()
        yield site
    finally:
        site.kill_all()


def post(server: Site, headers: dict[str, str], body: bytes, target: str = "/receive") -> Response:
    """Send a request with these headers."""
    return ask(f"{server.url}{target}", body, "POST", **headers)


def stored(server: Site, response: Response) -> events.Event:
    """Check that an event was accepted as new, and return it as stored."""
    assert response.status == 202, response.text
    assert response.json["duplicate"] is False
    document = ask(f"{server.url}/events/{response.json['uuid']}").json["event"]
    return events.parse_event(json.dumps(document))


def attributes_of(content_type: str, **more: str) -> dict[str, Any]:
    """Return the attributes of a new event."""
    return {**ATTRIBUTES, "id": uuid.uuid4().hex, "datacontenttype": content_type, **more}


@pytest.mark.parametrize("mode", [sdk.to_structured_event, sdk.to_binary_event])
@pytest.mark.parametrize(("content_type", "data"), PAYLOADS)
def test_the_cncf_sdk(server: Site, mode: Mode, content_type: str, data: Payload) -> None:
    attributes = attributes_of(content_type)
    message = mode(CloudEvent(dict(attributes), data))
    event = stored(server, post(server, message.headers, message.body))
    assert event.attributes.items() >= attributes.items()
    assert "time" in event.attributes
    assert event.data == data


@pytest.mark.parametrize("mode", [sdk1.to_structured, sdk1.to_binary])
@pytest.mark.parametrize(("content_type", "data"), [PAYLOADS[0], PAYLOADS[2]])
def test_the_older_sdk_interface(
    server: Site, mode: OlderMode, content_type: str, data: Payload
) -> None:
    # This interface sends headers unencoded, so they must be ASCII, and text as JSON.
    attributes = attributes_of(content_type, subject="plain")
    event = stored(server, post(server, *mode(CloudEventOfV1(attributes, data))))
    assert event.attributes.items() >= attributes.items()
    assert event.data == data


def test_a_batch_of_sdk_events(server: Site) -> None:
    sent = [CloudEvent(attributes_of("application/json"), {"n": n}) for n in range(3)]
    body = b"[%b]" % b",".join(JSONFormat().write(each) for each in sent)
    response = post(server, {"content-type": BATCH}, body)
    assert [each["duplicate"] for each in response.json["events"]] == [False] * 3


@pytest.mark.parametrize("mode", [sdk.to_structured_event, sdk.to_binary_event])
@pytest.mark.parametrize(("content_type", "data"), PAYLOADS)
def test_the_cncf_sdk_in_version_03(
    server: Site, mode: Mode, content_type: str, data: Payload
) -> None:
    attributes = attributes_of(content_type, schemaurl="http://example.org/s")
    message = mode(CloudEvent03(dict(attributes), data))
    event = stored(server, post(server, message.headers, message.body))
    assert event.attributes["dataschema"] == "http://example.org/s"
    assert event.attributes["subject"] == ATTRIBUTES["subject"]
    assert event.data == data


EVENT = {"specversion": "1.0", "source": "/curl", "type": "t", "data": {"a": 1}}


@pytest.mark.parametrize(
    "headers",
    [
        ["Content-Type: application/cloudevents+json"],
        ["Content-Type: application/json"],
        ["Content-Type: application/cloudevents+json", "Transfer-Encoding: chunked"],
        ["Content-Type: application/cloudevents+json", "Expect: 100-continue"],
        ["Content-Type: application/json", "ce-specversion: 1.0", "ce-source: /curl", "ce-type: t"],
    ],
    ids=["structured", "JSON", "chunked", "expecting 100 Continue", "binary"],
)
def test_curl(server: Site, headers: list[str]) -> None:
    if shutil.which("curl") is None:
        absent("curl", FileNotFoundError("it is not installed"))
    number = uuid.uuid4().hex
    body = json.dumps({**EVENT, "id": number})
    if len(headers) > 2:
        headers, body = [*headers, f"ce-id: {number}"], '{"a": 1}'
    options = [option for header in headers for option in ("-H", header)]
    done = subprocess.run(
        ["curl", "-sSf", "-m", "20", f"{server.url}/receive", *options, "-d", body],
        capture_output=True,
        check=True,
    )
    document = ask(f"{server.url}/events/{json.loads(done.stdout)['uuid']}").json["event"]
    assert document.items() >= {**EVENT, "id": number}.items()


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
"""Headers that a Knative broker sends to a subscriber."""


def test_knative(server: Site) -> None:
    response = post(server, KNATIVE, b'{"message":"Hello world!"}', "/")
    assert (response.status, response.body) == (202, b"")
    shown = ask(f"{server.url}{response.headers['location']}").json["event"]
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


def test_event_grid(server: Site) -> None:
    headers = {**DELIVERY, "Content-Type": "application/cloudevents+json; charset=utf-8"}
    event = stored(server, post(server, headers, json.dumps(EVENT_GRID).encode()))
    assert event.structured() == EVENT_GRID


def test_event_grid_in_batches(server: Site) -> None:
    headers = {**DELIVERY, "Content-Type": f"{BATCH}; charset=utf-8"}
    response = post(server, headers, json.dumps([EVENT_GRID]).encode())
    assert (response.status, len(response.json["events"])) == (202, 1)


def test_event_grid_asks_before_it_delivers(server: Site) -> None:
    headers = {**DELIVERY, "WebHook-Request-Rate": "100"}
    response = ask(f"{server.url}/receive?code=a%2Fb", None, "OPTIONS", **headers)
    assert (response.status, response.body) == (200, b"")
    assert response.headers["WebHook-Allowed-Origin"] == "eventgrid.azure.net"
    assert response.headers["WebHook-Allowed-Rate"] == "120"


EVENTARC = {
    "ce-id": "9171823421456789",
    "ce-source": "//pubsub.googleapis.com/projects/lab/topics/scans",
    "ce-specversion": "1.0",
    "ce-time": "2026-11-23T16:57:37.125Z",
    "ce-type": "google.cloud.pubsub.topic.v1.messagePublished",
    "Content-Type": "application/json",
    "User-Agent": "APIs-Google; (+https://developers.google.com/webmasters/APIs-Google)",
    "X-Cloud-Trace-Context": "105445aa7843bc8bf206b12000100000/1;o=1",
    "traceparent": "00-105445aa7843bc8bf206b12000100000-0000000000000001-01",
}
"""Headers that Eventarc sends for a Pub/Sub message; it always uses binary mode."""


def test_eventarc(server: Site) -> None:
    data = {"message": {"data": "aGVsbG8=", "messageId": "9171823421456789"}, "subscription": "s"}
    event = stored(server, post(server, EVENTARC, json.dumps(data).encode(), "/"))
    attributes = {name[3:]: text for name, text in EVENTARC.items() if name.startswith("ce-")}
    assert event.attributes == {**attributes, "datacontenttype": "application/json"}
    assert event.data == data


def test_eventbridge(server: Site) -> None:
    # An API destination with an input transformer, and the Content-Type as a header parameter.
    event = {
        "specversion": "1.0",
        "id": "17793124-05d4-b198-2fde-7ededc63b103",
        "source": "aws.s3",
        "type": "Object Created",
        "time": "2026-11-23T16:57:37Z",
        "data": {"bucket": {"name": "scans"}, "object": {"key": "a.raw", "size": 5}},
    }
    headers = {
        "Content-Type": "application/cloudevents+json; charset=UTF-8",
        "User-Agent": "Amazon/EventBridge/ApiDestinations",
        "Range": "bytes=0-1048575",
        "Accept-Encoding": "gzip,deflate",
    }
    response = post(server, headers, json.dumps(event).encode())
    assert stored(server, response).structured() == event


def test_argo_events(server: Site) -> None:
    # An HTTP trigger whose payload is built from the event's context and data.
    event = {
        "specversion": "1.0",
        "id": "39633632653237352d613761642d3431",
        "source": "webhook",
        "type": "webhook",
        "subject": "example",
        "time": "2026-11-23T16:57:37Z",
        "datacontenttype": "application/json",
        "data": {"header": {"Content-Type": ["application/json"]}, "body": {"a": 1}},
    }
    headers = {"Content-Type": "application/json", "User-Agent": "Go-http-client/1.1"}
    response = post(server, headers, json.dumps(event).encode())
    assert stored(server, response).structured() == event


HEAD = b"Host: a\r\nConnection: close\r\n"
FIELDS = b"ce-specversion: 1.0\r\nce-type: t\r\nce-source: /s\r\nce-id: 1\r\n"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"POST / HTTP/1.1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\n" + HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"POST " + b"/a" * 200_000 + b" HTTP/1.1\r\n" + HEAD + b"\r\n", 414),
        (b"POST / HTTP/1.1\r\n" + HEAD + b'ce-id: "' + b'\\"' * 200_000 + b"\r\n\r\n", 431),
        (b"POST / HTTP/1.1\r\n" + HEAD + FIELDS + b"ce-id: 2\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\n" + HEAD + FIELDS + b" 2\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\n" + HEAD + FIELDS.replace(b"-", b"_") + b"\r\n", 415),
    ],
    ids=[
        "no host",
        "invalid chunk",
        "a long path",
        "a long header",
        "a repeated header",
        "a folded header",
        "underscores",
    ],
)
def test_an_invalid_request_is_refused(server: Site, request_: bytes, status: int) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE) as connection:
        connection.sendall(request_)
        with http.client.HTTPResponse(connection) as response:
            response.begin()
            assert response.headers["Content-Type"] == "application/problem+json"
            assert json.loads(response.read())["status"] == response.status == status
