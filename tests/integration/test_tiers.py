"""Web tier, broker and worker, on every broker and database."""

import json
import signal
import socket

from kombu import Connection
from kombu.pidbox import Mailbox

from harness import Site, http, wait_until

CONFIG = """
[database]
peewee_url = {database_url}
[celery]
broker_url = {broker_url}
queue = {queue}

[application:greet]
exact.type = greet
prefix.source = /tests
command = sh -c 'echo "Hello, $1"; echo warned >&2; cat' sh {{data.name}}

[application:attest]
exact.type = greet
handler = json:dumps
"""


def test_an_event_runs_its_applications(
    site: Site, database_url: str, broker_url: str, queue: str
) -> None:
    site.configure(CONFIG.format(database_url=database_url, broker_url=broker_url, queue=queue))
    site.start_web()
    site.start_worker()
    posted = site.post(type="greet", id="1", data={"name": "Grüße"})
    assert posted.status == 202
    assert posted.json["applications"] == ["greet", "attest"]
    assert posted.headers["Location"] == f"/status/{posted.json['uuid']}"
    found = site.wait_status(posted.json["uuid"], "succeeded", "failed")
    greet, attest = found["runs"]
    assert (greet["status"], greet["exit_code"]) == ("succeeded", 0)
    assert (attest["status"], attest["exit_code"]) == ("failed", 1)
    assert "is not JSON serializable" in site.output(attest["uuid"], "?stream=stderr")
    printed = site.output(greet["uuid"], "?stream=stdout").splitlines()
    assert printed[0] == "Hello, Grüße"
    assert json.loads(printed[1])["data"] == {"name": "Grüße"}
    assert site.output(greet["uuid"], "?stream=stderr") == "warned\n"


def test_a_batch_is_accepted_once(
    site: Site, database_url: str, broker_url: str, queue: str
) -> None:
    site.configure(CONFIG.format(database_url=database_url, broker_url=broker_url, queue=queue))
    site.start_web()
    site.start_worker()
    event = {"specversion": "1.0", "source": "/tests", "type": "greet", "data": {"name": "x"}}
    body = json.dumps([event | {"id": str(number)} for number in [*range(20), 0]]).encode()
    batch = {"Content_Type": "application/cloudevents-batch+json"}
    first = http(f"{site.url}/events", body, **batch).json["events"]
    assert [each["duplicate"] for each in first] == [False] * 20 + [True]
    assert first[20]["uuid"] == first[0]["uuid"]
    again = http(f"{site.url}/events", body, **batch).json["events"]
    assert [each["uuid"] for each in again] == [each["uuid"] for each in first]
    assert all(each["duplicate"] for each in again)
    for each in first:
        found = site.wait_status(each["uuid"], "succeeded", "failed")
        assert [(run["status"], run["attempt"]) for run in found["runs"]] == [
            ("succeeded", 1),
            ("failed", 1),
        ]


def test_a_worker_starts_despite_a_frozen_one_of_the_same_name(
    site: Site, broker_url: str, queue: str
) -> None:
    # A restarted service may find its frozen predecessor still connected to the broker.
    site.configure(f"[celery]\nbroker_url = {broker_url}\nqueue = {queue}\n")
    site.start_web()
    first = site.start_worker("-n", f"{queue}@%h")
    wait_until(lambda: "ready." in site.logs(), "the first worker")
    first.send_signal(signal.SIGSTOP)
    site.start_worker("-n", f"{queue}@%h")
    uuid = http(f"{site.url}/dispatch/add/2/2").text
    assert site.wait_status(uuid, "succeeded")["result"] == 4


def test_other_celery_programs_on_the_broker_are_ignored(
    site: Site, rabbitmq_url: str, queue: str
) -> None:
    # Another Celery program may have a worker of the same name, with its own mailbox.
    name = f"{queue}@{socket.gethostname()}"
    with Connection(rabbitmq_url) as other:
        mailbox = Mailbox("celery", type="fanout", connection=other)
        mailbox.Node(name, channel=other.default_channel).listen()
        site.configure(f"[celery]\nbroker_url = {rabbitmq_url}\nqueue = {queue}\n")
        site.start_web()
        site.start_worker("-n", name)
        uuid = http(f"{site.url}/dispatch/add/2/2").text
        assert site.wait_status(uuid, "succeeded")["result"] == 4
