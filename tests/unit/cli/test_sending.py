"""send and status: what goes to the server, what is printed, and the exit codes."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from pacifica.dispatcher.cli import session
from pacifica.dispatcher.cli.client import Client, UnreachableError
from pacifica.dispatcher.cli.options import STATUSES
from pacifica.dispatcher.cli.session import Session
from pacifica.dispatcher.orm import State
from tests.support import free_port
from tests.unit.cli.conftest import (
    EVENT,
    OTHER,
    RUN,
    Said,
    Server,
    ask,
    attempt_document,
    problem,
    run_document,
    status_document,
)

TEXT = '{"specversion": "1.0", "id": "1", "source": "/a", "type": "b", "data": 1.10}'
MADE = ["send", "--type", "org.example", "--source", "/me"]


def accepted(status: str = "queued", **members: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """What a server says of an event that it took."""
    document = {"uuid": EVENT, "status": status, "duplicate": False, "applications": ["hello"]}
    return {**document, **members}


@pytest.fixture
def taker(server: Server) -> Server:
    """A server that takes an event."""
    server.says["POST /receive"] = Said(accepted(), 202)
    return server


def sent_event(server: Server) -> dict[str, Any]:
    """The event that a server got."""
    assert server.sent[0].headers["Content-Type"] == "application/cloudevents+json"
    event: dict[str, Any] = json.loads(server.sent[0].body)
    return event


def test_an_event_in_a_file_is_sent_as_it_is(taker: Server, tmp_path: Path) -> None:
    file = tmp_path / "event.json"
    file.write_text(TEXT)
    result = ask(taker, "send", str(file))
    assert (result.exit_code, result.stdout) == (0, f"{EVENT}  queued  hello\n")
    assert taker.sent[0].body == TEXT.encode()


def test_an_event_on_standard_input_is_sent(taker: Server) -> None:
    result = ask(taker, "send", "-", "--json", stdin=TEXT)
    assert (result.exit_code, json.loads(result.stdout)) == (0, accepted())
    assert sent_event(taker)["id"] == "1"


def test_a_batch_is_sent_and_has_a_line_for_each_event(server: Server) -> None:
    both = [accepted(), accepted("unmatched", uuid=OTHER, applications=[], duplicate=True)]
    server.says["POST /receive"] = Said({"events": both}, 202)
    result = ask(server, "send", "-", stdin=f" [{TEXT}]")
    assert result.stdout.splitlines() == [
        f"{EVENT}  queued  hello",
        f"{OTHER}  unmatched  duplicate",
    ]
    assert result.exit_code == 3
    assert server.sent[0].headers["Content-Type"] == "application/cloudevents-batch+json"
    lines = ask(server, "send", "-", "--json", stdin=f"[{TEXT}]").stdout.splitlines()
    assert [json.loads(each) for each in lines] == both


def test_an_event_is_made_of_the_options(taker: Server) -> None:
    assert ask(taker, *MADE, "--subject", "s", "--id", "7").exit_code == 0
    event = sent_event(taker)
    assert datetime.fromisoformat(event.pop("time")).tzinfo is not None
    assert event == {
        "specversion": "1.0",
        "id": "7",
        "type": "org.example",
        "source": "/me",
        "subject": "s",
    }


def test_each_event_that_is_made_has_an_id_of_its_own(taker: Server) -> None:
    ask(taker, *MADE)
    ask(taker, *MADE)
    assert len({json.loads(each.body)["id"] for each in taker.sent}) == 2


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
def test_data_is_json_where_it_can_be(taker: Server, data: str, text: str, kind: str) -> None:
    """JSON is sent character by character."""
    assert ask(taker, *MADE, "--data", data).exit_code == 0
    assert taker.sent[0].body.decode().endswith(f", {text}}}")
    assert sent_event(taker)["datacontenttype"] == kind


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'["x"]\n', {"data": ["x"], "datacontenttype": "application/json"}),
        ("grün".encode(), {"data": "grün", "datacontenttype": "text/plain"}),
        (b"\xff\0", {"data_base64": "/wA=", "datacontenttype": "application/octet-stream"}),
    ],
)
def test_data_may_come_from_a_file(
    taker: Server, tmp_path: Path, content: bytes, expected: dict[str, object]
) -> None:
    file = tmp_path / "data"
    file.write_bytes(content)
    assert ask(taker, *MADE, "--data", f"@{file}").exit_code == 0
    assert expected.items() <= sent_event(taker).items()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["send"], "name a file (- is standard input), or give --type and --source"),
        (["send", "--type", "a"], "name a file"),
        (["send", "-", "--type", "a"], "not from both"),
        (["send", "-", "--data", "a"], "not from both"),
        (["send", "missing.json"], "No such file"),
        ([*MADE, "--data", "@missing.json"], "missing.json: No such file"),
        (["status"], "Missing argument"),
        (["status", "5"], "not a valid UUID"),
        (["status", EVENT, "--url", "nope"], "it looks like http://127.0.0.1:8069"),
    ],
)
def test_wrong_use_ends_with_2(taker: Server, arguments: list[str], reason: str) -> None:
    result = ask(taker, *arguments)
    assert (result.exit_code, result.stdout, taker.sent) == (2, "", [])
    assert reason in result.stderr


def test_an_event_that_is_refused_ends_with_2_and_every_reason(server: Server) -> None:
    errors = [{"pointer": "#/id", "detail": "this is missing"}]
    server.says["POST /receive"] = problem(
        400, "Bad Request", "this is no valid CloudEvent", errors=errors
    )
    result = ask(server, "send", "-", stdin="{}")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.splitlines() == [
        "Bad Request: this is no valid CloudEvent",
        "#/id: this is missing",
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
    server.says[f"GET /status/{EVENT}"] = Said(status_document(status=status))
    server.says["POST /receive"] = Said(accepted(status), 202)
    assert ask(server, "status", EVENT).exit_code == exit_code
    assert ask(server, "status", EVENT, "--json").exit_code == exit_code
    assert ask(server, "send", "-", stdin=TEXT).exit_code == exit_code


def test_the_statuses_are_those_of_the_server() -> None:
    assert set(STATUSES) == {"unmatched", *State}
    assert set(session.EXIT_CODES) < set(STATUSES)


def test_the_status_of_an_event(server: Server) -> None:
    runs = [
        run_document(superseded=True),
        run_document(uuid=OTHER, status="retrying", error="exit 1", due="2026-11-23T18:30:00Z"),
    ]
    server.says[f"GET /status/{EVENT}"] = Said(status_document(status="retrying", runs=runs))
    assert ask(server, "status", EVENT).stdout.splitlines() == [
        f"{EVENT}  retrying",
        "RUN                                   APPLICATION  STATE      ATTEMPT  TOOK  NOTE",
        f"{RUN}  hello        succeeded  1        1.0s  superseded by a replay",
        f"{OTHER}  hello        retrying   1        1.0s  again at 2026-11-23 18:30:00: exit 1",
    ]


def test_the_status_of_an_event_that_had_expired_and_its_result(server: Server) -> None:
    said = status_document(status="unmatched", expired=True, runs=[])
    server.says[f"GET /status/{EVENT}"] = Said(said)
    shown = f"{EVENT}  unmatched  it had expired when it came\n"
    assert ask(server, "status", EVENT).stdout == shown
    server.says[f"GET /status/{EVENT}"] = Said(status_document(result={"a": "ü"}, runs=[]))
    assert ask(server, "status", EVENT).stdout.splitlines()[1] == 'result:  {"a": "ü"}'


def test_the_status_of_a_run(server: Server) -> None:
    attempts = [
        attempt_document(exit_code=None, signal="SIGKILL", error="it took too long"),
        attempt_document(
            number=2, finished=None, exit_code=None, progress={"percent": 40, "text": "reading"}
        ),
    ]
    said = run_document(status="running", event=EVENT, attempts=attempts)
    server.says[f"GET /runs/{RUN}"] = Said(said)
    result = ask(server, "status", RUN.upper())
    head, columns, first, second = result.stdout.splitlines()
    assert (result.exit_code, head) == (0, f"{RUN}  running")
    assert columns.split() == ["ATTEMPT", "HOST", "STARTED", "TOOK", "ENDED", "NOTE"]
    assert first.startswith("1        vm    2026-11-23 18:24:20  1.0s")
    assert first.endswith("SIGKILL  it took too long")
    assert second.endswith("40 % reading")
    assert json.loads(ask(server, "status", RUN, "--json").stdout) == said


def test_a_uuid_that_nobody_knows(server: Server) -> None:
    result = ask(server, "status", EVENT)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"there is no event and no run {EVENT}\n"


def test_the_end_is_waited_for(server: Server) -> None:
    server.says[f"GET /status/{EVENT}"] = [
        Said(status_document(status="queued")),
        problem(503, "Service Unavailable", "the database is away"),
        Said(status_document(status="running")),
        Said(status_document(status="failed")),
    ]
    result = ask(server, "status", EVENT, "--wait")
    assert (result.exit_code, result.stdout.splitlines()[0]) == (1, f"{EVENT}  failed")
    unavailable = "Service Unavailable: the database is away; trying again for 60 s"
    assert result.stderr == f"{server.url}: {unavailable}\n"


def test_send_waits_for_the_end_of_each_event(server: Server) -> None:
    server.says["POST /receive"] = Said({"events": [accepted(), accepted(uuid=OTHER)]}, 202)
    for uuid, ends in ((EVENT, "succeeded"), (OTHER, "cancelled")):
        server.says[f"GET /status/{uuid}"] = [
            Said(status_document(uuid=uuid, status="running")),
            Said(status_document(uuid=uuid, status=ends)),
        ]
    result = ask(server, "send", "-", "--wait", "--json", stdin="[]")
    statuses = [json.loads(each)["status"] for each in result.stdout.splitlines()]
    assert (result.exit_code, statuses) == (1, ["succeeded", "cancelled"])


def test_a_server_that_stays_away_is_given_up(capsys: pytest.CaptureFixture[str]) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(UnreachableError, match="Connection refused"):
        Session(Client(url), as_json=False).ended(f"/status/{EVENT}", patience=0.2)
    said = f"{url} does not answer: Connection refused; trying again for 0.2 s\n"
    assert capsys.readouterr().err == said


def test_a_server_that_cannot_be_reached_ends_with_4(server: Server) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    for arguments in (["status", EVENT], ["events"], ["send", "-"], ["logs", RUN]):
        result = ask(server, *arguments, "--url", url, stdin=TEXT)
        assert (result.exit_code, result.stdout) == (4, "")
        assert result.stderr == f"{url} does not answer: Connection refused\n"
