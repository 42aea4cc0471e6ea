"""Output followed over real connections, and the slots of open responses."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import cherrypy
import pytest

from harness import DEADLINE, Response, free_port, http, wait_until
from pacifica.dispatcher import orm, rest
from pacifica.dispatcher.execution.capture import Piece
from pacifica.dispatcher.page import Terminal
from pacifica.dispatcher.rest import output_stream
from pacifica.dispatcher.rest.output_stream import Followed
from pacifica.dispatcher.rest.output_text import beginning
from pacifica.dispatcher.rest.parameters import STREAMS
from tests.factories import change, claimed_run
from tests.unit.rest.factories import SLOTS, Client

EVENTS = {"Accept": "text/event-stream"}
Open = Callable[..., "Stream"]


@dataclass
class Stream:
    """A response received over its own connection."""

    connection: socket.socket
    received: bytes = b""

    def until(self, text: str) -> str:
        """Return everything received as soon as it contains a text."""
        while text.encode() not in self.received:
            assert self._more(), self.received
        return self.received.decode(errors="replace")

    def rest(self) -> str:
        """Return everything until the server closes the connection."""
        while self._more():
            pass
        return self.received.decode()

    def _more(self) -> bool:
        self.connection.settimeout(DEADLINE)
        data = self.connection.recv(65536)
        self.received += data
        return bool(data)


@pytest.fixture
def port(context: rest.Context) -> Iterator[int]:
    """The port of a server with one thread, and one more for each taken slot."""
    port = free_port()
    limits = rest.Limits(max_body=rest.body_limit(context))
    server = rest.Server(cherrypy.server, rest.application(context), limits)
    server.bind_addr = ("127.0.0.1", port)
    server.requests.min = 1
    context.slots.grow_threads(server.requests.resize)
    server.prepare()
    thread = threading.Thread(target=server.serve)
    thread.start()
    yield port
    context.slots.stop()
    server.stop()
    thread.join()


@pytest.fixture
def open_(port: int) -> Iterator[Open]:
    opened: list[Stream] = []

    def open_(target: str, **headers: str) -> Stream:
        connection = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE)
        lines = [f"{name.replace('_', '-')}: {text}" for name, text in headers.items()]
        head = [f"GET {target} HTTP/1.1", "Host: x", "Connection: close", *lines, "", ""]
        connection.sendall("\r\n".join(head).encode())
        opened.append(Stream(connection))
        return opened[-1]

    yield open_
    for stream in opened:
        stream.connection.close()


def write(database: orm.Database, claim: orm.Claim, *pieces: tuple[int, bytes]) -> None:
    written = [Piece("stdout", position, 1.0 + position, data) for position, data in pieces]
    assert orm.save_output(database, claim, written, orm.Outcome())


def events_of(text: str) -> list[dict[str, Any]]:
    """Return the events in an event stream, ignoring HTTP headers and chunk sizes."""
    found = []
    for block in text.replace("\r\n", "\n").split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
        if "event" in fields and "data" in fields:
            fields["data"] = json.loads(fields["data"])
            found.append(fields)
    return found


def outputs(events: list[dict[str, Any]]) -> list[tuple[str, int, str]]:
    return [
        (each["data"]["stream"], each["data"]["position"], each["data"]["text"])
        for each in events
        if each["event"] == "output"
    ]


@pytest.mark.parametrize("query", ["follow", "follow=", "follow=1", "follow&stream=stdout"])
def test_output_is_followed_to_the_end(database: orm.Database, open_: Open, query: str) -> None:
    claim = claimed_run(database)
    write(database, claim, (0, b"one\n"))
    stream = open_(f"/runs/{claim.run}/output?{query}")
    head = stream.until("one\n").lower()
    assert "transfer-encoding: chunked" in head
    assert "text/plain;charset=utf-8" in head
    assert "nosniff" in head
    write(database, claim, (4, b"tw\xc3"))
    stream.until("tw\r\n")
    write(database, claim, (7, b"\xb6\n"), (100, b"after a gap\n"))
    assert "[… 91 bytes of stdout were not kept …]" in stream.until("after a gap")
    orm.finish(
        database, claim, orm.State.SUCCEEDED, orm.Outcome(), [Piece("stdout", 112, 9.0, b"end\n")]
    )
    rest = stream.rest()
    assert rest.endswith("0\r\n\r\n")
    assert "ö\n" in rest
    assert "end\n" in rest
    assert "interrupted" not in rest


def test_only_the_requested_stream_is_followed(database: orm.Database, open_: Open) -> None:
    claim = claimed_run(database)
    write(database, claim, (0, b"out"))
    orm.finish(
        database, claim, orm.State.SUCCEEDED, orm.Outcome(), [Piece("stderr", 0, 9.0, b"err")]
    )
    found = open_(f"/runs/{claim.run}/output?follow&stream=stderr").rest()
    assert ("err" in found, "out" in found.partition("\r\n\r\n")[2]) == (True, False)


def test_the_output_of_an_ended_attempt_is_complete(client: Client, ended_run: str) -> None:
    assert client.get(f"/runs/{ended_run}/output?follow").text == "one\ntwo\n"


def test_a_head_request_occupies_no_slot(client: Client, database: orm.Database) -> None:
    claim = claimed_run(database)
    for _ in range(SLOTS + 1):
        response = client.request("HEAD", f"/runs/{claim.run}/output?follow")
        assert (response.status, response.body) == (200, b"")


def test_a_run_without_attempts_has_no_output_to_follow(
    client: Client, database: orm.Database
) -> None:
    claim = claimed_run(database)
    change(database, "UPDATE run SET attempt = 0, state = 'queued'")
    change(database, "DELETE FROM attempt")
    assert client.get(f"/runs/{claim.run}/output?follow").text == ""


@pytest.mark.parametrize("query", ["follow=2", "follow=yes", "follow&follow", "follow&attempt=9"])
def test_an_invalid_follow_is_refused(client: Client, ended_run: str, query: str) -> None:
    client.get(f"/runs/{ended_run}/output?{query}").problem(404 if "attempt" in query else 400)


@pytest.fixture
def ended_run(database: orm.Database) -> str:
    """The uuid of an ended run."""
    claim = claimed_run(database)
    write(database, claim, (0, b"one\n"))
    orm.finish(
        database, claim, orm.State.SUCCEEDED, orm.Outcome(), [Piece("stdout", 4, 5.0, b"two\n")]
    )
    return claim.run


def test_events_are_streamed_to_the_end(database: orm.Database, open_: Open) -> None:
    claim = claimed_run(database)
    write(database, claim, (0, b"one\n\xc3"))
    stream = open_(f"/runs/{claim.run}/output", **EVENTS)
    assert "text/event-stream" in stream.until("event: output\n")
    orm.finish(
        database, claim, orm.State.SUCCEEDED, orm.Outcome(), [Piece("stdout", 5, 9.0, b"\xa4\nb")]
    )
    events = events_of(stream.rest())
    assert outputs(events) == [("stdout", 0, "one\n"), ("stdout", 4, "ä\nb")]
    assert [each.get("id") for each in events] == ["1.4.0", "1.8.0", None]
    assert events[-1] == {"event": "end", "data": {}}


def test_a_browser_also_gets_the_text_as_html(client: Client, database: orm.Database) -> None:
    claim = claimed_run(database)
    write(database, claim, (0, b"\x1b[3"), (3, b"2m<ok>\n"))
    orm.finish(
        database, claim, orm.State.SUCCEEDED, orm.Outcome(), [Piece("stderr", 0, 9.0, b"err")]
    )
    target = f"/runs/{claim.run}/output"
    response = client.get(f"{target}?html", accept="text/event-stream")
    events = events_of(response.body.decode())
    assert [each["data"].get("html") for each in events] == [
        "",
        '<span class="f2">&lt;ok&gt;\n</span>',
        '<span class="stderr">err</span>',
        None,
    ]
    assert [text for _, _, text in outputs(events)] == ["\x1b[3", "2m<ok>\n", "err"]
    plain = events_of(client.get(target, accept="text/event-stream").body.decode())
    assert {len(each["data"]) for each in plain[:-1]} == {3}


@pytest.mark.parametrize(
    ("last", "position", "text"),
    [
        ("1.4.0", 4, "two\n"),
        ("1.2.0", 2, "e\n"),
        ("1.6.0", 6, "o\n"),
        ("2.4.0", 0, "one\n"),
        ("nonsense", 0, "one\n"),
        ("1.4.0.0", 0, "one\n"),
        ("-1.4.0", 0, "one\n"),
    ],
)
def test_a_browser_resumes_at_its_position(
    client: Client, ended_run: str, last: str, position: int, text: str
) -> None:
    response = client.get(
        f"/runs/{ended_run}/output", accept="text/event-stream", last_event_id=last
    )
    assert outputs(events_of(response.body.decode()))[0] == ("stdout", position, text)


def test_a_browser_that_has_everything_gets_the_end(client: Client, ended_run: str) -> None:
    response = client.get(
        f"/runs/{ended_run}/output", accept="text/event-stream", last_event_id="1.8.0"
    )
    assert response.body == b"id: 1.8.0\nretry: 2000\n\nevent: end\ndata: {}\n\n"


def test_an_incomplete_character_at_the_end_is_shown(
    client: Client, database: orm.Database
) -> None:
    claim = claimed_run(database)
    write(database, claim, (0, b"one \xc3"))
    orm.finish(database, claim, orm.State.SUCCEEDED, orm.Outcome(exit_code=0), [])
    response = client.get(f"/runs/{claim.run}/output", accept="text/event-stream")
    found = events_of(response.body.decode())
    assert outputs(found) == [("stdout", 0, "one "), ("stdout", 4, "\ufffd")]
    assert found[1]["id"] == "1.5.0"
    assert found[2]["event"] == "end"


@pytest.fixture
def all_slots_taken(database: orm.Database, open_: Open) -> tuple[orm.Claim, list[Stream]]:
    """A run whose followers occupy all slots."""
    claim = claimed_run(database)
    write(database, claim, (0, b"one\n"))
    streams = [open_(f"/runs/{claim.run}/output?follow") for _ in range(SLOTS)]
    for stream in streams:
        stream.until("one\n")
    return claim, streams


def follow(port: int, run: str, **headers: str) -> Response:
    return http(f"http://127.0.0.1:{port}/runs/{run}/output?follow", None, None, **headers)


def test_without_a_free_slot_text_is_refused(
    port: int, all_slots_taken: tuple[orm.Claim, list[Stream]]
) -> None:
    response = follow(port, all_slots_taken[0].run)
    assert (response.status, response.headers["Retry-After"]) == (503, "5")
    assert response.json["detail"] == f"Too many open responses (streams = {SLOTS})"


def test_without_a_free_slot_a_browser_reconnects(
    port: int, all_slots_taken: tuple[orm.Claim, list[Stream]], database: orm.Database
) -> None:
    response = follow(port, all_slots_taken[0].run, **EVENTS)
    assert response.text.startswith("id: 1.0.0\nretry: 2000\n\n")
    assert [each["event"] for each in events_of(response.text)] == ["output"]
    [event] = events_of(response.text)
    write(database, all_slots_taken[0], (4, b"two\n"))
    again = follow(port, all_slots_taken[0].run, **EVENTS, Last_Event_ID=event["id"])
    assert outputs(events_of(again.text)) == [("stdout", 4, "two\n")]


@pytest.mark.parametrize("quiet", [False, True], ids=["loud", "quiet"])
def test_clients_that_disconnect_free_their_slots(
    context: rest.Context,
    all_slots_taken: tuple[orm.Claim, list[Stream]],
    database: orm.Database,
    *,
    quiet: bool,
) -> None:
    claim, streams = all_slots_taken
    for stream in streams:
        stream.connection.close()
    if not quiet:
        write(database, claim, (4, b"two\n"))
    wait_until(lambda: context.slots.taken == 0, "free slots", DEADLINE)


def test_a_stop_interrupts_followers(
    all_slots_taken: tuple[orm.Claim, list[Stream]], context: rest.Context
) -> None:
    context.slots.stop()
    for stream in all_slots_taken[1]:
        assert "interrupted: the server is stopping" in stream.rest()


def test_following_continues_after_a_database_outage(database: orm.Database, open_: Open) -> None:
    claim = claimed_run(database)
    write(database, claim, (0, b"one\n"))
    stream = open_(f"/runs/{claim.run}/output?follow")
    stream.until("one\n")
    change(database, "ALTER TABLE output RENAME TO elsewhere")
    stream.connection.settimeout(1.2)
    with pytest.raises(TimeoutError):
        stream.connection.recv(1)
    change(database, "ALTER TABLE elsewhere RENAME TO output")
    orm.finish(
        database, claim, orm.State.SUCCEEDED, orm.Outcome(), [Piece("stdout", 4, 9.0, b"two\n")]
    )
    assert "two\n" in stream.rest()


LARGE = 700_000
"""Bytes of a piece, of which only a part is read at once."""


@pytest.fixture
def large_run(database: orm.Database) -> tuple[orm.Claim, list[Piece], str]:
    """A run with output on both streams that is read in several parts, and its text."""
    claim = claimed_run(database)
    pieces = [
        Piece("stdout", 0, 1.0, b"a" * LARGE),
        Piece("stderr", 0, 2.0, b"first\n"),
        Piece("stdout", LARGE, 3.0, "é".encode() * (LARGE // 2)),
        Piece("stderr", 6, 4.0, b"second\n"),
        Piece("stdout", 2 * LARGE + 9, 5.0, b"\xff" * LARGE),
        Piece("stderr", 13, 6.0, b"third\n"),
    ]
    assert orm.save_output(database, claim, pieces, orm.Outcome())
    gap = "\n[… 9 bytes of stdout were not kept …]\n"
    invalid = "\ufffd" * LARGE
    text = f"{'a' * LARGE}first\n{'é' * (LARGE // 2)}second\n{gap}{invalid}third\n"
    return claim, pieces, text


def test_large_output_is_followed_in_order(
    database: orm.Database, client: Client, large_run: tuple[orm.Claim, list[Piece], str]
) -> None:
    claim, _, text = large_run
    orm.finish(database, claim, orm.State.SUCCEEDED, orm.Outcome(), [])
    target = f"/runs/{claim.run}/output"
    assert client.get(f"{target}?follow").text == text
    assert client.get(target).text == text
    events = events_of(client.get(target, accept="text/event-stream").body.decode())
    assert "".join(part for _, _, part in outputs(events)) == text
    assert events[-1]["event"] == "end"


def test_large_output_of_a_running_attempt_is_shown(
    client: Client, large_run: tuple[orm.Claim, list[Piece], str]
) -> None:
    claim, _, text = large_run
    response = client.get(f"/runs/{claim.run}/output")
    assert response.text == text
    assert "content-length" not in response.headers
    head = client.request("HEAD", f"/runs/{claim.run}/output")
    assert (head.status, head.body) == (200, b"")


def test_short_output_has_a_length(client: Client, ended_run: str) -> None:
    for method in ("GET", "HEAD"):
        response = client.request(method, f"/runs/{ended_run}/output")
        assert (response.status, response.headers["content-length"]) == (200, "8")


def test_large_output_is_held_in_short_pieces(
    database: orm.Database, large_run: tuple[orm.Claim, list[Piece], str]
) -> None:
    claim, _, _ = large_run
    followed = Followed(database, claim.run, 1, STREAMS, beginning())
    chunks = [
        *output_stream.as_text(followed, lambda seconds: not seconds),
        *output_stream.as_events(followed, lambda seconds: not seconds, Terminal()),
    ]
    assert max(map(len, chunks)) < 1024**2


@pytest.mark.parametrize("number", [1, 5, 12, 20, 30])
def test_a_browser_resumes_within_large_output(
    database: orm.Database,
    client: Client,
    large_run: tuple[orm.Claim, list[Piece], str],
    number: int,
) -> None:
    claim, _, text = large_run
    orm.finish(database, claim, orm.State.SUCCEEDED, orm.Outcome(), [])
    target = f"/runs/{claim.run}/output"
    first = events_of(client.get(target, accept="text/event-stream").body.decode())[:number]
    rest = events_of(
        client.get(target, accept="text/event-stream", last_event_id=first[-1]["id"]).body.decode()
    )
    assert "".join(part for _, _, part in (*outputs(first), *outputs(rest))) == text


def test_many_small_pieces_are_sent_together(database: orm.Database) -> None:
    claim = claimed_run(database)
    write(database, claim, *((each, b"x") for each in range(3000)))
    followed = Followed(database, claim.run, 1, STREAMS, beginning())
    chunks = list(output_stream.stored_text(followed))
    assert b"".join(chunks) == b"x" * 3000
    assert len(chunks) < 10


def test_following_continues_after_an_outage_within_large_output(
    database: orm.Database, large_run: tuple[orm.Claim, list[Piece], str]
) -> None:
    claim, _, text = large_run
    orm.finish(database, claim, orm.State.SUCCEEDED, orm.Outcome(), [])
    waits: list[float] = []

    def again(seconds: float) -> bool:
        waits.append(seconds)
        if len(waits) == 1:
            change(database, "ALTER TABLE output RENAME TO elsewhere")
        if len(waits) == 3:
            change(database, "ALTER TABLE elsewhere RENAME TO output")
        return True

    followed = Followed(database, claim.run, 1, STREAMS, beginning())
    assert b"".join(output_stream.as_text(followed, again)).decode() == text
    assert waits[:3] == [0.0, 0.5, 0.5]


def test_an_outage_within_large_output_breaks_the_connection_off(
    database: orm.Database, open_: Open, caplog: pytest.LogCaptureFixture
) -> None:
    claim = claimed_run(database)
    write(database, claim, *((each * 1024**2, b"x" * 1024**2) for each in range(16)))
    stream = open_(f"/runs/{claim.run}/output")
    stream.until("xxx")
    change(database, "ALTER TABLE output RENAME TO elsewhere")
    assert not stream.rest().endswith("0\r\n\r\n")
    assert len(stream.received) < 16 * 1024**2
    assert "response.interrupted" in caplog.text
    assert "Traceback" not in caplog.text


def test_a_stop_interrupts_large_output(
    database: orm.Database, large_run: tuple[orm.Claim, list[Piece], str]
) -> None:
    claim, _, text = large_run
    orm.finish(database, claim, orm.State.SUCCEEDED, orm.Outcome(), [])
    followed = Followed(database, claim.run, 1, STREAMS, beginning())
    found = b"".join(output_stream.as_text(followed, lambda _: False)).decode()
    assert found.startswith(text[:64_000])
    assert len(found) < LARGE
    assert found.endswith("request the output again …]\n")


def test_a_server_without_slots_refuses_to_follow(
    context: rest.Context, database: orm.Database
) -> None:
    claim = claimed_run(database)
    client = Client(replace(context, slots=rest.StreamSlots(0)))
    client.get(f"/runs/{claim.run}/output?follow").problem(503)
