"""Three tiers on every broker and every database: what is posted runs, and shows what it said."""

import json

from tests.support import Site, http

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
