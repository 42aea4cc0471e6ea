"""`POST /receive/ADAPTER` against the WSGI application."""

import hashlib
import hmac
import json
import time

import pytest

from pacifica.dispatcher import orm
from pacifica.dispatcher.adapters import KINDS, Templates, make_adapter
from pacifica.dispatcher.adapters.templates import parse_templates
from pacifica.dispatcher.events import Json
from tests.factories import count
from tests.unit.rest.factories import LIMIT, MATCHED, UNKNOWN, Client, Response, make_context

SECRET = "hush"  # noqa: S105 - for tests only
ANY = Templates(
    id=parse_templates("{data.id}"),
    source=parse_templates("/any"),
    type=parse_templates("org.example.{data.type}"),
)
ADAPTERS = {
    kind: make_adapter(kind, kind, KINDS[kind](SECRET), None) for kind in ("github", "stripe")
}
ADAPTERS["s3"] = make_adapter("s3", "s3", KINDS["s3"](SECRET), None)
ADAPTERS["any"] = make_adapter("any", "generic", None, ANY)
BEARER = f"Bearer {SECRET}"
PUSH = json.dumps({"ref": "refs/heads/main", "repository": {"url": "https://github.com/a/b"}})


@pytest.fixture
def client(database: orm.Database) -> Client:
    return Client(make_context(database, ADAPTERS))


def post(client: Client, name: str, body: Json | bytes, **headers: str) -> Response:
    """Deliver to an adapter."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return client.post(raw, f"/receive/{name}", **{"content_type": "application/json", **headers})


def push(client: Client, delivery: str, body: str = PUSH, **headers: str) -> Response:
    """Deliver a signed push from GitHub."""
    signature = hmac.new(SECRET.encode(), body.encode(), hashlib.sha256).hexdigest()
    known = {
        "x_github_event": "push",
        "x_github_delivery": delivery,
        "x_hub_signature_256": f"sha256={signature}",
    }
    return post(client, "github", body.encode(), **{**known, **headers})


def test_a_delivery_that_is_repeated_does_not_differ(client: Client) -> None:
    spaced = PUSH.replace(" ", "   ")
    first, again, other = push(client, "1"), push(client, "1", spaced), push(client, "1", "{}")
    assert again.json == {**first.json, "duplicate": True}
    assert other.status == 400


def test_a_delivery_with_the_id_of_another_differs(client: Client) -> None:
    for number in range(2):
        response = post(client, "any", {"id": "1", "type": "a", "number": number})
        assert response.json.get("differs", False) == bool(number)


def record(key: str) -> dict[str, Json]:
    """Return a record of an S3 notification."""
    return {
        "eventSource": "aws:s3",
        "awsRegion": "us-west-2",
        "eventTime": "2026-11-23T16:57:37.123Z",
        "eventName": "ObjectCreated:Put",
        "responseElements": {"x-amz-request-id": "C3D1", "x-amz-id-2": "FMyU"},
        "s3": {"bucket": {"name": "lab"}, "object": {"key": key}},
    }


def test_a_delivery_is_stored_as_an_event(client: Client) -> None:
    response = push(client, "d-1")
    assert response.status == 202
    assert response.headers["location"] == f"/status/{response.json['uuid']}"
    assert client.get(f"/events/{response.json['uuid']}").json["event"] == {
        "specversion": "1.0",
        "id": "d-1",
        "source": "https://github.com/a/b",
        "type": "com.github.push",
        "subject": "refs/heads/main",
        "datacontenttype": "application/json",
        "data": json.loads(PUSH),
    }


def test_a_delivery_runs_the_applications_that_match(client: Client) -> None:
    response = post(client, "any", {"id": 1, "type": MATCHED.removeprefix("org.example.")})
    assert response.json["applications"] == ["hello"]


def test_a_repeated_delivery_is_a_duplicate(client: Client, database: orm.Database) -> None:
    first, again, other = (push(client, each).json for each in ("d-1", "d-1", "d-2"))
    assert [each["duplicate"] for each in (first, again, other)] == [False, True, False]
    assert again["uuid"] == first["uuid"]
    assert count(database, "event") == 2


def test_a_delivery_from_stripe(client: Client) -> None:
    body = json.dumps({"id": "evt_1", "type": "invoice.paid", "created": 1795453057})
    now = int(time.time())
    signed = hmac.new(SECRET.encode(), f"{now}.{body}".encode(), hashlib.sha256).hexdigest()
    signature = f"t={now},v1={signed}"
    assert post(client, "stripe", body.encode(), stripe_signature=signature).status == 202


def test_an_s3_notification_is_a_batch(client: Client, database: orm.Database) -> None:
    body: Json = {"Records": [record("a"), record("b"), record("a")]}
    response = post(client, "s3", body, authorization=BEARER)
    assert [each["duplicate"] for each in response.json["events"]] == [False, False, True]
    assert "location" not in response.headers
    assert count(database, "event") == 2


def test_an_s3_notification_is_stored_completely_or_not_at_all(
    client: Client, database: orm.Database
) -> None:
    body: Json = {"Records": [record("a"), {**record("b"), "eventName": None}]}
    problem = post(client, "s3", body, authorization=BEARER).problem(400)
    assert [each["pointer"] for each in problem["errors"]] == ["#/1/type"]
    assert count(database, "event") == 0


def test_test_deliveries_are_accepted_but_not_stored(
    client: Client, database: orm.Database
) -> None:
    ping = push(client, "d-1", x_github_event="ping")
    test = post(client, "s3", {"Event": "s3:TestEvent"}, authorization=BEARER)
    assert [(each.status, each.json) for each in (ping, test)] == [(202, {"events": []})] * 2
    assert count(database, "event") == 0


@pytest.mark.parametrize("signature", ["", "sha256=00", "\xff", "=?utf-8?q?sha256=3D00?="])
def test_a_delivery_without_proof_is_refused(
    client: Client, database: orm.Database, signature: str
) -> None:
    problem = push(client, "d-1", x_hub_signature_256=signature).problem(403)
    assert "X-Hub-Signature-256" in problem["detail"]
    assert SECRET not in json.dumps(problem)
    assert count(database, "event") == 0


def test_a_header_may_look_like_an_encoded_word(client: Client) -> None:
    uuid = push(client, "=?utf-8?q?a?=").json["uuid"]
    assert client.get(f"/events/{uuid}").json["event"]["id"] == "=?utf-8?q?a?="


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", "JSON"),
        (b"{", "JSON"),
        (b'{"id": 1, "id": 1}', "duplicate"),
        (b"[" * 9999, "deeper|JSON"),
    ],
)
def test_invalid_json_is_refused(client: Client, body: bytes, expected: str) -> None:
    detail = post(client, "any", body).problem(400)["detail"]
    assert any(each in detail for each in expected.split("|"))


def test_a_form_is_refused_with_a_remedy(client: Client) -> None:
    response = push(
        client, "d-1", "payload=%7B%7D", content_type="application/x-www-form-urlencoded"
    )
    assert "application/json" in response.problem(415)["detail"]


def test_a_delivery_that_is_too_large_is_refused(client: Client) -> None:
    post(client, "any", b" " * (LIMIT + 1)).problem(413)


@pytest.mark.parametrize("name", ["nobody", "ANY", "any/any", UNKNOWN, "%ff", "..", "any%2Fany"])
def test_an_unknown_adapter_is_not_found(client: Client, name: str) -> None:
    post(client, name, {"id": 1, "type": "t"}).problem(404)


def test_an_unknown_adapter_is_named(client: Client) -> None:
    problem = post(client, "other", {"id": 1, "type": "t"}).problem(404)
    assert problem["detail"] == "No adapter 'other'; add a section [adapter:other]"


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
def test_an_adapter_allows_only_post(client: Client, method: str) -> None:
    response = client.request(method, "/receive/any")
    assert response.status == 405
    assert response.headers["allow"] == "POST"


def test_a_token_in_the_query_is_ignored(client: Client) -> None:
    assert post(client, "any?token=1&token=2", {"id": 1, "type": "t"}).status == 202
