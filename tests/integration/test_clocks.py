"""Hosts whose clocks are an hour ahead: nothing waits for them, and the skew is shown."""

import os
from pathlib import Path

import pytest

from harness import DEADLINE, Site, http, wait_until

HOUR = 3600.0
AHEAD = str(HOUR)
"""The value of CLOCK_AHEAD for a tier whose host is an hour ahead."""

_SHIFT = """
import os, time
_real, _real_ns, _ahead = time.time, time.time_ns, float(os.environ.get("CLOCK_AHEAD", "0"))
time.time = lambda: _real() + _ahead
time.time_ns = lambda: _real_ns() + int(_ahead * 1e9)
"""
_CONFIG = """
[database]
peewee_url = {database_url}
[celery]
broker_url = filesystem://localhost{folder}/broker
[application:unsteady]
exact.type = test
rate = 60/m
retries = 1
retry_delay = 1s
command = sh -c 'test $DISPATCHER_ATTEMPT = 2'
"""


@pytest.fixture
def clocks(site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A site whose tiers may be on hosts with other clocks."""
    (site.folder / "sitecustomize.py").write_text(_SHIFT)
    path = os.pathsep.join(filter(None, (str(site.folder), os.environ.get("PYTHONPATH"))))
    monkeypatch.setenv("PYTHONPATH", path)
    return site


def configure(site: Site, database_url: str) -> None:
    site.configure(_CONFIG.format(folder=site.folder, database_url=database_url))


def skews(site: Site) -> list[float]:
    return [each["skew"] for each in http(f"{site.url}/workers").json["workers"]]


def wait_worker(site: Site) -> None:
    wait_until(lambda: skews(site), "the worker")


def test_a_worker_that_is_an_hour_ahead_delays_nothing(clocks: Site, server_url: str) -> None:
    configure(clocks, server_url)
    clocks.start_web()
    clocks.start_worker(CLOCK_AHEAD=AHEAD)
    wait_worker(clocks)
    assert skews(clocks) == [pytest.approx(HOUR, abs=1.0)]
    assert "clock.skewed" in clocks.logs()
    uuids = [str(clocks.post().json["uuid"]) for _ in range(3)]
    for uuid in uuids:
        [run] = clocks.wait_status(uuid, "succeeded")["runs"]
        assert run["attempt"] == 2


def test_a_web_tier_that_is_an_hour_ahead_delays_nothing(clocks: Site, server_url: str) -> None:
    configure(clocks, server_url)
    clocks.start_web(CLOCK_AHEAD=AHEAD)
    clocks.start_worker()
    wait_worker(clocks)
    uuid = str(clocks.post().json["uuid"])
    [run] = clocks.wait_status(uuid, "succeeded")["runs"]
    assert run["attempt"] == 2
    found = http(f"{clocks.url}/events?since=5m").json["events"]
    assert [each["uuid"] for each in found] == [uuid]


def test_times_that_a_wrong_clock_has_left_are_corrected(clocks: Site, tmp_path: Path) -> None:
    configure(clocks, f"sqlite:///{tmp_path}/db.sqlite3")  # it has the host's clock
    web, worker = clocks.start_web(CLOCK_AHEAD=AHEAD), clocks.start_worker(CLOCK_AHEAD=AHEAD)
    wait_worker(clocks)
    first = str(clocks.post().json["uuid"])
    clocks.wait_status(first, "retrying")
    worker.terminate()
    worker.wait(DEADLINE)
    second = str(clocks.post().json["uuid"])
    web.terminate()
    web.wait(DEADLINE)
    clocks.start_web()
    clocks.start_worker()
    clocks.wait_status(first, "succeeded")
    clocks.wait_status(second, "succeeded")
    assert "times.corrected" in clocks.logs()
