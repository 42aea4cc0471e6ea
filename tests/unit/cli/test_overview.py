"""applications and workers: how they are printed."""

import json
import re
from datetime import UTC, datetime, timedelta

from tests.unit.cli.conftest import OTHER, RUN, Said, Server, ask


def test_applications_and_their_runs(server: Server) -> None:
    said = {
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
    server.says["GET /applications"] = Said(said)
    head, add, hello, blank, *failures = ask(server, "applications").stdout.splitlines()
    states = ["QUEUED", "RUNNING", "RETRYING", "SUCCEEDED", "FAILED", "CANCELLED"]
    assert head.split() == ["APPLICATION", *states, "PAUSED", "RUNS", "WHAT"]
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
    assert json.loads(ask(server, "applications", "--json").stdout) == said


def test_workers_queues_and_what_waits(server: Server) -> None:
    now = datetime.now(UTC)
    worker = {
        "uuid": OTHER,
        "host": "vm",
        "started": (now - timedelta(hours=2)).isoformat(),
        "renewed": (now - timedelta(seconds=2)).isoformat(),
        "lease": 15,
        "queues": ["default", "gpu"],
        "processes": 2,
        "running": [{"run": RUN, "application": "hello", "attempt": 1, "pid": 7, "started": "…"}],
    }
    queue = {"queue": "default", "published": 1, "due": 2, "workers": 3}
    waiting = {"application": "hello", "queue": "default", "reason": "limit", "number": 4}
    said = {"workers": [worker], "queues": [queue], "waiting": [waiting]}
    server.says["GET /workers"] = Said(said)
    lines = [each.split() for each in ask(server, "workers").stdout.splitlines()]
    assert lines[0] == ["WORKER", "HOST", "UP", "SEEN", "QUEUES", "PROCESSES", "RUNS"]
    assert lines[1][:3] == [OTHER, "vm", "2h"]
    assert lines[1][4:] == ["default,", "gpu", "2", "hello", RUN]
    assert lines[2:] == [
        [],
        ["QUEUE", "DUE", "ON", "THEIR", "WAY", "WORKERS"],
        ["default", "2", "1", "3"],
        [],
        ["WAITING", "APPLICATION", "QUEUE", "REASON"],
        ["4", "hello", "default", "limit"],
    ]
    assert json.loads(ask(server, "workers", "--json").stdout) == said


def test_no_worker_at_all(server: Server) -> None:
    server.says["GET /workers"] = Said({"workers": [], "queues": [], "waiting": []})
    assert ask(server, "workers").stdout == "no worker: nothing can run\n"


def test_an_answer_that_is_not_understood(server: Server) -> None:
    """For programs it is what it is."""
    server.says["GET /applications"] = Said({"applications": [{"name": "add"}]})
    result = ask(server, "applications")
    assert (result.exit_code, result.stdout) == (4, "")
    said = "answers in words that are not understood: another version?"
    assert result.stderr == f"{server.url} {said}\n"
    assert ask(server, "applications", "--json").exit_code == 0
