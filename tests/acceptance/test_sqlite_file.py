"""The standalone's SQLite file in the hands of others: locked, deleted, restored."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from harness import Site, http, wait_until

CONFIG = """
[worker]
lease = 10s
[application:wait]
exact.type = wait
command = sh -c 'while test -e "$1"; do sleep 0.1; done' wait {data.file}
"""


@pytest.fixture
def file(site: Site) -> Path:
    """The database of a standalone that runs."""
    site.configure(CONFIG)
    site.start_standalone()
    return site.folder / "db.sqlite3"


@pytest.fixture
def go(site: Site) -> Iterator[Path]:
    """The file whose end is the end of the application."""
    file = site.folder / "go"
    file.touch()
    yield file
    file.unlink(missing_ok=True)


def start_run(site: Site, go: Path) -> str:
    uuid: str = site.post(type="wait", data={"file": str(go)}).json["uuid"]
    site.wait_status(uuid, "running")
    return uuid


def only_run(site: Site, event: str) -> Any:  # noqa: ANN401 - JSON
    [run] = site.wait_status(event, "succeeded", "failed")["runs"]
    return run


def test_a_lock_that_another_tool_holds_refuses_events_and_kills_nothing(
    site: Site, file: Path, go: Path
) -> None:
    event = start_run(site, go)
    with closing(sqlite3.connect(file, isolation_level=None)) as tool:
        tool.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        refused = site.post(type="wait")
        waited = time.monotonic() - began
        wait_until(lambda: time.monotonic() - began > 12, "more than the lease")
        tool.execute("ROLLBACK")
    go.unlink()
    assert (refused.status, refused.headers["Retry-After"]) == (503, "5")
    assert refused.json["detail"] == "Database busy; try again later"
    assert waited < 10
    assert (only_run(site, event)["status"], only_run(site, event)["attempt"]) == ("succeeded", 1)


def test_a_file_that_is_restored_under_running_tiers_is_used_again(
    site: Site, file: Path, go: Path
) -> None:
    event = start_run(site, go)
    backup = file.with_name("backup")
    with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(backup)) as target:
        source.backup(target)
    lost = site.post(type="nothing").json["uuid"]
    backup.rename(file)
    refused = site.post(type="nothing")
    assert refused.status == 503
    assert "belongs to the previous file; remove " in site.logs()
    assert http(f"{site.url}/health/ready").status == 503
    file.with_name("db.sqlite3-wal").unlink()
    file.with_name("db.sqlite3-shm").unlink()
    wait_until(lambda: site.post(type="nothing").status == 202, "a clean database")
    assert http(f"{site.url}/status/{lost}").status == 404
    go.unlink()
    assert only_run(site, event)["status"] == "succeeded"


def test_an_outcome_waits_for_a_file_that_is_away(site: Site, file: Path, go: Path) -> None:
    event = start_run(site, go)
    parts = list(file.parent.glob("db.sqlite3*"))
    for part in parts:
        part.rename(part.with_name(f"away-{part.name}"))
    go.unlink()
    wait_until(lambda: "outcome.waiting" in site.logs(), "the outcome")
    assert not file.exists()
    for part in parts:
        part.with_name(f"away-{part.name}").rename(part)
    assert only_run(site, event)["status"] == "succeeded"
