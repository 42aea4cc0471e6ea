"""The commands of the web tier and the workers: options, several processes, broker outages."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from harness import DEADLINE, PROGRAM, Proxy, Site, free_port, http, wait_until
from harness.brokers import Redis
from harness.processes import environment
from harness.servers import running
from harness.tiers import worker_command
from tests.servers import broker

CONFIG = """
[database]
connect_attempts = 3
connect_wait = 500ms
[celery]
broker_url = {broker_url}
queue = {queue}
[worker]
stop_grace = {grace}
[application:nap]
exact.type = nap
command = sleep {{data}}
kill_after = 1s
[application:true]
exact.type = true
command = true
"""


def command(site: Site, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the program until it exits."""
    return subprocess.run(
        [*PROGRAM, *arguments],
        cwd=site.folder,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


@pytest.mark.parametrize("arguments", [["check"], ["serve"], ["standalone"], []])
def test_all_configuration_errors_at_once(site: Site, arguments: list[str]) -> None:
    site.configure("[server]\nport = http\n[databse]\n[application:a]\ncomand = true\n")
    done = command(site, *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "[server] port: must be a whole number from 1 to 65535, not 'http'" in done.stderr
    assert "[databse]: is unknown; did you mean database?" in done.stderr
    assert "[application:a] comand: is unknown; did you mean command?" in done.stderr
    assert "[application:a]: must have either a command or a handler" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_worker_refuses_a_bad_configuration(site: Site) -> None:
    site.configure("[worker]\nstop_grace = soon\n")
    assert site.start_worker().wait(DEADLINE) == 2
    assert "[worker] stop_grace: must be a duration" in site.logs()
    assert "Traceback" not in site.logs()


@pytest.mark.parametrize("tier", [PROGRAM, worker_command("some", 1)], ids=["web", "worker"])
def test_an_unavailable_database_is_retried(site: Site, tier: list[str]) -> None:
    broker_url = f"filesystem://localhost{site.folder / 'broker'}"
    site.configure(CONFIG.format(broker_url=broker_url, queue="none", grace="1s"))
    url = f"postgresql://nobody:secret@127.0.0.1:{free_port()}/none"
    process = site.start(*tier, PEEWEE_URL=url)
    assert process.wait(DEADLINE) == 1
    assert site.logs().count(" unavailable: ") == 3
    assert "secret" not in site.logs()
    assert "Traceback" not in site.logs()


def test_options_of_the_web_tier(site: Site) -> None:
    (site.folder / "other.ini").write_text("[server]\nport = 1\n")
    options = ("-c", "other.ini", "-a", "127.0.0.2", "-p", str(site.port))
    process = site.start(*PROGRAM, *options)
    wait_until(lambda: f"http://127.0.0.2:{site.port}/" in site.logs(), "the web tier")
    assert http(f"http://127.0.0.2:{site.port}/health/ready").status == 200
    process.terminate()
    assert process.wait(DEADLINE) == 0, site.logs()


def test_a_cherrypy_configuration_has_precedence(site: Site) -> None:
    (site.folder / "cherrypy.ini").write_text(f"[global]\nserver.socket_port = {site.port}\n")
    site.wait_listening(site.start(*PROGRAM, "--cp-config", "cherrypy.ini"))


def test_several_web_processes_and_workers(site: Site, rabbitmq_url: str, queue: str) -> None:
    site.configure(CONFIG.format(broker_url=rabbitmq_url, queue=queue, grace="1s"))
    other = Site(site.folder, processes=site.processes)
    processes = [site.start_web(), other.start_web(), site.start_worker(), site.start_worker()]
    with ThreadPoolExecutor(8) as pool:
        sites = [site, other] * 4
        same = list(pool.map(lambda each: each.post(type="true", id="the same").json, sites))
        uuids = list(pool.map(lambda n: sites[n % 2].post(type="true").json["uuid"], range(100)))
    assert len({each["uuid"] for each in same}) == 1
    assert [each["duplicate"] for each in same].count(False) == 1
    for uuid in [same[0]["uuid"], *uuids]:
        [run] = other.wait_status(uuid, "succeeded", "failed")["runs"]
        assert (run["status"], run["attempt"]) == ("succeeded", 1)
    for process in processes:
        process.terminate()
    for process in processes:
        assert process.wait(DEADLINE) == 0, site.logs()


def test_gunicorn_with_several_processes(site: Site, rabbitmq_url: str, queue: str) -> None:
    site.configure(CONFIG.format(broker_url=rabbitmq_url, queue=queue, grace="1s"))
    gunicorn = shutil.which("gunicorn", path=str(Path(sys.executable).parent))
    assert gunicorn
    listen = f"127.0.0.1:{site.port}"
    process = site.start(gunicorn, "-w", "2", "-b", listen, "pacifica.dispatcher.wsgi:application")
    site.wait_listening(process)
    site.start_worker()
    for uuid in [site.post(type="true").json["uuid"] for _ in range(10)]:
        assert site.wait_status(uuid, "succeeded", "failed")["status"] == "succeeded"
    process.terminate()
    assert process.wait(DEADLINE) == 0, site.logs()
    assert "Traceback" not in site.logs()


def test_a_worker_lets_running_applications_finish(
    site: Site, rabbitmq_url: str, queue: str
) -> None:
    site.configure(CONFIG.format(broker_url=rabbitmq_url, queue=queue, grace="60s"))
    site.start_web()
    worker = site.start_worker()
    uuid = site.post(type="nap", data=3).json["uuid"]
    site.wait_status(uuid, "running")
    worker.terminate()
    assert worker.wait(DEADLINE) == 0, site.logs()
    [run] = site.status(uuid)["runs"]
    assert (run["status"], run["attempt"]) == ("succeeded", 1)


@pytest.mark.parametrize("broker_kind", ["rabbitmq", "redis"])
def test_events_wait_for_an_unavailable_broker(
    site: Site, broker_kind: str, queue: str, tmp_path: Path
) -> None:
    server = urlsplit(broker(broker_kind, tmp_path))
    proxy = Proxy(server.port or 0)
    url = server._replace(netloc=server.netloc.replace(f":{server.port}", f":{proxy.port}"))
    site.configure(CONFIG.format(broker_url=url.geturl(), queue=queue, grace="1s"))
    try:
        site.start_web()
        before = site.post(type="true")
        assert (before.status, before.json["status"]) == (202, "queued")
        proxy.up()
        site.start_worker()
        site.wait_status(before.json["uuid"], "succeeded")
        proxy.down()
        during = [site.post(type="true") for _ in range(10)]
        assert {each.status for each in during} == {202}
        proxy.up()
        for each in during:
            found = site.wait_status(each.json["uuid"], "succeeded", "failed")
            assert found["status"] == "succeeded"
    finally:
        proxy.down()


def test_a_broker_that_lost_its_queue(site: Site, tmp_path: Path) -> None:
    redis = Redis(tmp_path / "redis", environment())
    with running(redis):
        site.configure(CONFIG.format(broker_url=redis.url, queue="q", grace="1s"))
        site.start_web()
        uuid = site.post(type="true").json["uuid"]
        wait_until(lambda: _queue_depth(redis.port), "the wake-up")
    with running(redis):
        site.start_worker()
        found = site.wait_status(uuid, "succeeded", "failed")
    assert found["status"] == "succeeded"


def _queue_depth(port: int) -> int:
    done = subprocess.run(
        ["redis-cli", "-p", str(port), "llen", "q"], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


def test_the_web_tier_finishes_open_requests(site: Site) -> None:
    broker_url = f"filesystem://localhost{site.folder / 'broker'}"
    site.configure(CONFIG.format(broker_url=broker_url, queue="q", grace="1s"))
    web = site.start_web()
    statuses: list[int] = []
    refused: list[OSError] = []

    def keep_posting(_: int) -> None:
        while not refused:
            try:
                statuses.append(site.post(type="true").status)
            except OSError as exc:
                refused.append(exc)

    with ThreadPoolExecutor(4) as pool:
        posting = pool.map(keep_posting, range(4))
        wait_until(lambda: len(statuses) > 50, "some responses")
        web.send_signal(signal.SIGTERM)
        list(posting)
    assert web.wait(DEADLINE) == 0, site.logs()
    assert set(statuses) == {202}
    site.port = free_port()
    site.start_web()
    events = json.loads(http(f"{site.url}/events?limit=500").body)["events"]
    assert len(events) >= min(500, len(statuses))


@pytest.mark.parametrize("start", [Site.start_web, Site.start_standalone])
def test_a_hangup_stops_no_tier(
    site: Site, start: Callable[[Site], subprocess.Popen[bytes]]
) -> None:
    broker_url = f"filesystem://localhost{site.folder / 'broker'}"
    site.configure(CONFIG.format(broker_url=broker_url, queue="q", grace="1s"))
    process = start(site)
    process.send_signal(signal.SIGHUP)
    assert site.post(type="true").status == 202
    process.terminate()
    assert process.wait(DEADLINE) == 0, site.logs()


def test_a_hangup_does_not_stop_a_worker(site: Site) -> None:
    broker_url = f"filesystem://localhost{site.folder / 'broker'}"
    site.configure(CONFIG.format(broker_url=broker_url, queue="q", grace="1s"))
    site.start_web()
    worker = site.start_worker()
    uuid = site.post(type="nap", data=1).json["uuid"]
    site.wait_status(uuid, "running")
    os.killpg(worker.pid, signal.SIGHUP)
    [run] = site.wait_status(uuid, "succeeded", "failed", "queued")["runs"]
    assert (run["status"], run["attempt"]) == ("succeeded", 1)


def test_many_connections_with_few_descriptors(site: Site) -> None:
    broker_url = f"filesystem://localhost{site.folder / 'broker'}"
    site.configure(CONFIG.format(broker_url=broker_url, queue="q", grace="1s"))
    web = site.start("sh", "-c", 'ulimit -n 40; exec "$@"', "sh", *PROGRAM, "-p", str(site.port))
    site.wait_listening(web)
    with ExitStack() as closing:
        for _ in range(60):
            closing.enter_context(socket.create_connection(("127.0.0.1", site.port)))
        wait_until(lambda: "connections.paused" in site.logs(), "the pause")
        assert site.post(type="true").status == 202
    assert site.post(type="true").status == 202
    used = psutil.Process(web.pid).cpu_times()
    assert used.user + used.system < 5
    assert site.logs().count("connections.paused") == 1
    assert len(site.logs()) < 10_000
