"""Requests that fail."""

import time

import pytest

from pacifica.dispatcher import orm, rest
from tests.factories import change, claimed_run, count, make_event
from tests.unit.rest.factories import (
    BATCH,
    MATCHED,
    STRUCTURED,
    UNKNOWN,
    Client,
    batch_of,
    with_database,
)


@pytest.mark.parametrize(
    "target",
    [
        f"/status/{UNKNOWN}", f"/events/{UNKNOWN}", f"/runs/{UNKNOWN}", f"/runs/{UNKNOWN}/output",
        "/nothing", "/nothing/at/all", f"/status/{UNKNOWN}/more", f"/events/{UNKNOWN}/more",
        f"/runs/{UNKNOWN}/nothing", f"/runs/{UNKNOWN}/output/more", "/applications/more",
        "/health", "/health/nothing", "/health/live/more", "/health/ready/more", "/favicon.ico",
        "/openapi.json/more",
        "/%FF", "/../etc/passwd", "/" + "x" * 5000,
    ],
)  # fmt: skip
def test_an_unknown_address_is_not_found(client: Client, target: str) -> None:
    client.get(target).problem(404)


@pytest.mark.parametrize(
    "target",
    [
        "/receive/more", "/nothing", f"/{UNKNOWN}", "/runs", f"/events/{UNKNOWN}/replay/more",
        "/applications/nobody/pause", "/applications/hello/stop",
        f"/runs/{UNKNOWN}/replay", f"/runs/{UNKNOWN}/Cancel",
        f"/runs/{UNKNOWN}/cancel/more", f"/runs/{UNKNOWN}/__class__",
        f"/runs/{UNKNOWN}/cancel", f"/runs/{UNKNOWN}/retry", f"/events/{UNKNOWN}/replay",
        f"/events/{UNKNOWN}/cancel", f"/events/{UNKNOWN}/retry",
    ],
)  # fmt: skip
def test_a_post_to_an_unknown_address_is_not_found(client: Client, target: str) -> None:
    client.post(make_event().sent.encode(), target).problem(404)


@pytest.mark.parametrize(
    "target", ["/GET", "/_service", "/_service/database", "/__class__", "/--class--", "/__init__",
               "/health/__class__", "/health/live/__class__", "/__dict__", "/exposed"],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_internals_have_no_address(client: Client, method: str, target: str) -> None:
    response = client.request(method, target, b"{}")
    assert response.status in {404, 405}
    response.problem(response.status)


@pytest.mark.parametrize("path", ["/status/{}", "/events/{}", "/runs/{}", "/runs/{}/output"])
@pytest.mark.parametrize(
    "uuid",
    ["7", "not-a-uuid", UNKNOWN[:-1], UNKNOWN + "0", UNKNOWN.replace("-", ""), "%7B" + UNKNOWN,
     UNKNOWN + "%0A", "%FF", "'%20OR%201=1"],
)  # fmt: skip
def test_an_invalid_uuid_is_refused(client: Client, path: str, uuid: str) -> None:
    client.get(path.format(uuid)).problem(422)


def test_a_head_request_does_not_dispatch(client: Client, database: orm.Database) -> None:
    response = client.request("HEAD", "/dispatch/add/2/2")
    assert (response.status, response.headers["allow"]) == (405, "GET")
    assert count(database, "event") == 0


@pytest.mark.parametrize("target", ["/status", "/runs"])
def test_a_missing_uuid_is_not_found(client: Client, target: str) -> None:
    client.get(target).problem(404)


def test_a_uuid_in_upper_case_is_accepted(client: Client) -> None:
    uuid = client.send().json["uuid"]
    assert client.get(f"/status/{uuid.upper()}").json["uuid"] == uuid


@pytest.mark.parametrize(
    "target",
    ["/status/{event}?x=1", "/events/{event}?x=1", "/events/{event}?uuid=1", "/runs/{run}?x=1",
     "/applications?x=1", "/applications?path=1", "/dispatch/add/1?x=1", "/status/{event}?self=1",
     "/events/{event}?self=1", "/runs/{run}?self=1", "/applications?self=1",
     "/dispatch/add?self=1"],
)  # fmt: skip
def test_an_unknown_parameter_is_refused(
    client: Client, database: orm.Database, target: str
) -> None:
    claim = claimed_run(database)
    client.get(target.format(event=claim.event, run=claim.run)).problem(400)


@pytest.mark.parametrize(
    "target",
    ["/status?uuid=1", "/status/{event}?uuid=1", "/runs/{run}?uuid=1", "/runs/{run}?part=output",
     "/dispatch/add/1?application=mul", "/health/live?x=1", "/health/ready?x=1", "/health?live=1",
     "/openapi.json?x=1"],
)  # fmt: skip
def test_a_parameter_named_like_a_variable_causes_no_internal_error(
    client: Client, database: orm.Database, target: str
) -> None:
    claim = claimed_run(database)
    response = client.get(target.format(event=claim.event, run=claim.run))
    assert response.status in {400, 404, 422}
    response.problem(response.status)


@pytest.mark.parametrize(
    "target",
    ["/receive?code=1", "/events?code=1&code=2", "/?self=1&_=1", "/receive?1,2", "/receive?1,2x",
     "/receive?code=%FF"],
)  # fmt: skip
def test_an_event_is_accepted_with_any_query(client: Client, target: str) -> None:
    assert client.post(make_event().sent.encode(), target).status == 202


@pytest.mark.parametrize("query", ["1,2x", f"{'1' * 5000},1", "1,2", "a=%FF"])
def test_a_query_that_looks_like_image_coordinates_is_refused(client: Client, query: str) -> None:
    client.get(f"/events?{query}").problem(400)


@pytest.mark.parametrize("headers", [{"cookie": "a(b=1"}, {"content_disposition": 'a; name="'}])
def test_irrelevant_headers_are_ignored(client: Client, headers: dict[str, str]) -> None:
    assert client.post(make_event().sent.encode(), **headers).status == 202


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        ("/receive", {"content_type": f'{STRUCTURED}; a="{";" * 200_000}'}),
        ("/receive", {"content_disposition": f'a; a="{";" * 200_000}'}),
        ("/receive", {"accept": "text/a" + '"a,' * 200_000}),
        ("/receive", {"ce_id": '"' + '\\"' * 200_000}),
        ("/a" * 200_000, {}),
    ],
    ids=["content type", "disposition", "accept", "quotes", "path"],
)
def test_a_long_head_is_parsed_quickly(
    client: Client, target: str, headers: dict[str, str]
) -> None:
    started = time.process_time()
    client.post(make_event().sent.encode(), target, **headers)
    assert time.process_time() - started < 2


_READ = {"GET", "HEAD"}
_ALLOWED = {
    "/receive": {"OPTIONS", "POST"},
    "/events": {*_READ, "OPTIONS", "POST"},
    "/": {*_READ, "OPTIONS", "POST"},
    f"/status/{UNKNOWN}": _READ,
    f"/events/{UNKNOWN}": _READ,
    f"/events/{UNKNOWN}/replay": {"POST"},
    f"/runs/{UNKNOWN}": _READ,
    f"/runs/{UNKNOWN}/cancel": {"POST"},
    f"/runs/{UNKNOWN}/output": _READ,
    f"/runs/{UNKNOWN}/files/a/b": _READ,
    "/applications/add": _READ,
    "/applications/add/pause": {"POST"},
    "/dispatch/add": {"GET"},
    "/dispatch/add/1/2": {"GET"},
    "/applications": _READ,
    "/health/live": _READ,
    "/health/ready": _READ,
}


@pytest.mark.parametrize(
    ("target", "method"),
    [
        (target, method)
        for target, allowed in _ALLOWED.items()
        for method in ("GET", "POST", "PUT", "DELETE", "PATCH", "BREW")
        if method not in allowed
    ],
)
def test_a_wrong_method_is_refused_with_the_allowed_ones(
    client: Client, target: str, method: str
) -> None:
    response = client.request(method, target, b"{}")
    response.problem(405)
    assert set(response.headers["allow"].split(", ")) == _ALLOWED[target]


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_a_wrong_method_on_an_event_is_refused(client: Client, method: str) -> None:
    uuid = client.send().json["uuid"]
    client.request(method, f"/events/{uuid}", make_event(2).sent.encode()).problem(405)


def test_a_response_to_head_has_no_body(client: Client) -> None:
    response = client.request("HEAD", "/events")
    assert (response.status, response.body) == (200, b"")


@pytest.mark.parametrize(
    "target",
    ["/events", "/", f"/events/{UNKNOWN}", f"/status/{UNKNOWN}", f"/runs/{UNKNOWN}",
     f"/runs/{UNKNOWN}/output", "/applications", "/dispatch/add/1/2", "/health/ready"],
)  # fmt: skip
def test_without_the_database_the_response_says_when_to_retry(
    without_database: Client, target: str, caplog: pytest.LogCaptureFixture
) -> None:
    response = without_database.get(target)
    assert response.problem(503)["detail"] == "Database unavailable; try again later"
    assert "/no/such/folder/db.sqlite3" in caplog.text
    assert response.headers["retry-after"].isdecimal()


@pytest.mark.parametrize("numbers", [[1], [1, 2]])
def test_without_the_database_no_event_is_accepted(
    without_database: Client, numbers: list[int]
) -> None:
    response = without_database.post(batch_of(*numbers), content_type=BATCH)
    response.problem(503)
    assert "retry-after" in response.headers


@pytest.mark.parametrize("numbers", [[1], [1, 2]])
def test_a_database_error_halfway_stores_nothing(
    client: Client, database: orm.Database, numbers: list[int]
) -> None:
    change(database, "ALTER TABLE run RENAME TO elsewhere")
    client.post(batch_of(*numbers, type=MATCHED), content_type=BATCH).problem(503)
    change(database, "ALTER TABLE elsewhere RENAME TO run")
    assert count(database, "event") == 0
    assert client.post(batch_of(*numbers, type=MATCHED), content_type=BATCH).status == 202


def test_the_password_of_the_database_is_not_shown(context: rest.Context) -> None:
    database = orm.Database("postgresql://user:secret@127.0.0.1:1/name")
    response = Client(with_database(context, database)).get("/events")
    response.problem(503)
    assert b"secret" not in response.body


def test_an_internal_error_is_logged_and_not_shown(
    client: Client, database: orm.Database, caplog: pytest.LogCaptureFixture
) -> None:
    claim = claimed_run(database)
    change(database, "UPDATE run SET result = 'not JSON'")
    response = client.get(f"/runs/{claim.run}")
    assert "Internal error; see the server log" in response.problem(500)["detail"]
    assert "JSONDecodeError" in caplog.text


@pytest.mark.parametrize("accept", ["text/html", "text/plain", "*/*"])
def test_an_address_that_is_not_utf8_is_not_found(client: Client, accept: str) -> None:
    response = client.get("/x%fa", accept=accept)
    assert response.status == 404
    assert b"Nothing at /x" in response.body
