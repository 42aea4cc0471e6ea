"""Killed, frozen and disconnected workers: every run finishes, and no two attempts overlap."""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

import psutil
import psycopg
import pytest

from harness import DEADLINE, Proxy, Site, http, wait_until
from harness.processes import alive, pool_of
from harness.servers import running
from pacifica.dispatcher.worker.lease import REVOKED_WAIT
from tests.servers import RABBITMQ, private, proxied

PROMPT = 30.0
"""Seconds for what takes a few on an idle machine; without what is tested, it would take more."""

CONFIG = """
[database]
peewee_url = {database_url}

[celery]
broker_url = {broker_url}
queue = {queue}

[worker]
lease = {lease}

[application:note]
exact.type = note
command = sh -c 'echo $$ >> {folder}/pids; sleep "$1"' nap {{data}}
max_crashes = 2

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
    """A site whose application `note` records its process ids."""

    def set_up(self, *, lease: str = "60s", **settings: str) -> None:
        """Configure the site with a `broker_url`, a `database_url` and a `queue`.

        Whatever a test waits for comes long before the end of the standard lease.
        """
        self.configure(CONFIG.format(folder=self.folder, lease=lease, **settings))

    def pids(self) -> list[int]:
        """Return the process ids of `note`, in starting order."""
        file = self.folder / "pids"
        return [int(line) for line in file.read_text().split()] if file.exists() else []

    def start_note(self, seconds: float) -> str:
        """Start `note`, wait until it runs, and return the event's uuid."""
        before = len(self.pids())
        uuid = str(self.post(type="note", data=seconds).json["uuid"])
        wait_until(lambda: len(self.pids()) > before, "the application")
        return uuid

    def only_run(self, event: str) -> Any:  # noqa: ANN401 - JSON
        """Return the only run of an event, with its attempts."""
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
def short_lease(lab: Lab, queue: str) -> None:
    """Shortens the lease, for tests that wait for its end."""
    url = "sqlite:///db.sqlite3"
    lab.set_up(database_url=url, broker_url=RABBITMQ, queue=queue, lease="5s")


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """A proxy in front of a server; the test sets its target."""
    proxy = Proxy(0)
    yield proxy
    proxy.down()


def pool_child_of(application: int) -> int:
    """Return the id of the pool process that runs an application."""
    return int(psutil.Process(application).ppid())


def test_the_run_of_a_killed_pool_process_is_resumed_at_once(lab: Lab) -> None:
    lab.start_web()
    lab.start_worker()
    event = lab.start_note(1)
    [first] = lab.pids()
    os.kill(pool_child_of(first), signal.SIGKILL)
    killed = time.monotonic()
    wait_until(lambda: len(lab.pids()) > 1, "the second attempt")
    assert time.monotonic() - killed < PROMPT
    assert not alive(first)
    lab.wait_status(event, "succeeded")
    run = lab.only_run(event)
    assert (run["attempt"], run["crashes"]) == (2, 1)
    assert run["attempts"][0]["error"] == "the worker process died"


def test_a_worker_survives_the_death_of_an_idle_pool_process(
    site: Site, broker_url: str, queue: str
) -> None:
    lab = Lab(site.folder)
    lab.processes = site.processes
    lab.set_up(database_url="sqlite:///db.sqlite3", broker_url=broker_url, queue=queue)
    lab.start_web()
    worker = lab.start_worker()
    lab.wait_status(lab.start_note(0), "succeeded")
    for _ in range(3):
        os.kill(pool_of(worker.pid)[0].pid, signal.SIGKILL)
        wait_until(lambda: len(pool_of(worker.pid)) == 2, "another pool process")
        for event in [lab.post(type="note", data=0).json["uuid"] for _ in range(4)]:
            lab.wait_status(event, "succeeded")


def test_a_pool_without_child_processes_works(lab: Lab) -> None:
    lab.start_web()
    worker = lab.start_worker("--pool", "solo")
    for event in [lab.post(type="note", data=0).json["uuid"] for _ in range(4)]:
        lab.wait_status(event, "succeeded")
    event = lab.start_note(60)
    run = lab.only_run(event)["uuid"]
    assert http(f"{lab.url}/runs/{run}/cancel", b"").status == 202
    lab.wait_status(event, "cancelled")
    event = lab.start_note(60)
    worker.kill()
    worker.wait()
    wait_until(lambda: not alive(lab.pids()[-1]), "the watchdog")
    lab.start_worker("--pool", "solo")
    wait_until(lambda: lab.only_run(event)["attempt"] == 2, "the second attempt")


def test_a_poison_event_fails_without_affecting_others(lab: Lab) -> None:
    lab.start_web()
    lab.start_worker()
    poison = lab.post(type="poison").json["uuid"]
    lab.wait_status(poison, "failed")
    run = lab.only_run(poison)
    assert [each["error"] for each in run["attempts"]] == ["the worker process died"] * 3
    assert "max_crashes" in run["error"]
    lab.wait_status(lab.start_note(0), "succeeded")


@pytest.mark.usefixtures("short_lease")
def test_trouble_with_workers_fails_no_run(lab: Lab) -> None:
    lab.start_web()
    worker = lab.start_worker()
    event = lab.start_note(90)

    def interrupt(harm: Callable[[int], None]) -> subprocess.Popen[bytes]:
        before = len(lab.pids())
        harm(worker.pid)
        other = lab.start_worker()
        wait_until(lambda: len(lab.pids()) > before, "the next attempt")
        return other

    worker = interrupt(lambda pid: os.killpg(pid, signal.SIGKILL))
    worker = interrupt(lambda pid: os.kill(pid, signal.SIGKILL))
    frozen = worker
    interrupt(lambda pid: os.killpg(pid, signal.SIGSTOP))
    os.killpg(frozen.pid, signal.SIGKILL)
    run = lab.only_run(event)
    assert (run["status"], run["losses"], run["crashes"]) == ("running", 3, 0)
    errors = [each["error"] for each in run["attempts"]]
    assert errors[0] == "the worker was killed, or its host restarted"
    assert errors[2] == "the worker died or lost its lease"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT])
def test_a_signal_to_all_processes_of_a_worker_is_no_crash(
    lab: Lab, number: signal.Signals
) -> None:
    lab.start_web()
    worker = lab.start_worker()
    event = lab.start_note(90)
    os.killpg(worker.pid, number)
    lab.start_worker()
    wait_until(lambda: len(lab.pids()) > 1, "the next attempt")
    assert lab.only_run(event)["crashes"] == 0


class Refusal:
    """A trigger of PostgreSQL that refuses each end of an attempt of one application."""

    def __init__(self, url: str) -> None:
        """Connect to the database."""
        self._connection = psycopg.connect(url, autocommit=True)

    def close(self) -> None:
        """Disconnect."""
        self._connection.close()

    def execute(self, *statements: str) -> None:
        """Execute statements."""
        for each in statements:
            self._connection.execute(each.encode())

    def begin(self, application: str) -> None:
        """Refuse from now on."""
        self.execute(
            "CREATE FUNCTION refusal() RETURNS trigger LANGUAGE plpgsql AS "
            "'BEGIN RAISE EXCEPTION ''not this''; END'",
            "CREATE TRIGGER refusal BEFORE UPDATE ON run FOR EACH ROW "
            f"WHEN (OLD.state = 'running' AND NEW.application = '{application}') "
            "EXECUTE FUNCTION refusal()",
        )

    def end(self) -> None:
        """Refuse no more."""
        self.execute("DROP TRIGGER refusal ON run")


@pytest.fixture
def refusal(postgres_url: str) -> Iterator[Refusal]:
    """A refusal that has not begun."""
    with closing(Refusal(postgres_url)) as refusal:
        yield refusal


def test_a_run_whose_end_the_database_refuses_does_not_stay_running(
    lab: Lab, queue: str, postgres_url: str, refusal: Refusal
) -> None:
    lab.set_up(database_url=postgres_url, broker_url=RABBITMQ, queue=queue)
    lab.start_web()
    lab.start_worker(concurrency=1)
    lab.wait_status(lab.start_note(0), "succeeded")
    refusal.begin("note")
    event = lab.start_note(0)
    log = lab.log(1)
    wait_until(lambda: "recovery.refused" in log.read_text(), "recovery")
    for each in [lab.post(type="flaky").json["uuid"] for _ in range(3)]:
        lab.wait_status(each, "succeeded")
    assert lab.only_run(event)["status"] == "running"
    refusal.end()
    ended = time.monotonic()
    lab.wait_status(event, "succeeded")
    assert time.monotonic() - ended < PROMPT
    run = lab.only_run(event)
    assert (run["losses"], len(run["attempts"])) == (1, 2)
    assert run["attempts"][0]["error"] == "the worker could not record the outcome"
    for name in ("outcome.lost", "recovery.refused"):
        assert log.read_text().count(name) == 1


def test_a_run_that_could_not_be_claimed_gets_another_wakeup(
    lab: Lab, queue: str, postgres_url: str, refusal: Refusal
) -> None:
    lab.set_up(database_url=postgres_url, broker_url=RABBITMQ, queue=queue)
    lab.start_web()
    lab.start_worker(concurrency=1)
    lab.wait_status(lab.start_note(0), "succeeded")
    refusal.execute("BEGIN", "LOCK TABLE attempt IN ACCESS EXCLUSIVE MODE")
    event = lab.post(type="note", data=0).json["uuid"]
    wait_until(lambda: "claim.failed" in lab.log(1).read_text(), "the claim to fail")
    refusal.execute("COMMIT")
    unlocked = time.monotonic()
    lab.wait_status(event, "succeeded")
    assert time.monotonic() - unlocked < PROMPT


@pytest.mark.parametrize("whole", [False, True], ids=["main process", "all processes"])
def test_a_restarted_worker_recovers_the_runs_of_the_dead_one(lab: Lab, *, whole: bool) -> None:
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


def separate_config(lab: Lab) -> str:
    """Write a configuration whose worker cannot see the locks of the others on this host."""
    other = lab.folder / "separate.ini"
    text = (lab.folder / "config.ini").read_text()
    other.write_text(text.replace("[worker]", "[worker]\ndirectory = separate"))
    return str(other)


@pytest.mark.usefixtures("short_lease")
def test_the_runs_of_a_dead_worker_are_recovered_after_its_lease(lab: Lab) -> None:
    lab.start_web()
    worker = lab.start_worker()
    event = lab.start_note(1)
    [first] = lab.pids()
    lab.start_worker(DISPATCHER_CONFIG=separate_config(lab))
    os.killpg(worker.pid, signal.SIGKILL)
    killed = time.monotonic()
    wait_until(lambda: len(lab.pids()) > 1, "the second attempt")
    assert time.monotonic() - killed < PROMPT
    assert not alive(first)
    lab.wait_status(event, "succeeded")


@pytest.mark.usefixtures("short_lease")
def test_a_frozen_worker_loses_its_run_and_records_nothing(lab: Lab) -> None:
    lab.start_web()
    worker = lab.start_worker()
    event = lab.start_note(90)
    [first] = lab.pids()
    lab.start_worker(DISPATCHER_CONFIG=separate_config(lab))
    os.killpg(worker.pid, signal.SIGSTOP)
    wait_until(lambda: len(lab.pids()) > 1, "the second attempt")
    assert not alive(first)
    os.killpg(worker.pid, signal.SIGCONT)
    number = lab.processes.index(worker)
    wait_until(lambda: "outcome.refused" in lab.log(number).read_text(), "the thawed process")
    run = lab.only_run(event)
    assert (run["status"], run["attempt"], alive(lab.pids()[1])) == ("running", 2, True)
    cancelled = http(f"{lab.url}/runs/{run['uuid']}/cancel", b"")
    assert cancelled.status == 202
    lab.wait_status(event, "cancelled")
    assert len(lab.pids()) == 2
    assert not alive(lab.pids()[1])
    lab.wait_status(lab.start_note(0), "succeeded")


def test_a_running_attempt_is_cancelled_at_once(lab: Lab) -> None:
    lab.start_web()
    lab.start_worker()
    event = lab.start_note(60)
    run = lab.only_run(event)["uuid"]
    asked = time.monotonic()
    assert http(f"{lab.url}/runs/{run}/cancel", b"").status == 202
    lab.wait_status(event, "cancelled")
    assert time.monotonic() - asked < PROMPT
    assert not alive(lab.pids()[0])
    assert http(f"{lab.url}/runs/{run}/retry", b"").status == 202
    wait_until(lambda: len(lab.pids()) == 2, "the retry")
    assert http(f"{lab.url}/runs/{run}/cancel", b"").status == 202
    lab.wait_status(event, "cancelled")


def test_a_failed_attempt_is_retried_and_an_event_replayed(lab: Lab) -> None:
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


def test_a_limit_holds_across_workers(lab: Lab) -> None:
    lab.start_web()
    for _ in range(2):
        lab.start_worker()
    events = [lab.post(type="one").json["uuid"] for _ in range(10)]
    for event in events:
        lab.wait_status(event, "succeeded")
    assert (lab.folder / "one").read_text().split() == ["+", "-"] * 10


def test_an_application_runs_on_the_workers_of_its_queue(lab: Lab, queue: str) -> None:
    lab.start_web()
    lab.start_worker()
    event = lab.post(type="other").json["uuid"]
    lab.wait_status(lab.start_note(0), "succeeded")
    assert lab.status(event)["status"] == "queued"
    lab.start_worker("-Q", f"{queue}-other")
    lab.wait_status(event, "succeeded")


def test_work_continues_when_the_broker_is_back(
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
    assert time.monotonic() - back < PROMPT


@pytest.mark.parametrize("kind", ["postgres", "mysql"])
def test_runs_survive_a_database_outage_longer_than_a_lease(
    lab: Lab, queue: str, kind: str
) -> None:
    with TemporaryDirectory() as name, ExitStack() as stack:
        Path(name).chmod(0o755)  # the server may run as another user
        server = private(kind, Path(name))
        stack.enter_context(running(server))
        lab.set_up(database_url=server.url, broker_url=RABBITMQ, queue=queue, lease="5s")
        lab.start_web()
        lab.start_worker()
        stack.callback(lab.kill_all)  # before the server
        short, long = lab.start_note(1), lab.start_note(8)
        asyncio.run(server.stop(server.fast_stop))
        stopped = time.monotonic()
        refused = lab.post(type="note", data=0, id="refused")
        assert (refused.status, refused.headers["Retry-After"]) == (503, "5")
        wait_until(lambda: time.monotonic() - stopped > 7, "the end of a lease")
        asyncio.run(server.start())

        def accepted() -> Any:  # noqa: ANN401 - JSON
            response = lab.post(type="note", data=0, id="refused")
            return response.json if response.status == 202 else None

        assert wait_until(accepted, "the database")["duplicate"] is False
        for event in (short, long):
            lab.wait_status(event, "succeeded")
            assert lab.only_run(event)["attempt"] == 1, lab.logs()
    assert len(lab.pids()) == 3


def test_a_worker_whose_proxy_refuses_it_ends_its_application_in_time(
    lab: Lab, queue: str, postgres_url: str
) -> None:
    with proxied(postgres_url) as (proxy, url):
        lab.set_up(database_url=url, broker_url=RABBITMQ, queue=queue, lease="10s")
        lab.start_web()
        lab.start_worker()
        event = lab.start_note(20)
        [pid] = lab.pids()
        proxy.down()
        cut = time.monotonic()
        wait_until(lambda: not alive(pid), "the end of the application")
        assert time.monotonic() - cut < 10 + REVOKED_WAIT, "another host may have taken the run"
        proxy.up()
        lab.wait_status(event, "succeeded")
        run = lab.only_run(event)
    assert (run["attempt"], run["losses"]) == (2, 1)


def test_files_of_a_dead_worker_are_removed(lab: Lab) -> None:
    lab.start_web()
    worker = lab.start_worker()
    lab.wait_status(lab.start_note(0), "succeeded")
    os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()
    second = lab.start_worker()
    lab.wait_status(lab.start_note(0), "succeeded")
    runs = lab.folder / "runs"
    wait_until(lambda: len(list(runs.glob("*.lock"))) == 1, "recovery to find the dead worker")
    second.terminate()
    second.wait(DEADLINE)
    wait_until(lambda: not list(runs.iterdir()), "an empty folder")
