"""How things stand: counts, durations, the last hour, what waits and why, and who works."""

import time

import pytest

from pacifica.dispatcher import orm
from pacifica.dispatcher.orm import Reason, Waiting
from pacifica.dispatcher.orm.search import uuid_at
from tests.support import registration
from tests.unit.conftest import (
    accept_runs,
    accepted_runs,
    app,
    change,
    claimant,
    claimed,
    claimed_run,
    due,
    make_event,
    published_run,
    stored,
    superseded_event,
)


def ended(database: orm.Database, number: int, state: str, seconds: float) -> orm.Claim:
    """A run that took so long."""
    claim = claimed(database, published_run(database, number))
    arrow = {"succeeded": orm.succeed, "failed": orm.fail, "cancelled": orm.cancel}[state]
    arrow(database, claim, orm.Outcome(), [])
    times = (1_000.0, 1_000.0 + seconds, claim.run)
    change(database, "UPDATE attempt SET started = ?, finished = ? WHERE run = ?", times)
    return claim


def test_nothing_is_counted_at_first(each_database: orm.Database) -> None:
    assert orm.run_counts(each_database) == {}
    assert orm.summaries(each_database, []) == {}
    assert orm.summaries(each_database, ["app"]) == {"app": orm.Summary({}, 0, None, None, None)}
    assert (orm.waiting(each_database), orm.worker_views(each_database)) == ([], [])
    assert orm.ends(each_database, "app", 20) == []


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


def test_counting_ends_somewhere(database: orm.Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pacifica.dispatcher.orm.overview.MOST", 3)
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
def test_a_quantile_is_a_duration_that_there_was(
    database: orm.Database, seconds: list[float]
) -> None:
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


def test_the_last_ends_of_an_application_come_last_one_first(each_database: orm.Database) -> None:
    lengths = {
        ended(each_database, number, state, number + 1.0).run: (state, number + 1.0)
        for number, state in enumerate(["succeeded", "failed", "cancelled", "succeeded"])
    }
    found = orm.ends(each_database, "app", 2)
    assert [(end.status, end.duration) for end in found] == [("succeeded", 4.0), ("failed", 2.0)]
    assert [lengths[end.run] for end in found] == [(end.status, end.duration) for end in found]


def failed(
    database: orm.Database, number: int, outcome: orm.Outcome, last_line: str | None = None
) -> str:
    """The uuid of a run that failed so."""
    claim = claimed(database, published_run(database, number))
    orm.fail(database, claim, outcome, [])
    change(database, "UPDATE attempt SET last_line = ? WHERE run = ?", (last_line, claim.run))
    return claim.run


def test_failures_are_grouped_by_what_they_have_in_common(each_database: orm.Database) -> None:
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
    first, *others = orm.failures(each_database)
    common = ("app", "exit code 3", "line # of # is bad")
    assert first == orm.Failures(*common, (runs[1], runs[0]), 1_001.0)
    assert {(each.how, each.last_line, len(each.runs)) for each in others} == {
        ("exit code 3", "no such file", 1),
        ("SIGKILL", "", 1),
        ("cannot be started", "", 1),
    }


def test_only_failures_that_stand_are_grouped(database: orm.Database) -> None:
    superseded_event(database, "app")
    ended(database, 2, "succeeded", 1.0)
    ended(database, 3, "cancelled", 1.0)
    assert orm.failures(database) == []


def test_the_last_hour_is_told_minute_by_minute(each_database: orm.Database) -> None:
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


def test_runs_that_wait_are_told_with_what_holds_them_back(each_database: orm.Database) -> None:
    limited, other = app("limited", concurrency=1), app("other", queue="gpu")
    accept_runs(each_database, limited, *range(3))
    accept_runs(each_database, other, "a", "b")
    due(each_database, 2, limited)
    assert orm.waiting(each_database) == [
        Waiting("limited", "", "concurrency limited", False, False, 2),
        Waiting("limited", "", None, True, False, 1),
        Waiting("other", "gpu", None, True, False, 2),
    ]


def test_a_run_that_is_due_later_waits_for_its_time(database: orm.Database) -> None:
    claim = claimed(database, published_run(database))
    orm.retry_later(database, claim, orm.Outcome(1), [], time.time() + 60)
    [waiting] = orm.waiting(database)
    assert orm.reason(waiting, ["default"], "default") is Reason.LATER


@pytest.mark.parametrize(
    ("waiting", "reason"),
    [
        (Waiting("a", "", "paused a", False, False, 1), Reason.PAUSED),
        (Waiting("a", "", "concurrency a", False, False, 1), Reason.LIMIT),
        (Waiting("a", "", "rate a", False, True, 1), Reason.RATE),
        (Waiting("a", "", None, False, True, 1), Reason.LATER),
        (Waiting("a", "gpu", None, True, False, 1), Reason.NO_WORKER),
        (Waiting("a", "", None, True, False, 1), Reason.QUEUED),
        (Waiting("a", "default", None, False, False, 1), Reason.QUEUE_FULL),
    ],
)
def test_there_is_one_reason_to_wait(waiting: Waiting, reason: Reason) -> None:
    assert orm.reason(waiting, ["default"], "default") is reason


def test_workers_say_what_they_run(each_database: orm.Database) -> None:
    orm.register(each_database, "idle", registration("b", "lock"))
    said = orm.Registration("a", "lock", 7.0, ("default", "gpu"), 4)
    orm.register(each_database, "worker", said)
    claim = orm.claim(each_database, published_run(each_database), claimant("worker"))
    assert claim is not None
    busy, idle = orm.worker_views(each_database)
    assert (busy.uuid, busy.host, busy.length) == ("worker", "a", 7.0)
    assert (busy.queues, busy.processes) == (("default", "gpu"), 4)
    [running] = busy.running
    assert (running.run, running.event, running.attempt) == (claim.run, claim.event, 1)
    assert (idle.uuid, idle.running) == ("idle", ())
