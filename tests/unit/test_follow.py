"""Output that is followed over real connections, and the places of answers that stay open."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from cheroot import wsgi

from pacifica.dispatcher import orm, rest
from pacifica.dispatcher.output import Piece
from tests.support import Answer, free_port, http, wait_until
from tests.unit.conftest import DEADLINE, Postbox, change, claimed_run
from tests.unit.test_rest import PLACES, Client, make_service

EVENTS = {"Accept": "text/event-stream"}
Open = Callable[..., "Stream"]


@dataclass
class Stream:
    """An answer that comes over a connection of its own."""

    connection: socket.socket
    received: bytes = b""

    def until(self, text: str) -> str:
        """All that has come, as soon as a text is in it."""
        while text.encode() not in self.received:
            assert self._more(), self.received
        return self.received.decode(errors="replace")

    def rest(self) -> str:
        """All that comes until the server ends it."""
        while self._more():
            pass
        return self.received.decode()

    def _more(self) -> bool:
        self.connection.settimeout(DEADLINE)
        data = self.connection.recv(65536)
        self.received += data
        return bool(data)


@pytest.fixture
def service(database: orm.Database, postbox: Postbox) -> rest.Service:
    return make_service(database, postbox)


@pytest.fixture
def port(service: rest.Service) -> Iterator[int]:
    """Where a server listens that has few threads beside the places."""
    port = free_port()
    server = wsgi.Server(("127.0.0.1", port), rest.application(service), numthreads=PLACES + 1)
    server.prepare()
    thread = threading.Thread(target=server.serve)
    thread.start()
    yield port
    service.streams.stop()
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
    assert orm.save_output(database, claim, written, orm.Notes())


def events_of(text: str) -> list[dict[str, Any]]:
    """The events in what an event stream has brought, without what HTTP puts around them."""
    found = []
    for block in text.replace("\r\n", "\n").split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
        if "event" in fields and "data" in fields:
            fields["data"] = json.loads(fields["data"])
            found.append(fields)
    return found


def said(events: list[dict[str, Any]]) -> list[tuple[str, int, str]]:
    return [
        (each["data"]["stream"], each["data"]["position"], each["data"]["text"])
        for each in events
        if each["event"] == "output"
    ]


@pytest.mark.parametrize("query", ["follow", "follow=", "follow=1", "follow&stream=stdout"])
def test_output_is_followed_to_its_end(database: orm.Database, open_: Open, query: str) -> None:
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
    orm.succeed(database, claim, orm.Outcome(), [Piece("stdout", 112, 9.0, b"end\n")])
    ended = stream.rest()
    assert ended.endswith("0\r\n\r\n")
    assert "ö\n" in ended
    assert "end\n" in ended
    assert "not the end" not in ended


def test_only_the_stream_that_is_wanted_is_followed(database: orm.Database, open_: Open) -> None:
    claim = claimed_run(database)
    write(database, claim, (0, b"out"))
    orm.succeed(database, claim, orm.Outcome(), [Piece("stderr", 0, 9.0, b"err")])
    found = open_(f"/runs/{claim.run}/output?follow&stream=stderr").rest()
    assert ("err" in found, "out" in found.partition("\r\n\r\n")[2]) == (True, False)


def test_an_attempt_that_has_ended_is_followed_to_its_end(client: Client, ended: str) -> None:
    assert client.get(f"/runs/{ended}/output?follow").text == "one\ntwo\n"


def test_the_head_of_a_followed_output_holds_no_place(
    client: Client, database: orm.Database
) -> None:
    claim = claimed_run(database)
    for _ in range(PLACES + 1):
        answer = client.request("HEAD", f"/runs/{claim.run}/output?follow")
        assert (answer.status, answer.body) == (200, b"")


def test_a_run_that_did_not_start_is_not_waited_for(client: Client, database: orm.Database) -> None:
    claim = claimed_run(database)
    change(database, "UPDATE run SET attempt = 0, state = 'queued'")
    change(database, "DELETE FROM attempt")
    assert client.get(f"/runs/{claim.run}/output?follow").text == ""


@pytest.mark.parametrize("query", ["follow=2", "follow=yes", "follow&follow", "follow&attempt=9"])
def test_what_cannot_be_followed_is_refused(client: Client, ended: str, query: str) -> None:
    client.get(f"/runs/{ended}/output?{query}").problem(404 if "attempt" in query else 400)


@pytest.fixture
def client(service: rest.Service) -> Client:
    return Client(service)


@pytest.fixture
def ended(database: orm.Database) -> str:
    """The uuid of a run that has ended."""
    claim = claimed_run(database)
    write(database, claim, (0, b"one\n"))
    orm.succeed(database, claim, orm.Outcome(), [Piece("stdout", 4, 5.0, b"two\n")])
    return claim.run


def test_events_come_until_the_end(database: orm.Database, open_: Open) -> None:
    claim = claimed_run(database)
    write(database, claim, (0, b"one\n\xc3"))
    stream = open_(f"/runs/{claim.run}/output", **EVENTS)
    assert "text/event-stream" in stream.until("event: output\n")
    orm.succeed(database, claim, orm.Outcome(), [Piece("stdout", 5, 9.0, b"\xa4\nb")])
    events = events_of(stream.rest())
    assert said(events) == [("stdout", 0, "one\n"), ("stdout", 4, "ä\nb")]
    assert [each.get("id") for each in events] == ["1.4.0", "1.8.0", None]
    assert events[-1] == {"event": "end", "data": {}}


def test_a_browser_gets_the_text_as_html_too(client: Client, database: orm.Database) -> None:
    claim = claimed_run(database)
    write(database, claim, (0, b"\x1b[3"), (3, b"2m<ok>\n"))
    orm.succeed(database, claim, orm.Outcome(), [Piece("stderr", 0, 9.0, b"err")])
    target = f"/runs/{claim.run}/output"
    answer = client.get(f"{target}?html", accept="text/event-stream")
    events = events_of(answer.body.decode())
    assert [each["data"].get("html") for each in events] == [
        "",
        '<span class="f2">&lt;ok&gt;\n</span>',
        '<span class="stderr">err</span>',
        None,
    ]
    assert [text for _, _, text in said(events)] == ["\x1b[3", "2m<ok>\n", "err"]
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
def test_a_browser_goes_on_where_it_was(
    client: Client, ended: str, last: str, position: int, text: str
) -> None:
    answer = client.get(f"/runs/{ended}/output", accept="text/event-stream", last_event_id=last)
    assert said(events_of(answer.body.decode()))[0] == ("stdout", position, text)


def test_a_browser_that_has_everything_is_told_the_end(client: Client, ended: str) -> None:
    answer = client.get(f"/runs/{ended}/output", accept="text/event-stream", last_event_id="1.8.0")
    assert answer.body == b"retry: 2000\n\nevent: end\ndata: {}\n\n"


@pytest.fixture
def full(database: orm.Database, open_: Open) -> tuple[orm.Claim, list[Stream]]:
    """A run that is followed by as many as may."""
    claim = claimed_run(database)
    write(database, claim, (0, b"one\n"))
    streams = [open_(f"/runs/{claim.run}/output?follow") for _ in range(PLACES)]
    for stream in streams:
        stream.until("one\n")
    return claim, streams


def follow(port: int, run: str, **headers: str) -> Answer:
    return http(f"http://127.0.0.1:{port}/runs/{run}/output?follow", None, None, **headers)


def test_when_every_place_is_taken_text_is_refused(
    port: int, full: tuple[orm.Claim, list[Stream]]
) -> None:
    answer = follow(port, full[0].run)
    assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
    assert answer.json["detail"] == "too many answers are open already (streams)"


def test_when_every_place_is_taken_a_browser_comes_again(
    port: int, full: tuple[orm.Claim, list[Stream]], database: orm.Database
) -> None:
    answer = follow(port, full[0].run, **EVENTS)
    assert answer.text.startswith("retry: 2000\n\n")
    assert [each["event"] for each in events_of(answer.text)] == ["output"]
    [event] = events_of(answer.text)
    write(database, full[0], (4, b"two\n"))
    again = follow(port, full[0].run, **EVENTS, Last_Event_ID=event["id"])
    assert said(events_of(again.text)) == [("stdout", 4, "two\n")]


@pytest.mark.parametrize("quiet", [False, True], ids=["loud", "quiet"])
def test_clients_that_vanish_free_their_places(
    port: int, full: tuple[orm.Claim, list[Stream]], database: orm.Database, *, quiet: bool
) -> None:
    claim, streams = full
    for stream in streams:
        stream.connection.close()
    if not quiet:
        write(database, claim, (4, b"two\n"))
    wait_until(lambda: held(port, claim.run) == 0, "free places", DEADLINE)


def held(port: int, run: str) -> int:
    """How many places are taken."""
    free = 0
    streams = []
    try:
        for _ in range(PLACES):
            connection = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE)
            streams.append(connection)
            head = f"GET /runs/{run}/output?follow HTTP/1.1\r\nHost: x\r\n\r\n"
            connection.sendall(head.encode())
            free += b" 200 " in connection.recv(65536)
    finally:
        for connection in streams:
            connection.close()
    return PLACES - free


def test_a_stop_does_not_wait_for_them(
    full: tuple[orm.Claim, list[Stream]], service: rest.Service
) -> None:
    service.streams.stop()
    for stream in full[1]:
        assert "this is not the end: the server stops" in stream.rest()


def test_a_database_that_is_away_for_a_while_is_waited_for(
    database: orm.Database, open_: Open
) -> None:
    claim = claimed_run(database)
    write(database, claim, (0, b"one\n"))
    stream = open_(f"/runs/{claim.run}/output?follow")
    stream.until("one\n")
    change(database, "ALTER TABLE output RENAME TO elsewhere")
    stream.connection.settimeout(1.2)
    with pytest.raises(TimeoutError):
        stream.connection.recv(1)
    change(database, "ALTER TABLE elsewhere RENAME TO output")
    orm.succeed(database, claim, orm.Outcome(), [Piece("stdout", 4, 9.0, b"two\n")])
    assert "two\n" in stream.rest()


def test_a_server_with_one_thread_keeps_nothing_open(
    service: rest.Service, database: orm.Database
) -> None:
    claim = claimed_run(database)
    client = Client(replace(service, streams=rest.Streams(0)))
    client.get(f"/runs/{claim.run}/output?follow").problem(503)
