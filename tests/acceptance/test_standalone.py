"""`pacifica-dispatcher standalone`: web tier and worker on one machine."""

import os
import signal
import subprocess
from pathlib import Path

from harness import DEADLINE, PROGRAM, Site, http, wait_until

CONFIG = """
[worker]
stop_grace = 1s
[application:nap]
exact.type = nap
command = sleep 60
kill_after = 1s
"""


def worker_of(standalone: subprocess.Popen[bytes]) -> int | None:
    """Return the process id of the Celery worker, or None until it has pool processes."""
    for child in _children(standalone.pid):
        if len(_children(child)) > 1:
            return child
    return None


def _children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


def test_the_first_two_commands_of_the_readme(site: Site) -> None:
    process = site.start_standalone()
    uuid = http(f"{site.url}/dispatch/add/2/2").text
    assert site.wait_status(uuid, "succeeded", "failed")["result"] == 4
    printed = site.log(0).read_text()
    assert f"{site.url}/" in printed
    assert f"curl -s {site.url}/dispatch/add/2/2" in printed
    process.send_signal(signal.SIGINT)
    assert process.wait(DEADLINE) == 0, site.logs()
    assert "Traceback" not in site.logs()
    assert "Fatal" not in site.logs()


def test_a_worker_that_dies_is_replaced(site: Site) -> None:
    process = site.start_standalone()
    worker = wait_until(lambda: worker_of(process), "the worker")
    assert worker
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: worker_of(process) not in {None, worker}, "another worker")
    uuid = http(f"{site.url}/dispatch/mul/6/7").text
    assert site.wait_status(uuid, "succeeded", "failed")["result"] == 42


def test_a_worker_that_refuses_to_run_ends_the_standalone(site: Site) -> None:
    site.configure(CONFIG)
    process = site.start_standalone()
    worker = wait_until(lambda: worker_of(process), "the worker")
    assert worker
    site.configure("[worker]\nstop_grace = soon\n")
    os.kill(worker, signal.SIGKILL)
    assert process.wait(DEADLINE) == 2
    assert "[worker] stop_grace: must be a duration" in site.logs()
    assert "Worker refused to run (exit code 2); solve the problem that it" in site.logs()


def test_the_worker_does_not_outlive_its_parent(site: Site) -> None:
    process = site.start_standalone()
    worker = wait_until(lambda: worker_of(process), "the worker")
    process.kill()
    process.wait()
    wait_until(lambda: not Path(f"/proc/{worker}").exists(), "the end of the worker")


def test_a_run_interrupted_by_a_stop_is_resumed(site: Site) -> None:
    site.configure(CONFIG)
    process = site.start_standalone()
    uuid = site.post(type="nap").json["uuid"]
    site.wait_status(uuid, "running")
    process.terminate()
    assert process.wait(DEADLINE) == 0, site.logs()
    site.start_standalone()
    [run] = site.wait_status(uuid, "running")["runs"]
    assert run["attempt"] == 2
    attempts = http(f"{site.url}/runs/{run['uuid']}").json["attempts"]
    assert [each["signal"] for each in attempts] == ["SIGTERM", None]
    assert "stopped" in attempts[0]["error"]


def test_a_port_in_use_is_reported(site: Site) -> None:
    site.start_standalone()
    second = subprocess.run(
        [*PROGRAM, "-p", str(site.port)],
        cwd=site.folder,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert second.returncode == 1
    assert str(site.port) in second.stderr
    assert "Traceback" not in second.stderr
