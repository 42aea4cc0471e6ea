"""Waiting runs: their number and the reason why they wait."""

import time

import pytest

from pacifica.dispatcher import orm
from pacifica.dispatcher.orm import LimitKind, Reason, Takers, WaitingRuns
from tests.factories import accept_runs, app, claimed, due, published_run

TAKERS = Takers(
    queues=frozenset({"default"}),
    known=frozenset({"app", "a"}),
    configured=frozenset({"app", "a", "new"}),
    default="default",
)


def test_waiting_runs_are_counted_by_reason(each_database: orm.Database) -> None:
    limited, other = app("limited", concurrency=1), app("other", queue="gpu")
    accept_runs(each_database, limited, *range(3))
    accept_runs(each_database, other, "a", "b")
    due(each_database, 2, limited)
    assert orm.waiting(each_database) == [
        WaitingRuns("limited", "", LimitKind.CONCURRENCY, False, False, 2),
        WaitingRuns("limited", "", None, True, False, 1),
        WaitingRuns("other", "gpu", None, True, False, 2),
    ]


def test_a_run_that_is_due_later_waits_for_its_time(database: orm.Database) -> None:
    claim = claimed(database, published_run(database))
    orm.postpone(
        database, claim, orm.State.RETRYING, orm.Outcome(exit_code=1), [], due=time.time() + 60
    )
    [waiting] = orm.waiting(database)
    assert orm.reason(waiting, TAKERS) is Reason.LATER


@pytest.mark.parametrize(
    ("waiting", "reason"),
    [
        (WaitingRuns("a", "", LimitKind.PAUSED, False, False, 1), Reason.PAUSED),
        (WaitingRuns("a", "", LimitKind.CONCURRENCY, False, False, 1), Reason.LIMIT),
        (WaitingRuns("a", "", LimitKind.RATE, False, True, 1), Reason.RATE),
        (WaitingRuns("a", "", None, False, True, 1), Reason.LATER),
        (WaitingRuns("a", "gpu", None, True, False, 1), Reason.NO_WORKER),
        (WaitingRuns("a", "", None, True, False, 1), Reason.QUEUED),
        (WaitingRuns("a", "default", None, False, False, 1), Reason.QUEUE_FULL),
        (WaitingRuns("new", "", LimitKind.UNKNOWN, False, False, 1), Reason.UNKNOWN),
        (WaitingRuns("new", "", None, True, False, 1), Reason.UNKNOWN),
        (WaitingRuns("new", "gpu", LimitKind.UNKNOWN, False, False, 1), Reason.NO_WORKER),
        (WaitingRuns("old", "", LimitKind.PAUSED, False, False, 1), Reason.NOT_CONFIGURED),
        (WaitingRuns("old", "gpu", None, True, False, 1), Reason.NOT_CONFIGURED),
    ],
)
def test_runs_wait_for_one_reason(waiting: WaitingRuns, reason: Reason) -> None:
    assert orm.reason(waiting, TAKERS) is reason
