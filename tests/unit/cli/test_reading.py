"""events, show and logs: what is asked for, and how it is printed."""

import json
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.unit.cli.conftest import (
    EVENT,
    OTHER,
    RUN,
    Said,
    Server,
    ask,
    attempt_document,
    run_document,
    status_document,
)


def asked_for(server: Server) -> dict[str, str]:
    """The parameters of the first request."""
    return {name: value for name, [value] in parse_qs(urlsplit(server.sent[0].path).query).items()}


def uuid(number: int) -> str:
    """The uuid of an event."""
    return f"01a209a6-de79-792e-b3d9-{number:012}"


def fill(server: Server, number: int, size: int) -> None:
    """Give a server so many events, on pages of a size."""
    for start in range(0, number, size):
        query = f"limit={size}" + (f"&before={uuid(start)}" if start else "")
        page = [status_document(uuid=uuid(start + each + 1)) for each in range(size)]
        following = f'</events?limit={size}&before={uuid(start + size)}>; rel="next"'
        server.says[f"GET /events?{query}"] = Said(
            {"events": page[: number - start]},
            headers={"Link": following} if start + size < number else {},
        )


def test_events_are_a_table_and_the_newest_fifty_are_asked_for(server: Server) -> None:
    received = (datetime.now(UTC) - timedelta(minutes=3, seconds=5)).isoformat()
    runs = [run_document(), run_document(application="gone", superseded=True)]
    runs.append(run_document(application="other", status="failed"))
    event = {"id": "7", "source": "/a", "type": "org.example", "subject": "x" * 100}
    found = [
        status_document(received=received, status="failed", runs=runs),
        status_document(uuid=OTHER, received=received, status="unmatched", event=event, runs=[]),
    ]
    server.says["GET /events"] = Said({"events": found})
    result = ask(server, "events")
    head, first, second = result.stdout.splitlines()
    assert head.split() == ["UUID", "AGE", "STATUS", "TYPE", "SUBJECT", "OR", "ID", "RUNS"]
    assert first.split() == [
        *(EVENT, "3m", "failed", "org.example", "1"),
        *("hello", "succeeded,", "other"),
    ]
    assert second.split() == [OTHER, "3m", "unmatched", "org.example", "x" * 59 + "…"]
    assert asked_for(server) == {"limit": "50"}


def test_every_filter_is_a_parameter(server: Server) -> None:
    server.says["GET /events"] = Said({"events": []})
    filters = {"status": "failed", "type": "a b", "source": "/x", "application": "y", "text": "%"}
    options = [word for name, value in filters.items() for word in (f"--{name}", value)]
    options += ["--since", "2h", "--until", "2026-11-23T16:57:37+01:00", "--limit", "7"]
    result = ask(server, "events", *options)
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "there is no such event\n"
    asked = asked_for(server)
    ago = datetime.now(UTC) - datetime.fromisoformat(asked.pop("since"))
    assert timedelta(hours=2) <= ago < timedelta(hours=2, minutes=1)
    assert asked == {**filters, "until": "2026-11-23T16:57:37+01:00", "limit": "7"}


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
def test_a_filter_that_cannot_be_read_ends_with_2(server: Server, options: list[str]) -> None:
    result = ask(server, "events", *options)
    assert (result.exit_code, result.stdout, server.sent) == (2, "", [])


@pytest.mark.parametrize(
    ("options", "size", "shown", "requests"),
    [
        (["--limit", "3"], 3, 3, 1),
        (["--limit", "450"], 200, 450, 3),
        (["--limit", "5000"], 200, 500, 3),
        (["--all"], 200, 500, 3),
    ],
)
def test_as_many_pages_are_asked_for_as_are_needed(
    server: Server, options: list[str], size: int, shown: int, requests: int
) -> None:
    fill(server, 500, size)
    lines = ask(server, "events", "--json", *options).stdout.splitlines()
    found = [json.loads(each)["uuid"] for each in lines]
    assert found == [uuid(number + 1) for number in range(shown)]
    assert len(server.sent) == requests


def test_only_the_first_page_has_a_head(server: Server) -> None:
    fill(server, 250, 200)
    lines = ask(server, "events", "--all").stdout.splitlines()
    assert [each.split()[0] for each in lines] == ["UUID", *(uuid(n + 1) for n in range(250))]


def test_without_events_programs_get_nothing(server: Server) -> None:
    server.says["GET /events"] = Said({"events": []})
    result = ask(server, "events", "--json")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")
    assert ask(server, "events").stderr == "there is no event yet\n"


def test_an_event_is_shown_as_it_was_sent(server: Server) -> None:
    sent = {"cloudEventsVersion": "0.1", "eventID": "1", "extensions": {"a": 1}, "data": ["ü"]}
    said = {
        "uuid": EVENT,
        "status": "succeeded",
        "received": "2026-11-23T18:24:20.601Z",
        "event": sent,
        "runs": [run_document()],
    }
    server.says[f"GET /events/{EVENT}"] = Said(said)
    assert ask(server, "show", EVENT).stdout.splitlines() == [
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
    assert json.loads(ask(server, "show", EVENT, "--json").stdout) == said


def test_a_run_is_shown_with_its_attempts(server: Server) -> None:
    failed = {"exit_code": 3, "error": "it ended with exit code 3", "last_line": "oh no"}
    attempts = [
        attempt_document(command=["cat", "a"]),
        attempt_document(number=2, command=["cat", "a b"], **failed),
    ]
    error = "no room for its files"
    said = run_document(event=EVENT, status="failed", error=error, attempts=attempts, result=[1])
    server.says[f"GET /runs/{RUN}"] = Said(said)
    assert ask(server, "show", RUN).stdout.splitlines() == [
        f"run  {RUN}  failed",
        "",
        "application  hello",
        f"event        {EVENT}",
        "queued       2026-11-23 18:24:20",
        "command      cat 'a b'",
        "",
        "no room for its files",
        "ATTEMPT  HOST  STARTED              TOOK  ENDED        NOTE",
        "1        vm    2026-11-23 18:24:20  1.0s  exit code 0",
        "2        vm    2026-11-23 18:24:20  1.0s  exit code 3  it ended with exit code 3: oh no",
        "",
        "[",
        "  1",
        "]",
    ]
    assert json.loads(ask(server, "show", RUN, "--json").stdout) == said


@pytest.fixture
def printer(server: Server) -> Server:
    """A server that has a run, which has printed nothing."""
    server.says[f"GET /runs/{RUN}"] = Said(run_document(event=EVENT, attempts=[]))
    server.says[f"GET /runs/{RUN}/output"] = Said(b"")
    return server


def test_logs_are_printed_with_their_controls_made_visible(printer: Server) -> None:
    printer.says[f"GET /runs/{RUN}/output"] = Said("one\t1\n\x1b[31mtwo\r\nü".encode())
    result = ask(printer, "logs", RUN)
    assert result.stdout == "one\t1\n\\x1b[31mtwo\\r\nü"
    lines = ask(printer, "logs", RUN, "--json").stdout.splitlines()
    texts = [json.loads(each)["text"] for each in lines]
    assert texts == ["one\t1", "\x1b[31mtwo\r", "ü"]


def test_raw_logs_are_what_was_printed(printer: Server) -> None:
    printer.says[f"GET /runs/{RUN}/output"] = Said("\x1b[31mtwo\x00\r\nü".encode())
    assert ask(printer, "logs", RUN, "--raw").stdout_bytes == "\x1b[31mtwo\x00\r\nü".encode()


def test_logs_of_an_attempt_and_a_stream_are_asked_for(printer: Server) -> None:
    ask(printer, "logs", RUN, "--attempt", "2", "--stream", "stderr", "--follow")
    ask(printer, "logs", RUN)
    assert printer.asked[1::2] == [
        f"GET /runs/{RUN}/output?attempt=2&stream=stderr&follow=1",
        f"GET /runs/{RUN}/output",
    ]


def test_logs_of_an_event_are_those_of_its_only_run(printer: Server) -> None:
    printer.says[f"GET /runs/{RUN}/output"] = Said(b"hello\n")
    runs = [run_document(), run_document(uuid=OTHER, superseded=True)]
    printer.says[f"GET /status/{EVENT}"] = Said(status_document(runs=runs))
    assert ask(printer, "logs", EVENT).stdout == "hello\n"


def test_of_several_runs_one_must_be_named(printer: Server) -> None:
    runs = [run_document(), run_document(uuid=OTHER, application="\x1b[31m")]
    printer.says[f"GET /status/{EVENT}"] = Said(status_document(runs=runs))
    result = ask(printer, "logs", EVENT)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines() == [
        "Error: this event has 2 runs",
        f"{RUN}  hello",
        f"{OTHER}  \\x1b[31m",
    ]


def test_logs_of_a_run_that_is_not_there(server: Server) -> None:
    result = ask(server, "logs", RUN)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"there is no event and no run {RUN}\n"
