"""HTTP in, JSON out: every path, method and error, asked of the WSGI application itself."""

import gzip
import io
import json
import os
import re
import shutil
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes
from wsgiref.util import setup_testing_defaults

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pacifica.dispatcher import events, orm, rest
from pacifica.dispatcher.adapters import Adapter
from pacifica.dispatcher.applications import BUILT_IN, Application
from pacifica.dispatcher.command import Command
from pacifica.dispatcher.config import WebhookSettings
from pacifica.dispatcher.events import Json
from pacifica.dispatcher.filters import Exact
from pacifica.dispatcher.lines import Progress
from pacifica.dispatcher.output import Piece
from pacifica.dispatcher.publisher import Publisher
from pacifica.dispatcher.workplace import Workplace
from tests.support import registration, wait_until
from tests.unit.conftest import (
    Postbox,
    accept_runs,
    accepted_runs,
    app,
    apps,
    change,
    claimant,
    claimed_run,
    count,
    due,
    make_event,
    published_run,
    view,
)

NOWHERE = "01a20997-c0e5-77ee-8e00-a2944b68dfdf"
STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
LIMIT = 64 * 1024
PLACES = 3
MATCHED = "org.example.hello"


@dataclass(frozen=True)
class Answer:
    """An answer; the names of its headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401 - the tests know what they asked for
        """The body of an answer in JSON."""
        assert self.headers["content-type"] == "application/json"
        return json.loads(self.body)

    @property
    def text(self) -> str:
        """The body of an answer in plain text."""
        assert self.headers["content-type"].replace(" ", "") == "text/plain;charset=utf-8"
        return self.body.decode()

    def problem(self, status: int) -> dict[str, Any]:
        """The problem document (RFC 9457) of an answer with this status."""
        assert self.status == status, self.body
        assert self.headers["content-type"] == "application/problem+json"
        assert b"Traceback" not in self.body
        document: dict[str, Any] = json.loads(self.body)
        assert document["type"] == "about:blank"
        assert document["status"] == status
        assert document["title"]
        assert document["detail"]
        return document


class Client:
    """Asks the WSGI application, as a server would."""

    def __init__(self, service: rest.Service) -> None:
        """Make the application."""
        self._application = rest.application(service)

    def request(
        self, method: str, target: str, body: bytes | None = None, **headers: str
    ) -> Answer:
        path, _, query = target.partition("?")
        environ: dict[str, Any] = {
            "REQUEST_METHOD": method,
            "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
            "QUERY_STRING": query,
            "SERVER_PROTOCOL": "HTTP/1.1",
            "wsgi.input": io.BytesIO(body or b""),
            "wsgi.multithread": True,
        }
        if body is not None:
            environ["CONTENT_LENGTH"] = str(len(body))
        for name, text in headers.items():
            key = name.upper()
            plain = key in {"CONTENT_TYPE", "CONTENT_LENGTH"}
            environ[key if plain else f"HTTP_{key}"] = text
        setup_testing_defaults(environ)
        started: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(status: str, headers: list[tuple[str, str]], *_: object) -> None:
            started.append((status, headers))

        chunks: Iterable[bytes] = self._application(environ, start_response)
        answered = b"".join(chunks)
        close: Callable[[], None] = getattr(chunks, "close")  # noqa: B009 - WSGI's optional method
        close()
        [(status, answer_headers)] = started
        names = {name.lower(): text for name, text in answer_headers}
        return Answer(int(status[:3]), names, answered)

    def get(self, target: str, **headers: str) -> Answer:
        return self.request("GET", target, None, **headers)

    def post(self, body: bytes, target: str = "/receive", **headers: str) -> Answer:
        return self.request("POST", target, body, **{"content_type": STRUCTURED, **headers})

    def send(self, number: object = 1, /, **members: Json) -> Answer:
        return self.post(make_event(number, **members).sent.encode())


def make_service(
    database: orm.Database, postbox: Postbox, adapters: Mapping[str, Adapter] | None = None
) -> rest.Service:
    """A service with an application `hello` for events of the type MATCHED."""
    hello = Application("hello", Command("echo", ()), rule=(Exact("type", MATCHED),))
    applications = {each.name: each for each in (*BUILT_IN, hello)}
    publisher = Publisher(database, postbox, applications)
    webhook = rest.Webhook(WebhookSettings())
    intake, streams = orm.Intake(database), rest.Streams(PLACES)
    directory = Path(str(database.peewee.database)).parent / "runs"
    return rest.Service(
        database,
        applications,
        publisher,
        LIMIT,
        intake,
        webhook,
        "default",
        streams,
        directory,
        adapters or {},
    )


@pytest.fixture
def service(database: orm.Database, postbox: Postbox) -> rest.Service:
    return make_service(database, postbox)


@pytest.fixture
def client(service: rest.Service) -> Client:
    return Client(service)


@pytest.fixture
def gone(service: rest.Service) -> Iterator[Client]:
    """A client of a service whose database cannot be reached."""
    database = orm.Database("sqlite:///no/such/folder/db.sqlite3")
    yield Client(replace(service, database=database, intake=orm.Intake(database)))
    database.close()


def batch_of(*numbers: int, **members: Json) -> bytes:
    return f"[{', '.join(make_event(number, **members).sent for number in numbers)}]".encode()


# POST


@pytest.mark.parametrize("target", ["/receive", "/events", "/"])
def test_an_event_is_accepted(client: Client, database: orm.Database, target: str) -> None:
    event = make_event(type=MATCHED)
    answer = client.post(event.sent.encode(), target)
    assert answer.status == 202
    uuid = answer.json["uuid"]
    assert answer.json == {
        "uuid": uuid, "status": "queued", "duplicate": False, "applications": ["hello"],
    }  # fmt: skip
    assert answer.headers["location"] == f"/status/{uuid}"
    assert orm.event(database, uuid).sent == event.sent


def test_an_event_for_nobody_is_accepted(client: Client) -> None:
    answer = client.send()
    assert (answer.status, answer.json["status"], answer.json["applications"]) == (
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
def test_a_content_type_is_understood(client: Client, content_type: str) -> None:
    assert client.post(make_event().sent.encode(), content_type=content_type).status == 202


def test_the_publisher_is_woken(
    client: Client, service: rest.Service, database: orm.Database, postbox: Postbox
) -> None:
    service.publisher.start()
    uuid = client.send(type=MATCHED).json["uuid"]
    [run] = orm.event(database, uuid).runs
    wait_until(lambda: postbox.sent == [run.uuid], timeout=0.8)
    service.publisher.stop()


def test_the_same_event_again_is_a_duplicate(client: Client, database: orm.Database) -> None:
    first, again = client.send(type=MATCHED), client.send(type=MATCHED)
    assert again.status == 202
    assert again.json == {**first.json, "duplicate": True}
    assert again.headers["location"] == first.headers["location"]
    assert count(database, "run") == 1


def test_a_batch_is_accepted(client: Client, database: orm.Database) -> None:
    answer = client.post(batch_of(1, 2, 1), content_type=BATCH)
    assert answer.status == 202
    assert "location" not in answer.headers
    assert [each["duplicate"] for each in answer.json["events"]] == [False, False, True]
    assert count(database, "event") == 2


def test_an_empty_batch_is_accepted(client: Client) -> None:
    answer = client.post(b"[]", content_type=BATCH)
    assert (answer.status, answer.json) == (202, {"events": []})


def test_a_batch_is_taken_whole_or_not_at_all(client: Client, database: orm.Database) -> None:
    bad = b'[%b, {"specversion": "1.0", "id": "2", "source": "/s"}, 7]' % make_event().sent.encode()
    problem = client.post(bad, content_type=BATCH).problem(400)
    assert [each["pointer"] for each in problem["errors"]] == ["#/1/type", "#/2"]
    assert count(database, "event") == 0


@pytest.mark.parametrize(
    "accept", ["text/plain", "Text/Plain; q=0.5, */*;q=0.1", "text/*, application/json;q=0.9"]
)
def test_who_asks_for_text_gets_the_uuid(client: Client, accept: str) -> None:
    answer = client.post(make_event().sent.encode(), accept=accept)
    assert answer.status == 202
    assert answer.headers["location"] == f"/status/{answer.text.strip()}"


def test_who_asks_for_text_gets_the_uuids_of_a_batch(client: Client) -> None:
    answer = client.post(batch_of(1, 2), content_type=BATCH, accept="text/plain")
    listed = client.get("/events").json["events"]
    assert sorted(answer.text.splitlines()) == sorted(each["uuid"] for each in listed)


@pytest.mark.parametrize(
    "accept",
    ["*/*", "application/json", "application/json, text/plain;q=0.5", "text/html, */*",
     "text/plain;q=0", "text/plain;q=often", "text/plain;q=2", "text/"],
)  # fmt: skip
def test_who_does_not_prefer_text_gets_json(client: Client, accept: str) -> None:
    assert client.post(make_event().sent.encode(), accept=accept).json["duplicate"] is False


@pytest.mark.parametrize("prefer", ["reply", "respond-async, Reply"])
def test_who_takes_the_answer_for_an_event_gets_none(client: Client, prefer: str) -> None:
    answer = client.post(make_event().sent.encode(), prefer=prefer)
    assert (answer.status, answer.body) == (202, b"")
    assert "content-type" not in answer.headers
    assert client.get(answer.headers["location"]).status == 200


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
def test_what_is_no_event_is_refused(client: Client, database: orm.Database, body: bytes) -> None:
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
def test_a_body_that_is_encoded_is_refused(client: Client, headers: dict[str, str]) -> None:
    body = gzip.compress(make_event().sent.encode())
    answer = client.post(body, content_encoding="gzip", **headers)
    assert "gzip" in answer.problem(415)["detail"]
    assert answer.headers["accept-encoding"] == "identity"


def test_an_encoding_that_is_none_is_accepted(client: Client) -> None:
    assert client.post(make_event().sent.encode(), content_encoding="Identity").status == 202


def test_an_event_as_large_as_allowed_is_accepted(client: Client) -> None:
    event = make_event(data="").sent.encode()
    assert client.post(event[:-2] + b"x" * (LIMIT - len(event)) + b'"}').status == 202


@pytest.mark.parametrize("size", [LIMIT + 1, 20 * 1024**2])
def test_a_larger_event_is_refused(client: Client, size: int) -> None:
    answer = client.post(b" " * size)
    assert str(LIMIT) in answer.problem(413)["detail"]


def test_an_event_of_unknown_length_is_accepted(client: Client) -> None:
    body = make_event().sent.encode()
    answer = client.post(body, content_length="", transfer_encoding="chunked")
    assert answer.status == 202


@pytest.mark.parametrize("size", [LIMIT + 1, 20 * 1024**2])
def test_a_larger_event_of_unknown_length_is_refused(client: Client, size: int) -> None:
    answer = client.post(b" " * size, content_length="", transfer_encoding="chunked")
    answer.problem(413)


def test_a_length_that_is_a_lie_is_refused(client: Client) -> None:
    answer = client.post(make_event().sent.encode(), content_length="1000")
    assert "Content-Length" in answer.problem(400)["detail"]


def test_an_enormous_length_that_is_a_lie_is_refused(client: Client) -> None:
    answer = client.post(b"short", content_length="9" * 15)
    assert answer.status in {400, 413}
    answer.problem(answer.status)


@pytest.mark.parametrize("length", ["abc", "-5", "1e3", ""])
def test_a_length_that_is_none_is_refused(client: Client, length: str) -> None:
    client.post(make_event().sent.encode(), content_length=length).problem(400)


def test_a_refusal_stores_nothing(client: Client, database: orm.Database) -> None:
    answer = client.post(make_event().sent.encode(), accept="text/plain;q=high")
    assert (answer.status == 202) == (count(database, "event") == 1)


def test_a_real_event_of_version_01_is_shown_in_the_names_of_1_0(client: Client) -> None:
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


HEADERS = {"ce_specversion": "1.0", "ce_id": "1", "ce_source": "/s", "ce_type": MATCHED}


@pytest.mark.parametrize("target", ["/receive", "/events", "/"])
def test_an_event_in_headers_is_accepted(client: Client, target: str) -> None:
    answer = client.post(b'{"a": 1.50}', target, content_type="application/json", **HEADERS)
    assert (answer.status, answer.json["applications"]) == (202, ["hello"])
    kept = client.get(f"/events/{answer.json['uuid']}")
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
def test_headers_have_no_encoded_words(client: Client, text: str) -> None:
    answer = client.post(b"", content_type="", ce_subject=text, user_agent=text, **HEADERS)
    assert answer.status == 202
    shown = client.get(answer.headers["location"]).json
    assert shown["event"]["subject"] == text


EXPIRED = "2026-01-01T00:00:00Z"


@pytest.fixture
def expired(client: Client) -> Answer:
    """The answer to an event that had expired when it came."""
    return client.send(type=MATCHED, expirytime=EXPIRED)


def test_an_expired_event_is_accepted_and_not_run(
    client: Client, database: orm.Database, expired: Answer
) -> None:
    assert (expired.status, expired.json["status"], expired.json["expired"]) == (
        202, "unmatched", True,
    )  # fmt: skip
    shown = client.get(expired.headers["location"]).json
    assert (shown["status"], shown["expired"], shown["runs"]) == ("unmatched", True, [])
    assert count(database, "run") == 0


def test_an_event_that_has_not_expired_is_run(client: Client) -> None:
    answer = client.send(type=MATCHED, expirytime="9999-01-01T00:00:00Z")
    assert (answer.json["status"], answer.json["applications"]) == ("queued", ["hello"])
    assert "expired" not in answer.json
    assert "expired" not in client.get(answer.headers["location"]).json


def test_the_expired_event_of_a_batch_is_named(client: Client) -> None:
    fresh, old = make_event(1, type=MATCHED), make_event(2, type=MATCHED, expirytime=EXPIRED)
    answer = client.post(f"[{fresh.sent}, {old.sent}]".encode(), content_type=BATCH)
    assert ["expired" in each for each in answer.json["events"]] == [False, True]


def test_an_expired_event_is_run_when_it_is_replayed(client: Client, expired: Answer) -> None:
    uuid = expired.json["uuid"]
    assert client.request("POST", f"/events/{uuid}/replay").status == 202
    shown = client.get(f"/status/{uuid}").json
    assert (shown["status"], "expired" in shown) == ("queued", False)


def test_a_repeat_of_a_run_event_after_its_expiry_is_not_called_expired(client: Client) -> None:
    client.send(type=MATCHED)
    again = client.send(type=MATCHED, expirytime=EXPIRED)
    assert (again.json["status"], "expired" in again.json) == ("queued", False)


# GET /status


def test_the_status_of_an_event(client: Client, database: orm.Database) -> None:
    claim = claimed_run(database)
    orm.succeed(database, claim, orm.Outcome(exit_code=0, result="4"), [])
    shown = client.get(f"/status/{claim.event}").json
    [run] = shown["runs"]
    assert list(shown) == ["uuid", "status", "result", "event", "received", "runs"]
    assert (shown["uuid"], shown["status"], shown["result"]) == (claim.event, "succeeded", 4)
    assert shown["event"] == {
        "specversion": "1.0", "id": "1", "source": "/tests", "type": "org.example",
    }  # fmt: skip
    assert set(run) == {
        "uuid", "application", "status", "attempt", "exit_code", "signal", "result", "error",
        "queued", "started", "finished", "host", "due", "crashes", "cancelling", "origin",
        "superseded", "progress",
    }  # fmt: skip
    assert (run["uuid"], run["status"], run["attempt"], run["exit_code"]) == (
        claim.run, "succeeded", 1, 0,
    )  # fmt: skip
    moments = [shown["received"], run["queued"], run["started"], run["finished"]]
    assert moments == sorted(moments)
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", each) for each in moments)


def test_an_event_cannot_pose_as_a_page(client: Client) -> None:
    uuid = client.send(data="<script>alert(1)</script>").json["uuid"]
    for target in (f"/events/{uuid}", f"/status/{uuid}", "/events", "/"):
        assert client.get(target).headers["content-type"] == "application/json"


def test_the_result_of_several_runs_is_that_of_none(client: Client, database: orm.Database) -> None:
    [accepted] = orm.accept(database, [(make_event(), apps("one", "two"))])
    assert client.get(f"/status/{accepted.uuid}").json["result"] is None


def test_the_status_as_text_is_a_word(client: Client) -> None:
    answer = client.get(client.send(type=MATCHED).headers["location"], accept="text/plain")
    assert answer.text == "queued\n"


@pytest.mark.parametrize("result", ["4", '"done"', "false", "0", "[]"])
def test_the_status_as_text_is_the_result(
    client: Client, database: orm.Database, result: str
) -> None:
    claim = claimed_run(database)
    orm.succeed(database, claim, orm.Outcome(exit_code=0, result=result), [])
    assert client.get(f"/status/{claim.event}", accept="text/plain").text == f"{result}\n"


# GET /dispatch


def test_an_application_is_run_by_hand(client: Client, database: orm.Database) -> None:
    answer = client.get("/dispatch/add/2/-3/x2/")
    assert answer.status == 202
    assert answer.headers["location"] == f"/status/{answer.text}"
    stored = orm.event(database, answer.text)
    assert [(run.application, run.status) for run in stored.runs] == [("add", "queued")]
    assert json.loads(stored.sent)["data"] == [2, -3, "x2"]


@pytest.mark.parametrize(
    ("path", "data"),
    [
        ("/dispatch/add", []),
        ("/dispatch/add/%C3%A4%20b", ["\u00e4 b"]),
        ("/dispatch/add/+1/1.0/0x10/--1/007", ["+1", "1.0", "0x10", "--1", 7]),
        ("/dispatch/add/%D9%A3", ["\u0663"]),
        ("/dispatch/add/" + "9" * 1000, [int("9" * 1000)]),
        ("/dispatch/add/" + "9" * 5000, ["9" * 5000]),
        ("/dispatch/add/%00%0A", ["\0\n"]),
        ("/dispatch/add/..%5C..", ["..\\.."]),
    ],
)
def test_odd_arguments_arrive(
    client: Client, database: orm.Database, path: str, data: list[int | str]
) -> None:
    answer = client.get(path)
    assert answer.status == 202
    assert json.loads(orm.event(database, answer.text).sent)["data"] == data


def test_arguments_that_are_not_utf8_are_answered(client: Client) -> None:
    assert client.get("/dispatch/add/%FF").status in {202, 400, 404}


@pytest.mark.parametrize(
    "target", ["/dispatch", "/dispatch/", "/dispatch/nothing/1", "/dispatch/hello/1",
               "/dispatch/%FF", "/dispatch/ADD/1"]
)  # fmt: skip
def test_what_may_not_be_dispatched_is_not_there(client: Client, target: str) -> None:
    client.get(target).problem(404)


# GET /events


def test_events_are_listed_newest_first(client: Client) -> None:
    uuids = [client.send(number).json["uuid"] for number in range(3)]
    for target in ("/events", "/"):
        answer = client.get(target)
        assert [each["uuid"] for each in answer.json["events"]] == uuids[::-1]
        assert "link" not in answer.headers


def test_pages_are_linked_until_the_last(client: Client) -> None:
    uuids = [client.send(number, type="a&b=\u00e4").json["uuid"] for number in range(7)]
    client.send("other")
    target, pages = "/events?type=a%26b%3D%C3%A4&limit=3", []
    while target:
        answer = client.get(target)
        pages.append([each["uuid"] for each in answer.json["events"]])
        link = re.fullmatch(r'<(/events\?\S+)>; rel="next"', answer.headers.get("link", ""))
        target = link[1] if link else ""
    assert pages == [uuids[6:3:-1], uuids[3:0:-1], uuids[0:1]]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("type=org.example", 1),
        ("source=/tests", 2),
        ("source=%2Ftests", 2),
        ("application=hello", 1),
        ("status=queued", 1),
        ("status=unmatched", 1),
        ("status=failed", 0),
        ("since=2020-01-01T00:00:00Z", 2),
        ("since=2020-01-01", 2),
        ("since=2h", 2),
        ("since=0s", 0),
        ("until=1m", 0),
        ("since=99999d", 2),
        ("until=2020-01-01T00:00:00%2B01:00", 0),
        ("since=0001-01-01T00:00:00%2B14:00", 2),
        ("until=9999-12-31T23:59:59-14:00", 2),
        (f"before={NOWHERE}", 0),
        ("type=nothing&source=/tests", 0),
        ("limit=500", 2),
        ("type=", 0),
    ],
)
def test_events_are_filtered(client: Client, query: str, found: int) -> None:
    client.send(1)
    client.send(2, type=MATCHED)
    assert len(client.get(f"/events?{query}").json["events"]) == found


@pytest.mark.parametrize(
    "query",
    [
        "limit=0", "limit=501", "limit=-1", "limit=many", "limit=", "limit=%D9%A3",
        "limit=1&limit=2", "status=happy", "status=", "since=yesterday", "since=", "since=2w",
        "since=-2h", "since=123456s",
        "until=2026-13-01", "unknown=1", "type=a&type=b", "=", "self=1",
    ],
)  # fmt: skip
def test_a_parameter_that_cannot_be_read_is_refused(client: Client, query: str) -> None:
    client.get(f"/events?{query}").problem(400)


def test_an_event_is_shown_as_it_was_sent(client: Client, database: orm.Database) -> None:
    sent = '{"specversion":"1.0",  "id":"1","source":"/s","type":"t","data":{"b":1e0,"a":"\u00e4"}}'
    uuid = client.post(sent.encode()).json["uuid"]
    answer = client.get(f"/events/{uuid}")
    assert sent.encode() in answer.body
    assert list(answer.json) == ["uuid", "status", "received", "event", "runs"]
    assert orm.event(database, uuid).sent == sent


# GET /runs


def test_a_run_is_shown_with_its_attempts(client: Client, database: orm.Database) -> None:
    claim = claimed_run(database)
    orm.release(database, claim, orm.Outcome(signal="SIGTERM", error="stopped"), [], due=0)
    due(database)
    orm.claim(database, claim.run, replace(claimant(), host="other"))
    shown = client.get(f"/runs/{claim.run}").json
    assert (shown["uuid"], shown["event"], shown["status"], shown["host"]) == (
        claim.run, claim.event, "running", "other",
    )  # fmt: skip
    first, second = shown["attempts"]
    assert (first["number"], first["signal"], first["error"]) == (1, "SIGTERM", "stopped")
    assert (second["number"], second["host"], second["finished"]) == (2, "other", None)


def test_a_run_shows_the_progress_of_its_last_attempt(
    client: Client, database: orm.Database
) -> None:
    first = claimed_run(database)
    notes = orm.Notes(["convert", "a b"], Progress(40, "file 4 of 10"), "disk full")
    orm.release(database, first, orm.Outcome(notes=notes), [], due=0)
    shown = [client.get(f"/runs/{first.run}").json]
    due(database)
    orm.claim(database, first.run, claimant())
    shown.append(client.get(f"/runs/{first.run}").json)
    progress = {"percent": 40, "text": "file 4 of 10"}
    assert [each["progress"] for each in shown] == [progress, None]
    one, two = shown[1]["attempts"]
    assert (one["command"], one["pid"], one["progress"], one["last_line"]) == (
        ["convert", "a b"], 1, progress, "disk full",
    )  # fmt: skip
    assert (two["command"], two["progress"], two["last_line"]) == (None, None, None)


@pytest.fixture
def written(database: orm.Database) -> str:
    """The uuid of a run that wrote something in its second attempt, and little in its first."""
    first = claimed_run(database)
    orm.release(database, first, orm.Outcome(), [Piece("stdout", 0, 1.0, b"first")], due=0)
    due(database)
    claim = orm.claim(database, first.run, claimant())
    assert claim is not None
    pieces = [
        Piece("stdout", 0, 2.0, b"<out>\xff\n"),
        Piece("stderr", 0, 3.0, b"err\n"),
        Piece("stdout", 107, 4.0, b"end\n"),
    ]
    orm.succeed(database, claim, orm.Outcome(exit_code=0), pieces)
    return claim.run


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("", "<out>\ufffd\nerr\n\n[… 100 bytes of stdout were not kept …]\nend\n"),
        ("?stream=stderr", "err\n"),
        ("?stream=stdout", "<out>\ufffd\n\n[… 100 bytes of stdout were not kept …]\nend\n"),
        ("?attempt=1", "first"),
        ("?attempt=2&stream=stderr", "err\n"),
    ],
)
def test_the_output_of_a_run(client: Client, written: str, query: str, text: str) -> None:
    answer = client.get(f"/runs/{written}/output{query}")
    assert answer.text == text
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "query",
    ["stream=stdin", "stream=", "attempt=x", "attempt=-1", "attempt=", "attempt=1&attempt=2",
     "stream=stdout&stream=stderr", "unknown=1", "self=1"],
)  # fmt: skip
def test_output_that_cannot_be_asked_for_is_refused(
    client: Client, written: str, query: str
) -> None:
    client.get(f"/runs/{written}/output?{query}").problem(400)


def test_an_attempt_that_there_was_not_is_not_there(client: Client, written: str) -> None:
    client.get(f"/runs/{written}/output?attempt=3").problem(404)


def test_a_run_that_did_not_start_has_no_output(client: Client, database: orm.Database) -> None:
    [accepted] = orm.accept(database, [(make_event(), apps("app"))])
    [run] = orm.event(database, accepted.uuid).runs
    answer = client.get(f"/runs/{run.uuid}/output")
    assert (answer.status, answer.text) == (200, "")


def test_a_character_that_two_pieces_share_is_shown_whole(
    client: Client, database: orm.Database
) -> None:
    claim = claimed_run(database)
    pieces = [Piece("stdout", 0, 1.0, b"\xc3"), Piece("stdout", 1, 2.0, b"\xa4")]
    orm.succeed(database, claim, orm.Outcome(), pieces)
    assert client.get(f"/runs/{claim.run}/output").text == "\u00e4"


# POST /runs/…/cancel, /runs/…/retry


def act(client: Client, target: str, **headers: str) -> Answer:
    """POST without a body."""
    return client.request("POST", target, None, **headers)


@pytest.fixture
def ended(database: orm.Database) -> Callable[[orm.State], str]:
    """Makes a run of the application `hello` that ended in a state."""

    def make(state: orm.State) -> str:
        run = published_run(database, state, "hello")
        claim = orm.claim(database, run, claimant())
        assert claim is not None
        arrows = {
            orm.State.SUCCEEDED: orm.succeed,
            orm.State.FAILED: orm.fail,
            orm.State.CANCELLED: orm.cancel,
        }
        assert arrows[state](database, claim, orm.Outcome(exit_code=1, result="7"), [])
        return run

    return make


def test_a_waiting_run_is_cancelled(client: Client, database: orm.Database) -> None:
    run = published_run(database)
    answer = act(client, f"/runs/{run}/cancel")
    assert (answer.status, answer.headers["location"]) == (202, f"/runs/{run}")
    assert answer.json == client.get(f"/runs/{run}").json
    assert (answer.json["status"], answer.json["error"]) == ("cancelled", "it was cancelled")


def test_of_a_running_run_it_is_told_that_it_is_being_cancelled(
    client: Client, database: orm.Database
) -> None:
    claim = claimed_run(database)
    answer = act(client, f"/runs/{claim.run}/cancel")
    assert (answer.status, answer.headers["location"]) == (202, f"/runs/{claim.run}")
    assert (answer.json["status"], answer.json["cancelling"]) == ("running", True)
    assert len(answer.json["attempts"]) == 1


def test_a_running_run_is_cancelled_twice_without_harm(
    client: Client, database: orm.Database
) -> None:
    claim = claimed_run(database)
    first, again = (act(client, f"/runs/{claim.run}/cancel") for _ in range(2))
    assert (again.status, again.json) == (202, first.json)


@pytest.mark.parametrize("state", ["succeeded", "failed", "cancelled"])
def test_a_run_that_has_ended_cannot_be_cancelled(
    client: Client, ended: Callable[[orm.State], str], state: str
) -> None:
    run = ended(orm.State(state))
    before = client.get(f"/runs/{run}").json
    problem = act(client, f"/runs/{run}/cancel").problem(409)
    assert problem["detail"] == f"the run has ended: it is {state}"
    assert client.get(f"/runs/{run}").json == before


@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_a_run_is_retried(
    client: Client, database: orm.Database, ended: Callable[[orm.State], str], state: str
) -> None:
    run = ended(orm.State(state))
    answer = act(client, f"/runs/{run}/retry")
    assert (answer.status, answer.headers["location"]) == (202, f"/runs/{run}")
    shown = answer.json
    assert (shown["status"], shown["result"], shown["error"], shown["finished"]) == (
        "queued", None, None, None,
    )  # fmt: skip
    assert [each["number"] for each in shown["attempts"]] == [1]
    assert due(database) == [run]


def test_the_publisher_is_woken_by_a_retry(
    client: Client,
    service: rest.Service,
    postbox: Postbox,
    ended: Callable[[orm.State], str],
) -> None:
    run = ended(orm.State.FAILED)
    service.publisher.start()
    act(client, f"/runs/{run}/retry")
    wait_until(lambda: postbox.sent == [run], timeout=0.8)
    service.publisher.stop()


def test_a_run_that_succeeded_cannot_be_retried(
    client: Client, ended: Callable[[orm.State], str]
) -> None:
    run = ended(orm.State.SUCCEEDED)
    problem = act(client, f"/runs/{run}/retry").problem(409)
    assert problem["detail"] == "only a failed or cancelled run can be retried: it is succeeded"


def test_a_run_that_goes_on_cannot_be_retried(
    service: rest.Service, database: orm.Database
) -> None:
    other = Client(replace(service, applications={"app": app("app")}))
    claim = claimed_run(database)
    problem = act(other, f"/runs/{claim.run}/retry").problem(409)
    assert "it is running" in problem["detail"]
    assert view(database, claim.run).status == "running"


def test_a_run_whose_application_is_gone_cannot_be_retried(
    service: rest.Service, ended: Callable[[orm.State], str]
) -> None:
    run = ended(orm.State.FAILED)
    problem = act(Client(replace(service, applications={})), f"/runs/{run}/retry").problem(409)
    assert problem["detail"] == "its application hello is not configured any more"


def test_a_run_whose_place_was_taken_cannot_be_retried(
    client: Client, database: orm.Database, ended: Callable[[orm.State], str]
) -> None:
    run = ended(orm.State.FAILED)
    event = orm.event(database, view(database, run).event)
    orm.replay(database, event.uuid, events.parse(event.sent), apps("hello"))
    problem = act(client, f"/runs/{run}/retry").problem(409)
    assert problem["detail"] == "a replay of its event has taken its place"


# POST /events/…/replay


def finish(database: orm.Database, run: str, result: str) -> None:
    """Let a run succeed."""
    assert run in due(database)
    claim = orm.claim(database, run, claimant())
    assert claim is not None
    assert orm.succeed(database, claim, orm.Outcome(exit_code=0, result=result), [])


@pytest.fixture
def replayed(client: Client, database: orm.Database) -> tuple[str, str, str]:
    """The uuid of an event that was replayed, of its former run and of its new one."""
    uuid = client.send(type=MATCHED).json["uuid"]
    [former] = orm.event(database, uuid).runs
    finish(database, former.uuid, "1")
    [new] = act(client, f"/events/{uuid}/replay").json["runs"]
    return uuid, former.uuid, new


def test_an_event_is_replayed(client: Client, database: orm.Database) -> None:
    uuid = client.send(type=MATCHED).json["uuid"]
    [former] = orm.event(database, uuid).runs
    finish(database, former.uuid, "1")
    answer = act(client, f"/events/{uuid}/replay")
    assert (answer.status, answer.headers["location"]) == (202, f"/status/{uuid}")
    [new] = due(database)
    assert answer.json == {"uuid": uuid, "status": "queued", "runs": [new]}


def test_a_replay_shows_which_run_took_whose_place(
    client: Client, replayed: tuple[str, str, str]
) -> None:
    uuid, former, new = replayed
    for target in (f"/status/{uuid}", f"/events/{uuid}"):
        runs = {each["uuid"]: each for each in client.get(target).json["runs"]}
        assert (runs[former]["superseded"], runs[former]["origin"]) == (True, None)
        assert (runs[new]["superseded"], runs[new]["origin"]) == (False, former)


def test_a_status_after_a_replay_is_that_of_the_new_runs(
    client: Client, database: orm.Database, replayed: tuple[str, str, str]
) -> None:
    uuid, _, new = replayed
    before = client.get(f"/status/{uuid}").json
    assert (before["status"], before["result"]) == ("queued", None)
    finish(database, new, "2")
    after = client.get(f"/status/{uuid}").json
    assert (after["status"], after["result"]) == ("succeeded", 2)


def test_a_status_as_text_after_a_replay_is_that_of_the_new_run(
    client: Client, database: orm.Database, replayed: tuple[str, str, str]
) -> None:
    uuid, _, new = replayed
    assert client.get(f"/status/{uuid}", accept="text/plain").text == "queued\n"
    finish(database, new, "2")
    assert client.get(f"/status/{uuid}", accept="text/plain").text == "2\n"


def test_a_duplicate_of_a_replayed_event_is_told_the_new_status(
    client: Client, database: orm.Database, replayed: tuple[str, str, str]
) -> None:
    uuid, _, _ = replayed
    again = client.send(type=MATCHED)
    assert again.json == {
        "uuid": uuid, "status": "queued", "duplicate": True, "applications": ["hello"],
    }  # fmt: skip
    assert count(database, "run") == 2


def test_the_events_of_a_status_are_those_whose_new_runs_have_it(
    client: Client, replayed: tuple[str, str, str]
) -> None:
    uuid, _, _ = replayed
    assert client.get("/events?status=succeeded").json["events"] == []
    assert [each["uuid"] for each in client.get("/events?status=queued").json["events"]] == [uuid]


def test_a_replay_follows_todays_configuration(
    client: Client, service: rest.Service, database: orm.Database
) -> None:
    uuid = client.send(type=MATCHED).json["uuid"]
    [former] = orm.event(database, uuid).runs
    finish(database, former.uuid, "1")
    today = {each.name: each for each in apps("one", "two")}
    act(Client(replace(service, applications=today)), f"/events/{uuid}/replay")
    runs = orm.event(database, uuid).runs
    assert sorted(each.application for each in runs if not each.superseded) == ["one", "two"]


def test_a_replay_reaches_an_event_that_matched_nothing_before(
    client: Client, service: rest.Service, database: orm.Database
) -> None:
    uuid = client.send().json["uuid"]
    later = Client(replace(service, applications={"app": app("app")}))
    answer = act(later, f"/events/{uuid}/replay")
    assert (answer.status, answer.json["runs"]) == (202, due(database))
    assert client.get(f"/status/{uuid}").json["status"] == "queued"


def test_a_run_by_hand_is_replayed_with_its_application(
    client: Client, database: orm.Database
) -> None:
    uuid = client.get("/dispatch/add/2/3").text
    [former] = orm.event(database, uuid).runs
    finish(database, former.uuid, "5")
    answer = act(client, f"/events/{uuid}/replay")
    assert answer.status == 202
    new = [each for each in orm.event(database, uuid).runs if not each.superseded]
    assert [(each.application, each.origin) for each in new] == [("add", former.uuid)]


def test_a_run_by_hand_is_not_replayed_when_that_is_forbidden_by_now(
    client: Client, service: rest.Service, database: orm.Database
) -> None:
    uuid = client.get("/dispatch/add/2/3").text
    [former] = orm.event(database, uuid).runs
    finish(database, former.uuid, "5")
    later = Client(replace(service, applications={"add": app("add")}))
    act(later, f"/events/{uuid}/replay").problem(409)


@pytest.mark.parametrize("claimed", [False, True], ids=["queued", "running"])
def test_an_event_whose_runs_go_on_is_not_replayed(
    client: Client, database: orm.Database, *, claimed: bool
) -> None:
    uuid = client.send(type=MATCHED).json["uuid"]
    [run] = due(database)
    if claimed:
        orm.claim(database, run, claimant())
    problem = act(client, f"/events/{uuid}/replay").problem(409)
    assert problem["detail"] == "some of its runs have not ended; cancel them first"
    assert [each.uuid for each in orm.event(database, uuid).runs] == [run]


def test_an_event_for_nobody_is_not_replayed(client: Client, database: orm.Database) -> None:
    uuid = client.send().json["uuid"]
    problem = act(client, f"/events/{uuid}/replay").problem(409)
    assert problem["detail"] == "no application matches this event"
    assert count(database, "run") == 0


def test_the_publisher_is_woken_by_a_replay(
    client: Client, service: rest.Service, database: orm.Database, postbox: Postbox
) -> None:
    uuid = client.send(type=MATCHED).json["uuid"]
    [former] = orm.event(database, uuid).runs
    finish(database, former.uuid, "1")
    service.publisher.start()
    runs = act(client, f"/events/{uuid}/replay").json["runs"]
    wait_until(lambda: postbox.sent == runs, timeout=0.8)
    service.publisher.stop()


# What is the same for each of the three

_ACTIONS = ("/runs/{}/cancel", "/runs/{}/retry", "/events/{}/replay")


@pytest.mark.parametrize("target", _ACTIONS)
def test_nothing_is_done_to_what_is_not_there(client: Client, target: str) -> None:
    problem = act(client, target.format(NOWHERE)).problem(404)
    assert NOWHERE in problem["detail"]


@pytest.mark.parametrize("target", _ACTIONS)
@pytest.mark.parametrize("uuid", ["7", NOWHERE + "0", "%FF", NOWHERE + "%0A", "'%20OR%201=1"])
def test_nothing_is_done_to_a_uuid_that_is_none(client: Client, target: str, uuid: str) -> None:
    act(client, target.format(uuid)).problem(422)


@pytest.mark.parametrize("target", _ACTIONS)
@pytest.mark.parametrize("query", ["x=1", "self=1", "path=cancel", "uuid=1"])
def test_a_parameter_of_an_action_is_refused(client: Client, target: str, query: str) -> None:
    act(client, f"{target.format(NOWHERE)}?{query}").problem(400)


@pytest.mark.parametrize("target", _ACTIONS)
@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
def test_an_action_by_a_wrong_method_is_refused(client: Client, target: str, method: str) -> None:
    answer = client.request(method, target.format(NOWHERE), b"{}")
    answer.problem(405)
    assert "POST" in answer.headers["allow"]


@pytest.mark.parametrize("target", ["/runs/{run}/cancel", "/runs/{run}/retry"])
def test_a_look_at_an_action_does_nothing(
    client: Client, database: orm.Database, target: str
) -> None:
    run = published_run(database, application="hello")
    client.get(target.format(run=run)).problem(405)
    assert view(database, run).status == "queued"


@pytest.mark.parametrize("target", _ACTIONS)
def test_an_action_without_the_database_says_when_to_try_again(gone: Client, target: str) -> None:
    answer = act(gone, target.format(NOWHERE))
    assert "cannot be used" in answer.problem(503)["detail"]
    assert answer.headers["retry-after"].isdecimal()


def test_an_action_takes_a_uuid_in_capitals(client: Client, database: orm.Database) -> None:
    run = published_run(database)
    assert act(client, f"/runs/{run.upper()}/cancel").json["uuid"] == run


def test_an_action_minds_no_body(client: Client, database: orm.Database) -> None:
    run = published_run(database)
    answer = client.post(b"reason=none", f"/runs/{run}/cancel", content_type="text/plain")
    assert (answer.status, answer.json["status"]) == (202, "cancelled")


# POST /events/EVENT/retry, /cancel


def test_retrying_an_event_retries_what_failed_or_was_cancelled(
    service: rest.Service, database: orm.Database
) -> None:
    client = Client(replace(service, applications={name: app(name) for name in "abcd"}))
    runs = dict(zip("abcd", accepted_runs(database, make_event(), *"abcd"), strict=True))
    for name, state in {"a": "failed", "b": "cancelled", "c": "succeeded"}.items():
        change(database, "UPDATE run SET state = ? WHERE uuid = ?", (state, runs[name]))
    event = view(database, runs["a"]).event
    answer = act(client, f"/events/{event}/retry")
    assert (answer.status, answer.headers["location"]) == (202, f"/status/{event}")
    assert answer.json == {"uuid": event, "status": "queued", "runs": [runs["a"], runs["b"]]}
    assert view(database, runs["c"]).status == "succeeded"


def test_cancelling_an_event_cancels_what_has_not_ended(
    client: Client, database: orm.Database
) -> None:
    runs = accepted_runs(database, make_event(), *"abc")
    change(database, "UPDATE run SET state = 'failed' WHERE uuid = ?", (runs[0],))
    change(database, "UPDATE run SET state = 'running' WHERE uuid = ?", (runs[1],))
    event = view(database, runs[0]).event
    answer = act(client, f"/events/{event}/cancel")
    assert (answer.status, answer.json["runs"]) == (202, runs[1:])
    assert view(database, runs[1]).cancelling
    assert [view(database, run).status for run in runs] == ["failed", "running", "cancelled"]


@pytest.mark.parametrize(
    ("action", "detail"),
    [
        ("retry", "none of its runs is failed or cancelled"),
        ("cancel", "none of its runs is queued or running or retrying"),
    ],
)
def test_an_event_without_such_runs_is_left_alone(client: Client, action: str, detail: str) -> None:
    uuid = client.send().json["uuid"]
    assert act(client, f"/events/{uuid}/{action}").problem(409)["detail"] == detail


def test_an_event_whose_application_is_gone_says_why_nothing_is_retried(
    ended: Callable[[orm.State], str], service: rest.Service, database: orm.Database
) -> None:
    run = ended(orm.State.FAILED)
    later = Client(replace(service, applications={}))
    problem = act(later, f"/events/{view(database, run).event}/retry").problem(409)
    assert problem["detail"] == "its application hello is not configured any more"


# /applications, /workers, /health


def test_one_application_is_shown_as_it_is_among_all(client: Client) -> None:
    client.send(type=MATCHED)
    shown = client.get("/applications").json["applications"]
    assert client.get("/applications/hello").json == shown[2]


def test_a_paused_application_waits_until_it_is_resumed(
    client: Client, database: orm.Database
) -> None:
    paused = act(client, "/applications/hello/pause")
    client.send(type=MATCHED)
    assert (paused.status, due(database)) == (200, [])
    assert paused.json["paused"] is not None
    assert client.get("/applications/hello").json["paused"] == paused.json["paused"]
    resumed = act(client, "/applications/hello/resume")
    assert (resumed.status, resumed.json["paused"]) == (200, None)
    assert len(due(database)) == 1


def test_workers_and_what_waits_for_them_are_shown(client: Client, database: orm.Database) -> None:
    assert client.get("/workers").json == {
        "workers": [],
        "queues": [{"queue": "default", "published": 0, "due": 0, "workers": 0}],
        "waiting": [],
    }
    orm.register(database, "worker", registration("host", "lock"))
    claim = claimed_run(database)
    accept_runs(database, app("other", queue="gpu"), "a", "b")
    due(database, 1)
    accept_runs(database, app(), "c")
    shown = client.get("/workers").json
    [worker] = shown["workers"]
    assert (worker["host"], worker["queues"], worker["lease"]) == ("host", ["default"], 15.0)
    assert [each["run"] for each in worker["running"]] == [claim.run]
    assert shown["queues"] == [
        {"queue": "default", "published": 0, "due": 1, "workers": 1},
        {"queue": "gpu", "published": 1, "due": 1, "workers": 0},
    ]
    assert [(each["application"], each["reason"]) for each in shown["waiting"]] == [
        ("app", "queue full"),
        ("other", "no worker"),
        ("other", "no worker"),
    ]


def test_applications_are_shown_with_their_counts(client: Client) -> None:
    client.send(type=MATCHED)
    shown = {each["name"]: each for each in client.get("/applications").json["applications"]}
    assert list(shown) == ["add", "mul", "hello"]
    assert shown["hello"] == {
        "name": "hello",
        "rule": [{"exact": {"type": MATCHED}}],
        "way": "command",
        "command": "echo",
        "dispatch": False,
        "queue": "",
        "priority": 5,
        "concurrency": None,
        "rate": None,
        "timeout": None,
        "paused": None,
        "runs": {"queued": 1},
        "failed_today": 0,
        "median": None,
        "p95": None,
        "last_success": None,
    }
    assert (shown["add"]["dispatch"], shown["add"]["way"]) == (True, "handler")


def test_the_interface_is_described_without_the_database(gone: Client) -> None:
    assert gone.get("/openapi.json").json == rest.DOCUMENT


@pytest.mark.parametrize("target", ["/health/live", "/health/ready"])
def test_a_healthy_service_says_so(client: Client, target: str) -> None:
    assert client.get(target).json == {"status": "ok"}


def test_a_service_without_its_database_is_alive(gone: Client) -> None:
    assert gone.get("/health/live").status == 200


# Errors


@pytest.mark.parametrize(
    "target",
    [
        f"/status/{NOWHERE}", f"/events/{NOWHERE}", f"/runs/{NOWHERE}", f"/runs/{NOWHERE}/output",
        "/nothing", "/nothing/at/all", f"/status/{NOWHERE}/more", f"/events/{NOWHERE}/more",
        f"/runs/{NOWHERE}/nothing", f"/runs/{NOWHERE}/output/more", "/applications/more",
        "/health", "/health/nothing", "/health/live/more", "/health/ready/more", "/favicon.ico",
        "/openapi.json/more",
        "/%FF", "/../etc/passwd", "/" + "x" * 5000,
    ],
)  # fmt: skip
def test_what_is_not_there(client: Client, target: str) -> None:
    client.get(target).problem(404)


@pytest.mark.parametrize(
    "target",
    [
        "/receive/more", "/nothing", f"/{NOWHERE}", "/runs", f"/events/{NOWHERE}/replay/more",
        "/applications/nobody/pause", "/applications/hello/stop",
        f"/runs/{NOWHERE}/replay", f"/runs/{NOWHERE}/Cancel",
        f"/runs/{NOWHERE}/cancel/more", f"/runs/{NOWHERE}/__class__",
        f"/runs/{NOWHERE}/cancel", f"/runs/{NOWHERE}/retry", f"/events/{NOWHERE}/replay",
        f"/events/{NOWHERE}/cancel", f"/events/{NOWHERE}/retry",
    ],
)  # fmt: skip
def test_there_is_nothing_to_post_to(client: Client, target: str) -> None:
    client.post(make_event().sent.encode(), target).problem(404)


@pytest.mark.parametrize(
    "target", ["/GET", "/_service", "/_service/database", "/__class__", "/--class--", "/__init__",
               "/health/__class__", "/health/live/__class__", "/__dict__", "/exposed"],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_inside_has_no_address(client: Client, method: str, target: str) -> None:
    answer = client.request(method, target, b"{}")
    assert answer.status in {404, 405}
    answer.problem(answer.status)


@pytest.mark.parametrize("path", ["/status/{}", "/events/{}", "/runs/{}", "/runs/{}/output"])
@pytest.mark.parametrize(
    "uuid",
    ["7", "not-a-uuid", NOWHERE[:-1], NOWHERE + "0", NOWHERE.replace("-", ""), "%7B" + NOWHERE,
     NOWHERE + "%0A", "%FF", "'%20OR%201=1"],
)  # fmt: skip
def test_a_uuid_that_is_none(client: Client, path: str, uuid: str) -> None:
    client.get(path.format(uuid)).problem(422)


def test_a_look_at_what_a_dispatch_would_answer_runs_nothing(
    client: Client, database: orm.Database
) -> None:
    answer = client.request("HEAD", "/dispatch/add/2/2")
    assert (answer.status, answer.headers["allow"]) == (405, "GET")
    assert count(database, "event") == 0


@pytest.mark.parametrize("target", ["/status", "/runs"])
def test_a_uuid_that_is_missing(client: Client, target: str) -> None:
    client.get(target).problem(404)


def test_a_uuid_in_capitals_is_the_same(client: Client) -> None:
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
def test_a_parameter_with_the_name_of_a_variable_is_no_failure_of_ours(
    client: Client, database: orm.Database, target: str
) -> None:
    claim = claimed_run(database)
    answer = client.get(target.format(event=claim.event, run=claim.run))
    assert answer.status in {400, 404, 422}
    answer.problem(answer.status)


@pytest.mark.parametrize(
    "target",
    ["/receive?code=1", "/events?code=1&code=2", "/?self=1&_=1", "/receive?1,2", "/receive?1,2x",
     "/receive?code=%FF"],
)  # fmt: skip
def test_an_event_is_accepted_whatever_its_address_carries(client: Client, target: str) -> None:
    assert client.post(make_event().sent.encode(), target).status == 202


@pytest.mark.parametrize("query", ["1,2x", f"{'1' * 5000},1", "1,2", "a=%FF"])
def test_a_query_that_looks_like_a_click_is_none(client: Client, query: str) -> None:
    client.get(f"/events?{query}").problem(400)


@pytest.mark.parametrize("headers", [{"cookie": "a(b=1"}, {"content_disposition": 'a; name="'}])
def test_headers_that_mean_nothing_here_are_not_looked_at(
    client: Client, headers: dict[str, str]
) -> None:
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
def test_a_long_head_takes_no_long_time(
    client: Client, target: str, headers: dict[str, str]
) -> None:
    began = time.process_time()
    client.post(make_event().sent.encode(), target, **headers)
    assert time.process_time() - began < 2


_READ = {"GET", "HEAD"}
_ALLOWED = {
    "/receive": {"OPTIONS", "POST"},
    "/events": {*_READ, "OPTIONS", "POST"},
    "/": {*_READ, "OPTIONS", "POST"},
    f"/status/{NOWHERE}": _READ,
    f"/events/{NOWHERE}": _READ,
    f"/events/{NOWHERE}/replay": {"POST"},
    f"/runs/{NOWHERE}": _READ,
    f"/runs/{NOWHERE}/cancel": {"POST"},
    f"/runs/{NOWHERE}/output": _READ,
    f"/runs/{NOWHERE}/files/a/b": _READ,
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
def test_a_wrong_method_is_answered_with_the_right_ones(
    client: Client, target: str, method: str
) -> None:
    answer = client.request(method, target, b"{}")
    answer.problem(405)
    assert set(answer.headers["allow"].split(", ")) == _ALLOWED[target]


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_a_wrong_method_on_an_event(client: Client, method: str) -> None:
    uuid = client.send().json["uuid"]
    client.request(method, f"/events/{uuid}", make_event(2).sent.encode()).problem(405)


def test_the_head_of_an_answer_has_no_body(client: Client) -> None:
    answer = client.request("HEAD", "/events")
    assert (answer.status, answer.body) == (200, b"")


@pytest.mark.parametrize(
    "target",
    ["/events", "/", f"/events/{NOWHERE}", f"/status/{NOWHERE}", f"/runs/{NOWHERE}",
     f"/runs/{NOWHERE}/output", "/applications", "/dispatch/add/1/2", "/health/ready"],
)  # fmt: skip
def test_without_the_database_an_answer_says_when_to_try_again(gone: Client, target: str) -> None:
    answer = gone.get(target)
    assert "cannot be used" in answer.problem(503)["detail"]
    assert answer.headers["retry-after"].isdecimal()


@pytest.mark.parametrize("numbers", [[1], [1, 2]])
def test_without_the_database_no_event_is_accepted(gone: Client, numbers: list[int]) -> None:
    answer = gone.post(batch_of(*numbers), content_type=BATCH)
    answer.problem(503)
    assert "retry-after" in answer.headers


@pytest.mark.parametrize("numbers", [[1], [1, 2]])
def test_a_database_that_fails_in_the_middle_accepts_nothing(
    client: Client, database: orm.Database, numbers: list[int]
) -> None:
    change(database, "ALTER TABLE run RENAME TO elsewhere")
    client.post(batch_of(*numbers, type=MATCHED), content_type=BATCH).problem(503)
    change(database, "ALTER TABLE elsewhere RENAME TO run")
    assert count(database, "event") == 0
    assert client.post(batch_of(*numbers, type=MATCHED), content_type=BATCH).status == 202


def test_the_password_of_the_database_is_not_told(service: rest.Service) -> None:
    database = orm.Database("postgresql://user:geheim@127.0.0.1:1/name")
    answer = Client(replace(service, database=database)).get("/events")
    answer.problem(503)
    assert b"geheim" not in answer.body


def test_a_failure_of_ours_is_logged_and_not_told(
    client: Client, database: orm.Database, caplog: pytest.LogCaptureFixture
) -> None:
    claim = claimed_run(database)
    change(database, "UPDATE run SET result = 'no JSON'")
    answer = client.get(f"/runs/{claim.run}")
    assert "its log says how" in answer.problem(500)["detail"]
    assert "JSONDecodeError" in caplog.text


# Whatever comes

_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
_MEMBER = st.sampled_from(
    ["specversion", "id", "source", "type", "subject", "time", "data", "data_base64",
     "datacontenttype", "cloudEventsVersion", "eventID", "eventType", "eventTime", "extensions",
     "contentType"]
) | st.text(max_size=5)  # fmt: skip
_WORTH = _JSON | st.sampled_from(["1.0", "0.1", "2026-11-23T16:57:37Z", "/s"])
_EVENT = st.builds(
    lambda base, members: {**base, **members},
    st.sampled_from(
        [
            {},
            {"specversion": "1.0", "id": "1", "source": "/s", "type": MATCHED},
            {"cloudEventsVersion": "0.1", "eventID": "1", "source": "/s", "eventType": "t"},
        ]
    ),
    st.dictionaries(_MEMBER, _WORTH, max_size=4),
)
_SETTINGS = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@_SETTINGS
@given(
    body=st.binary(max_size=200),
    content_type=st.sampled_from([STRUCTURED, BATCH, "application/json"])
    | st.text(st.characters(max_codepoint=255), max_size=40),
)
def test_no_bytes_are_a_failure_of_ours(client: Client, body: bytes, content_type: str) -> None:
    answer = client.post(body, content_type=content_type)
    if answer.status != 202:
        assert answer.status in {400, 415}
        answer.problem(answer.status)


@_SETTINGS
@given(document=_EVENT | st.lists(_EVENT, max_size=3) | _JSON, batch=st.booleans())
def test_no_json_is_a_failure_of_ours(client: Client, document: Json, *, batch: bool) -> None:
    answer = client.post(json.dumps(document).encode(), content_type=BATCH if batch else STRUCTURED)
    if answer.status != 202:
        answer.problem(400)
    assert client.get("/events?limit=3").status == 200


@_SETTINGS
@given(
    headers=st.dictionaries(
        st.sampled_from([*HEADERS, "ce_time", "ce_data", "ce_x_a", "ce_eventid", "accept"]),
        st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=20),
    ),
    body=st.binary(max_size=50),
    content_type=st.sampled_from(["", "application/json", "text/plain", "a"]),
)
def test_no_headers_are_a_failure_of_ours(
    client: Client, headers: dict[str, str], body: bytes, content_type: str
) -> None:
    answer = client.post(body, content_type=content_type, **{**HEADERS, **headers})
    if answer.status != 202:
        answer.problem(400)


@_SETTINGS
@given(target=st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_no_address_is_a_failure_of_ours(client: Client, target: str) -> None:
    answer = client.get(f"/{target}")
    assert answer.status < 500
    assert b"Traceback" not in answer.body


def test_a_stored_event_can_be_read_back(client: Client, database: orm.Database) -> None:
    now = time.time()
    uuid = client.send(data={"a": [1, "\ud800", None]}).json["uuid"]
    stored = orm.event(database, uuid)
    assert events.parse(stored.sent).data == {"a": [1, "\ud800", None]}
    assert now <= stored.received <= time.time()
    assert client.get(f"/events/{uuid}").json["event"]["data"] == {"a": [1, "\ud800", None]}


def test_an_event_is_explained_and_not_stored(client: Client) -> None:
    answer = client.post(make_event(type=MATCHED).sent.encode(), "/explain")
    found = {each["application"]: each for each in answer.json["applications"]}
    assert answer.status == 200
    assert {name: each["matched"] for name, each in found.items()} == {
        "add": False,
        "mul": False,
        "hello": True,
    }
    [clause] = found["hello"]["clauses"]
    assert (clause["held"], clause["value"]) == (True, MATCHED)
    assert client.get("/events").json == {"events": []}


def test_every_event_of_a_batch_is_explained(client: Client) -> None:
    batch = f"[{make_event(1).sent}, {make_event(2, type=MATCHED).sent}]".encode()
    answer = client.post(batch, "/explain", content_type=BATCH)
    assert [
        [each["application"] for each in event["applications"] if each["matched"]]
        for event in answer.json["events"]
    ] == [[], ["hello"]]


def test_an_event_that_has_expired_is_for_no_application(client: Client) -> None:
    event = make_event(type=MATCHED, expirytime="2020-01-01T00:00:00Z")
    answer = client.post(event.sent.encode(), "/explain")
    assert not any(each["matched"] for each in answer.json["applications"])
    assert "expirytime is past" in answer.json["applications"][-1]["note"]


def test_an_invalid_event_is_not_explained(client: Client) -> None:
    assert client.post(b"{}", "/explain").status == 400


# GET /runs/…/files


@pytest.fixture
def work(service: rest.Service, database: orm.Database) -> tuple[str, Path]:
    """The uuid of a run that has failed, and what it left."""
    claim = claimed_run(database)
    orm.fail(database, claim, orm.Outcome(exit_code=1), [])
    folder = Path(Workplace.of(service.directory, claim.run, 1).directory)
    (folder / "out").mkdir(parents=True)
    (folder.parent / "event.json").write_text("{}")
    (folder / "out" / "a ä.html").write_text("<script>")
    (folder / "passwd").symlink_to("/etc/passwd")
    os.mkfifo(folder / "pipe")
    os.utime(folder / "out" / "a ä.html", (1.5, 1.5))
    return claim.run, folder


def open_files() -> int:
    """How many files this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("query", ["", "?attempt=1"])
def test_the_files_that_an_attempt_left(client: Client, work: tuple[str, Path], query: str) -> None:
    file = {"name": "out/a ä.html", "size": 8, "modified": "1970-01-01T00:00:01.500Z"}
    assert client.get(f"/runs/{work[0]}/files{query}").json == {"files": [file], "reason": None}
    assert client.get(f"/runs/{work[0]}/files/{query}").json["files"] == [file]


def test_a_file_that_an_attempt_left_is_for_saving_only(
    client: Client, work: tuple[str, Path]
) -> None:
    answer = client.get(f"/runs/{work[0]}/files/out/a%20%C3%A4.html?attempt=1")
    assert (answer.status, answer.body) == (200, b"<script>")
    shown = {name: text for name, text in answer.headers.items() if name.startswith("content")}
    assert shown == {
        "content-type": "application/octet-stream",
        "content-disposition": "attachment; filename*=UTF-8''a%20%C3%A4.html",
        "content-length": "8",
    }
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_head_of_a_file_leaves_nothing_open(client: Client, work: tuple[str, Path]) -> None:
    before = open_files()
    answer = client.request("HEAD", f"/runs/{work[0]}/files/out/a%20%C3%A4.html")
    assert (answer.status, answer.body, answer.headers["content-length"]) == (200, b"", "8")
    assert open_files() == before


@pytest.mark.parametrize(
    "name",
    [
        "gone", "out", "out/", ".", "..", "../event.json", "%2e%2e/event.json", "out/../passwd",
        "%2e%2e%2fevent.json", "..%2Fevent.json", "..%2F..%2F..%2Fdb.sqlite3", "%2Fetc%2Fpasswd",
        "/etc/passwd", "passwd", "pipe", "a%00b", "%00", "%ff",
        "..%5Cevent.json", "out/a%20%C3%A4.html/x", "x" * 5000,
    ],
)  # fmt: skip
@pytest.mark.timeout(10)
def test_nothing_but_files_that_an_attempt_left_is_given(
    client: Client, work: tuple[str, Path], name: str
) -> None:
    client.get(f"/runs/{work[0]}/files/{name}").problem(404)


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("files?attempt=2", 404),
        ("files/x?attempt=2", 404),
        ("files?attempt=x", 400),
        ("files?x=1", 400),
    ],
)
def test_files_that_cannot_be_asked_for_are_refused(
    client: Client, work: tuple[str, Path], target: str, status: int
) -> None:
    client.get(f"/runs/{work[0]}/{target}").problem(status)


def no_files(client: Client, run: str) -> str:
    document = client.get(f"/runs/{run}/files").json
    assert document["files"] == []
    return str(document["reason"])


def test_why_there_are_no_files(
    client: Client, database: orm.Database, work: tuple[str, Path]
) -> None:
    waiting = published_run(database, 7)
    assert no_files(client, waiting) == "no attempt has begun yet"
    orm.claim(database, waiting, replace(claimant(), host="far-away"))
    assert "is on host far-away" in no_files(client, waiting)
    change(database, "UPDATE attempt SET host = ?", (socket.gethostname(),))
    assert "its working directory was not kept" in no_files(client, waiting)
    shutil.rmtree(work[1])
    work[1].mkdir()
    assert no_files(client, work[0]) == "there are no files in its working directory"
