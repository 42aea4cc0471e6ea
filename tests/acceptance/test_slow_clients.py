"""Crowds of slow, silent and greedy clients: the built-in server serves others meanwhile."""

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil
import pytest
import trustme

from harness import PROGRAM, Site, raw, wait_until
from harness.ports import HOST
from tests.serving import ask, check_log, check_served, largest_memory

CROWD: Final = 150
GROWTH_LIMIT: Final = 64 * 1024**2
LONG_LIMIT: Final = 256 * 1024**2  # of growth by parts of long responses, one for each client
SLACK: Final = 10.0  # seconds for a busy machine

CONFIG: Final = """
[celery]
broker_url = filesystem://localhost{folder}/broker
[server]
head_timeout = {patience}
[application:print]
exact.type = print
command = seq 1 1500000
max_output = 32 MiB
"""
GET: Final = b"GET %s HTTP/1.1\r\nHost: localhost\r\n"
EVENTS: Final = b"Accept: text/event-stream\r\n\r\n"
LIVE: Final = GET % b"/health/live" + b"\r\n"
POST: Final = b"POST /receive HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"

# Each crowd has an address of its own, as the server gives each only so many connections.
_ADDRESSES: Final = (
    f"127.0.{third}.{fourth}" for third in range(1, 250) for fourth in range(1, 250)
)

Act = Callable[[socket.socket], object]


def do_nothing(_: socket.socket) -> None:
    """Stay silent."""


def send_a_byte(connection: socket.socket) -> None:
    connection.send(b"1")


def send_a_chunk(connection: socket.socket) -> None:
    connection.send(b"1\r\n1\r\n")


def read_a_little(connection: socket.socket) -> None:
    connection.setblocking(False)
    connection.recv(1024)


@dataclass(frozen=True)
class Kind:
    """A kind of slow client.

    Attributes:
        name: the name of the kind.
        begin: what it sends first.
        act: what it does each second.
        buffer: the size of its receive buffer in bytes; 0 for the system's.
    """

    name: str
    begin: bytes
    act: Act = do_nothing
    buffer: int = 0


KINDS: Final = [
    Kind("silent", b""),
    Kind("slow line", b"G"),
    Kind("slow head", GET % b"/health/live" + b"A: ", send_a_byte),
    Kind("slow body", POST + b"Content-Length: 100000\r\n\r\n", send_a_byte),
    Kind("slow chunks", POST + b"Transfer-Encoding: chunked\r\n\r\n", send_a_chunk),
    Kind("no body", POST + b"Content-Length: 100000\r\nExpect: 100-continue\r\n\r\n"),
    Kind("slow reader", GET % b"RUN/output" + b"\r\n", read_a_little, 4096),
    Kind("no reader", GET % b"RUN/output" + b"\r\n", buffer=4096),
    Kind("many requests, no reader", LIVE * 2000, buffer=4096),
    Kind("idle", LIVE),
    Kind("live page", GET % b"/" + EVENTS, read_a_little),
    Kind("followed output", GET % b"RUN/output?follow" + b"\r\n", read_a_little, 4096),
    Kind("followed events", GET % b"RUN/output?html" + EVENTS, read_a_little, 4096),
]


@contextmanager
def crowd(port: int, kind: Kind, number: int = CROWD) -> Iterator[list[socket.socket]]:
    """Connect clients, which act each second until the end."""
    stop = threading.Event()

    def act() -> None:
        while not stop.wait(1.0):
            for each in clients:
                with suppress(OSError):
                    kind.act(each)

    address = next(_ADDRESSES)
    with ExitStack() as closing:
        clients = [closing.enter_context(_client(port, kind, address)) for _ in range(number)]
        acting = threading.Thread(target=act)
        acting.start()
        try:
            yield clients
        finally:
            stop.set()
            acting.join()


def _client(port: int, kind: Kind, address: str) -> socket.socket:
    connection = raw.connect(port, address, kind.buffer)
    with suppress(ConnectionError):  # the server may give a connection up
        connection.sendall(kind.begin)
    return connection


@dataclass(frozen=True)
class Tier:
    """A web tier, with a run that has printed much.

    Attributes:
        site: its installation.
        process: its process.
        run: the path of the run.
    """

    site: Site
    process: psutil.Process
    run: bytes

    @property
    def port(self) -> int:
        return self.site.port

    def of_run(self, kind: Kind) -> Kind:
        """Return the kind for this tier's run."""
        return Kind(kind.name, kind.begin.replace(b"RUN", self.run), kind.act, kind.buffer)


@pytest.fixture(scope="module")
def tier(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tier]:
    """A web tier whose log has no internal error at the end."""
    site = Site(tmp_path_factory.mktemp("slow"))
    site.configure(CONFIG.format(folder=site.folder, patience="5s"))
    try:
        web = site.start_web()
        worker = site.start_worker(concurrency=1)
        [run] = site.wait_status(site.post(type="print").json["uuid"], "succeeded")["runs"]
        worker.terminate()
        worker.wait(30)
        yield Tier(site, psutil.Process(web.pid), f"/runs/{run['uuid']}".encode())
        check_log(site)
    finally:
        site.kill_all()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_crowd_does_not_delay_others(tier: Tier, kind: Kind) -> None:
    check_served(tier.port)
    with largest_memory(tier.process) as memory, crowd(tier.port, tier.of_run(kind)):
        check_served(tier.port, times=20)
    assert memory[-1] - memory[0] < (LONG_LIMIT if kind.buffer else GROWTH_LIMIT)
    check_served(tier.port)
    wait_until(lambda: connections(tier) < 10, "the end of the crowd")


def test_all_crowds_at_once(tier: Tier) -> None:
    with ExitStack() as crowds:
        for kind in KINDS:
            crowds.enter_context(crowd(tier.port, tier.of_run(kind), CROWD // len(KINDS)))
        check_served(tier.port)


@pytest.mark.parametrize("kind", [KINDS[0], KINDS[2], KINDS[9]], ids=lambda kind: kind.name)
def test_more_connections_than_one_address_may_have(tier: Tier, kind: Kind) -> None:
    with crowd(tier.port, kind, 600):
        check_served(tier.port)
        assert connections(tier) < 300


def test_connections_that_are_closed_while_they_send(tier: Tier) -> None:
    address = next(_ADDRESSES)
    with ExitStack() as closing:
        clients: list[socket.socket] = []
        for _ in range(600):
            clients.append(closing.enter_context(raw.connect(tier.port, address)))
            for each in clients[-300:]:
                with suppress(OSError):
                    each.send(b"G")
        check_served(tier.port)
    check_log(tier.site)


@pytest.mark.parametrize(
    "begin", [b"G", GET % b"/" + b"A: b", POST + b"Content-Length: 9\r\n\r\n1"]
)
def test_a_request_that_takes_too_long_times_out(site: Site, begin: bytes) -> None:
    site.configure(CONFIG.format(folder=site.folder, patience="1s"))
    site.start_web()
    with crowd(site.port, Kind("slow", begin)) as clients:
        began = time.monotonic()
        replies = [raw.read_until_closed(each) for each in clients]
        took = time.monotonic() - began
    assert {(reply.end, *reply.statuses) for reply in replies} == {("closed", 408)}
    assert 0.5 < took < SLACK
    check_log(site)


def test_drops_do_not_prolong_a_request(site: Site) -> None:
    site.configure(CONFIG.format(folder=site.folder, patience="2s"))
    site.start_web()
    kinds = [each for each in KINDS if each.name in {"slow head", "slow body", "slow chunks"}]
    for kind in kinds:
        with crowd(site.port, kind, 10) as clients:
            replies = [raw.read_until_closed(each, 2.0 + SLACK) for each in clients]
        assert [reply.statuses for reply in replies] == [[408]] * 10, (kind.name, replies)


def test_a_fast_enough_body_may_take_longer_than_a_head(site: Site) -> None:
    site.configure(CONFIG.format(folder=site.folder, patience="1s"))
    site.start_web()
    body = json.dumps({"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}).encode()
    body += b" " * (5000 - len(body))
    kind = Kind(
        "fast", POST.replace(b"json", b"cloudevents+json") + b"Content-Length: 5000\r\n\r\n"
    )
    with crowd(site.port, kind, 1) as clients:
        client = clients[0]
        pause = threading.Event()
        for start in range(0, 5000, 500):
            client.sendall(body[start : start + 500])
            pause.wait(0.2)  # 2.5 KB a second for two seconds
        client.settimeout(raw.DEADLINE)
        assert client.recv(100).startswith(b"HTTP/1.1 202 ")


def test_silent_connections_are_closed_without_a_response(site: Site) -> None:
    site.configure(CONFIG.format(folder=site.folder, patience="1s"))
    site.start_web()
    with crowd(site.port, Kind("silent", b"")) as clients:
        replies = [raw.read_until_closed(each) for each in clients]
    assert {(reply.end, reply.received) for reply in replies} == {("closed", b"")}


def test_a_client_that_does_not_take_its_response_is_given_up(tier: Tier) -> None:
    kind = tier.of_run(Kind("no reader", (GET % b"RUN/output" + b"\r\n") * 8, buffer=4096))
    with crowd(tier.port, kind, 20):
        wait_until(lambda: connections(tier) >= 20, "the crowd")
        wait_until(lambda: connections(tier) < 10, "the end of its connections", 5.0 + SLACK)


def connections(tier: Tier) -> int:
    """Count the connections that the tier has accepted."""
    found = tier.process.net_connections("tcp")
    return sum(each.laddr.port == tier.port and bool(each.raddr) for each in found)


@dataclass(frozen=True)
class Secure:
    """A web tier with TLS, and the context of its clients."""

    site: Site
    context: ssl.SSLContext


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secure]:
    """A web tier with TLS."""
    folder = tmp_path_factory.mktemp("tls")
    site = Site(folder)
    site.configure(CONFIG.format(folder=folder, patience="5s"))
    authority = trustme.CA()
    certificate = authority.issue_cert(HOST)
    certificate.private_key_pem.write_to_path(folder / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(folder / "certificate.pem")
    Path(folder / "cherrypy.ini").write_text(
        f"[global]\nserver.ssl_certificate = '{folder}/certificate.pem'\n"
        f"server.ssl_private_key = '{folder}/key.pem'\n",
        encoding="utf-8",
    )
    context = ssl.create_default_context()
    authority.configure_trust(context)
    try:
        process = site.start(*PROGRAM, "-p", str(site.port), "--cp-config", "cherrypy.ini")
        wait_until(lambda: process.poll() is None and is_alive(site.port, context), "the tier")
        yield Secure(site, context)
        check_log(site)
    finally:
        site.kill_all()


def is_alive(port: int, context: ssl.SSLContext) -> bool:
    """Return True if a web tier with TLS responds."""
    with suppress(OSError):
        return ask(port, "GET", "/health/live", b"", context) == 200
    return False


def hello(context: ssl.SSLContext) -> bytes:
    """Return the first message of a TLS handshake."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname=HOST)
    with suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_unfinished_handshakes_do_not_delay_others(secure: Secure, share: float) -> None:
    whole = hello(secure.context)
    begin = whole[: round(share * len(whole))]
    with crowd(secure.site.port, Kind("handshake", begin)):
        check_served(secure.site.port, secure.context)
    check_served(secure.site.port, secure.context)


@pytest.mark.parametrize("kind", [KINDS[0], KINDS[2], KINDS[3]], ids=lambda kind: kind.name)
def test_a_crowd_behind_handshakes_does_not_delay_others(secure: Secure, kind: Kind) -> None:
    with ExitStack() as closing:
        address = next(_ADDRESSES)
        for _ in range(CROWD):
            plain = closing.enter_context(_client(secure.site.port, Kind("plain", b""), address))
            client = secure.context.wrap_socket(plain, server_hostname=HOST)
            closing.enter_context(client).sendall(kind.begin)
        check_served(secure.site.port, secure.context)


def test_plain_requests_on_a_port_for_tls_do_not_delay_others(secure: Secure) -> None:
    with crowd(secure.site.port, Kind("plain", LIVE)):
        check_served(secure.site.port, secure.context)
