"""Receiving events by HTTP."""

import gzip
import json
import time
from dataclasses import replace
from datetime import datetime

import pytest

from harness import wait_until
from pacifica.dispatcher import orm, rest, telemetry
from pacifica.dispatcher.broker.publisher import Publisher
from pacifica.dispatcher.events import Json
from pacifica.dispatcher.rules import JsonPath
from pacifica.dispatcher.telemetry import Record
from tests.factories import Postbox, change, count, make_event
from tests.unit.rest.factories import (
    ADDRESS,
    BATCH,
    HEADERS,
    LIMIT,
    MATCHED,
    Client,
    Response,
    batch_of,
    with_applications,
)


@pytest.mark.parametrize("target", ["/receive", "/events", "/"])
def test_an_event_is_accepted(client: Client, database: orm.Database, target: str) -> None:
    event = make_event(type=MATCHED)
    response = client.post(event.sent.encode(), target)
    assert response.status == 202
    uuid = response.json["uuid"]
    assert response.json == {
        "uuid": uuid, "status": "queued", "duplicate": False, "applications": ["hello"],
    }  # fmt: skip
    assert response.headers["location"] == f"/status/{uuid}"
    assert orm.event(database, uuid).sent == event.sent


def test_an_unmatched_event_is_accepted(client: Client) -> None:
    response = client.send()
    assert (response.status, response.json["status"], response.json["applications"]) == (
        202, "unmatched", [],
    )  # fmt: skip


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "application/json; charset=utf-8",
        'Application/CloudEvents+JSON; charset="UTF-8"',
    ],
)
def test_a_json_content_type_is_accepted(client: Client, content_type: str) -> None:
    assert client.post(make_event().sent.encode(), content_type=content_type).status == 202


def test_an_event_wakes_the_publisher(
    publishing: Client, publisher: Publisher, database: orm.Database, postbox: Postbox
) -> None:
    publisher.start()
    uuid = publishing.send(type=MATCHED).json["uuid"]
    [run] = orm.event(database, uuid).runs
    wait_until(lambda: postbox.sent == [run.uuid])


def test_a_repeated_event_is_a_duplicate(client: Client, database: orm.Database) -> None:
    first, again = client.send(type=MATCHED), client.send(type=MATCHED)
    assert again.status == 202
    assert again.json == {**first.json, "duplicate": True}
    assert again.headers["location"] == first.headers["location"]
    assert count(database, "run") == 1


def test_a_batch_is_accepted(client: Client, database: orm.Database) -> None:
    response = client.post(batch_of(1, 2, 1), content_type=BATCH)
    assert response.status == 202
    assert "location" not in response.headers
    assert [each["duplicate"] for each in response.json["events"]] == [False, False, True]
    assert count(database, "event") == 2


def test_a_duplicate_with_other_content_differs(client: Client, emitted: list[Record]) -> None:
    first, again = client.send(data=1, type=MATCHED), client.send(data=2, type=MATCHED)
    assert again.json == {**first.json, "duplicate": True, "differs": True}
    [record] = [each for each in emitted if each.name == "event.differs"]
    assert (record.level, record.fields) == (
        telemetry.WARNING,
        {
            "request": record.fields["request"],
            "event": first.json["uuid"],
            "source": "/tests",
            "id": "1",
            "address": ADDRESS,
            "parts": "data",
        },
    )


def test_differing_events_of_one_batch_are_marked(client: Client, emitted: list[Record]) -> None:
    events = [make_event(n % 20, data=n // 20).sent for n in range(60)] + [make_event(0).sent]
    marked = client.post(f"[{','.join(events)}]".encode(), content_type=BATCH).json["events"]
    assert [each.get("differs") for each in marked] == [*[None] * 20, *[True] * 41]
    assert [each["duplicate"] for each in marked] == [*[False] * 20, *[True] * 41]
    named = [each.name for each in emitted if each.name.startswith("event")]
    assert named == ["events.accepted", *["event.differs"] * 10, "events.differ"]


def test_a_batch_that_cannot_be_compared_is_repeated(
    client: Client, database: orm.Database
) -> None:
    client.send(1)
    events = f"[{make_event(1, data=1).sent}, {make_event(2).sent}]".encode()
    change(database, "ALTER TABLE duplicate RENAME TO away")
    client.post(events, content_type=BATCH).problem(503)
    change(database, "ALTER TABLE away RENAME TO duplicate")
    marked = client.post(events, content_type=BATCH).json["events"]
    assert [(each["duplicate"], each.get("differs")) for each in marked] == [
        (True, True), (True, None),
    ]  # fmt: skip


def test_an_event_lists_the_deliveries_that_differed(client: Client) -> None:
    uuid = client.send(data=1).json["uuid"]
    assert "differing" not in client.get(f"/events/{uuid}").json
    assert client.get("/events").json["differing"] == {"events": 0, "deliveries": 0}
    for number in range(12):
        client.send(data=number)
    differing = client.get(f"/events/{uuid}").json["differing"]
    assert (differing["number"], len(differing["deliveries"])) == (11, 10)
    delivery = differing["deliveries"][-1]
    assert (delivery["address"], delivery["parts"]) == (ADDRESS, ["data"])
    assert datetime.fromisoformat(delivery["received"]).tzinfo is not None
    assert client.get("/events").json["differing"] == {"events": 1, "deliveries": 11}


def test_an_event_in_another_mode_does_not_differ(client: Client) -> None:
    client.send(data={"b": [1, 2.50], "a": "é"}, time="2026-11-23T16:57:37Z")
    again = client.post(
        b'{"a":"\\u00e9","b":[1.0,25e-1]}',
        content_type="application/json; charset=utf-8",
        ce_specversion="1.0",
        ce_id="1",
        ce_source="/tests",
        ce_type="org.example",
        ce_time="2026-11-23T17:57:37.0+01:00",
    )
    assert (again.json["duplicate"], "differs" in again.json) == (True, False)


def test_an_empty_batch_is_accepted(client: Client) -> None:
    response = client.post(b"[]", content_type=BATCH)
    assert (response.status, response.json) == (202, {"events": []})


def test_a_batch_is_stored_completely_or_not_at_all(client: Client, database: orm.Database) -> None:
    bad = b'[%b, {"specversion": "1.0", "id": "2", "source": "/s"}, 7]' % make_event().sent.encode()
    problem = client.post(bad, content_type=BATCH).problem(400)
    assert [each["pointer"] for each in problem["errors"]] == ["#/1/type", "#/2"]
    assert count(database, "event") == 0


@pytest.mark.parametrize(
    "accept", ["text/plain", "Text/Plain; q=0.5, */*;q=0.1", "text/*, application/json;q=0.9"]
)
def test_a_client_that_prefers_text_gets_the_uuid(client: Client, accept: str) -> None:
    response = client.post(make_event().sent.encode(), accept=accept)
    assert response.status == 202
    assert response.headers["location"] == f"/status/{response.text.strip()}"


def test_a_client_that_prefers_text_gets_the_uuids_of_a_batch(client: Client) -> None:
    response = client.post(batch_of(1, 2), content_type=BATCH, accept="text/plain")
    listed = client.get("/events").json["events"]
    assert sorted(response.text.splitlines()) == sorted(each["uuid"] for each in listed)


@pytest.mark.parametrize(
    "accept",
    ["*/*", "application/json", "application/json, text/plain;q=0.5", "text/html, */*",
     "text/plain;q=0", "text/plain;q=often", "text/plain;q=2", "text/"],
)  # fmt: skip
def test_a_client_that_does_not_prefer_text_gets_json(client: Client, accept: str) -> None:
    assert client.post(make_event().sent.encode(), accept=accept).json["duplicate"] is False


@pytest.mark.parametrize("prefer", ["reply", "respond-async, Reply"])
def test_a_sender_that_expects_a_reply_event_gets_an_empty_response(
    client: Client, prefer: str
) -> None:
    response = client.post(make_event().sent.encode(), prefer=prefer)
    assert (response.status, response.body) == (202, b"")
    assert "content-type" not in response.headers
    assert client.get(response.headers["location"]).status == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not JSON",
        b"{",
        b"[]",
        b"7",
        b"null",
        b"{}",
        b'"\xff"',
        b'{"specversion": "1.0", "id": "1", "source": "/s", "type": NaN}',
        b"[" * 60_000,
        b'{"a":' * 10_000,
        make_event().sent.encode() + b"x",
        b"\xef\xbb\xbf" + make_event().sent.encode(),
        make_event().sent.encode("utf-16"),
    ],
)
def test_an_invalid_event_is_refused(client: Client, database: orm.Database, body: bytes) -> None:
    client.post(body).problem(400)
    assert count(database, "event") == 0
    assert client.send().status == 202


@pytest.mark.parametrize(
    ("members", "pointers"),
    [
        ({"id": ""}, ["#/id"]),
        ({"id": 7, "source": None}, ["#/id", "#/source"]),
        ({"specversion": "0.9"}, ["#/specversion"]),
        ({"time": "yesterday", "a_b": "x", "big": 2**31}, ["#/time", "#/a_b", "#/big"]),
        ({"subject": "\0", "list": []}, ["#/subject", "#/list"]),
        ({"data_base64": "?"}, ["#/data_base64"]),
    ],
)
def test_every_bad_attribute_is_named(
    client: Client, members: dict[str, Json], pointers: list[str]
) -> None:
    event = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t", **members}
    problem = client.post(json.dumps(event).encode()).problem(400)
    assert sorted(each["pointer"] for each in problem["errors"]) == sorted(pointers)
    assert all(each["detail"] for each in problem["errors"])


@pytest.mark.parametrize(
    "content_type",
    ["", "text/plain", "application/xml", "multipart/form-data", "nonsense", "a" * 5000,
     "application/x-www-form-urlencoded", "application/json; charset=latin-1"],
)  # fmt: skip
def test_an_unknown_content_type_is_refused(client: Client, content_type: str) -> None:
    client.post(make_event().sent.encode(), content_type=content_type).problem(415)


@pytest.mark.parametrize("headers", [{}, {"ce_id": "1", "content_type": "text/plain"}])
def test_an_encoded_body_is_refused(client: Client, headers: dict[str, str]) -> None:
    body = gzip.compress(make_event().sent.encode())
    response = client.post(body, content_encoding="gzip", **headers)
    assert "gzip" in response.problem(415)["detail"]
    assert response.headers["accept-encoding"] == "identity"


def test_the_identity_encoding_is_accepted(client: Client) -> None:
    assert client.post(make_event().sent.encode(), content_encoding="Identity").status == 202


def test_an_event_of_the_maximum_size_is_accepted(client: Client) -> None:
    event = make_event(data="").sent.encode()
    assert client.post(event[:-2] + b"x" * (LIMIT - len(event)) + b'"}').status == 202


@pytest.mark.parametrize("size", [LIMIT + 1, 20 * 1024**2])
def test_an_event_that_is_too_large_is_refused(client: Client, size: int) -> None:
    response = client.post(b" " * size)
    assert str(LIMIT) in response.problem(413)["detail"]


def test_an_event_of_unknown_length_is_accepted(client: Client) -> None:
    body = make_event().sent.encode()
    response = client.post(body, content_length="", transfer_encoding="chunked")
    assert response.status == 202


@pytest.mark.parametrize("size", [LIMIT + 1, 20 * 1024**2])
def test_an_event_of_unknown_length_that_is_too_large_is_refused(client: Client, size: int) -> None:
    response = client.post(b" " * size, content_length="", transfer_encoding="chunked")
    response.problem(413)


def test_a_body_shorter_than_its_length_is_refused(client: Client) -> None:
    response = client.post(make_event().sent.encode(), content_length="1000")
    assert "Content-Length" in response.problem(400)["detail"]


def test_a_body_much_shorter_than_its_length_is_refused(client: Client) -> None:
    response = client.post(b"short", content_length="9" * 15)
    assert response.status in {400, 413}
    response.problem(response.status)


@pytest.mark.parametrize("length", ["abc", "-5", "1e3", ""])
def test_an_invalid_length_is_refused(client: Client, length: str) -> None:
    client.post(make_event().sent.encode(), content_length=length).problem(400)


def test_the_status_of_an_event_in_version_0_1_uses_the_names_of_1_0(client: Client) -> None:
    sent = {
        "cloudEventsVersion": "0.1",
        "eventID": "1",
        "source": "/s",
        "eventType": "t",
        "eventTime": "2018-11-08T10:30:00",
    }
    uuid = client.post(json.dumps(sent).encode(), content_type="application/json").json["uuid"]
    assert client.get(f"/status/{uuid}").json["event"] == {
        "specversion": "1.0",
        "id": "1",
        "source": "/s",
        "type": "t",
        "time": "2018-11-08T10:30:00-00:00",
    }
    assert client.get(f"/events/{uuid}").json["event"] == sent


@pytest.mark.parametrize("target", ["/receive", "/events", "/"])
def test_an_event_in_binary_mode_is_accepted(client: Client, target: str) -> None:
    response = client.post(b'{"a": 1.50}', target, content_type="application/json", **HEADERS)
    assert (response.status, response.json["applications"]) == (202, ["hello"])
    kept = client.get(f"/events/{response.json['uuid']}")
    assert kept.json["event"] == {
        "specversion": "1.0",
        "id": "1",
        "source": "/s",
        "type": MATCHED,
        "datacontenttype": "application/json",
        "data": {"a": 1.5},
    }
    assert b'"data": {"a": 1.50}' in kept.body


def test_every_bad_header_is_named(client: Client) -> None:
    headers = {**HEADERS, "ce_source": "a b", "ce_time": "now", "ce_subject": "%C0%A0"}
    problem = client.post(b"{", content_type="application/json", **headers).problem(400)
    assert {each["pointer"] for each in problem["errors"]} == {
        "#/source", "#/time", "#/subject", "#/data",
    }  # fmt: skip


@pytest.mark.parametrize("text", ["=?nope?q?a?=", "=?utf-8?q?=FF?=", "=?utf-8?q?a?=", "=?"])
def test_encoded_words_in_headers_are_not_decoded(client: Client, text: str) -> None:
    response = client.post(b"", content_type="", ce_subject=text, user_agent=text, **HEADERS)
    assert response.status == 202
    shown = client.get(response.headers["location"]).json
    assert shown["event"]["subject"] == text


EXPIRED = "2026-01-01T00:00:00Z"


@pytest.fixture
def expired(client: Client) -> Response:
    """The response to an event that had expired on arrival."""
    return client.send(type=MATCHED, expirytime=EXPIRED)


def test_an_expired_event_is_accepted_but_not_run(
    client: Client, database: orm.Database, expired: Response
) -> None:
    assert (expired.status, expired.json["status"], expired.json["expired"]) == (
        202, "unmatched", True,
    )  # fmt: skip
    shown = client.get(expired.headers["location"]).json
    assert (shown["status"], shown["expired"], shown["runs"]) == ("unmatched", True, [])
    assert count(database, "run") == 0


def test_an_event_that_has_not_expired_is_run(client: Client) -> None:
    response = client.send(type=MATCHED, expirytime="9999-01-01T00:00:00Z")
    assert (response.json["status"], response.json["applications"]) == ("queued", ["hello"])
    assert "expired" not in response.json
    assert "expired" not in client.get(response.headers["location"]).json


def test_an_expired_event_in_a_batch_is_marked(client: Client) -> None:
    fresh, old = make_event(1, type=MATCHED), make_event(2, type=MATCHED, expirytime=EXPIRED)
    response = client.post(f"[{fresh.sent}, {old.sent}]".encode(), content_type=BATCH)
    assert ["expired" in each for each in response.json["events"]] == [False, True]


def test_a_replay_runs_an_expired_event(client: Client, expired: Response) -> None:
    uuid = expired.json["uuid"]
    assert client.request("POST", f"/events/{uuid}/replay").status == 202
    shown = client.get(f"/status/{uuid}").json
    assert (shown["status"], "expired" in shown) == ("queued", False)


def test_an_expired_duplicate_of_an_event_with_runs_is_not_marked_expired(client: Client) -> None:
    client.send(type=MATCHED)
    again = client.send(type=MATCHED, expirytime=EXPIRED)
    assert (again.json["status"], "expired" in again.json) == ("queued", False)


def _with_rule(context: rest.Context, query: str) -> Client:
    hello = replace(context.applications["hello"], rule=(JsonPath.parse(query),))
    return Client(with_applications(context, {"hello": hello}))


def test_regular_expressions_on_a_batch_take_linear_time(context: rest.Context) -> None:
    client = _with_rule(context, "$.data[?search(@, '(a|aa)+b')]")
    began = time.thread_time()
    response = client.post(batch_of(*range(200), data=["a" * 40 + "c"]), content_type=BATCH)
    assert (response.status, len(response.json["events"])) == (202, 200)
    assert time.thread_time() - began < 5


def test_a_batch_on_which_the_rules_take_too_long_is_refused(
    context: rest.Context, database: orm.Database
) -> None:
    client = _with_rule(context, "$.data[?count($.data..*) == 0]")
    batch = batch_of(*range(20), data=[[1]] * 400)
    began = time.thread_time()
    problem = client.post(batch, content_type=BATCH).problem(413)
    assert time.thread_time() - began < 5
    assert "rule of application hello takes more than 1 s" in problem["detail"]
    assert count(database, "event") == 0
    assert client.post(batch_of(1, data=[[1]] * 20), content_type=BATCH).status == 202


def test_an_explanation_names_a_rule_that_takes_too_long(context: rest.Context) -> None:
    client = _with_rule(context, "$.data[?count($.data..*) == 0]")
    batch = batch_of(*range(20), data=[[1]] * 400)
    last = client.post(batch, "/explain", content_type=BATCH).json["events"][-1]
    [explained] = last["applications"]
    assert explained["note"].startswith("the rule takes more than 1 s")
    assert not explained["matched"]
