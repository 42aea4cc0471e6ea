"""Events, their status and their runs; manual dispatch."""

import json
import re

import pytest

from pacifica.dispatcher import orm
from tests.factories import apps, claimed_run, make_event
from tests.unit.rest.factories import MATCHED, UNKNOWN, Client


def test_the_status_of_an_event(client: Client, database: orm.Database) -> None:
    claim = claimed_run(database)
    orm.finish(database, claim, orm.State.SUCCEEDED, orm.Outcome(exit_code=0, result="4"), [])
    shown = client.get(f"/status/{claim.event}").json
    [run] = shown["runs"]
    assert list(shown) == ["uuid", "status", "result", "event", "received", "runs"]
    assert (shown["uuid"], shown["status"], shown["result"]) == (claim.event, "succeeded", 4)
    assert shown["event"] == {
        "specversion": "1.0", "id": "1", "source": "/tests", "type": "org.example",
    }  # fmt: skip
    assert set(run) == {
        "uuid", "application", "status", "attempt", "exit_code", "signal", "result", "error",
        "queued", "started", "finished", "host", "due", "crashes", "losses", "cancelling", "origin",
        "superseded", "progress",
    }  # fmt: skip
    assert (run["uuid"], run["status"], run["attempt"], run["exit_code"]) == (
        claim.run, "succeeded", 1, 0,
    )  # fmt: skip
    moments = [shown["received"], run["queued"], run["started"], run["finished"]]
    assert moments == sorted(moments)
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", each) for each in moments)


def test_an_event_is_never_sent_as_html(client: Client) -> None:
    uuid = client.send(data="<script>alert(1)</script>").json["uuid"]
    for target in (f"/events/{uuid}", f"/status/{uuid}", "/events", "/"):
        assert client.get(target).headers["content-type"] == "application/json"


def test_several_runs_have_no_common_result(client: Client, database: orm.Database) -> None:
    [accepted] = orm.accept(database, [orm.Arrival(make_event(), apps("one", "two"))])
    assert client.get(f"/status/{accepted.uuid}").json["result"] is None


def test_the_status_as_text_without_a_result(client: Client) -> None:
    response = client.get(client.send(type=MATCHED).headers["location"], accept="text/plain")
    assert response.text == "queued\n"


@pytest.mark.parametrize("result", ["4", '"done"', "false", "0", "[]"])
def test_the_status_as_text_with_a_result(
    client: Client, database: orm.Database, result: str
) -> None:
    claim = claimed_run(database)
    orm.finish(database, claim, orm.State.SUCCEEDED, orm.Outcome(exit_code=0, result=result), [])
    assert client.get(f"/status/{claim.event}", accept="text/plain").text == f"{result}\n"


# GET /dispatch


def test_an_application_is_dispatched(client: Client, database: orm.Database) -> None:
    response = client.get("/dispatch/add/2/-3/x2/")
    assert response.status == 202
    assert response.headers["location"] == f"/status/{response.text}"
    stored = orm.event(database, response.text)
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
def test_unusual_arguments_are_preserved(
    client: Client, database: orm.Database, path: str, data: list[int | str]
) -> None:
    response = client.get(path)
    assert response.status == 202
    assert json.loads(orm.event(database, response.text).sent)["data"] == data


def test_arguments_that_are_not_utf8_cause_no_internal_error(client: Client) -> None:
    assert client.get("/dispatch/add/%FF").status in {202, 400, 404}


@pytest.mark.parametrize(
    "target", ["/dispatch", "/dispatch/", "/dispatch/nothing/1", "/dispatch/hello/1",
               "/dispatch/%FF", "/dispatch/ADD/1"]
)  # fmt: skip
def test_an_application_without_dispatch_is_not_found(client: Client, target: str) -> None:
    client.get(target).problem(404)


# GET /events


def test_events_are_listed_newest_first(client: Client) -> None:
    uuids = [client.send(number).json["uuid"] for number in range(3)]
    for target in ("/events", "/"):
        response = client.get(target)
        assert [each["uuid"] for each in response.json["events"]] == uuids[::-1]
        assert "link" not in response.headers


def test_each_page_but_the_last_links_to_the_next(client: Client) -> None:
    uuids = [client.send(number, type="a&b=\u00e4").json["uuid"] for number in range(7)]
    client.send("other")
    target, pages = "/events?type=a%26b%3D%C3%A4&limit=3", []
    while target:
        response = client.get(target)
        pages.append([each["uuid"] for each in response.json["events"]])
        link = re.fullmatch(r'<(/events\?\S+)>; rel="next"', response.headers.get("link", ""))
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
        ("until=1m", 0),
        ("since=99999d", 2),
        ("until=2020-01-01T00:00:00%2B01:00", 0),
        ("since=0001-01-01T00:00:00%2B14:00", 2),
        ("until=9999-12-31T23:59:59-14:00", 2),
        (f"before={UNKNOWN}", 0),
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
        "limit=1&limit=2", "status=bad", "status=", "since=yesterday", "since=", "since=2w",
        "since=-2h", "since=123456s",
        "until=2026-13-01", "unknown=1", "type=a&type=b", "=", "self=1",
    ],
)  # fmt: skip
def test_an_invalid_parameter_is_refused(client: Client, query: str) -> None:
    client.get(f"/events?{query}").problem(400)


def test_an_event_is_shown_as_it_was_sent(client: Client, database: orm.Database) -> None:
    sent = '{"specversion":"1.0",  "id":"1","source":"/s","type":"t","data":{"b":1e0,"a":"\u00e4"}}'
    uuid = client.post(sent.encode()).json["uuid"]
    response = client.get(f"/events/{uuid}")
    assert sent.encode() in response.body
    assert list(response.json) == ["uuid", "status", "received", "event", "runs"]
    assert orm.event(database, uuid).sent == sent
