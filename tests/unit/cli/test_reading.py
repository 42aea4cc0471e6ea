"""events, show and logs: requests and output."""

import json
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from pacifica.dispatcher.cli.session import Session
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


def parameters(server: Server) -> dict[str, str]:
    """Return the parameters of the first request."""
    return {
        name: value for name, [value] in parse_qs(urlsplit(server.requests[0].path).query).items()
    }


def uuid(number: int) -> str:
    """Return the uuid of the event with a number."""
    return f"01a209a6-de79-792e-b3d9-{number:012}"


def fill(server: Server, number: int, size: int) -> None:
    """Fill a server with events, on pages of the given size."""
    for start in range(0, number, size):
        query = f"limit={size}" + (f"&before={uuid(start)}" if start else "")
        page = [status_document(uuid=uuid(start + each + 1)) for each in range(size)]
        following = f'</events?limit={size}&before={uuid(start + size)}>; rel="next"'
        server.replies[f"GET /events?{query}"] = Reply(
            {"events": page[: number - start]},
            headers={"Link": following} if start + size < number else {},
        )


def test_the_newest_fifty_events_are_a_table(server: Server) -> None:
    received = (datetime.now(UTC) - timedelta(minutes=3, seconds=5)).isoformat()
    runs = [run_document(), run_document(application="old", superseded=True)]
    runs.append(run_document(application="other", status="failed"))
    event = {"id": "7", "source": "/a", "type": "org.example", "subject": "x" * 100}
    found = [
        status_document(received=received, status="failed", runs=runs),
        status_document(uuid=OTHER, received=received, status="unmatched", event=event, runs=[]),
    ]
    server.replies["GET /events"] = Reply({"events": found})
    result = call(server, "events")
    head, first, second = result.stdout.splitlines()
    assert head.split() == ["UUID", "AGE", "STATUS", "TYPE", "SUBJECT", "OR", "ID", "RUNS"]
    assert first.split() == [
        *(EVENT, "3m", "failed", "org.example", "1"),
        *("hello", "succeeded,", "other"),
    ]
    assert second.split() == [OTHER, "3m", "unmatched", "org.example", "x" * 59 + "…"]
    assert parameters(server) == {"limit": "50"}


def test_every_filter_is_a_parameter(server: Server) -> None:
    server.replies["GET /events"] = Reply({"events": []})
    filters = {"status": "failed", "type": "a b", "source": "/x", "application": "y", "text": "%"}
    options = [word for name, value in filters.items() for word in (f"--{name}", value)]
    options += ["--since", "2h", "--until", "2026-11-23T16:57:37+01:00", "--limit", "7"]
    result = call(server, "events", *options)
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "no events match\n"
    requested = parameters(server)
    ago = datetime.now(UTC) - datetime.fromisoformat(requested.pop("since"))
    assert timedelta(hours=2) <= ago < timedelta(hours=2, minutes=1)
    assert requested == {**filters, "until": "2026-11-23T16:57:37+01:00", "limit": "7"}


@pytest.mark.parametrize(
    "options",
    [
        ["--since", "yesterday"],
        ["--since", "2026-11-23T16:57:37"],
        ["--until", "2w"],
        ["--until", "999999d"],
        ["--status", "bad"],
        ["--limit", "0"],
        ["--limit", "many"],
    ],
)
def test_an_invalid_filter_exits_with_2(server: Server, options: list[str]) -> None:
    result = call(server, "events", *options)
    assert (result.exit_code, result.stdout, server.requests) == (2, "", [])


@pytest.mark.parametrize(
    ("options", "size", "shown", "requests"),
    [
        (["--limit", "3"], 3, 3, 1),
        (["--limit", "450"], 200, 450, 3),
        (["--limit", "5000"], 200, 500, 3),
        (["--all"], 200, 500, 3),
    ],
)
def test_no_more_pages_are_requested_than_needed(
    server: Server, options: list[str], size: int, shown: int, requests: int
) -> None:
    fill(server, 500, size)
    lines = call(server, "events", "--json", *options).stdout.splitlines()
    found = [json.loads(each)["uuid"] for each in lines]
    assert found == [uuid(number + 1) for number in range(shown)]
    assert len(server.requests) == requests


def test_only_the_first_page_has_a_header(server: Server) -> None:
    fill(server, 250, 200)
    lines = call(server, "events", "--all").stdout.splitlines()
    assert [each.split()[0] for each in lines] == ["UUID", *(uuid(n + 1) for n in range(250))]


def test_no_events_print_no_json(server: Server) -> None:
    server.replies["GET /events"] = Reply({"events": []})
    result = call(server, "events", "--json")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")
    assert call(server, "events").stderr == "no events yet\n"


def test_an_event_shows_that_it_was_received_again(server: Server) -> None:
    delivery = {
        "received": "2026-11-23T18:25:20.601Z",
        "address": "192.0.2.1\x1b",
        "parts": ["data"],
    }
    document = {
        "uuid": EVENT,
        "status": "unmatched",
        "received": "2026-11-23T18:24:20.601Z",
        "event": {"id": "1"},
        "runs": [],
        "differing": {"number": 12, "deliveries": [{**delivery, "address": "other"}, delivery]},
    }
    server.replies[f"GET /events/{EVENT}"] = Reply(document)
    assert call(server, "show", EVENT).stdout.splitlines()[-1] == (
        "received again  12 times with other content, which was dropped; "
        r"last at 2026-11-23 18:25:20 from 192.0.2.1\x1b"
    )


def test_an_event_is_shown_as_it_was_sent(server: Server) -> None:
    sent = {"cloudEventsVersion": "0.1", "eventID": "1", "extensions": {"a": 1}, "data": ["ü"]}
    document = {
        "uuid": EVENT,
        "status": "succeeded",
        "received": "2026-11-23T18:24:20.601Z",
        "event": sent,
        "runs": [run_document()],
    }
    server.replies[f"GET /events/{EVENT}"] = Reply(document)
    assert call(server, "show", EVENT).stdout.splitlines() == [
        f"event  {EVENT}  succeeded",
        "",
        "received            2026-11-23 18:24:20",
        "cloudEventsVersion  0.1",
        "eventID             1",
        'extensions          {"a": 1}',
        "",
        "[",
        '  "ü"',
        "]",
        "",
        "RUN                                   APPLICATION  STATE      ATTEMPT  TOOK  NOTE",
        f"{RUN}  hello        succeeded  1        1.0s",
    ]
    assert json.loads(call(server, "show", EVENT, "--json").stdout) == document


def test_a_run_is_shown_with_its_attempts(server: Server) -> None:
    failed = {"exit_code": 3, "error": "exit code 3", "last_line": "oh no"}
    attempts = [
        attempt_document(command=["cat", "a"]),
        attempt_document(number=2, command=["cat", "a b"], **failed),
    ]
    error = "disk full"
    document = run_document(
        event=EVENT, status="failed", error=error, attempts=attempts, result=[1]
    )
    server.replies[f"GET /runs/{RUN}"] = Reply(document)
    assert call(server, "show", RUN).stdout.splitlines() == [
        f"run  {RUN}  failed",
        "",
        "application  hello",
        f"event        {EVENT}",
        "queued       2026-11-23 18:24:20",
        "command      cat 'a b'",
        "",
        "disk full",
        "ATTEMPT  HOST  STARTED              TOOK  ENDED        NOTE",
        "1        vm    2026-11-23 18:24:20  1.0s  exit code 0",
        "2        vm    2026-11-23 18:24:20  1.0s  exit code 3  exit code 3: oh no",
        "",
        "[",
        "  1",
        "]",
    ]
    assert json.loads(call(server, "show", RUN, "--json").stdout) == document


@pytest.fixture
def printer(server: Server) -> Server:
    """A server with a run that has no output."""
    server.replies[f"GET /runs/{RUN}"] = Reply(run_document(event=EVENT, attempts=[]))
    server.replies[f"GET /runs/{RUN}/output"] = Reply(b"")
    return server


def test_control_characters_in_logs_are_escaped(printer: Server) -> None:
    printer.replies[f"GET /runs/{RUN}/output"] = Reply("one\t1\n\x1b[31mtwo\r\nü".encode())
    result = call(printer, "logs", RUN)
    assert result.stdout == "one\t1\n\\x1b[31mtwo\\r\nü"
    lines = call(printer, "logs", RUN, "--json").stdout.splitlines()
    texts = [json.loads(each)["text"] for each in lines]
    assert texts == ["one\t1", "\x1b[31mtwo\r", "ü"]


def test_raw_logs_are_unchanged(printer: Server) -> None:
    printer.replies[f"GET /runs/{RUN}/output"] = Reply("\x1b[31mtwo\x00\r\nü".encode())
    assert call(printer, "logs", RUN, "--raw").stdout_bytes == "\x1b[31mtwo\x00\r\nü".encode()


def events(*fields: str, end: bool = False) -> Reply:
    """Return a reply with server-sent events, then their `end` if that is wanted."""
    blocks = [*fields, *(["event: end\ndata: {}"] if end else [])]
    body = "".join(f"{each}\n\n" for each in blocks).encode()
    return Reply(body, headers={"Content-Type": "text/event-stream;charset=utf-8"})


def piece(identity: str, text: str) -> str:
    """Return an event with a piece of output."""
    return f"id: {identity}\nevent: output\ndata: {json.dumps({'text': text})}"


def test_options_of_logs_are_parameters(printer: Server) -> None:
    call(printer, "logs", RUN, "--attempt", "2", "--stream", "stderr")
    call(printer, "logs", RUN)
    assert printer.request_lines[1::2] == [
        f"GET /runs/{RUN}/output?attempt=2&stream=stderr",
        f"GET /runs/{RUN}/output",
    ]


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pacifica.dispatcher.cli.session._RECONNECT", 0.01)


def test_followed_logs_continue_where_they_were_cut(printer: Server) -> None:
    cut = Reply(
        f"id: 2.0.0\nretry: 2000\n\n{piece('2.3.0', 'one')}\n\n:\n\nid: 2.5".encode(),
        headers={
            "Content-Type": "text/event-stream",
            "Content-Length": "1000",
            "Connection": "close",
        },
    )
    printer.replies[f"GET /runs/{RUN}/output"] = [
        cut,
        events(),
        events("id: 2.3.0\nretry: 2000"),  # no slot is free
        events("id: 2.3.0", piece("2.7.0", " ü\n"), end=True),
    ]
    result = call(printer, "logs", RUN, "--follow")
    assert (result.exit_code, result.stdout) == (0, "one ü\n")
    assert result.stderr.count("retrying for 60 s") == 1
    asked = [each for each in printer.requests if "/output" in each.path]
    assert [each.headers.get("Last-Event-Id") for each in asked] == [None, *["2.3.0"] * 3]
    assert [each.path.partition("?")[2] for each in asked] == ["", *["attempt=2"] * 3]
    assert {each.headers["Accept"] for each in asked} == {"text/event-stream"}


def test_followed_logs_as_json(printer: Server) -> None:
    printer.replies[f"GET /runs/{RUN}/output"] = events(
        piece("1.3.0", "one\nt"), piece("1.5.0", "wo\n"), end=True
    )
    result = call(printer, "logs", RUN, "--follow", "--json", "--stream", "stdout")
    assert [json.loads(each)["text"] for each in result.stdout.splitlines()] == ["one", "two"]
    assert printer.request_lines[-1] == f"GET /runs/{RUN}/output?stream=stdout"


@pytest.mark.parametrize(
    "reply",
    [
        Reply(b"<html>", headers={"Content-Type": "text/html"}),
        events("event: output\ndata: 1"),
        events("event: output"),
        events(),
        problem(503, "Service Unavailable", "Database unavailable"),
    ],
)
def test_following_gives_up_after_a_while(
    printer: Server, monkeypatch: pytest.MonkeyPatch, reply: Reply
) -> None:
    monkeypatch.setattr(Session.follow, "__defaults__", (0.05,))
    printer.replies[f"GET /runs/{RUN}/output"] = reply
    result = call(printer, "logs", RUN, "--follow")
    assert (result.exit_code, result.stdout) == (4, "")
    assert "Traceback" not in result.stderr


def test_logs_of_an_event_are_those_of_its_only_run(printer: Server) -> None:
    printer.replies[f"GET /runs/{RUN}/output"] = Reply(b"hello\n")
    runs = [run_document(), run_document(uuid=OTHER, superseded=True)]
    printer.replies[f"GET /status/{EVENT}"] = Reply(status_document(runs=runs))
    assert call(printer, "logs", EVENT).stdout == "hello\n"


def test_logs_of_an_event_with_several_runs_are_refused(printer: Server) -> None:
    runs = [run_document(), run_document(uuid=OTHER, application="\x1b[31m")]
    printer.replies[f"GET /status/{EVENT}"] = Reply(status_document(runs=runs))
    result = call(printer, "logs", EVENT)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines() == [
        f"Error: event {EVENT} has 2 runs; name one of them:",
        f"{RUN}  hello",
        f"{OTHER}  \\x1b[31m",
    ]


def test_logs_of_an_unknown_run(server: Server) -> None:
    result = call(server, "logs", RUN)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"No event or run {RUN}\n"
