"""Publishing: in order, within each queue's window, and never beyond an application's limits."""

import threading
import time
from collections.abc import Callable
from functools import partial
from itertools import combinations

import pytest

from pacifica.dispatcher import orm
from pacifica.dispatcher.applications import Application, Rate
from pacifica.dispatcher.command import Argument
from tests.support import wait_until
from tests.unit.conftest import (
    DEADLINE,
    accept_runs,
    app,
    at_once,
    change,
    claim_next,
    claimed,
    claimed_run,
    count,
    due,
    make_event,
    published_run,
    view,
)

End = Callable[[orm.Database, orm.Claim], object]


def crash(database: orm.Database, claim: orm.Claim) -> object:
    [held] = [each for each in orm.held(database, "worker") if each.run == claim.run]
    return orm.crash(database, held, "it died", 3)


ENDS: dict[str, End] = {
    "succeed": lambda database, claim: orm.succeed(database, claim, orm.Outcome(), []),
    "fail": lambda database, claim: orm.fail(database, claim, orm.Outcome(), []),
    "cancel": lambda database, claim: orm.cancel(database, claim, orm.Outcome(), []),
    "release": lambda database, claim: orm.release(database, claim, orm.Outcome(), [], 5e9),
    "retry_later": lambda database, claim: orm.retry_later(database, claim, orm.Outcome(), [], 5e9),
}
EACH_END = pytest.mark.parametrize("end", ENDS.values(), ids=ENDS.keys())


def accept(database: orm.Database, *numbers: int) -> list[str]:
    """The uuids of a new run for each number."""
    return accept_runs(database, app(), *numbers)


def publish(
    database: orm.Database, window: int, *applications: Application
) -> tuple[list[str], bool]:
    """What is to be sent, and whether more waits."""
    wakeups, more = orm.publish(database, window, {each.name: each for each in applications})
    return [wakeup.run for wakeup in wakeups], more


def keyed(concurrency: int) -> Application:
    """An application whose limit counts for each subject."""
    return app(concurrency=concurrency, concurrency_key=Argument.parse("{subject}"))


def accept_subject(
    database: orm.Database, application: Application, number: int, subject: str
) -> str:
    event = make_event(number, subject=subject)
    [accepted] = orm.accept(database, [(event, [application])])
    return orm.event(database, accepted.uuid).runs[0].uuid


def test_publishing_nothing(database: orm.Database) -> None:
    assert publish(database, 10) == ([], False)


def test_what_is_due_is_published_once(database: orm.Database) -> None:
    runs = accept(database, 1, 2)
    assert publish(database, 10) == (runs, False)
    assert publish(database, 10) == ([], False)


def test_no_more_wakeups_are_on_their_way_than_the_window(database: orm.Database) -> None:
    runs = accept(database, *range(5))
    assert publish(database, 3) == (runs[:3], True)
    assert publish(database, 3) == ([], True)


def test_a_claim_makes_room_in_the_window(database: orm.Database) -> None:
    runs = accept(database, *range(5))
    due(database, 3)
    claimed(database, runs[1])
    assert due(database, 3) == [runs[3]]


def test_what_is_due_longest_is_published_first(database: orm.Database) -> None:
    one, two, three = accept(database, 1, 2, 3)
    now = time.time()
    for run, when in ((one, now - 10), (two, now - 30), (three, now - 20)):
        change(database, "UPDATE run SET due = ? WHERE uuid = ?", (when, run))
    assert due(database) == [two, three, one]


def test_what_is_due_later_is_not_published_now(database: orm.Database) -> None:
    later, now = accept(database, 1, 2)
    change(database, "UPDATE run SET due = ? WHERE uuid = ?", (time.time() + 60, later))
    assert due(database) == [now]


def test_what_has_a_higher_priority_is_published_first(each_database: orm.Database) -> None:
    runs = {
        priority: accept_runs(each_database, app(priority=priority), priority, priority + 10)
        for priority in (1, 5, 9, 0)
    }
    assert due(each_database) == [*runs[9], *runs[5], *runs[1], *runs[0]]


def test_what_has_a_lower_priority_waits_for_room(database: orm.Database) -> None:
    accept_runs(database, app(priority=1), 1)
    runs = accept_runs(database, app(priority=2), 2, 3)
    assert publish(database, 2) == (runs, True)


def test_a_high_priority_that_is_not_due_yet_holds_up_nobody(database: orm.Database) -> None:
    [later] = accept_runs(database, app(priority=9), 1)
    runs = accept_runs(database, app(priority=1), 2)
    change(database, "UPDATE run SET due = due + 60 WHERE uuid = ?", (later,))
    assert publish(database, 10) == (runs, False)


def test_each_queue_has_a_window_of_its_own(each_database: orm.Database) -> None:
    for name in ("", "Large", "large"):
        accept_runs(each_database, app(queue=name), *(f"{name}-{n}" for n in range(3)))
    wakeups, more = orm.publish(each_database, 2, {})
    assert sorted(wakeup.queue for wakeup in wakeups) == sorted(["", "Large", "large"] * 2)
    assert more


def test_a_queue_that_is_full_does_not_hold_up_another(database: orm.Database) -> None:
    accept_runs(database, app(queue="a", priority=9), *range(5))
    publish(database, 2)
    [run] = accept_runs(database, app(queue="b", priority=0), 10)
    assert orm.publish(database, 2, {}) == ([orm.WakeUp(run, "b")], True)


def test_two_publishers_do_not_publish_the_same(database: orm.Database) -> None:
    def publish_all() -> list[str]:
        mine: list[str] = []
        while found := due(database):
            mine += found
        database.close()
        return mine

    runs = accept(database, *range(100))
    one, two = at_once(publish_all, publish_all)
    assert sorted(one + two) == sorted(runs)


def test_no_more_go_on_at_once_than_their_application_may(database: orm.Database) -> None:
    application = app(concurrency=2)
    runs = accept_runs(database, application, *range(5))
    assert publish(database, 10, application) == (runs[:2], True)
    assert publish(database, 10, application) == ([], True)


def test_a_run_that_runs_takes_as_much_room_as_a_wakeup(database: orm.Database) -> None:
    application = app(concurrency=2)
    runs = accept_runs(database, application, *range(5))
    publish(database, 10, application)
    claimed(database, runs[0], application)
    assert publish(database, 10, application) == ([], True)


@EACH_END
def test_the_end_of_an_attempt_lets_the_oldest_that_waits_go(
    each_database: orm.Database, end: End
) -> None:
    database, application = each_database, app(concurrency=2)
    runs = accept_runs(database, application, *range(5))
    publish(database, 10, application)
    claim = claimed(database, runs[0], application)
    publish(database, 10, application)
    end(database, claim)
    assert publish(database, 10, application)[0] == [runs[2]]


def test_a_crash_lets_the_next_go(database: orm.Database) -> None:
    application = app(concurrency=1)
    runs = accept_runs(database, application, *range(3))
    claim = claim_next(database, application)
    publish(database, 10, application)
    crash(database, claim)
    assert publish(database, 10, application)[0] == [runs[1]]


def test_a_wakeup_that_is_cancelled_lets_the_next_go(database: orm.Database) -> None:
    application = app(concurrency=1)
    runs = accept_runs(database, application, *range(3))
    publish(database, 10, application)
    orm.ask_to_cancel(database, runs[0])
    assert publish(database, 10, application)[0] == [runs[1]]


def test_a_run_that_was_held_back_and_cancelled_does_not_go(database: orm.Database) -> None:
    application = app(concurrency=1)
    runs = accept_runs(database, application, *range(3))
    claim = claim_next(database, application)
    publish(database, 10, application)
    orm.ask_to_cancel(database, runs[1])
    assert publish(database, 10, application)[0] == []
    ENDS["succeed"](database, claim)
    assert publish(database, 10, application)[0] == [runs[2]]


def test_when_the_last_that_was_held_back_has_gone_nothing_waits(database: orm.Database) -> None:
    application = app(concurrency=1)
    accept_runs(database, application, 1, 2)
    claim = claim_next(database, application)
    publish(database, 10, application)
    ENDS["succeed"](database, claim)
    publish(database, 10, application)
    assert publish(database, 10, application) == ([], False)


def test_a_limit_with_a_key_counts_for_each_of_its_values(database: orm.Database) -> None:
    application = keyed(1)
    runs = [
        accept_subject(database, application, number, subject)
        for number, subject in enumerate(["a", "b", "a", "c", "b"])
    ]
    assert publish(database, 10, application) == ([runs[0], runs[1], runs[3]], True)


def test_the_end_of_an_attempt_lets_one_with_the_same_key_go(each_database: orm.Database) -> None:
    database, application = each_database, keyed(1)
    runs = [
        accept_subject(database, application, number, subject)
        for number, subject in enumerate(["a", "b", "b", "a"])
    ]
    publish(database, 10, application)
    ENDS["succeed"](database, claimed(database, runs[0], application))
    assert publish(database, 10, application)[0] == [runs[3]]


def test_events_without_the_key_share_a_place(database: orm.Database) -> None:
    application = keyed(1)
    runs = accept_runs(database, application, 1, 2)
    assert publish(database, 10, application)[0] == runs[:1]


def test_applications_do_not_count_for_each_other(database: orm.Database) -> None:
    one, two = app("one", concurrency=1), app("two", concurrency=1)
    runs = [
        *accept_runs(database, one, 1, 2),
        *accept_runs(database, two, 3, 4),
    ]
    assert publish(database, 10, one, two)[0] == [runs[0], runs[2]]


def test_thousands_that_are_held_back_do_not_hold_up_others(database: orm.Database) -> None:
    limited = app("limited", concurrency=1, priority=9)
    first = [(make_event(number), [limited]) for number in range(3000)]
    orm.accept(database, first)
    [behind] = accept_runs(database, app("free", priority=9), "last")
    assert behind in publish(database, 10, limited)[0]


def test_what_is_held_back_is_not_looked_at_again(database: orm.Database) -> None:
    limited = app("limited", concurrency=1)
    accept_runs(database, limited, *range(5))
    publish(database, 10, limited)
    with database.reading():
        counted = database.fetch(
            "SELECT COUNT(*) FROM run WHERE due IS NOT NULL AND blocked IS NULL", ()
        ).fetchone()
    assert counted == (0,)


def test_held_back_runs_of_other_queues_leave_the_window_to_others(
    database: orm.Database,
) -> None:
    limited = app("limited", concurrency=1)
    [first, *_] = accept_runs(database, limited, *range(5))
    others = accept_runs(database, app("free"), *range(10, 15))
    assert publish(database, 3, limited) == ([first, *others[:2]], True)


def test_two_publishers_and_ends_in_between_never_exceed_a_limit(
    each_database: orm.Database,
) -> None:
    database, application = each_database, app(concurrency=3)
    runs = accept_runs(database, application, *range(40))
    ended: list[str] = []
    most: list[int] = []
    over = threading.Event()

    def go_on(worker: str) -> None:
        until = time.monotonic() + DEADLINE
        while not over.is_set() and time.monotonic() < until:
            for run in due(database, 100, application):
                claim = claimed(database, run, application, worker=worker)
                orm.succeed(database, claim, orm.Outcome(), [])
                ended.append(run)
            if len(ended) == len(runs):
                over.set()
        database.close()

    def observe() -> None:
        while not over.is_set():
            with database.reading():
                row = database.fetch(
                    "SELECT COUNT(*) FROM run WHERE published IS NOT NULL OR worker IS NOT NULL", ()
                ).fetchone()
            most.append(row[0])
        database.close()

    at_once(partial(go_on, "one"), partial(go_on, "two"), observe)
    assert sorted(ended) == sorted(runs)
    assert 0 < max(most) <= 3


def test_publishers_that_start_at_once_share_one_limit(each_database: orm.Database) -> None:
    def publish_once(application: Application) -> list[str]:
        found = due(each_database, 100, application)
        each_database.close()
        return found

    for number in range(10):
        application = app(f"app-{number}", concurrency=1)
        accept_runs(each_database, application, *(f"{number}-{each}" for each in range(5)))
        act = partial(publish_once, application)
        assert sorted(map(len, at_once(act, act))) == [0, 1]


def test_no_more_start_at_once_than_the_burst(database: orm.Database) -> None:
    application = app(rate=Rate(180, 60.0))
    runs = accept_runs(database, application, *range(10))
    assert publish(database, 100, application) == (runs[:3], True)
    assert publish(database, 100, application) == ([], True)


def test_starts_use_the_burst_up(database: orm.Database) -> None:
    application = app(rate=Rate(180, 60.0))
    runs = accept_runs(database, application, *range(10))
    change(database, "INSERT INTO pace (application, free_at) VALUES ('app', ?)", (5e9,))
    assert publish(database, 100, application) == ([], True)
    change(database, "UPDATE pace SET free_at = 0")
    for run in publish(database, 100, application)[0]:
        claimed(database, run, application)
    assert publish(database, 100, application)[0] == []
    assert view(database, runs[2]).status == "running"


def test_one_starts_for_each_interval_that_has_passed(each_database: orm.Database) -> None:
    database, application = each_database, app(rate=Rate(1, 60.0))
    runs = accept_runs(database, application, 1, 2, 3)
    claim_next(database, application)
    assert publish(database, 100, application) == ([], True)
    change(database, "UPDATE pace SET free_at = free_at - 60")
    assert publish(database, 100, application) == ([runs[1]], True)


def test_starts_in_any_span_of_time_conform_to_the_rate(database: orm.Database) -> None:
    rate = Rate(60, 2.0)
    application = app(rate=rate)
    accept_runs(database, application, *range(75))
    began = time.time()

    def all_claimed() -> bool:
        for run in due(database, 1000, application):
            claimed(database, run, application)
        return count(database, "attempt") == 75

    wait_until(all_claimed)
    with database.reading():
        rows = database.fetch("SELECT started FROM attempt ORDER BY started", ()).fetchall()
    starts = [started for (started,) in rows]
    for (first, since), (last, until) in combinations(enumerate(starts), 2):
        assert last - first + 1 <= rate.burst + (until - since) / rate.interval + 1e-3
    assert starts[-1] - began < 2 * (75 - rate.burst) * rate.interval


def test_a_pace_holds_up_its_own_application_only(database: orm.Database) -> None:
    slow = app("slow", rate=Rate(1, 3600.0), priority=9)
    first, *_ = accept_runs(database, slow, *range(2000))
    [other] = accept_runs(database, app("other"), "last")
    assert publish(database, 100, slow) == ([first, other], True)


def test_a_wakeup_that_is_late_counts_for_the_pace(database: orm.Database) -> None:
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


def held_back(database: orm.Database, application: Application, number: int) -> list[str]:
    """The runs of an application of which the first one goes on and the others are held back."""
    runs = accept_runs(database, application, *range(number))
    claim_next(database, application)
    assert due(database, 100, application) == []
    return runs


def reconsidered(database: orm.Database, application: Application) -> list[str]:
    orm.reconsider(database, {application.name: application})
    return due(database, 100, application)


def test_reconsidering_nothing(database: orm.Database) -> None:
    orm.reconsider(database, {"app": app(concurrency=1)})
    assert publish(database, 10) == ([], False)


@pytest.mark.parametrize(
    "application", [app(concurrency=1), app(rate=Rate(1, 60.0))], ids=["concurrency", "rate"]
)
def test_limits_that_are_as_they_were_hold_back_whom_they_did(
    database: orm.Database, application: Application
) -> None:
    held_back(database, application, 3)
    assert reconsidered(database, application) == []


def test_a_limit_that_was_raised_lets_as_many_more_go(database: orm.Database) -> None:
    runs = held_back(database, app(concurrency=1), 5)
    assert reconsidered(database, app(concurrency=3)) == runs[1:3]


def test_a_limit_that_was_lowered_lets_nobody_go(database: orm.Database) -> None:
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
def test_a_limit_that_was_removed_lets_all_go(
    each_database: orm.Database, application: Application
) -> None:
    runs = held_back(each_database, application, 5)
    assert reconsidered(each_database, app()) == runs[1:]


def test_an_application_that_was_removed_has_no_limits(database: orm.Database) -> None:
    runs = held_back(database, app(concurrency=1), 3)
    orm.reconsider(database, {})
    assert due(database) == runs[1:]


def test_a_place_that_nobody_gave_back_is_found(database: orm.Database) -> None:
    application = app(concurrency=1)
    runs = held_back(database, application, 3)
    change(database, "UPDATE run SET state = 'failed', worker = NULL WHERE uuid = ?", (runs[0],))
    assert reconsidered(database, application) == [runs[1]]


def test_each_lane_is_reconsidered(each_database: orm.Database) -> None:
    runs = [
        accept_subject(each_database, keyed(1), number, subject)
        for number, subject in enumerate("abcabc")
    ]
    for run in publish(each_database, 100, keyed(1))[0]:
        claimed(each_database, run, keyed(1))
    assert reconsidered(each_database, keyed(2)) == runs[3:]


def test_what_could_not_be_sent_is_due_again(database: orm.Database) -> None:
    runs = accept(database, 1, 2, 3)
    due(database)
    assert orm.unpublish(database, runs[1:]) == 2
    assert due(database) == runs[1:]


def test_what_could_not_be_sent_goes_before_what_came_later(database: orm.Database) -> None:
    [first] = accept(database, 1)
    due(database)
    [second] = accept(database, 2)
    orm.unpublish(database, [first])
    assert due(database) == [first, second]


def test_a_run_that_was_claimed_meanwhile_is_not_due_again(database: orm.Database) -> None:
    claim = claimed_run(database)
    assert orm.unpublish(database, [claim.run]) == 0
    assert publish(database, 10) == ([], False)


def test_a_wakeup_that_was_lost_is_due_again(database: orm.Database) -> None:
    run = published_run(database)
    assert orm.republish_lost(database, "", 10, time.time()) == 1
    assert due(database) == [run]


def test_as_many_as_were_lost_are_due_again_the_oldest_first(each_database: orm.Database) -> None:
    runs = [published_run(each_database, number) for number in range(4)]
    assert orm.republish_lost(each_database, "", 2, time.time()) == 2
    assert due(each_database) == runs[:2]


def test_a_wakeup_that_is_young_is_not_lost(database: orm.Database) -> None:
    before = time.time()
    published_run(database)
    assert orm.republish_lost(database, "", 10, before - 1) == 0


def test_a_wakeup_of_another_queue_is_not_lost(database: orm.Database) -> None:
    published_run(database)
    assert orm.republish_lost(database, "elsewhere", 10, time.time()) == 0


def test_a_run_that_is_not_waiting_for_its_wakeup_is_not_lost(database: orm.Database) -> None:
    claimed_run(database, 1)
    accept(database, 2)
    assert orm.republish_lost(database, "", 10, time.time() + 1) == 0


def test_what_is_on_its_way_is_counted_for_each_queue_until_it_is_taken(
    each_database: orm.Database,
) -> None:
    database = each_database
    before = time.time()
    [first] = accept_runs(database, app(queue="a"), 1)
    due(database)
    between = time.time()
    accept_runs(database, app(queue="a"), 2)
    accept_runs(database, app(queue="b"), 3)
    due(database)
    ways = {queue: (number, oldest) for queue, number, oldest in orm.wakeups_on_their_way(database)}
    assert {queue: number for queue, (number, _) in ways.items()} == {"a": 2, "b": 1}
    assert before <= ways["a"][1] <= between <= ways["b"][1]
    claimed(database, first)
    assert all(way.oldest >= between for way in orm.wakeups_on_their_way(database))
