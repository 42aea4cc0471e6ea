"""Tiers whose configurations or versions differ: no run fails, and none waits in silence."""

import sqlite3
import subprocess
from contextlib import closing

import pytest

from harness import DEADLINE, PROGRAM, Site, http, wait_until
from harness.processes import environment

_CONFIG = """
[celery]
broker_url = filesystem://localhost{folder}/broker
[application:old]
exact.type = old
command = true
"""
_NEW = """
[application:new]
exact.type = new
command = true
"""


@pytest.fixture
def configured(site: Site) -> Site:
    """A site with its current configuration, and an older one in old.ini."""
    config = _CONFIG.format(folder=site.folder)
    site.configure(config + _NEW)
    (site.folder / "old.ini").write_text(config)
    return site


def post(site: Site, kind: str) -> str:
    return str(site.post(type=kind).json["uuid"])


def reasons(site: Site) -> dict[str, str]:
    waiting = http(f"{site.url}/workers").json["waiting"]
    return {each["application"]: each["reason"] for each in waiting}


def run(site: Site, *arguments: str) -> str:
    """Run a command in the site's folder; return its output and errors."""
    done = subprocess.run(
        [*PROGRAM, *arguments],
        cwd=site.folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
        timeout=DEADLINE,
    )
    return done.stdout


def test_a_worker_with_an_older_configuration_fails_no_run(configured: Site) -> None:
    configured.start_web()
    configured.start_worker(DISPATCHER_CONFIG="old.ini")
    old, new = post(configured, "old"), post(configured, "new")
    configured.wait_status(old, "succeeded")
    wait_until(lambda: reasons(configured) == {"new": "unknown to workers"}, "the reason")
    configured.start_worker()
    [run] = configured.wait_status(new, "succeeded")["runs"]
    assert run["attempt"] == 1


def test_a_tier_stops_when_its_tables_become_too_new(configured: Site) -> None:
    standalone = configured.start_standalone()
    with closing(sqlite3.connect(configured.folder / "db.sqlite3")) as later, later:
        later.execute("INSERT INTO schema_migration (name, applied) VALUES ('9000_x', '')")
        later.execute("UPDATE compatibility SET migration = 9000")
    wait_until(lambda: standalone.poll() == 2, "the end of the tiers")
    again = configured.start(*PROGRAM, "serve", "-p", str(configured.port))
    wait_until(lambda: again.poll() == 2, "the refusal")
    said = "was migrated by a later version of the dispatcher (9000), which this one cannot work"
    assert said in configured.log(0).read_text()
    assert said in configured.log(1).read_text()
    assert "Traceback" not in configured.logs()


def test_runs_of_a_renamed_application_are_named_cancelled_and_replayed(configured: Site) -> None:
    configured.start_web()
    uuid = post(configured, "new")
    config = (configured.folder / "config.ini").read_text()
    configured.configure(config.replace("application:new", "application:renamed"))
    configured.start_worker()
    wait_until(lambda: reasons(configured) == {"new": "unknown to workers"}, "the reason")
    configured.processes[0].terminate()
    configured.processes[0].wait(DEADLINE)
    configured.start_web()
    assert reasons(configured) == {"new": "not configured"}
    assert "runs.orphaned application=new number=1" in configured.logs()
    checked = run(configured, "check")
    assert "warning: 1 run waits for application new: not configured; add it" in checked
    for command, state in (("cancel", "queued"), ("replay", "cancelled")):
        chosen = ("--application", "new", "--state", state, "--yes")
        run(configured, command, *chosen, "--url", configured.url)
    [old, new] = configured.wait_status(uuid, "succeeded")["runs"]
    assert [each["application"] for each in (old, new)] == ["new", "renamed"]
