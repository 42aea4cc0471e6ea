"""Brokers in trouble, and settings of brokers, with servers of the tests' own."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import amqp
import pytest
import redis

from harness import DEADLINE, Site, http, wait_until
from harness.brokers import RabbitMQ, Redis
from harness.ports import HOST
from harness.servers import ProcessServer, program, running
from pacifica.dispatcher.broker.connection import BrokerConnection
from pacifica.dispatcher.config import CelerySettings
from pacifica.dispatcher.errors import BrokerRefusedError, BrokerUnavailableError
from tests import servers

RUN = "01a21250-e627-72e7-8048-ff56f84d3fc1"
CONFIG = """
[celery]
broker_url = {url}

[worker]
stop_grace = 1s

[application:hello]
exact.type = hello
command = echo hello

[application:long]
exact.type = long
command = sleep 60
"""


def start(server: ProcessServer) -> Iterator[Any]:
    """Run a server; skip the test if it is not installed."""
    if missing := server.missing():
        servers.absent(type(server).__name__, OSError(missing))
    with running(server):
        yield server


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[Redis]:
    """A Redis of the test's own."""
    yield from start(Redis(tmp_path / "redis", dict(os.environ)))


@pytest.fixture(scope="module")
def own_rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    """A RabbitMQ of these tests' own."""
    folder = tmp_path_factory.mktemp("own") / "rabbitmq"
    for server in start(RabbitMQ(folder, dict(os.environ))):
        rabbitmqctl(server, "await_startup")  # it listens before it is ready
        yield server


def rabbitmqctl(server: RabbitMQ, *arguments: str) -> None:
    command = [program("rabbitmqctl"), *arguments]
    subprocess.run(command, env=server.environment, check=True, capture_output=True)


@pytest.fixture
def control(own_rabbitmq: RabbitMQ) -> Callable[..., None]:
    """Runs `rabbitmqctl`."""
    return partial(rabbitmqctl, own_rabbitmq)


def test_a_worker_survives_that_redis_is_a_replica_for_a_while(
    site: Site, own_redis: Redis
) -> None:
    site.configure(CONFIG.format(url=own_redis.url))
    site.start_web()
    worker = site.start_worker()
    long = site.post(type="long").json["uuid"]
    site.wait_status(long, "running")
    with closing(redis.Redis(HOST, own_redis.port)) as server:
        server.replicaof(HOST, "1")
        wait_until(lambda: "worker.waiting" in site.logs(), "the worker's complaint")
        waiting = site.post(type="hello").json["uuid"]
        wait_until(lambda: "broker" in http(f"{site.url}/health/ready").json, "the complaint")
        server.replicaof("NO", "ONE")
    site.wait_status(waiting, "succeeded")
    wait_until(lambda: http(f"{site.url}/health/ready").json == {"status": "ok"}, "readiness")
    assert site.status(long)["status"] == "running"
    assert worker.poll() is None
    assert "Traceback" not in site.logs()


RIGHTS = ("default*", "_kombu.*", "unacked*", "*dispatcher-default.pidbox*")
"""The keys of a restricted user of Redis, as in the reference."""


def restricted_url(server: Redis, keys: Sequence[str]) -> str:
    """Create a user with the rights in the reference, for some keys, and return its URL."""
    with closing(redis.Redis(HOST, server.port)) as connection:
        connection.acl_setuser(
            "ada",
            enabled=True,
            passwords=["+pw"],
            keys=keys,
            channels=["/0.dispatcher-default.pidbox"],
            categories=["+@all", "-@admin", "-@dangerous"],
        )
    return server.url.replace("//", "//ada:pw@")


def test_the_rights_in_the_reference_are_enough(site: Site, own_redis: Redis) -> None:
    site.configure(CONFIG.format(url=restricted_url(own_redis, RIGHTS)))
    site.start_web()
    worker = site.start_worker()
    site.wait_status(site.post(type="hello").json["uuid"], "succeeded")
    worker.terminate()
    assert worker.wait(DEADLINE) == 0
    assert "waiting" not in site.logs()


@pytest.mark.parametrize("missing", RIGHTS[:3])
def test_a_worker_without_the_rights_to_its_keys_does_not_start(
    missing: str, site: Site, own_redis: Redis
) -> None:
    keys = [each for each in RIGHTS if each != missing]
    site.configure(CONFIG.format(url=restricted_url(own_redis, keys)))
    assert site.start_worker().wait(DEADLINE) == 2
    assert "Broker refused access: " in site.logs()
    assert "Traceback" not in site.logs()


def test_both_tiers_end_while_their_broker_is_frozen(site: Site, own_redis: Redis) -> None:
    site.configure(CONFIG.format(url=own_redis.url))
    web, worker = site.start_web(), site.start_worker()
    wait_until(lambda: "worker.started" in site.logs(), "the worker")
    own_redis.signal(signal.SIGSTOP)
    try:
        assert site.post(type="hello").status == 202
        for process in (web, worker):
            process.terminate()
        for process in (web, worker):
            assert process.wait(DEADLINE) == 0, site.logs()
    finally:
        own_redis.signal(signal.SIGCONT)


def test_both_tiers_say_that_rabbitmq_is_blocked_and_can_be_stopped(
    site: Site, own_rabbitmq: RabbitMQ, control: Callable[..., None]
) -> None:
    site.configure(CONFIG.format(url=own_rabbitmq.url))
    web, worker = site.start_web(), site.start_worker()
    wait_until(lambda: "worker.started" in site.logs(), "the worker")
    control("set_vm_memory_high_watermark", "0.00001")
    try:
        assert site.post(type="hello").status == 202
        wait_until(lambda: 'publisher.waiting reason="Broker blocked' in site.logs(), "the log")
        ready = http(f"{site.url}/health/ready")
        assert ready.status == 200
        for process in (web, worker):
            process.terminate()
        for process in (web, worker):
            assert process.wait(DEADLINE) == 0, site.logs()
    finally:
        control("set_vm_memory_high_watermark", "0.6")


@pytest.fixture
def broker(own_rabbitmq: RabbitMQ) -> Iterator[BrokerConnection]:
    """A connection to the tests' own RabbitMQ."""
    with closing(connect(own_rabbitmq.url, "some")) as broker:
        yield broker


def connect(url: str, queue: str) -> BrokerConnection:
    return BrokerConnection(CelerySettings(broker_url=url, queue=queue))


@pytest.mark.parametrize(
    ("alarm", "end"),
    [
        (("set_vm_memory_high_watermark", "0.00001"), ("set_vm_memory_high_watermark", "0.6")),
        (("set_disk_free_limit", "900000000000000"), ("set_disk_free_limit", "50000000")),
    ],
    ids=["memory", "disk"],
)
def test_wakeups_are_sent_again_after_an_alarm(
    alarm: tuple[str, ...],
    end: tuple[str, ...],
    broker: BrokerConnection,
    control: Callable[..., None],
) -> None:
    def refused() -> str:
        try:
            broker.send(RUN, "")
        except BrokerUnavailableError as exc:
            return str(exc)
        return ""

    assert refused() == ""
    control(*alarm)
    try:
        assert wait_until(refused).startswith("Broker blocked: RabbitMQ is short of memory or disk")
    finally:
        control(*end)
    wait_until(lambda: not refused())
    assert broker.depth("") >= 2


def test_a_queue_that_was_deleted_is_declared_again(
    broker: BrokerConnection, control: Callable[..., None]
) -> None:
    broker.send(RUN, "")
    control("delete_queue", "some")
    assert broker.depth("") == 0
    broker.send(RUN, "")
    assert broker.depth("") == 1


@pytest.fixture
def quorum(own_rabbitmq: RabbitMQ, control: Callable[..., None]) -> Iterator[str]:
    """The URL of a virtual host whose queues are quorum queues by default."""
    control("add_vhost", "quorum", "--default-queue-type", "quorum")
    control("set_permissions", "-p", "quorum", "guest", ".*", ".*", ".*")
    yield f"pyamqp://guest:guest@{HOST}:{own_rabbitmq.port}/quorum"
    control("delete_vhost", "quorum")


def test_a_worker_works_whatever_the_default_type_of_queues_is(site: Site, quorum: str) -> None:
    site.configure(CONFIG.format(url=quorum))
    site.start_web()
    site.start_worker()
    site.wait_status(site.post(type="hello").json["uuid"], "succeeded")


def test_a_queue_with_other_arguments_is_named(site: Site, own_rabbitmq: RabbitMQ) -> None:
    url, quorum = own_rabbitmq.url, {"x-queue-type": "quorum"}
    with amqp.Connection(f"{HOST}:{own_rabbitmq.port}") as server:
        server.channel().queue_declare("taken", durable=True, auto_delete=False, arguments=quorum)
    with (
        closing(connect(url, "taken")) as broker,
        pytest.raises(BrokerRefusedError, match=r"^Queue declared differently: .*'taken'"),
    ):
        broker.send(RUN, "")
    site.configure(CONFIG.format(url=url).replace("[worker]", "queue = taken\n[worker]"))
    worker = site.start_worker()
    assert worker.wait(DEADLINE) == 2
    assert "Queue declared differently" in site.logs()
    assert "Traceback" not in site.logs()


@pytest.mark.parametrize("user", ["nobody:x", "guest:wrong"])
def test_a_worker_whose_password_is_refused_does_not_start(
    user: str, site: Site, own_rabbitmq: RabbitMQ
) -> None:
    site.configure(CONFIG.format(url=own_rabbitmq.url.replace("guest:guest", user)))
    worker = site.start_worker()
    assert worker.wait(DEADLINE) == 2
    assert "Broker refused access" in site.logs()
