"""Applications, workers and health."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from pacifica.dispatcher import orm, rest
from tests.factories import accept_runs, app, change, claimed_run, due, registration
from tests.unit.rest.factories import MATCHED, Client, act


def test_one_application_is_shown_as_in_the_list(client: Client) -> None:
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


def test_an_application_that_is_no_longer_configured_is_shown_resumed_and_cancelled(
    client: Client, database: orm.Database
) -> None:
    [run] = accept_runs(database, app("old"), "a")
    orm.pause(database, "old")
    *_, shown = client.get("/applications").json["applications"]
    assert (shown["name"], shown["way"]) == ("old", "not configured")
    assert (shown["runs"], bool(shown["paused"])) == ({"queued": 1}, True)
    assert client.get("/applications/old").json == shown
    [waiting] = client.get("/workers").json["waiting"]
    assert waiting["reason"] == "not configured"
    for address in ("/", "/applications", f"/runs/{run}", "/workers"):
        shown = client.get(address, accept="text/html").body.decode()
        assert "ot configured" in shown, address
    resumed = client.request("POST", "/applications/old/resume")
    assert (resumed.status, resumed.json["paused"]) == (200, None)
    assert client.request("POST", f"/runs/{run}/cancel").status == 202
    assert client.get("/applications/old").status == 404
    assert client.request("POST", "/applications/old/resume").status == 404


def test_workers_queues_and_waiting_runs_are_shown(client: Client, database: orm.Database) -> None:
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


def test_the_interface_description_needs_no_database(without_database: Client) -> None:
    assert without_database.get("/openapi.json").json == rest.description()


@pytest.mark.parametrize("target", ["/health/live", "/health/ready"])
def test_a_healthy_service_is_ok(client: Client, target: str) -> None:
    assert client.get(target).json == {"status": "ok"}


def test_a_service_without_its_broker_is_ready_and_says_so(context: rest.Context) -> None:
    client = Client(replace(context, broker_trouble=lambda: "Broker blocked: no memory"))
    ready = client.get("/health/ready")
    assert (ready.status, ready.json["broker"]) == (200, "Broker blocked: no memory")


def test_a_service_without_its_database_is_alive(without_database: Client) -> None:
    assert without_database.get("/health/live").status == 200


def test_a_service_whose_events_no_worker_takes_says_so(
    client: Client, database: orm.Database
) -> None:
    client.send(type=MATCHED)
    assert client.get("/health/ready").json == {"status": "ok"}
    change(database, "UPDATE run SET queued = queued - 60")
    ready = client.get("/health/ready")
    assert ready.status == 200
    assert "1 run waits in the database, which no worker uses" in ready.json["warning"]
    orm.register(database, "worker", registration("host", "lock"))
    assert client.get("/health/ready").json == {"status": "ok"}


def test_a_service_that_lacks_a_table_is_not_ready(
    client: Client, database: orm.Database, caplog: pytest.LogCaptureFixture
) -> None:
    change(database, "ALTER TABLE output RENAME TO elsewhere")
    ready = client.get("/health/ready")
    assert ready.problem(503)["detail"] == "Database cannot be used; see the server log"
    assert "no such table: output" in caplog.text


def test_a_service_whose_file_is_damaged_is_not_ready(
    client: Client, database: orm.Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    database.close()
    with (tmp_path / "db.sqlite3").open("r+b") as file:
        file.seek(-4096, os.SEEK_END)
        file.write(b"\xff" * 4096)
    ready = client.get("/health/ready")
    assert ready.problem(503)["title"] == "Service Unavailable"
    assert "is damaged: " in caplog.text
