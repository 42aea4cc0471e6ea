"""The arrows between the states: each happens from its own state only, and says whether it did."""

import time
from collections.abc import Callable, Iterable
from functools import partial

import pytest

from pacifica.dispatcher import orm
from pacifica.dispatcher.output import Piece
from tests.unit.conftest import (
    accepted_runs,
    at_once,
    change,
    claimed_run,
    count,
    make_event,
    published_run,
    view,
)

Arrow = Callable[[orm.Database, orm.Claim, orm.Outcome, Iterable[Piece]], bool]
ARROWS = pytest.mark.parametrize("arrow", [orm.succeed, orm.fail, orm.release])
PIECE = Piece("stdout", 0, 1.0, b"said")


def accept(database: orm.Database, *numbers: int) -> list[str]:
    """The uuids of a new run for each number."""
    return [run for number in numbers for run in accepted_runs(database, make_event(number), "app")]


def publish_and_claim(database: orm.Database, run: str) -> orm.Claim:
    orm.publish(database, 1000)
    claim = orm.claim(database, run, "host")
    assert claim is not None
    return claim


def test_publishing_nothing(database: orm.Database) -> None:
    assert orm.publish(database, 10) == ([], False)


def test_what_is_due_is_published_once(database: orm.Database) -> None:
    runs = accept(database, 1, 2)
    assert orm.publish(database, 10) == (runs, False)
    assert orm.publish(database, 10) == ([], False)


def test_no_more_wakeups_are_on_their_way_than_the_window(database: orm.Database) -> None:
    runs = accept(database, *range(5))
    assert orm.publish(database, 3) == (runs[:3], True)
    assert orm.publish(database, 3) == ([], True)


def test_a_claim_makes_room_in_the_window(database: orm.Database) -> None:
    runs = accept(database, *range(5))
    orm.publish(database, 3)
    orm.claim(database, runs[1], "host")
    assert orm.publish(database, 3)[0] == [runs[3]]


def test_what_is_due_longest_is_published_first(database: orm.Database) -> None:
    one, two, three = accept(database, 1, 2, 3)
    now = time.time()
    for run, due in ((one, now - 10), (two, now - 30), (three, now - 20)):
        change(database, "UPDATE run SET due = ? WHERE uuid = ?", (due, run))
    assert orm.publish(database, 10)[0] == [two, three, one]


def test_what_is_due_later_is_not_published_now(database: orm.Database) -> None:
    later, now = accept(database, 1, 2)
    change(database, "UPDATE run SET due = ? WHERE uuid = ?", (time.time() + 60, later))
    assert orm.publish(database, 10)[0] == [now]


def test_two_publishers_do_not_publish_the_same(database: orm.Database) -> None:
    def publish() -> list[str]:
        mine: list[str] = []
        while (found := orm.publish(database, 1000))[0]:
            mine += found[0]
        database.close()
        return mine

    runs = accept(database, *range(100))
    one, two = at_once(publish, publish)
    assert sorted(one + two) == sorted(runs)


def test_a_claim_holds_what_is_needed_to_run(database: orm.Database) -> None:
    event = make_event(data={"a": 1})
    [run] = accepted_runs(database, event, "app")
    claim = publish_and_claim(database, run)
    assert claim == orm.Claim(run, 1, "app", claim.event, event.sent)
    assert orm.event(database, claim.event).runs == (view(database, run),)


def test_a_claimed_run_is_running(database: orm.Database) -> None:
    before = time.time()
    run = view(database, claimed_run(database).run)
    assert (run.status, run.attempt, run.host, run.finished) == ("running", 1, "host", None)
    assert before <= (run.started or 0) <= time.time()


def test_a_run_is_claimed_once(database: orm.Database) -> None:
    claim = claimed_run(database)
    assert orm.claim(database, claim.run, "other") is None
    assert view(database, claim.run).host == "host"


def test_a_run_without_a_wakeup_is_not_claimed(database: orm.Database) -> None:
    [run] = accept(database, 1)
    assert orm.claim(database, run, "host") is None
    assert view(database, run).status == "queued"


def test_a_run_that_is_none_is_not_claimed(database: orm.Database) -> None:
    assert orm.claim(database, "01a20997-c0e5-77ee-8e00-a2944b68dfdf", "host") is None


@pytest.mark.parametrize("arrow", [orm.succeed, orm.fail])
def test_a_run_that_has_ended_is_not_claimed(database: orm.Database, arrow: Arrow) -> None:
    claim = claimed_run(database)
    arrow(database, claim, orm.Outcome(), [])
    assert orm.publish(database, 10) == ([], False)
    assert orm.claim(database, claim.run, "host") is None


def test_of_two_that_claim_at_once_one_gets_the_run(database: orm.Database) -> None:
    def claim(run: str) -> bool:
        claimed = orm.claim(database, run, "host") is not None
        database.close()
        return claimed

    for number in range(20):
        run = published_run(database, number)
        assert sorted(at_once(partial(claim, run), partial(claim, run))) == [False, True]
    assert count(database, "attempt") == 20


@pytest.mark.parametrize(("arrow", "status"), [(orm.succeed, "succeeded"), (orm.fail, "failed")])
def test_an_end_is_recorded_of_the_run_and_of_the_attempt(
    database: orm.Database, arrow: Arrow, status: str
) -> None:
    claim = claimed_run(database)
    outcome = orm.Outcome(exit_code=3, result='{"a": 1}', error="it went wrong")
    assert arrow(database, claim, outcome, [PIECE])
    run, [attempt] = orm.run(database, claim.run)
    assert (run.status, run.exit_code, run.result, run.error) == (
        status, 3, {"a": 1}, "it went wrong",
    )  # fmt: skip
    assert (attempt.number, attempt.exit_code, attempt.error) == (1, 3, "it went wrong")
    assert run.finished == attempt.finished is not None
    assert orm.output(database, claim.run, 1, None) == [PIECE]


def test_a_signal_is_recorded(database: orm.Database) -> None:
    claim = claimed_run(database)
    orm.fail(database, claim, orm.Outcome(signal="SIGKILL"), [])
    run, [attempt] = orm.run(database, claim.run)
    assert (run.exit_code, run.signal) == (attempt.exit_code, attempt.signal) == (None, "SIGKILL")


def test_a_released_run_waits_again(database: orm.Database) -> None:
    claim = claimed_run(database)
    assert orm.release(database, claim, orm.Outcome(signal="SIGTERM", error="stopped"), [PIECE])
    run, [attempt] = orm.run(database, claim.run)
    assert (run.status, run.finished, run.error) == ("queued", None, None)
    assert (attempt.signal, attempt.error) == ("SIGTERM", "stopped")
    assert orm.output(database, claim.run, 1, None) == [PIECE]


def test_a_released_run_is_claimed_after_it_was_published_again(database: orm.Database) -> None:
    first = claimed_run(database)
    orm.release(database, first, orm.Outcome(), [])
    assert orm.claim(database, first.run, "host") is None
    second = publish_and_claim(database, first.run)
    assert second.attempt == 2
    orm.succeed(database, second, orm.Outcome(exit_code=0), [])
    run, attempts = orm.run(database, first.run)
    assert (run.status, run.attempt, [each.number for each in attempts]) == ("succeeded", 2, [1, 2])


@ARROWS
@pytest.mark.parametrize("ended", [orm.succeed, orm.fail, orm.release])
def test_an_attempt_ends_once(database: orm.Database, ended: Arrow, arrow: Arrow) -> None:
    claim = claimed_run(database)
    assert ended(database, claim, orm.Outcome(exit_code=1), [])
    before = orm.run(database, claim.run)
    assert not arrow(database, claim, orm.Outcome(exit_code=2), [PIECE])
    assert orm.run(database, claim.run) == before
    assert count(database, "output") == 0


@ARROWS
def test_an_attempt_that_lost_the_run_records_nothing(database: orm.Database, arrow: Arrow) -> None:
    stale = claimed_run(database)
    orm.release(database, stale, orm.Outcome(), [])
    publish_and_claim(database, stale.run)
    before = orm.run(database, stale.run)
    assert not arrow(database, stale, orm.Outcome(exit_code=2), [PIECE])
    assert orm.run(database, stale.run) == before
    assert count(database, "output") == 0


def test_output_is_kept_while_the_attempt_runs(database: orm.Database) -> None:
    claim = claimed_run(database)
    assert orm.save_output(database, claim, [PIECE])
    assert orm.output(database, claim.run, 1, None) == [PIECE]


@pytest.mark.parametrize("ended", [orm.succeed, orm.fail, orm.release])
def test_output_is_not_kept_when_the_attempt_has_ended(
    database: orm.Database, ended: Arrow
) -> None:
    claim = claimed_run(database)
    ended(database, claim, orm.Outcome(), [])
    assert not orm.save_output(database, claim, [PIECE])
    assert count(database, "output") == 0


def test_output_of_an_attempt_that_lost_the_run_is_not_kept(database: orm.Database) -> None:
    stale = claimed_run(database)
    orm.release(database, stale, orm.Outcome(), [])
    publish_and_claim(database, stale.run)
    assert not orm.save_output(database, stale, [PIECE])
    assert count(database, "output") == 0


def test_what_could_not_be_sent_is_due_again(database: orm.Database) -> None:
    runs = accept(database, 1, 2, 3)
    orm.publish(database, 10)
    assert orm.unpublish(database, runs[1:]) == 2
    assert orm.publish(database, 10)[0] == runs[1:]


def test_a_run_that_was_claimed_meanwhile_is_not_due_again(database: orm.Database) -> None:
    claim = claimed_run(database)
    assert orm.unpublish(database, [claim.run]) == 0
    assert orm.publish(database, 10) == ([], False)


def test_a_wakeup_that_was_lost_is_due_again(database: orm.Database) -> None:
    run = published_run(database)
    assert orm.republish_lost(database, time.time()) == 1
    assert orm.publish(database, 10)[0] == [run]


def test_a_wakeup_that_is_young_is_not_lost(database: orm.Database) -> None:
    before = time.time()
    published_run(database)
    assert orm.republish_lost(database, before - 1) == 0


def test_a_run_that_is_not_waiting_for_its_wakeup_is_not_lost(database: orm.Database) -> None:
    claimed_run(database, 1)
    accept(database, 2)
    assert orm.republish_lost(database, time.time() + 1) == 0


def test_an_old_wakeup_is_seen_until_it_is_taken(database: orm.Database) -> None:
    run = published_run(database)
    assert orm.oldest_wakeup_before(database, time.time())
    assert not orm.oldest_wakeup_before(database, time.time() - 60)
    orm.claim(database, run, "host")
    assert not orm.oldest_wakeup_before(database, time.time())
