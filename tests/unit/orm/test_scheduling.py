"""Publish runs: in order, within the window of each queue and the limits of applications."""

import threading
import time
from collections.abc import Callable
from functools import partial
from itertools import combinations, pairwise

import pytest

from harness import DEADLINE, wait_until
from pacifica.dispatcher import orm
from pacifica.dispatcher.applications import Application, Rate
from pacifica.dispatcher.applications.command_template import Argument
from tests.factories import (
    accept_runs,
    app,
    at_once,
    change,
    claim_next,
    claimed,
    claimed_run,
    configured,
    count,
    due,
    make_event,
    published_run,
    registration,
    view,
)

End = Callable[[orm.Database, orm.Claim], object]


def crash(database: orm.Database, claim: orm.Claim) -> object:
    [held] = [each for each in orm.attempts_of(database, "worker") if each.run == claim.run]
    return orm.crash(database, held, "it died", 3)


ENDS: dict[str, End] = {
    "succeed": lambda database, claim: orm.finish(
        database, claim, orm.State.SUCCEEDED, orm.Outcome(), []
    ),
    "fail": lambda database, claim: orm.finish(
        database, claim, orm.State.FAILED, orm.Outcome(), []
    ),
    "cancel": lambda database, claim: orm.finish(
        database, claim, orm.State.CANCELLED, orm.Outcome(), []
    ),
    "release": lambda database, claim: orm.postpone(
        database, claim, orm.State.QUEUED, orm.Outcome(), [], due=5e9
    ),
    "retry_later": lambda database, claim: orm.postpone(
        database, claim, orm.State.RETRYING, orm.Outcome(), [], due=5e9
    ),
}
EACH_END = pytest.mark.parametrize("end", ENDS.values(), ids=ENDS.keys())


def accept(database: orm.Database, *numbers: int) -> list[str]:
    """Store an event for each number; return the uuids of their runs."""
    return accept_runs(database, app(), *numbers)


def publish(
    database: orm.Database, window: int, *applications: Application
) -> tuple[list[str], bool]:
    """Publish; return the published runs, and True if more runs wait."""
    wakeups, more = orm.publish(database, window, configured(database, *applications))
    return [wakeup.run for wakeup in wakeups], more


def keyed(concurrency: int) -> Application:
    """Make an application whose concurrency limit applies to each subject separately."""
    return app(concurrency=concurrency, concurrency_key=Argument.parse("{subject}"))


def accept_subject(
    database: orm.Database, application: Application, number: int, subject: str
) -> str:
    event = make_event(number, subject=subject)
    [accepted] = orm.accept(database, [orm.Arrival(event, [application])])
    return orm.event(database, accepted.uuid).runs[0].uuid


def test_without_runs_nothing_is_published(database: orm.Database) -> None:
    assert publish(database, 10) == ([], False)


def test_a_due_run_is_published_once(database: orm.Database) -> None:
    runs = accept(database, 1, 2)
    assert publish(database, 10) == (runs, False)
    assert publish(database, 10) == ([], False)


def test_no_more_wakeups_are_in_flight_than_the_window_allows(database: orm.Database) -> None:
    runs = accept(database, *range(5))
    assert publish(database, 3) == (runs[:3], True)
    assert publish(database, 3) == ([], True)


def test_a_claim_makes_room_in_the_window(database: orm.Database) -> None:
    runs = accept(database, *range(5))
    due(database, 3)
    claimed(database, runs[1])
    assert due(database, 3) == [runs[3]]


def test_the_run_that_has_been_due_longest_is_published_first(database: orm.Database) -> None:
    one, two, three = accept(database, 1, 2, 3)
    now = time.time()
    for run, when in ((one, now - 10), (two, now - 30), (three, now - 20)):
        change(database, "UPDATE run SET due = ? WHERE uuid = ?", (when, run))
    assert due(database) == [two, three, one]


def test_a_run_that_is_due_later_is_not_published_now(database: orm.Database) -> None:
    later, now = accept(database, 1, 2)
    change(database, "UPDATE run SET due = ? WHERE uuid = ?", (time.time() + 60, later))
    assert due(database) == [now]


def test_runs_of_a_higher_priority_are_published_first(each_database: orm.Database) -> None:
    runs = {
        priority: accept_runs(each_database, app(priority=priority), priority, priority + 10)
        for priority in (1, 5, 9, 0)
    }
    assert due(each_database) == [*runs[9], *runs[5], *runs[1], *runs[0]]


def test_runs_of_a_lower_priority_wait_for_room(database: orm.Database) -> None:
    accept_runs(database, app(priority=1), 1)
    runs = accept_runs(database, app(priority=2), 2, 3)
    assert publish(database, 2) == (runs, True)


def test_a_run_of_a_high_priority_that_is_not_due_delays_no_other(database: orm.Database) -> None:
    [later] = accept_runs(database, app(priority=9), 1)
    runs = accept_runs(database, app(priority=1), 2)
    change(database, "UPDATE run SET due = due + 60 WHERE uuid = ?", (later,))
    assert publish(database, 10) == (runs, False)


def test_each_queue_has_its_own_window(each_database: orm.Database) -> None:
    for name in ("", "Large", "large"):
        accept_runs(each_database, app(queue=name), *(f"{name}-{n}" for n in range(3)))
    wakeups, more = orm.publish(each_database, 2, configured(each_database))
    assert sorted(wakeup.queue for wakeup in wakeups) == sorted(["", "Large", "large"] * 2)
    assert more


def test_a_full_queue_does_not_delay_another(database: orm.Database) -> None:
    accept_runs(database, app(queue="a", priority=9), *range(5))
    publish(database, 2)
    [run] = accept_runs(database, app(queue="b", priority=0), 10)
    assert orm.publish(database, 2, configured(database)) == ([orm.WakeUp(run, "b")], True)


def test_two_publishers_never_publish_the_same_run(database: orm.Database) -> None:
    def publish_all() -> list[str]:
        mine: list[str] = []
        while found := due(database):
            mine += found
        database.close()
        return mine

    runs = accept(database, *range(100))
    one, two = at_once(publish_all, publish_all)
    assert sorted(one + two) == sorted(runs)


def test_no_more_runs_are_published_than_the_concurrency_allows(
    database: orm.Database,
) -> None:
    application = app(concurrency=2)
    runs = accept_runs(database, application, *range(5))
    assert publish(database, 10, application) == (runs[:2], True)
    assert publish(database, 10, application) == ([], True)


def test_a_running_run_counts_like_a_wakeup_in_flight(database: orm.Database) -> None:
    application = app(concurrency=2)
    runs = accept_runs(database, application, *range(5))
    publish(database, 10, application)
    claimed(database, runs[0], application)
    assert publish(database, 10, application) == ([], True)


@EACH_END
def test_the_end_of_an_attempt_unblocks_the_oldest_run(
    each_database: orm.Database, end: End
) -> None:
    database, application = each_database, app(concurrency=2)
    runs = accept_runs(database, application, *range(5))
    publish(database, 10, application)
    claim = claimed(database, runs[0], application)
    publish(database, 10, application)
    end(database, claim)
    assert publish(database, 10, application)[0] == [runs[2]]


def test_a_crash_unblocks_the_next_run(database: orm.Database) -> None:
    application = app(concurrency=1)
    runs = accept_runs(database, application, *range(3))
    claim = claim_next(database, application)
    publish(database, 10, application)
    crash(database, claim)
    assert publish(database, 10, application)[0] == [runs[1]]


def test_cancelling_a_published_run_unblocks_the_next(database: orm.Database) -> None:
    application = app(concurrency=1)
    runs = accept_runs(database, application, *range(3))
    publish(database, 10, application)
    orm.ask_to_cancel(database, runs[0])
    assert publish(database, 10, application)[0] == [runs[1]]


def test_a_blocked_run_that_was_cancelled_is_not_published(database: orm.Database) -> None:
    application = app(concurrency=1)
    runs = accept_runs(database, application, *range(3))
    claim = claim_next(database, application)
    publish(database, 10, application)
    orm.ask_to_cancel(database, runs[1])
    assert publish(database, 10, application)[0] == []
    ENDS["succeed"](database, claim)
    assert publish(database, 10, application)[0] == [runs[2]]


def test_nothing_waits_once_the_last_blocked_run_is_published(database: orm.Database) -> None:
    application = app(concurrency=1)
    accept_runs(database, application, 1, 2)
    claim = claim_next(database, application)
    publish(database, 10, application)
    ENDS["succeed"](database, claim)
    publish(database, 10, application)
    assert publish(database, 10, application) == ([], False)


def test_a_concurrency_limit_applies_to_each_value_of_its_key(database: orm.Database) -> None:
    application = keyed(1)
    runs = [
        accept_subject(database, application, number, subject)
        for number, subject in enumerate(["a", "b", "a", "c", "b"])
    ]
    assert publish(database, 10, application) == ([runs[0], runs[1], runs[3]], True)


def test_the_end_of_an_attempt_unblocks_a_run_with_the_same_key(
    each_database: orm.Database,
) -> None:
    database, application = each_database, keyed(1)
    runs = [
        accept_subject(database, application, number, subject)
        for number, subject in enumerate(["a", "b", "b", "a"])
    ]
    publish(database, 10, application)
    ENDS["succeed"](database, claimed(database, runs[0], application))
    assert publish(database, 10, application)[0] == [runs[3]]


def test_events_without_the_key_share_a_slot(database: orm.Database) -> None:
    application = keyed(1)
    runs = accept_runs(database, application, 1, 2)
    assert publish(database, 10, application)[0] == runs[:1]


def test_the_limits_of_applications_are_independent(database: orm.Database) -> None:
    one, two = app("one", concurrency=1), app("two", concurrency=1)
    runs = [
        *accept_runs(database, one, 1, 2),
        *accept_runs(database, two, 3, 4),
    ]
    assert publish(database, 10, one, two)[0] == [runs[0], runs[2]]


def test_thousands_of_blocked_runs_do_not_delay_others(database: orm.Database) -> None:
    limited = app("limited", concurrency=1, priority=9)
    first = [orm.Arrival(make_event(number), [limited]) for number in range(3000)]
    orm.accept(database, first)
    [behind] = accept_runs(database, app("free", priority=9), "last")
    assert behind in publish(database, 10, limited)[0]


def test_a_blocked_run_is_not_a_candidate(database: orm.Database) -> None:
    limited = app("limited", concurrency=1)
    accept_runs(database, limited, *range(5))
    publish(database, 10, limited)
    with database.reading():
        counted = database.fetch(
            "SELECT COUNT(*) FROM run WHERE due IS NOT NULL AND blocked IS NULL", ()
        ).fetchone()
    assert counted == (0,)


def test_blocked_runs_leave_the_window_to_others(
    database: orm.Database,
) -> None:
    limited = app("limited", concurrency=1)
    [first, *_] = accept_runs(database, limited, *range(5))
    others = accept_runs(database, app("free"), *range(10, 15))
    assert publish(database, 3, limited) == ([first, *others[:2]], True)


def test_two_publishers_never_exceed_a_limit_while_attempts_end(
    each_database: orm.Database,
) -> None:
    database, application = each_database, app(concurrency=3)
    runs = accept_runs(database, application, *range(40))
    ended: list[str] = []
    most: list[int] = []
    over = threading.Event()
    until = time.monotonic() + DEADLINE

    def work(worker: str) -> None:
        while not over.is_set() and time.monotonic() < until:
            for run in due(database, 100, application):
                claim = claimed(database, run, application, worker=worker)
                orm.finish(database, claim, orm.State.SUCCEEDED, orm.Outcome(), [])
                ended.append(run)
            if len(ended) == len(runs):
                over.set()
        database.close()

    def observe() -> None:
        while not over.is_set() and time.monotonic() < until:
            with database.reading():
                row = database.fetch(
                    "SELECT COUNT(*) FROM run WHERE published IS NOT NULL OR worker IS NOT NULL", ()
                ).fetchone()
            most.append(row[0])
        database.close()

    at_once(partial(work, "one"), partial(work, "two"), observe)
    assert sorted(ended) == sorted(runs)
    assert 0 < max(most) <= 3


def test_concurrent_publishers_share_a_limit(each_database: orm.Database) -> None:
    def publish_once(application: Application) -> list[str]:
        found = due(each_database, 100, application)
        each_database.close()
        return found

    for number in range(10):
        application = app(f"app-{number}", concurrency=1)
        accept_runs(each_database, application, *(f"{number}-{each}" for each in range(5)))
        act = partial(publish_once, application)
        assert sorted(map(len, at_once(act, act))) == [0, 1]


def test_no_more_runs_are_published_at_once_than_the_burst_allows(database: orm.Database) -> None:
    application = app(rate=Rate(180, 60.0))
    runs = accept_runs(database, application, *range(10))
    assert publish(database, 100, application) == (runs[:3], True)
    assert publish(database, 100, application) == ([], True)


def test_starts_use_up_the_burst(database: orm.Database) -> None:
    application = app(rate=Rate(180, 60.0))
    runs = accept_runs(database, application, *range(10))
    change(database, "INSERT INTO pace (application, free_at) VALUES ('app', ?)", (5e9,))
    assert publish(database, 100, application) == ([], True)
    change(database, "UPDATE pace SET free_at = 0")
    for run in publish(database, 100, application)[0]:
        claimed(database, run, application)
    assert publish(database, 100, application)[0] == []
    assert view(database, runs[2]).status == "running"


def test_one_run_is_published_for_each_past_interval(
    each_database: orm.Database,
) -> None:
    database, application = each_database, app(rate=Rate(1, 60.0))
    runs = accept_runs(database, application, 1, 2, 3)
    claim_next(database, application)
    assert publish(database, 100, application) == ([], True)
    change(database, "UPDATE pace SET free_at = free_at - 60")
    assert publish(database, 100, application) == ([runs[1]], True)


def test_the_starts_in_any_time_span_conform_to_the_rate(database: orm.Database) -> None:
    rate = Rate(60, 2.0)
    application = app(rate=rate)
    accept_runs(database, application, *range(75))
    looks = [time.time()]

    def all_claimed() -> bool:
        looks.append(time.time())
        for run in due(database, 1000, application):
            claimed(database, run, application)
        return count(database, "attempt") == 75

    wait_until(all_claimed)
    with database.reading():
        rows = database.fetch("SELECT started FROM attempt ORDER BY started", ()).fetchall()
    starts = [started for (started,) in rows]
    for (first, since), (last, until) in combinations(enumerate(starts), 2):
        assert last - first + 1 <= rate.burst + (until - since) / rate.interval + 1e-3
    looks[-1] = starts[-1]  # the last claim; afterwards there was nothing to claim
    longest = max(later - earlier for earlier, later in pairwise(looks))
    assert starts[-1] - looks[0] < 2 * (75 - rate.burst) * rate.interval + longest


def test_a_rate_delays_only_its_own_application(database: orm.Database) -> None:
    slow = app("slow", rate=Rate(1, 3600.0), priority=9)
    first, *_ = accept_runs(database, slow, *range(2000))
    [other] = accept_runs(database, app("other"), "last")
    assert publish(database, 100, slow) == ([first, other], True)


def test_a_wakeup_in_flight_counts_for_the_rate(database: orm.Database) -> None:
    application = app(rate=Rate(1, 60.0))
    accept_runs(database, application, 1, 2)
    publish(database, 100, application)
    assert publish(database, 100, application) == ([], True)


def test_both_limits_of_an_application_hold(database: orm.Database) -> None:
    application = app(rate=Rate(180, 60.0), concurrency=2)
    runs = accept_runs(database, application, *range(5))
    assert publish(database, 100, application)[0] == runs[:2]
    for run in runs[:2]:
        ENDS["succeed"](database, claimed(database, run, application))
    assert publish(database, 100, application)[0] == runs[2:3]


def blocked(database: orm.Database, application: Application, number: int) -> list[str]:
    """Store runs, claim the first and let the limit block the others; return all."""
    runs = accept_runs(database, application, *range(number))
    claim_next(database, application)
    assert due(database, 100, application) == []
    return runs


def reconsidered(database: orm.Database, application: Application) -> list[str]:
    orm.reconsider(database, {application.name: application})
    return due(database, 100, application)


def test_without_blocked_runs_nothing_is_reconsidered(database: orm.Database) -> None:
    orm.reconsider(database, {"app": app(concurrency=1)})
    assert publish(database, 10) == ([], False)


@pytest.mark.parametrize(
    "application", [app(concurrency=1), app(rate=Rate(1, 60.0))], ids=["concurrency", "rate"]
)
def test_unchanged_limits_block_the_same_runs(
    database: orm.Database, application: Application
) -> None:
    blocked(database, application, 3)
    assert reconsidered(database, application) == []


def test_a_raised_limit_unblocks_as_many_runs_as_it_allows(database: orm.Database) -> None:
    runs = blocked(database, app(concurrency=1), 5)
    assert reconsidered(database, app(concurrency=3)) == runs[1:3]


def test_a_lowered_limit_unblocks_no_run(database: orm.Database) -> None:
    application = app(concurrency=2)
    runs = accept_runs(database, application, *range(5))
    first, _ = publish(database, 10, application)[0]
    assert reconsidered(database, app(concurrency=1)) == []
    ENDS["succeed"](database, claimed(database, first, app(concurrency=1)))
    assert due(database, 100, app(concurrency=1)) == []
    assert view(database, runs[2]).status == "queued"


@pytest.mark.parametrize(
    "application", [app(concurrency=1), app(rate=Rate(1, 60.0))], ids=["concurrency", "rate"]
)
def test_a_removed_limit_unblocks_all_runs(
    each_database: orm.Database, application: Application
) -> None:
    runs = blocked(each_database, application, 5)
    assert reconsidered(each_database, app()) == runs[1:]


def test_limits_of_an_unknown_application_are_left_to_those_who_know_it(
    database: orm.Database,
) -> None:
    blocked(database, app(concurrency=1), 3)
    orm.reconsider(database, {})
    assert due(database) == []


def test_runs_of_an_unknown_application_are_not_published(each_database: orm.Database) -> None:
    accept_runs(each_database, app("new", concurrency=1), 1, 2)
    [run] = accept_runs(each_database, app(), 3)
    wakeups, more = orm.publish(each_database, 10, {"app": app()})
    assert ([wakeup.run for wakeup in wakeups], more) == ([run], False)
    assert orm.publish(each_database, 10, {}) == ([], False)


def test_a_declined_run_is_offered_again_if_a_worker_knows_it(each_database: orm.Database) -> None:
    run = published_run(each_database)
    orm.register(each_database, "worker", registration("host", "lock"))
    orm.decline(each_database, run)
    assert due(each_database) == []
    change(each_database, "UPDATE run SET due = due - 1")
    assert due(each_database) == [run]


def test_a_declined_run_waits_for_a_worker_that_knows_it(each_database: orm.Database) -> None:
    run = published_run(each_database)
    orm.decline(each_database, run)
    change(each_database, "UPDATE run SET due = due - 1")
    known = {"app": app()}
    orm.reconsider(each_database, known)
    assert due(each_database) == []
    orm.register(each_database, "worker", registration("host", "lock"))
    orm.reconsider(each_database, known)
    assert due(each_database) == [run]


def test_only_a_published_run_can_be_declined(database: orm.Database) -> None:
    claim = claimed_run(database)
    orm.decline(database, claim.run)
    assert view(database, claim.run).due is None


def test_a_slot_that_was_never_released_is_found(database: orm.Database) -> None:
    application = app(concurrency=1)
    runs = blocked(database, application, 3)
    change(database, "UPDATE run SET state = 'failed', worker = NULL WHERE uuid = ?", (runs[0],))
    assert reconsidered(database, application) == [runs[1]]


def test_each_slot_is_reconsidered(each_database: orm.Database) -> None:
    runs = [
        accept_subject(each_database, keyed(1), number, subject)
        for number, subject in enumerate("abcabc")
    ]
    for run in publish(each_database, 100, keyed(1))[0]:
        claimed(each_database, run, keyed(1))
    assert reconsidered(each_database, keyed(2)) == runs[3:]


def test_a_rate_unblocks_the_oldest_run_of_all_slots(each_database: orm.Database) -> None:
    def limited(rate: Rate) -> Application:
        return app(rate=rate, concurrency=1, concurrency_key=Argument.parse("{subject}"))

    slow = limited(Rate(1, 3600.0))
    runs = [
        accept_subject(each_database, slow, number, subject)
        for number, subject in enumerate("dcba")
    ]
    claim_next(each_database, slow)
    due(each_database, 100, slow)
    change(each_database, "UPDATE pace SET free_at = free_at - 3600")
    assert reconsidered(each_database, slow) == runs[1:2]


def test_a_limit_unblocks_no_run_of_a_similar_application(database: orm.Database) -> None:
    one, other = app("a", concurrency=1), app("a b", concurrency=1)
    accept_runs(database, one, 1, 2)
    runs = accept_runs(database, other, 3, 4)
    publish(database, 10, one, other)
    ENDS["succeed"](database, claimed(database, runs[0], one, other))
    assert publish(database, 10, one, other)[0] == [runs[1]]


def test_an_unpublished_run_is_due_again(database: orm.Database) -> None:
    runs = accept(database, 1, 2, 3)
    due(database)
    assert orm.unpublish(database, runs[1:]) == 2
    assert due(database) == runs[1:]


def test_an_unpublished_run_precedes_later_ones(database: orm.Database) -> None:
    [first] = accept(database, 1)
    due(database)
    [second] = accept(database, 2)
    orm.unpublish(database, [first])
    assert due(database) == [first, second]


def test_a_run_that_was_claimed_in_between_is_not_unpublished(database: orm.Database) -> None:
    claim = claimed_run(database)
    assert orm.unpublish(database, [claim.run]) == 0
    assert publish(database, 10) == ([], False)


def test_a_run_whose_wakeup_was_lost_is_due_again(database: orm.Database) -> None:
    run = published_run(database)
    assert orm.republish_lost(database, "", 10, time.time()) == 1
    assert due(database) == [run]


def test_the_oldest_wakeups_are_assumed_to_be_the_lost_ones(
    each_database: orm.Database,
) -> None:
    runs = [published_run(each_database, number) for number in range(4)]
    assert orm.republish_lost(each_database, "", 2, time.time() + 60) == 2
    assert due(each_database) == runs[:2]


def test_a_recent_wakeup_is_not_lost(database: orm.Database) -> None:
    before = time.time()
    published_run(database)
    assert orm.republish_lost(database, "", 10, before - 1) == 0


def test_a_wakeup_of_another_queue_is_not_lost(database: orm.Database) -> None:
    published_run(database)
    assert orm.republish_lost(database, "elsewhere", 10, time.time()) == 0


def test_a_run_without_a_wakeup_in_flight_is_not_republished(database: orm.Database) -> None:
    claimed_run(database, 1)
    accept(database, 2)
    assert orm.republish_lost(database, "", 10, time.time() + 1) == 0


def test_wakeups_in_flight_are_counted_by_queue_until_they_are_claimed(
    each_database: orm.Database,
) -> None:
    database = each_database
    [first] = accept_runs(database, app(queue="a"), 1)
    due(database)
    change(database, "UPDATE run SET published = published - 60 WHERE uuid = ?", (first,))
    accept_runs(database, app(queue="a"), 2)
    accept_runs(database, app(queue="b"), 3)
    due(database)
    found = {queue: (number, oldest) for queue, number, oldest in orm.wakeups_in_flight(database)}
    assert {queue: number for queue, (number, _) in found.items()} == {"a": 2, "b": 1}
    assert found["b"][1] - found["a"][1] == pytest.approx(60, abs=29)
    claimed(database, first)
    assert all(each.oldest > found["a"][1] + 29 for each in orm.wakeups_in_flight(database))
