"""applications and workers: output."""

import json
import re
from datetime import UTC, datetime, timedelta

from tests.unit.cli.command_line import call
from tests.unit.cli.documents import OTHER, RUN
from tests.unit.cli.fake_server import Reply, Server


def test_applications_and_their_runs(server: Server) -> None:
    document = {
        "applications": [
            {"name": "add", "way": "handler", "runs": {}},
            {
                "name": "hello",
                "way": "command",
                "runs": {"succeeded": 10000, "failed": 2},
                "paused": "2026-11-23T18:24:20.601Z",
                "command": "echo hello",
            },
        ],
        "failures": [
            {
                "application": "hello",
                "how": "exit code 3",
                "last_line": "file # is bad",
                "runs": [RUN, OTHER],
                "finished": (datetime.now(UTC) - timedelta(hours=2)).isoformat(),
            }
        ],
    }
    server.replies["GET /applications"] = Reply(document)
    head, add, hello, blank, *failures = call(server, "applications").stdout.splitlines()
    states = ["QUEUED", "RUNNING", "RETRYING", "SUCCEEDED", "FAILED", "CANCELLED"]
    assert head.split() == ["APPLICATION", *states, "PAUSED", "COMMAND"]
    assert add.split() == ["add", *"000000", "handler"]
    assert hello.split(maxsplit=7) == [
        *("hello", "0", "0", "0", "10000", "2", "0"),
        "since 2026-11-23 18:24:20  echo hello",
    ]
    assert blank == ""
    columns = [re.split(r"\s{2,}", row) for row in failures]
    assert columns == [
        ["FAILED", "APPLICATION", "HOW", "LAST LINE", "LATEST RUN", "AGE"],
        ["2", "hello", "exit code 3", "file # is bad", RUN, "2h"],
    ]
    assert json.loads(call(server, "applications", "--json").stdout) == document


def test_workers_queues_and_waiting_runs(server: Server) -> None:
    now = datetime.now(UTC)
    worker = {
        "uuid": OTHER,
        "host": "vm",
        "started": (now - timedelta(hours=2)).isoformat(),
        "renewed": (now - timedelta(seconds=2)).isoformat(),
        "lease": 15,
        "queues": ["default", "gpu"],
        "processes": 2,
        "skew": 3600.2,
        "scarce": True,
        "running": [{"run": RUN, "application": "hello", "attempt": 1, "pid": 7, "started": "…"}],
    }
    queue = {"queue": "default", "published": 1, "due": 2, "workers": 3}
    waiting = {"application": "hello", "queue": "default", "reason": "limit", "number": 4}
    document = {"workers": [worker], "queues": [queue], "waiting": [waiting]}
    server.replies["GET /workers"] = Reply(document)
    lines = [each.split() for each in call(server, "workers").stdout.splitlines()]
    assert lines[0] == [
        "WORKER",
        "HOST",
        "UP",
        "SEEN",
        "CLOCK",
        "DATABASE",
        "QUEUES",
        "PROCESSES",
        "RUNS",
    ]
    assert lines[1][:3] == [OTHER, "vm", "2h"]
    assert lines[1][4:] == [
        "+3600",
        "s",
        "few",
        "connections",
        "default,",
        "gpu",
        "2",
        "hello",
        RUN,
    ]
    assert lines[2:] == [
        [],
        ["QUEUE", "DUE", "PUBLISHED", "WORKERS"],
        ["default", "2", "1", "3"],
        [],
        ["WAITING", "APPLICATION", "QUEUE", "REASON"],
        ["4", "hello", "default", "limit"],
    ]
    assert json.loads(call(server, "workers", "--json").stdout) == document


def test_no_workers(server: Server) -> None:
    server.replies["GET /workers"] = Reply({"workers": [], "queues": [], "waiting": []})
    assert call(server, "workers").stdout == "no workers; nothing can run\n"


def test_an_unexpected_document_is_an_error_except_as_json(server: Server) -> None:
    server.replies["GET /applications"] = Reply({"applications": [{"name": "add"}]})
    result = call(server, "applications")
    assert (result.exit_code, result.stdout) == (4, "")
    expected = "sent an unexpected document; check its version"
    assert result.stderr == f"{server.url} {expected}\n"
    assert call(server, "applications", "--json").exit_code == 0
