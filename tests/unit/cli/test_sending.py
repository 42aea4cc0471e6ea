"""send and status: requests, output and exit codes."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from harness import free_port
from pacifica.dispatcher.cli import session
from pacifica.dispatcher.cli.client import Client, UnreachableError
from pacifica.dispatcher.cli.options import STATUSES
from pacifica.dispatcher.cli.session import Session
from pacifica.dispatcher.orm import State
from tests.unit.cli.command_line import call
from tests.unit.cli.documents import (
    EVENT,
    OTHER,
    RUN,
    attempt_document,
    run_document,
    status_document,
)
from tests.unit.cli.fake_server import Reply, Server, problem

TEXT = '{"specversion": "1.0", "id": "1", "source": "/a", "type": "b", "data": 1.10}'
BUILT = ["send", "--type", "org.example", "--source", "/me"]


def accepted(status: str = "queued", **members: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """Return the response to an accepted event."""
    document = {"uuid": EVENT, "status": status, "duplicate": False, "applications": ["hello"]}
    return {**document, **members}


@pytest.fixture
def accepting(server: Server) -> Server:
    """A server that accepts an event."""
    server.replies["POST /receive"] = Reply(accepted(), 202)
    return server


def sent_event(server: Server) -> dict[str, Any]:
    """Return the event that a server received."""
    assert server.requests[0].headers["Content-Type"] == "application/cloudevents+json"
    event: dict[str, Any] = json.loads(server.requests[0].body)
    return event


def test_an_event_in_a_file_is_sent_unchanged(accepting: Server, tmp_path: Path) -> None:
    file = tmp_path / "event.json"
    file.write_text(TEXT)
    result = call(accepting, "send", str(file))
    assert (result.exit_code, result.stdout) == (0, f"{EVENT}  queued  hello\n")
    assert accepting.requests[0].body == TEXT.encode()


def test_an_event_on_standard_input_is_sent(accepting: Server) -> None:
    result = call(accepting, "send", "-", "--json", stdin=TEXT)
    assert (result.exit_code, json.loads(result.stdout)) == (0, accepted())
    assert sent_event(accepting)["id"] == "1"


def test_a_batch_prints_a_line_per_event(server: Server) -> None:
    other = accepted("unmatched", uuid=OTHER, applications=[], duplicate=True, differs=True)
    both = [accepted(), other]
    server.replies["POST /receive"] = Reply({"events": both}, 202)
    result = call(server, "send", "-", stdin=f" [{TEXT}]")
    assert result.stdout.splitlines() == [
        f"{EVENT}  queued  hello",
        f"{OTHER}  unmatched  duplicate  differs",
    ]
    assert result.exit_code == 3
    assert server.requests[0].headers["Content-Type"] == "application/cloudevents-batch+json"
    lines = call(server, "send", "-", "--json", stdin=f"[{TEXT}]").stdout.splitlines()
    assert [json.loads(each) for each in lines] == both


def test_an_event_is_built_from_options(accepting: Server) -> None:
    assert call(accepting, *BUILT, "--subject", "s", "--id", "7").exit_code == 0
    assert sent_event(accepting) == {
        "specversion": "1.0",
        "id": "7",
        "type": "org.example",
        "source": "/me",
        "subject": "s",
    }


@pytest.mark.parametrize("options", [[], ["--wait"], ["--json"]])
def test_an_event_that_differs_from_the_stored_one_is_reported(
    server: Server, options: list[str]
) -> None:
    server.replies["POST /receive"] = Reply(accepted(duplicate=True, differs=True), 202)
    server.replies[f"GET /status/{EVENT}"] = Reply(status_document())
    assert call(server, "send", "-", *options, stdin=TEXT).stderr == (
        f"warning: event {EVENT} has this source and id, but other content; "
        "the event sent was dropped: choose another id\n"
    )


def test_each_event_built_has_its_own_id(accepting: Server) -> None:
    call(accepting, *BUILT)
    call(accepting, *BUILT)
    events = [json.loads(each.body) for each in accepting.requests]
    assert len({each["id"] for each in events}) == 2
    assert all(datetime.fromisoformat(each["time"]).tzinfo is not None for each in events)


def test_an_event_built_again_with_the_same_id_is_the_same(accepting: Server) -> None:
    for _ in range(2):
        call(accepting, *BUILT, "--id", "7", "--data", "hello")
    first, again = (each.body for each in accepting.requests)
    assert first == again


@pytest.mark.parametrize(
    ("data", "text", "kind"),
    [
        ('{"a": 1.10}', '"data": {"a": 1.10}', "application/json"),
        ("5", '"data": 5', "application/json"),
        ("hello", '"data": "hello"', "text/plain"),
        ("NaN", '"data": "NaN"', "text/plain"),
        ("", '"data": ""', "text/plain"),
    ],
)
def test_data_is_sent_unchanged_if_it_is_json(
    accepting: Server, data: str, text: str, kind: str
) -> None:
    assert call(accepting, *BUILT, "--data", data).exit_code == 0
    assert accepting.requests[0].body.decode().endswith(f", {text}}}")
    assert sent_event(accepting)["datacontenttype"] == kind


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'["x"]\n', {"data": ["x"], "datacontenttype": "application/json"}),
        ("grün".encode(), {"data": "grün", "datacontenttype": "text/plain"}),
        (b"\xff\0", {"data_base64": "/wA=", "datacontenttype": "application/octet-stream"}),
    ],
)
def test_data_may_come_from_a_file(
    accepting: Server, tmp_path: Path, content: bytes, expected: dict[str, object]
) -> None:
    file = tmp_path / "data"
    file.write_bytes(content)
    assert call(accepting, *BUILT, "--data", f"@{file}").exit_code == 0
    assert expected.items() <= sent_event(accepting).items()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["send"], "give a file (- for standard input), or --type and --source"),
        (["send", "--type", "a"], "give a file"),
        (["send", "-", "--type", "a"], "not both"),
        (["send", "-", "--data", "a"], "not both"),
        (["send", "missing.json"], "No such file"),
        ([*BUILT, "--data", "@missing.json"], "missing.json: No such file"),
        (["status"], "Missing argument"),
        (["status", "5"], "not a valid UUID"),
        (["status", EVENT, "--url", "nope"], "expected a URL such as http://127.0.0.1:8069"),
    ],
)
def test_wrong_usage_exits_with_2(accepting: Server, arguments: list[str], reason: str) -> None:
    result = call(accepting, *arguments)
    assert (result.exit_code, result.stdout, accepting.requests) == (2, "", [])
    assert reason in result.stderr


def test_a_refused_event_exits_with_2_and_lists_every_reason(server: Server) -> None:
    errors = [{"pointer": "#/id", "detail": "missing"}]
    server.replies["POST /receive"] = problem(
        400, "Bad Request", "Not a valid CloudEvent", errors=errors
    )
    result = call(server, "send", "-", stdin="{}")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.splitlines() == [
        "Bad Request: Not a valid CloudEvent",
        "#/id: missing",
    ]


@pytest.mark.parametrize(
    ("status", "exit_code"),
    [
        ("queued", 0),
        ("running", 0),
        ("retrying", 0),
        ("succeeded", 0),
        ("failed", 1),
        ("cancelled", 1),
        ("unmatched", 3),
    ],
)
def test_a_status_is_an_exit_code(server: Server, status: str, exit_code: int) -> None:
    server.replies[f"GET /status/{EVENT}"] = Reply(status_document(status=status))
    server.replies["POST /receive"] = Reply(accepted(status), 202)
    assert call(server, "status", EVENT).exit_code == exit_code
    assert call(server, "status", EVENT, "--json").exit_code == exit_code
    assert call(server, "send", "-", stdin=TEXT).exit_code == exit_code


def test_the_statuses_match_the_states_of_runs() -> None:
    assert set(STATUSES) == {"unmatched", *State}
    assert set(session.EXIT_CODES) < set(STATUSES)


def test_the_status_of_an_event(server: Server) -> None:
    runs = [
        run_document(superseded=True),
        run_document(uuid=OTHER, status="retrying", error="no", due="2026-11-23T18:30:00Z"),
    ]
    server.replies[f"GET /status/{EVENT}"] = Reply(status_document(status="retrying", runs=runs))
    assert call(server, "status", EVENT).stdout.splitlines() == [
        f"{EVENT}  retrying",
        "RUN                                   APPLICATION  STATE      ATTEMPT  TOOK  NOTE",
        f"{RUN}  hello        succeeded  1        1.0s  superseded by a replay",
        f"{OTHER}  hello        retrying   1        1.0s  next attempt at 2026-11-23 18:30:00: no",
    ]


def test_the_status_of_an_expired_event_and_of_one_with_a_result(server: Server) -> None:
    document = status_document(status="unmatched", expired=True, runs=[])
    server.replies[f"GET /status/{EVENT}"] = Reply(document)
    shown = f"{EVENT}  unmatched  expired on arrival\n"
    assert call(server, "status", EVENT).stdout == shown
    server.replies[f"GET /status/{EVENT}"] = Reply(status_document(result={"a": "ü"}, runs=[]))
    assert call(server, "status", EVENT).stdout.splitlines()[1] == 'result:  {"a": "ü"}'


def test_the_status_of_a_run(server: Server) -> None:
    attempts = [
        attempt_document(exit_code=None, signal="SIGKILL", error="timed out"),
        attempt_document(
            number=2, finished=None, exit_code=None, progress={"percent": 40, "text": "reading"}
        ),
    ]
    document = run_document(status="running", event=EVENT, attempts=attempts)
    server.replies[f"GET /runs/{RUN}"] = Reply(document)
    result = call(server, "status", RUN.upper())
    head, columns, first, second = result.stdout.splitlines()
    assert (result.exit_code, head) == (0, f"{RUN}  running")
    assert columns.split() == ["ATTEMPT", "HOST", "STARTED", "TOOK", "ENDED", "NOTE"]
    assert first.startswith("1        vm    2026-11-23 18:24:20  1.0s")
    assert first.endswith("SIGKILL  timed out")
    assert second.endswith("40 % reading")
    assert json.loads(call(server, "status", RUN, "--json").stdout) == document


def test_an_unknown_uuid(server: Server) -> None:
    result = call(server, "status", EVENT)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"No event or run {EVENT}\n"


def test_status_waits_for_the_end(server: Server) -> None:
    server.replies[f"GET /status/{EVENT}"] = [
        Reply(status_document(status="queued")),
        problem(503, "Service Unavailable", "Database unavailable"),
        Reply(status_document(status="running")),
        Reply(status_document(status="failed")),
    ]
    result = call(server, "status", EVENT, "--wait")
    assert (result.exit_code, result.stdout.splitlines()[0]) == (1, f"{EVENT}  failed")
    unavailable = "Service Unavailable: Database unavailable; retrying for 60 s"
    assert result.stderr == f"{server.url}: {unavailable}\n"


def test_send_waits_for_the_end_of_each_event(server: Server) -> None:
    server.replies["POST /receive"] = Reply({"events": [accepted(), accepted(uuid=OTHER)]}, 202)
    for uuid, ends in ((EVENT, "succeeded"), (OTHER, "cancelled")):
        server.replies[f"GET /status/{uuid}"] = [
            Reply(status_document(uuid=uuid, status="running")),
            Reply(status_document(uuid=uuid, status=ends)),
        ]
    result = call(server, "send", "-", "--wait", "--json", stdin="[]")
    statuses = [json.loads(each)["status"] for each in result.stdout.splitlines()]
    assert (result.exit_code, statuses) == (1, ["succeeded", "cancelled"])


def test_a_wait_for_an_unavailable_server_ends(capsys: pytest.CaptureFixture[str]) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(UnreachableError, match="Connection refused"):
        Session(Client(url), as_json=False).await_end(f"/status/{EVENT}", timeout=0.2)
    expected = f"{url} does not respond: Connection refused; retrying for 0.2 s\n"
    assert capsys.readouterr().err == expected


def test_an_unreachable_server_exits_with_4(server: Server) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    for arguments in (["status", EVENT], ["events"], ["send", "-"], ["logs", RUN]):
        result = call(server, *arguments, "--url", url, stdin=TEXT)
        assert (result.exit_code, result.stdout) == (4, "")
        assert result.stderr == f"{url} does not respond: Connection refused\n"
