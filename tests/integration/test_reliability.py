"""Killing, freezing and cutting off: every event is done, and nothing runs twice at once."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from tests.conftest import RABBITMQ
from tests.support import Proxy, Site, http, wait_until

CONFIG = """
[database]
peewee_url = {database_url}

[celery]
broker_url = {broker_url}
queue = {queue}

[worker]
lease = 5s

[application:note]
exact.type = note
command = sh -c 'echo $$ >> {folder}/pids; sleep "$1"' nap {{data}}
max_crashes = 9

[application:poison]
exact.type = poison
command = sh -c 'kill -9 $PPID; sleep 60'

[application:one]
exact.type = one
command = sh -c 'echo + >> {folder}/one; sleep 0.2; echo - >> {folder}/one'
concurrency = 1

[application:other]
exact.type = other
command = true
queue = {queue}-other

[application:flaky]
exact.type = flaky
command = sh -c 'test $DISPATCHER_ATTEMPT -ge 3 || exit 75'
retries = 2
retry_delay = 100ms
retry_exit_codes = 75
"""


class Lab(Site):
    """A site whose application `note` writes down the processes that it is."""

    def set_up(self, **settings: str) -> None:
        """Configure; `broker_url`, `database_url` and `queue` are given."""
        text = CONFIG.format(folder=self.folder, **settings)
        self.configure(text)

    def pids(self) -> list[int]:
        """The processes of `note`, in the order in which they started."""
        file = self.folder / "pids"
        return [int(line) for line in file.read_text().split()] if file.exists() else []

    def start_note(self, seconds: float) -> str:
        """Run `note`; gives the event's uuid when it runs."""
        before = len(self.pids())
        uuid = str(self.post(type="note", data=seconds).json["uuid"])
        wait_until(lambda: len(self.pids()) > before, "the application")
        return uuid

    def only_run(self, event: str) -> Any:  # noqa: ANN401 - JSON
        """The only run of an event, with its attempts."""
        [run] = self.status(event)["runs"]
        return http(f"{self.url}/runs/{run['uuid']}").json


@pytest.fixture
def lab(site: Site, queue: str) -> Lab:
    """A site whose processes end with the test."""
    lab = Lab(site.folder)
    lab.processes = site.processes
    lab.set_up(database_url="sqlite:///db.sqlite3", broker_url=RABBITMQ, queue=queue)
    return lab


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """A proxy before a server, which is given its port by the test."""
    proxy = Proxy(0)
    yield proxy
    proxy.down()


def alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def pool_child_of(application: int) -> int:
    """The pool process that runs an application."""
    return int(psutil.Process(application).ppid())


def pool_children(worker: int) -> list[int]:
    """The pool processes of a worker that live."""
    found = []
    for child in psutil.Process(worker).children():
        with suppress(ProcessLookupError):
            if alive(child.pid) and os.getsid(child.pid) == os.getsid(worker):
                found.append(child.pid)
    return found


def test_what_a_killed_pool_process_ran_is_taken_up_within_three_seconds(lab: Lab) -> None:
    lab.start_web()
    lab.start_worker()
    event = lab.start_note(1)
    [first] = lab.pids()
    os.kill(pool_child_of(first), signal.SIGKILL)
    killed = time.monotonic()
    wait_until(lambda: len(lab.pids()) > 1, "the second attempt")
    assert time.monotonic() - killed < 3
    assert not alive(first)
    lab.wait_status(event, "succeeded")
    run = lab.only_run(event)
    assert (run["attempt"], run["crashes"]) == (2, 1)
    assert run["attempts"][0]["error"] == "the process that ran it died"


def test_a_worker_whose_idle_pool_process_is_killed_goes_on(
    site: Site, broker_url: str, queue: str
) -> None:
    lab = Lab(site.folder)
    lab.processes = site.processes
    lab.set_up(database_url="sqlite:///db.sqlite3", broker_url=broker_url, queue=queue)
    lab.start_web()
    worker = lab.start_worker()
    lab.wait_status(lab.start_note(0), "succeeded")
    for _ in range(3):
        os.kill(pool_children(worker.pid)[0], signal.SIGKILL)
        wait_until(lambda: len(pool_children(worker.pid)) == 2, "another pool process")
        for event in [lab.post(type="note", data=0).json["uuid"] for _ in range(4)]:
            lab.wait_status(event, "succeeded")


@pytest.mark.parametrize("pool", ["solo", "threads"])
def test_pools_without_processes_of_their_own_work_too(lab: Lab, pool: str) -> None:
    lab.start_web()
    worker = lab.start_worker("--pool", pool)
    for event in [lab.post(type="note", data=0).json["uuid"] for _ in range(4)]:
        lab.wait_status(event, "succeeded")
    event = lab.start_note(60)
    run = lab.only_run(event)["uuid"]
    assert http(f"{lab.url}/runs/{run}/cancel", b"").status == 202
    lab.wait_status(event, "cancelled")
    event = lab.start_note(60)
    worker.kill()
    worker.wait()
    wait_until(lambda: not alive(lab.pids()[-1]), "the guard")
    lab.start_worker("--pool", pool)
    wait_until(lambda: lab.only_run(event)["attempt"] == 2, "the second attempt")


def test_a_poison_event_fails_and_harms_no_other(lab: Lab) -> None:
    lab.start_web()
    lab.start_worker()
    poison = lab.post(type="poison").json["uuid"]
    lab.wait_status(poison, "failed")
    run = lab.only_run(poison)
    assert [each["error"] for each in run["attempts"]] == ["the process that ran it died"] * 3
    assert "max_crashes" in run["error"]
    lab.wait_status(lab.start_note(0), "succeeded")


@pytest.mark.parametrize("whole", [False, True], ids=["main process", "all processes"])
def test_a_worker_started_again_takes_back_what_the_dead_one_held(lab: Lab, *, whole: bool) -> None:
    lab.start_web()
    worker = lab.start_worker()
    event = lab.start_note(2)
    [first] = lab.pids()
    if whole:
        os.killpg(worker.pid, signal.SIGKILL)
    else:
        worker.kill()
    worker.wait()
    lab.start_worker()
    wait_until(lambda: len(lab.pids()) > 1, "the second attempt")
    assert not alive(first)
    lab.wait_status(event, "succeeded")
    assert lab.only_run(event)["attempt"] == 2


def elsewhere(lab: Lab) -> str:
    """A worker's option that makes it know nothing of the others of this machine."""
    other = lab.folder / "elsewhere.ini"
    text = (lab.folder / "config.ini").read_text()
    other.write_text(text.replace("[worker]", "[worker]\ndirectory = elsewhere"))
    return str(other)


def test_the_runs_of_a_dead_worker_are_taken_up_when_its_lease_has_ended(lab: Lab) -> None:
    lab.start_web()
    worker = lab.start_worker()
    event = lab.start_note(1)
    [first] = lab.pids()
    lab.start_worker(DISPATCHER_CONFIG=elsewhere(lab))
    os.killpg(worker.pid, signal.SIGKILL)
    killed = time.monotonic()
    wait_until(lambda: len(lab.pids()) > 1, "the second attempt")
    assert time.monotonic() - killed < 20
    assert not alive(first)
    lab.wait_status(event, "succeeded")


def test_a_frozen_worker_loses_what_it_ran_and_records_nothing(lab: Lab) -> None:
    lab.start_web()
    worker = lab.start_worker()
    event = lab.start_note(30)
    [first] = lab.pids()
    lab.start_worker(DISPATCHER_CONFIG=elsewhere(lab))
    os.killpg(worker.pid, signal.SIGSTOP)
    wait_until(lambda: len(lab.pids()) > 1, "the second attempt")
    assert not alive(first)
    os.killpg(worker.pid, signal.SIGCONT)
    number = lab.processes.index(worker)
    wait_until(lambda: "no longer ours" in lab.log(number).read_text(), "the thawed process")
    run = lab.only_run(event)
    assert (run["status"], run["attempt"], alive(lab.pids()[1])) == ("running", 2, True)
    cancelled = http(f"{lab.url}/runs/{run['uuid']}/cancel", b"")
    assert cancelled.status == 202
    lab.wait_status(event, "cancelled")
    assert len(lab.pids()) == 2
    assert not alive(lab.pids()[1])
    lab.wait_status(lab.start_note(0), "succeeded")


def test_a_running_attempt_is_cancelled_within_two_seconds(lab: Lab) -> None:
    lab.start_web()
    lab.start_worker()
    event = lab.start_note(60)
    run = lab.only_run(event)["uuid"]
    asked = time.monotonic()
    assert http(f"{lab.url}/runs/{run}/cancel", b"").status == 202
    lab.wait_status(event, "cancelled")
    assert time.monotonic() - asked < 2
    assert not alive(lab.pids()[0])
    assert http(f"{lab.url}/runs/{run}/retry", b"").status == 202
    wait_until(lambda: len(lab.pids()) == 2, "the retry")
    assert http(f"{lab.url}/runs/{run}/cancel", b"").status == 202
    lab.wait_status(event, "cancelled")


def test_a_failed_attempt_is_tried_again_and_an_event_replayed(lab: Lab) -> None:
    lab.start_web()
    lab.start_worker()
    event = lab.post(type="flaky").json["uuid"]
    lab.wait_status(event, "succeeded")
    first = lab.only_run(event)
    assert [each["exit_code"] for each in first["attempts"]] == [75, 75, 0]
    replayed = http(f"{lab.url}/events/{event}/replay", b"")
    assert replayed.status == 202
    found = lab.wait_status(event, "succeeded")
    assert [(run["origin"], run["superseded"]) for run in found["runs"]] == [
        (None, True),
        (first["uuid"], False),
    ]


def test_a_limit_holds_over_several_workers_and_web_servers(lab: Lab) -> None:
    lab.start_web()
    for _ in range(2):
        lab.start_worker()
    events = [lab.post(type="one").json["uuid"] for _ in range(10)]
    for event in events:
        lab.wait_status(event, "succeeded")
    assert (lab.folder / "one").read_text().split() == ["+", "-"] * 10


def test_an_application_goes_to_the_workers_of_its_queue(lab: Lab, queue: str) -> None:
    lab.start_web()
    lab.start_worker()
    event = lab.post(type="other").json["uuid"]
    lab.wait_status(lab.start_note(0), "succeeded")
    assert lab.status(event)["status"] == "queued"
    lab.start_worker("-Q", f"{queue}-other")
    lab.wait_status(event, "succeeded")


def test_work_goes_on_when_the_broker_is_back(
    site: Site, queue: str, rabbitmq_url: str, proxy: Proxy
) -> None:
    proxy.target = urlsplit(rabbitmq_url).port or 5672
    proxy.up()
    lab = Lab(site.folder)
    lab.processes = site.processes
    url = f"pyamqp://guest:guest@127.0.0.1:{proxy.port}//"
    lab.set_up(database_url="sqlite:///db.sqlite3", broker_url=url, queue=queue)
    lab.start_web()
    lab.start_worker()
    lab.wait_status(lab.start_note(0), "succeeded")
    proxy.down()
    events = [lab.post(type="note", data=0).json["uuid"] for _ in range(3)]
    number = len(lab.processes) - 1
    wait_until(lambda: "Trying again" in lab.log(number).read_text(), "the worker to notice")
    proxy.up()
    back = time.monotonic()
    for event in events:
        lab.wait_status(event, "succeeded")
    assert time.monotonic() - back < 5


def test_what_runs_goes_on_while_the_database_is_away_for_longer_than_a_lease(
    site: Site, queue: str, rabbitmq_url: str, postgres_url: str, proxy: Proxy
) -> None:
    server = urlsplit(postgres_url)
    proxy.target = server.port or 5432
    proxy.up()
    lab = Lab(site.folder)
    lab.processes = site.processes
    url = server._replace(netloc=f"{server.username}@127.0.0.1:{proxy.port}").geturl()
    lab.set_up(database_url=url, broker_url=rabbitmq_url, queue=queue)
    lab.start_web()
    lab.start_worker()
    short, long = lab.start_note(1), lab.start_note(8)
    proxy.down()
    gone = time.monotonic()
    refused = lab.post(type="note", data=0, id="refused")
    assert (refused.status, refused.headers["Retry-After"]) == (503, "5")
    wait_until(lambda: time.monotonic() - gone > 7, "the end of a lease")
    proxy.up()
    assert lab.post(type="note", data=0, id="refused").json["duplicate"] is False
    for event in (short, long):
        lab.wait_status(event, "succeeded")
        assert lab.only_run(event)["attempt"] == 1
    assert len(lab.pids()) == 3


def test_no_file_of_a_dead_worker_stays(lab: Lab) -> None:
    lab.start_web()
    worker = lab.start_worker()
    lab.wait_status(lab.start_note(0), "succeeded")
    os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()
    second = lab.start_worker()
    lab.wait_status(lab.start_note(0), "succeeded")
    second.terminate()
    second.wait(30)
    runs = lab.folder / "runs"
    wait_until(lambda: not list(runs.iterdir()), "an empty folder")
