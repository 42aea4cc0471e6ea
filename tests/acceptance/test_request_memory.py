"""Requests without an end: the server reads no more than its limits, and serves others."""

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import psutil
import pytest

from harness import Site, raw
from tests import serving

MIB: Final = 1024**2
GROWTH_LIMIT: Final = 64 * MIB
SENT: Final = 600 * MIB
PATIENCE: Final = 2.0  # seconds for which a server may take nothing
SENDING: Final = {serving.BUILT_IN: raw.DEADLINE, "gthread": 5.0}  # gunicorn reads slowly for long

HEAD: Final = b"POST /receive HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
CHUNKED: Final = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


@dataclass(frozen=True)
class Endless:
    """A request without an end.

    Attributes:
        name: the name of the case.
        begin: its beginning.
        repeated: what follows again and again.
        statuses: the permitted statuses of the only response; none if there may be many.
    """

    name: str
    begin: bytes
    repeated: bytes
    statuses: tuple[int, ...] = (400,)


CASES: Final = [
    Endless("a chunk", CHUNKED + b"25800000\r\n", b"a", (413,)),
    Endless("chunks", CHUNKED, b"100\r\n" + b"a" * 256 + b"\r\n", (413,)),
    Endless("chunks of one byte", CHUNKED, b"1\r\na\r\n", (400, 413)),
    Endless("chunks of one byte with extensions", CHUNKED, b"1;" + b"a" * 500 + b"\r\na\r\n"),
    Endless("a body", HEAD + b"Content-Length: 629145600\r\n\r\n", b"a", (413,)),
    Endless("a size", CHUNKED, b"1"),
    Endless("zeros of a size", CHUNKED, b"0"),
    Endless("an extension", CHUNKED + b"1;a=", b"a"),
    Endless("extensions", CHUNKED + b"1", b";a=b"),
    Endless("a trailer", CHUNKED + b"0\r\na: ", b"a", (400, 431)),
    Endless("trailers", CHUNKED + b"0\r\n", b"a: b\r\n", (400, 431)),
    Endless("a field", HEAD + b"a: ", b"a", (431,)),
    Endless("a field name", HEAD, b"a", (431,)),
    Endless("fields", HEAD, b"a: b\r\n", (431,)),
    Endless("a target", b"GET /", b"a", (414,)),
    Endless("a query", b"GET /?", b"a=b&", (414,)),
    Endless("a method", b"", b"A", (400, 414)),
    Endless("empty lines", b"", b"\r\n"),
    Endless("requests", b"", b"GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n", ()),
    Endless("events", b"", HEAD + b"Content-Length: 2\r\n\r\n{}", ()),
]


@pytest.fixture(scope="module", params=SENDING)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Site, psutil.Process]]:
    """A web tier of each kind, and the process that serves."""
    site = Site(tmp_path_factory.mktemp("memory"))
    site.configure(f"[celery]\nbroker_url = filesystem://localhost{site.folder / 'broker'}\n")
    try:
        process = serving.start(site, request.param)
        serving.check_served(site.port)
        yield request.param, site, process
        serving.check_log(site)
    finally:
        site.kill_all()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_an_endless_request_takes_little_memory(
    server: tuple[str, Site, psutil.Process], case: Endless
) -> None:
    kind, site, process = server
    replies: list[raw.Reply] = []
    with serving.largest_memory(process) as memory:
        sending = threading.Thread(
            target=lambda: replies.append(send(site.port, case, SENDING[kind]))
        )
        sending.start()
        serving.check_served(site.port, times=3)
        sending.join()
    assert memory[-1] - memory[0] < GROWTH_LIMIT
    [reply] = replies
    if case.statuses:
        assert set(reply.statuses) <= {400, *case.statuses}
        assert len(reply.statuses) == 1 or kind != serving.BUILT_IN
    serving.check_served(site.port, times=1)


def send(port: int, case: Endless, seconds: float) -> raw.Reply:
    """Send until the server closes the connection or takes nothing any more, or for some time."""
    block = case.repeated * (64 * 1024 // len(case.repeated) + 1)
    deadline = time.monotonic() + seconds
    sent = 0
    with raw.connect(port, buffer=4096) as connection:
        connection.settimeout(PATIENCE)
        with suppress(OSError):
            connection.sendall(case.begin)
            while sent < SENT and time.monotonic() < deadline:
                connection.sendall(block)
                sent += len(block)
        return raw.read_until_closed(connection, PATIENCE)
