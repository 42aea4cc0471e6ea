"""Paused applications: their runs wait, even with wake-ups in flight; others continue."""

import pytest

from pacifica.dispatcher import orm
from tests.factories import (
    accept_runs,
    app,
    at_once,
    claimant,
    claimed,
    due,
    published_run,
    view,
)


def test_no_run_of_a_paused_application_is_published(each_database: orm.Database) -> None:
    paused, other = app("paused"), app("other")
    orm.pause(each_database, "paused")
    accept_runs(each_database, paused, *range(3))
    [run] = accept_runs(each_database, other, "other")
    assert due(each_database, 1000, paused, other) == [run]


def test_the_runs_of_a_resumed_application_are_published(each_database: orm.Database) -> None:
    runs = accept_runs(each_database, app(), *range(3))
    orm.pause(each_database, "app")
    assert due(each_database) == []
    orm.resume(each_database, "app")
    assert due(each_database) == runs


def test_a_wakeup_in_flight_of_a_paused_application_is_void(
    each_database: orm.Database,
) -> None:
    run = published_run(each_database)
    orm.pause(each_database, "app")
    assert orm.claim(each_database, run, claimant()) is None
    orm.resume(each_database, "app")
    assert due(each_database) == [run]


def test_an_attempt_continues_while_its_application_is_paused(database: orm.Database) -> None:
    claim = claimed(database, published_run(database))
    orm.pause(database, "app")
    assert orm.finish(database, claim, orm.State.SUCCEEDED, orm.Outcome(), [])


def test_a_retry_of_a_paused_application_waits(
    database: orm.Database,
) -> None:
    claim = claimed(database, published_run(database))
    orm.pause(database, "app")
    orm.postpone(database, claim, orm.State.RETRYING, orm.Outcome(exit_code=1), [], due=0.0)
    assert due(database) == []
    orm.resume(database, "app")
    assert due(database) == [claim.run]


def test_reconsidering_limits_unblocks_no_paused_run(database: orm.Database) -> None:
    limited = app(concurrency=1)
    accept_runs(database, limited, *range(2))
    orm.pause(database, "app")
    assert due(database, 1000, limited) == []
    orm.reconsider(database, {"app": limited})
    assert due(database, 1000, limited) == []


def test_a_resumed_application_keeps_its_concurrency_limit(database: orm.Database) -> None:
    limited = app(concurrency=1)
    runs = accept_runs(database, limited, *range(3))
    orm.pause(database, "app")
    due(database, 1000, limited)
    orm.resume(database, "app")
    assert due(database, 1000, limited) == runs[:1]


def test_a_run_of_a_paused_application_can_be_cancelled(database: orm.Database) -> None:
    [run] = accept_runs(database, app(), *range(1))
    orm.pause(database, "app")
    due(database)
    assert orm.ask_to_cancel(database, run) is orm.State.CANCELLED
    orm.resume(database, "app")
    assert due(database) == []


def test_pausing_twice_keeps_the_first_time(each_database: orm.Database) -> None:
    assert orm.paused(each_database) == {}
    orm.pause(each_database, "app")
    first = orm.paused(each_database)
    orm.pause(each_database, "app")
    assert orm.paused(each_database) == first
    assert list(first) == ["app"]


@pytest.mark.parametrize("times", [0, 1, 2])
def test_an_application_can_be_resumed_at_any_time(database: orm.Database, times: int) -> None:
    orm.pause(database, "other")
    for _ in range(times):
        orm.resume(database, "app")
    assert list(orm.paused(database)) == ["other"]


def test_no_run_slips_through_while_its_application_is_paused(
    each_database: orm.Database,
) -> None:
    runs = accept_runs(each_database, app(), *range(60))
    published: list[str] = []

    def publish() -> None:
        for _ in range(20):
            published.extend(due(each_database, 5))
        each_database.close()

    def pause() -> None:
        orm.pause(each_database, "app")
        each_database.close()

    at_once(publish, publish, pause)
    assert [orm.claim(each_database, run, claimant()) for run in published] == [None] * len(
        published
    )
    assert {view(each_database, run).status for run in runs} == {"queued"}
