"""Outcomes that a database refuses: stored in a reduced form, or the attempt is given back."""

import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from harness import DEADLINE, wait_until
from pacifica.dispatcher import orm
from pacifica.dispatcher.execution.outcome import Verdict
from pacifica.dispatcher.telemetry import Record, add_handler, remove_handler
from pacifica.dispatcher.worker import recorder
from pacifica.dispatcher.worker.troubles import Troubles
from tests import servers
from tests.factories import change, claimed_run, make_event, registration, view
from tests.unit.worker.factories import Driver, Started, recorded, shell

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="uses a POSIX shell")

SCRIPT = "echo output; echo '{\"a\": 1}' > $DISPATCHER_RESULT; exit "


@pytest.fixture(params=list(servers.DATABASES))
def site(request: pytest.FixtureRequest, driver: Driver, tmp_path: Path) -> Iterator[Driver]:
    """A runner on a new database of each kind in turn, whose tables a test may damage."""
    own = tmp_path / "own"
    own.mkdir()
    with (
        servers.DATABASES[request.param](own) as url,
        closing(orm.Database(url, connections=2)) as database,
    ):
        database.prepare(attempts=1, wait=0)
        driver.database = database
        driver.runner = replace(driver.runner, database=database)
        orm.register(database, driver.runner.lease.worker, registration("h", "l"))
        yield driver


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "_PAUSE", 0.02)
    monkeypatch.setattr(recorder, "_TRIES", 2)


def refuse(database: orm.Database, table: str, condition: str, name: str = "refusal") -> None:
    """Have the database refuse changes of rows that meet a condition on NEW."""
    kind = type(database.peewee).__name__.lower()
    if "postgres" in kind:
        change(
            database,
            f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS "
            f"'BEGIN RAISE EXCEPTION ''not this''; END'",
        )
        change(
            database,
            f"CREATE TRIGGER {name} BEFORE INSERT OR UPDATE ON {table} "
            f"FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION {name}()",
        )
        return
    for event in ("INSERT", "UPDATE"):
        head = f"CREATE TRIGGER {name}_{event} BEFORE {event} ON {table} FOR EACH ROW"
        if "mysql" in kind:
            signal = "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'not this'"
            change(database, f"{head} IF {condition} THEN {signal}; END IF")
        else:
            raising = "BEGIN SELECT RAISE(ABORT, 'not this'); END"
            change(database, f"{head} WHEN {condition} {raising}")


def run_of(driver: Driver, code: int = 0) -> tuple[str, list[tuple[str, Any]]]:
    """Run an application; return its run and what was emitted about its outcome."""
    run = driver.offer(shell(f"{SCRIPT}{code}"), make_event())
    with recorded() as records:
        driver.runner.make_attempt(run)
    outcomes = [
        (each.name, each.fields.get("reason"))
        for each in records
        if each.name.startswith("outcome.") and each.name != "outcome.waiting"
    ]
    return run, outcomes


@pytest.mark.parametrize(("code", "status"), [(0, "succeeded"), (3, "failed")])
def test_output_that_is_refused_is_left_out(site: Driver, code: int, status: str) -> None:
    refuse(site.database, "output", "NEW.stream = 'stdout'")
    run, [(name, reason)] = run_of(site, code)
    ended, [attempt] = orm.run(site.database, run)
    assert (ended.status, ended.exit_code, ended.result) == (status, code, {"a": 1})
    assert "the database refused the output that was not saved yet: " in (ended.error or "")
    assert site.database.name not in (ended.error or "")
    assert attempt.error == ended.error
    assert (name, "not this" in reason) == ("outcome.reduced", True)
    assert (ended.error or "").startswith("exit code 3; ") == bool(code)


@pytest.mark.parametrize(
    ("table", "condition"),
    [
        ("run", "NEW.result IS NOT NULL"),
        ("attempt", "NEW.command IS NOT NULL"),
    ],
)
def test_an_outcome_that_is_refused_is_stored_without_details(
    site: Driver, table: str, condition: str
) -> None:
    refuse(site.database, table, condition)
    run, [(name, reason)] = run_of(site, 3)
    ended, [attempt] = orm.run(site.database, run)
    assert (ended.status, ended.exit_code, ended.result) == ("failed", 3, None)
    assert (ended.error or "").startswith("exit code 3; the database refused the outcome, so ")
    assert attempt.command is None
    assert (name, "not this" in reason) == ("outcome.reduced", True)


def test_an_attempt_whose_end_is_refused_is_given_back(site: Driver) -> None:
    refuse(site.database, "run", "NEW.state = 'succeeded'")
    run, [(name, reason)] = run_of(site)
    waiting, [attempt] = orm.run(site.database, run)
    assert (waiting.status, waiting.losses, waiting.crashes) == ("queued", 1, 0)
    assert attempt.error == "the database refused the outcome; the run is queued again"
    assert (name, "not this" in reason) == ("outcome.given_back", True)


def test_an_outcome_that_cannot_be_recorded_at_all_is_left_to_recovery(site: Driver) -> None:
    refuse(site.database, "run", "NEW.attempt = 1 AND NEW.state <> 'running'")
    run, [(name, reason)] = run_of(site)
    assert site.status(run) == "running"
    assert not site.runner.roster.has(run)
    assert (name, "not this" in reason) == ("outcome.lost", True)


def test_an_outcome_waits_for_a_disk_that_is_full(driver: Driver) -> None:
    # Small writes may still succeed.
    claim = claimed_run(driver.database)
    pages = driver.database.peewee.execute_sql("PRAGMA page_count").fetchone()[0]
    driver.database.peewee.execute_sql(f"PRAGMA max_page_count = {pages}")
    held = driver.runner.lease
    outcome = orm.Outcome(result=f'"{"x" * 100_000}"')

    def make_room(_: Record) -> None:
        driver.database.peewee.execute_sql("PRAGMA max_page_count = 1000000")

    with recorded() as records:
        add_handler(make_room)
        try:
            state = recorder.Recorder(driver.database, held, held.worker, claim, Troubles()).record(
                Verdict.SUCCEEDED, outcome, [], 0.0
            )
        finally:
            remove_handler(make_room)
    assert (state, [each.name for each in records]) == (orm.State.SUCCEEDED, ["outcome.waiting"])
    assert view(driver.database, claim.run).result == "x" * 100_000


def test_an_outcome_waits_for_a_server_that_is_read_only(
    driver: Driver, start_attempt: Callable[..., Started], postgres_url: str
) -> None:
    name = urlsplit(postgres_url).path[1:]
    with (
        closing(orm.Database(postgres_url, connections=2)) as database,
        closing(psycopg.connect(postgres_url, autocommit=True)) as server,
        recorded() as records,
    ):
        database.prepare(attempts=1, wait=0)
        driver.database = database
        driver.runner = replace(driver.runner, database=database)
        started = start_attempt("echo output; {}; exec sleep 0.5")
        server.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on".encode())
        database.close()
        wait_until(lambda: any(each.name == "outcome.waiting" for each in records))
        server.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = off".encode())
        database.close()
        started.attempt.result(DEADLINE)
        run = view(database, started.run)
        assert (run.status, run.error, driver.output(run)) == ("succeeded", None, "output\n")


@pytest.mark.parametrize("damage", ["column", "table"])
def test_an_outcome_ends_its_attempt_although_a_part_of_the_schema_is_gone(
    site: Driver, damage: str
) -> None:
    drop = (
        "ALTER TABLE attempt DROP COLUMN last_line" if damage == "column" else "DROP TABLE output"
    )
    application = shell(SCRIPT + "0")
    run = site.offer(application, make_event())
    change(site.database, drop)
    with recorded() as records:
        site.runner.make_attempt(run)
    last = records[-2]
    assert last.name == ("outcome.given_back" if damage == "column" else "outcome.reduced")
    with site.database.reading():
        [state] = site.database.fetch("SELECT state FROM run", ()).fetchone()
    assert state == ("queued" if damage == "column" else "succeeded")


def record(driver: Driver, outcome: orm.Outcome) -> orm.RunView:
    """Record an outcome of a new run, as a failure; return the run."""
    claim = claimed_run(driver.database)
    lease = driver.runner.lease
    recorder.Recorder(driver.database, lease, lease.worker, claim, Troubles()).record(
        Verdict.FAILED, outcome, [], 0.0
    )
    return view(driver.database, claim.run)


@pytest.mark.parametrize("text", ["a\0b", "\udcff.txt", "\U0001f600" * 10])
def test_an_error_with_any_characters_is_stored(site: Driver, text: str) -> None:
    with recorded() as records:
        run = record(site, orm.Outcome(error=text))
    assert (run.status, (run.error or "").isprintable(), records) == ("failed", True, [])


def test_a_number_out_of_range_is_left_out(site: Driver) -> None:
    large = 2**70
    run = record(site, orm.Outcome(exit_code=large, error=f"exit code {large}"))
    assert (run.status, run.exit_code) == ("failed", None)
    assert f"exit code {large}; the database refused" in (run.error or "")


def test_an_outcome_larger_than_a_packet_is_reduced(driver: Driver) -> None:
    with servers.mysql() as url, closing(orm.Database(url, connections=2)) as database:
        database.prepare(attempts=1, wait=0)
        driver.database = database
        limit = database.peewee.execute_sql("SELECT @@max_allowed_packet").fetchone()[0]
        database.close()
        with recorded() as records:
            run = record(driver, orm.Outcome(exit_code=3, result=f'"{"x" * limit}"'))
    assert (run.status, run.exit_code, run.result) == ("failed", 3, None)
    assert records[-1].name == "outcome.reduced"
