"""Orphans: waiting runs that no worker takes are named, blocked, moved, cancelled and resumed."""

from dataclasses import replace

from pacifica.dispatcher import orm
from pacifica.dispatcher.orm import Orphans
from tests.factories import (
    accept_runs,
    app,
    change,
    configured,
    due,
    registration,
    view,
)
from tests.unit.worker.factories import recorded

NOT_CONFIGURED = "not configured; add it, or cancel its runs and replay their events"


def test_runs_of_an_unconfigured_application_are_orphans(each_database: orm.Database) -> None:
    accept_runs(each_database, app("old"), 1, 2)
    accept_runs(each_database, app(), 3)
    known = {"app": app()}
    assert orm.orphans(each_database, known, "default") == [Orphans("old", 2, NOT_CONFIGURED)]


def test_an_application_that_a_worker_runs_has_no_orphans(database: orm.Database) -> None:
    accept_runs(database, app(), 1)
    assert orm.orphans(database, {}, "default") != []
    orm.register(database, "worker", registration("host", "lock"))
    assert orm.orphans(database, {}, "default") == []


def test_runs_that_have_ended_are_no_orphans(database: orm.Database) -> None:
    [run] = accept_runs(database, app("old"), 1)
    assert orm.ask_to_cancel(database, run) is orm.State.CANCELLED
    assert orm.orphans(database, {}, "default") == []


def test_runs_in_a_queue_that_nobody_uses_are_orphans(each_database: orm.Database) -> None:
    accept_runs(each_database, app(queue="gone"), 1)
    accept_runs(each_database, app("other", queue="gone"), 2)
    due(each_database, 1)
    known = {"app": app(), "other": app("other")}
    reason = "no worker consumes queue gone; start one"
    assert orm.orphans(each_database, known, "default") == [
        Orphans("app", 1, reason),
        Orphans("other", 1, reason),
    ]


def test_a_configured_queue_may_wait_for_its_worker(database: orm.Database) -> None:
    application = app(queue="gpu")
    accept_runs(database, application, 1)
    assert orm.orphans(database, {"app": application}, "default") == []


def test_orphans_are_logged(database: orm.Database) -> None:
    accept_runs(database, app("old"), 1)
    with recorded() as records:
        orm.report_orphans(database, {}, "default")
    [record] = records
    assert (record.name, record.fields) == (
        "runs.orphaned",
        {"application": "old", "number": 1, "reason": NOT_CONFIGURED},
    )


def test_unknown_runs_are_blocked_until_a_worker_knows_them(each_database: orm.Database) -> None:
    runs = accept_runs(each_database, app(), 1, 2)
    orm.block_unknown(each_database, {})
    known = {"app": app()}
    orm.reconsider(each_database, known)
    assert due(each_database) == []
    orm.register(each_database, "worker", registration("host", "lock"))
    orm.block_unknown(each_database, {})
    orm.reconsider(each_database, known)
    assert due(each_database) == runs


def test_waiting_runs_follow_their_application_to_another_queue(
    each_database: orm.Database,
) -> None:
    [*runs] = accept_runs(each_database, app(queue="gone"), 1, 2)
    assert due(each_database, 1) == runs[:1]
    known = {"app": app(priority=9)}
    assert orm.move(each_database, known, "default") == []
    orm.register(each_database, "worker", registration("host", "lock"))
    assert orm.move(each_database, known, "default") == [("app", 2)]
    assert orm.move(each_database, known, "default") == []
    assert orm.publish(each_database, 9, known)[0] == [orm.WakeUp(run, "") for run in runs]


def test_runs_leave_a_default_queue_that_no_worker_consumes(each_database: orm.Database) -> None:
    runs = accept_runs(each_database, app(), 1)
    serving = replace(registration("host", "lock"), queues=("gpu",))
    orm.register(each_database, "worker", serving)
    known = {"app": app(queue="gpu")}
    assert orm.move(each_database, known, "default") == [("app", 1)]
    assert orm.publish(each_database, 9, known)[0] == [orm.WakeUp(run, "gpu") for run in runs]


def test_runs_stay_in_a_queue_that_a_worker_consumes(database: orm.Database) -> None:
    accept_runs(database, app(queue="gpu"), 1)
    serving = replace(registration("host", "lock"), queues=("default", "gpu"))
    orm.register(database, "worker", serving)
    assert orm.move(database, {"app": app()}, "default") == []


def test_a_move_keeps_the_time_of_a_retry(database: orm.Database) -> None:
    [run] = accept_runs(database, app(queue="gone"), 1)
    change(database, "UPDATE run SET state = 'retrying', due = queued + 600")
    orm.register(database, "worker", registration("host", "lock"))
    assert orm.move(database, configured(database), "default") == [("app", 1)]
    moved = view(database, run)
    assert moved.due == moved.queued + 600
