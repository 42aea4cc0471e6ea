"""Connections to brokers that are in trouble: every call ends soon, and says why it failed."""

import base64
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest
import redis as driver
import trustme

from harness.brokers import Redis
from harness.ports import HOST
from harness.servers import running
from pacifica.dispatcher.broker import connection as module
from pacifica.dispatcher.broker import rabbitmq, redis
from pacifica.dispatcher.broker.connection import BrokerConnection
from pacifica.dispatcher.config import CelerySettings
from pacifica.dispatcher.errors import BrokerRefusedError, BrokerUnavailableError

RUN = "01a21250-e627-72e7-8048-ff56f84d3fc1"
SCHEMES = ["amqp", "amqps", "redis", "rediss"]


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shortens the limits of all waits."""
    monkeypatch.setattr(module, "TIMEOUT", 0.2)
    monkeypatch.setattr(rabbitmq, "TIMEOUT", 0.2)
    for option in ("socket_timeout", "socket_connect_timeout"):
        monkeypatch.setitem(redis.OPTIONS, option, 0.2)


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[Redis]:
    """A Redis of the test's own."""
    server = Redis(tmp_path / "redis", {})
    with running(server):
        yield server


@pytest.fixture
def connect() -> Iterator[Callable[..., BrokerConnection]]:
    """A factory of connections, from settings."""
    made: list[BrokerConnection] = []

    def connect(broker_url: str, **settings: object) -> BrokerConnection:
        made.append(BrokerConnection(CelerySettings(broker_url=broker_url, **settings)))  # type: ignore[arg-type]
        return made[-1]

    yield connect
    for each in made:
        each.close()


def test_a_wakeup_carries_only_the_id_of_its_run(
    tmp_path: Path, connect: Callable[..., BrokerConnection]
) -> None:
    connect(f"filesystem://localhost{tmp_path}").send(RUN, "")
    [file] = (tmp_path / "messages").iterdir()
    message = json.loads(file.read_bytes())
    assert {name for name, value in message["headers"].items() if value == RUN} == {"id", "root_id"}
    assert json.loads(base64.b64decode(message["body"])) == [[RUN], {}, {}]
    assert len(file.read_bytes()) < 900


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_broker_that_never_answers_is_given_up(
    scheme: str, connect: Callable[..., BrokerConnection]
) -> None:
    with socket.create_server((HOST, 0)) as silent:
        broker = connect(f"{scheme}://{HOST}:{silent.getsockname()[1]}/0")
        began = time.monotonic()
        for act in (lambda: broker.send(RUN, ""), lambda: broker.depth(""), broker.check):
            with pytest.raises(BrokerUnavailableError):
                act()
        broker.close()
    assert time.monotonic() - began < 30


def test_redis_is_used_again_once_it_is_no_replica(
    own_redis: Redis, connect: Callable[..., BrokerConnection]
) -> None:
    broker = connect(own_redis.url)
    assert broker.depth("") == 0  # Redis has no queue that is empty
    broker.send(RUN, "")
    with closing(driver.Redis(HOST, own_redis.port)) as server:
        server.replicaof(HOST, "1")
        with pytest.raises(BrokerUnavailableError, match="read only replica"):
            broker.send(RUN, "")
        server.replicaof("NO", "ONE")
        broker.send(RUN, "")
    assert broker.depth("") == 2


def test_redis_without_memory_or_rights_says_so(
    own_redis: Redis, connect: Callable[..., BrokerConnection]
) -> None:
    broker = connect(own_redis.url)
    with closing(driver.Redis(HOST, own_redis.port)) as server:
        server.config_set("maxmemory", 1)
        with pytest.raises(BrokerUnavailableError, match="maxmemory"):
            broker.check()
        server.config_set("maxmemory", 0)
        broker.check()
        server.acl_setuser(
            "ada", enabled=True, passwords=["+pw"], keys=["lab:*"], categories=["+@all"]
        )
    for user, why in (("ada:pw", "no permissions"), ("ada:wrong", "invalid username-password")):
        other = connect(own_redis.url.replace("//", f"//{user}@"))
        with pytest.raises(BrokerRefusedError, match=f"^Broker refused access: .*{why}"):
            other.check()


def shake_hands(certificate: trustme.LeafCert, listening: socket.socket) -> None:
    """Complete the handshake with each client, and hang up."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    with suppress(OSError):  # of the socket that the test closes
        while True:
            client, _ = listening.accept()
            with client, suppress(OSError):
                context.wrap_socket(client, server_side=True).close()


@pytest.fixture
def secured(tmp_path: Path) -> Iterator[Callable[[str], int]]:
    """Starts a server with a certificate for a name, by the authority in `ca.pem`."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    with ExitStack() as stack:

        def secure(name: str) -> int:
            listening = stack.enter_context(socket.create_server((HOST, 0)))
            arguments = (authority.issue_cert(name), listening)
            threading.Thread(target=shake_hands, args=arguments, daemon=True).start()
            return int(listening.getsockname()[1])

        yield secure


@pytest.mark.parametrize("scheme", ["amqps", "rediss"])
def test_certificates_are_verified(
    scheme: str,
    secured: Callable[[str], int],
    tmp_path: Path,
    connect: Callable[..., BrokerConnection],
) -> None:
    trusted, url = tmp_path / "ca.pem", f"{scheme}://localhost:{secured('localhost')}/0"
    other = f"{scheme}://localhost:{secured('elsewhere')}/0"
    for broker, why in (
        (connect(url), "certificate verify failed"),
        (connect(other, ca_bundle=trusted), "ismatch"),
    ):
        with pytest.raises(BrokerRefusedError, match=f"^Certificate of the broker not.*{why}"):
            broker.check()
    for broker in (connect(url, ca_bundle=trusted), connect(other, verify=False)):
        with pytest.raises(BrokerUnavailableError) as caught:
            broker.check()  # the server hangs up after the handshake
        assert not isinstance(caught.value, BrokerRefusedError)
