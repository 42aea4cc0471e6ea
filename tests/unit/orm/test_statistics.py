"""Statistics: counts, durations, failures, and the last hour."""

import time

import pytest

from pacifica.dispatcher import orm
from pacifica.dispatcher.orm.search import uuid_at
from tests.factories import (
    accept_runs,
    accepted_runs,
    app,
    change,
    claimed,
    claimed_run,
    make_event,
    published_run,
    stored,
    superseded_event,
)


def ended(database: orm.Database, number: int, state: str, seconds: float) -> orm.Claim:
    """Store a run whose attempt took this many seconds; return its claim."""
    claim = claimed(database, published_run(database, number))
    orm.finish(database, claim, orm.State(state), orm.Outcome(), [])
    times = (1_000.0, 1_000.0 + seconds, claim.run)
    change(database, "UPDATE attempt SET started = ?, finished = ? WHERE run = ?", times)
    return claim


def test_an_empty_database_has_no_statistics(each_database: orm.Database) -> None:
    assert orm.run_counts(each_database) == {}
    assert orm.summaries(each_database, []) == {}
    assert orm.summaries(each_database, ["app"]) == {
        "app": orm.ApplicationSummary({}, 0, None, None, None)
    }
    assert (orm.waiting(each_database), orm.worker_views(each_database)) == ([], [])
    assert orm.recent_ends(each_database, "app", 20) == []


def test_runs_are_counted_by_state_and_application(each_database: orm.Database) -> None:
    accepted_runs(each_database, make_event(1), "one", "two")
    claimed_run(each_database, 2)
    accepted_runs(each_database, make_event(3), "one")
    assert orm.run_counts(each_database) == {"queued": 3, "running": 1}
    found = orm.summaries(each_database, ["one", "two", "app"])
    assert {name: each.runs for name, each in found.items()} == {
        "one": {"queued": 2},
        "two": {"queued": 1},
        "app": {"running": 1},
    }


def test_superseded_runs_do_not_count(database: orm.Database) -> None:
    superseded_event(database, "app")
    assert orm.run_counts(database) == {"queued": 1}
    assert orm.summaries(database, ["app"])["app"].runs == {"queued": 1}


def test_counts_stop_at_the_maximum(
    database: orm.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pacifica.dispatcher.orm.statistics.MAX_COUNTED", 3)
    accept_runs(database, app(), *range(5))
    assert orm.run_counts(database) == {"queued": 3}


def test_durations_are_those_of_successes(each_database: orm.Database) -> None:
    for number in range(20):
        ended(each_database, number, "succeeded", number + 1.0)
    ended(each_database, 20, "failed", 1_000.0)
    summary = orm.summaries(each_database, ["app"])["app"]
    assert (summary.median, summary.p95) == (10.0, 19.0)
    assert summary.last_success == 1_020.0


@pytest.mark.parametrize("seconds", [[1.0], [1.0, 2.0], [1.0, 2.0, 3.0]])
def test_a_quantile_is_one_of_the_durations(database: orm.Database, seconds: list[float]) -> None:
    for number, each in enumerate(seconds):
        ended(database, number, "succeeded", each)
    summary = orm.summaries(database, ["app"])["app"]
    assert (summary.median, summary.p95) == (seconds[(len(seconds) - 1) // 2], seconds[-1])


def test_failures_of_the_last_day_are_counted(database: orm.Database) -> None:
    ended(database, 1, "failed", 1.0)
    old = ended(database, 2, "failed", 1.0)
    ended(database, 3, "cancelled", 1.0)
    past = uuid_at(time.time() - 25 * 3600.0)
    columns = "id, type, sent, source, received, type_hash, source_hash, unmatched"
    copy = (
        f"INSERT INTO event (uuid, identity, {columns}) SELECT ?, ?, {columns} FROM event LIMIT 1"  # noqa: S608
    )
    change(database, copy, (past, "another"))
    change(database, "UPDATE run SET event = ? WHERE uuid = ?", (past, old.run))
    assert orm.summaries(database, ["app"])["app"].failed_today == 1


def test_the_latest_end_of_an_application_comes_first(each_database: orm.Database) -> None:
    lengths = {
        ended(each_database, number, state, number + 1.0).run: (state, number + 1.0)
        for number, state in enumerate(["succeeded", "failed", "cancelled", "succeeded"])
    }
    found = orm.recent_ends(each_database, "app", 2)
    assert [(end.status, end.duration) for end in found] == [("succeeded", 4.0), ("failed", 2.0)]
    assert [lengths[end.run] for end in found] == [(end.status, end.duration) for end in found]


def failed(
    database: orm.Database, number: int, outcome: orm.Outcome, last_line: str | None = None
) -> str:
    """Store a run that failed with this outcome; return its uuid."""
    claim = claimed(database, published_run(database, number))
    orm.finish(database, claim, orm.State.FAILED, outcome, [])
    change(database, "UPDATE attempt SET last_line = ? WHERE run = ?", (last_line, claim.run))
    return claim.run


def test_failures_are_grouped_by_cause(each_database: orm.Database) -> None:
    exits, killed = orm.Outcome(exit_code=3), orm.Outcome(signal="SIGKILL")
    runs = [
        failed(each_database, 1, exits, "line 17 of 200 is bad"),
        failed(each_database, 2, exits, "line 4 of 200 is bad"),
        failed(each_database, 3, exits, "no such file"),
        failed(each_database, 4, killed),
        failed(each_database, 5, orm.Outcome(error="cannot be started")),
    ]
    for place, run in enumerate(runs):
        change(each_database, "UPDATE run SET finished = ? WHERE uuid = ?", (1_000.0 + place, run))
    first, *others = orm.failure_groups(each_database)
    common = ("app", "exit code 3", "line # of # is bad")
    assert first == orm.FailureGroup(*common, (runs[1], runs[0]), 1_001.0)
    assert {(each.how, each.last_line, len(each.runs)) for each in others} == {
        ("exit code 3", "no such file", 1),
        ("SIGKILL", "", 1),
        ("cannot be started", "", 1),
    }


def test_superseded_failures_are_not_grouped(database: orm.Database) -> None:
    superseded_event(database, "app")
    ended(database, 2, "succeeded", 1.0)
    ended(database, 3, "cancelled", 1.0)
    assert orm.failure_groups(database) == []


def test_the_history_counts_the_runs_of_each_minute(each_database: orm.Database) -> None:
    published_run(each_database, 1)
    ended(each_database, 2, "failed", 1.0)
    [earlier] = accepted_runs(each_database, make_event(3), "app")
    moved = "UPDATE run SET queued = ? WHERE uuid = ?"
    change(each_database, moved, (time.time() - 60 * 10.5, earlier))
    stored(each_database, 4)
    minutes = orm.history(each_database)
    assert [minute.ago for minute in minutes] == list(range(59, -1, -1))
    assert {minute.ago: minute.numbers for minute in minutes if minute.numbers} == {
        10: {"queued": 1},
        0: {"queued": 1, "failed": 1, "unmatched": 1},
    }
