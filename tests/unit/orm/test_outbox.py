"""The outbox: one notice for each run that has ended, in the transaction that ends it."""

import time

import pytest

from pacifica.dispatcher import orm
from pacifica.dispatcher.errors import DatabaseUnavailableError
from pacifica.dispatcher.execution.capture import Piece
from pacifica.dispatcher.orm.schema import OutboxRow
from tests.factories import change, claim_next, claimed_run, count, published_run, view

FINAL = [orm.State.SUCCEEDED, orm.State.FAILED, orm.State.CANCELLED]
FAILED = orm.Outcome(error="it went wrong")


def crash(database: orm.Database, claim: orm.Claim, max_crashes: int) -> None:
    [attempt] = orm.attempts_of(database, "worker")
    assert attempt.run == claim.run
    orm.crash(database, attempt, "it died", max_crashes)


def states(database: orm.Database) -> list[tuple[str, orm.State]]:
    return [(each.run, each.state) for each in orm.recent(database, 0)]


def post(database: orm.Database, *ids: int) -> None:
    """Add notices with these ids."""
    rows = [(id_, "run", "event", "app", "failed", float(id_)) for id_ in ids]
    with database.transaction():
        database.insert("outbox", tuple(OutboxRow._meta.sorted_field_names), rows)  # noqa: SLF001


def news(follower: orm.Follower) -> list[int]:
    return [each.id for each in follower.news()]


@pytest.mark.parametrize("state", FINAL)
def test_the_end_of_a_run_posts_a_notice(each_database: orm.Database, state: orm.State) -> None:
    claim = claimed_run(each_database)
    orm.finish(each_database, claim, state, FAILED, [])
    [notice] = orm.recent(each_database, 0)
    finished = view(each_database, claim.run).finished
    assert finished is not None
    assert notice == orm.Notice(notice.id, claim.run, claim.event, "app", state, finished)


def test_a_waiting_run_that_is_cancelled_posts_a_notice(database: orm.Database) -> None:
    run = published_run(database)
    orm.ask_to_cancel(database, run)
    assert states(database) == [(run, orm.State.CANCELLED)]


def test_a_running_run_with_a_requested_cancel_posts_nothing_yet(database: orm.Database) -> None:
    orm.ask_to_cancel(database, claimed_run(database).run)
    assert states(database) == []


@pytest.mark.parametrize("state", [orm.State.QUEUED, orm.State.RETRYING])
def test_a_run_that_waits_for_another_attempt_posts_nothing(
    database: orm.Database, state: orm.State
) -> None:
    orm.postpone(database, claimed_run(database), state, FAILED, [], due=0.0)
    assert states(database) == []


@pytest.mark.parametrize("state", [orm.State.QUEUED, orm.State.RETRYING])
def test_a_run_that_is_cancelled_instead_of_postponed_posts_a_notice(
    database: orm.Database, state: orm.State
) -> None:
    claim = claimed_run(database)
    orm.ask_to_cancel(database, claim.run)
    orm.postpone(database, claim, state, FAILED, [], due=0.0)
    assert states(database) == [(claim.run, orm.State.CANCELLED)]


def test_a_crash_followed_by_another_attempt_posts_nothing(database: orm.Database) -> None:
    crash(database, claimed_run(database), 2)
    assert states(database) == []


def test_a_crash_that_fails_the_run_posts_a_notice(database: orm.Database) -> None:
    claim = claimed_run(database)
    crash(database, claim, 1)
    assert states(database) == [(claim.run, orm.State.FAILED)]


def test_a_crash_of_a_run_with_a_requested_cancel_posts_a_notice(database: orm.Database) -> None:
    claim = claimed_run(database)
    orm.ask_to_cancel(database, claim.run)
    crash(database, claim, 1)
    assert states(database) == [(claim.run, orm.State.CANCELLED)]


def test_a_lost_claim_posts_nothing(database: orm.Database) -> None:
    lost = claimed_run(database)
    crash(database, lost, 3)
    claim_next(database)
    assert orm.finish(database, lost, orm.State.SUCCEEDED, orm.Outcome(), []) is None
    assert states(database) == []


def test_an_end_that_cannot_be_recorded_posts_nothing(database: orm.Database) -> None:
    claim = claimed_run(database)
    change(database, "ALTER TABLE output RENAME TO elsewhere")
    piece = Piece("stdout", 0, 1.0, b"said")
    with pytest.raises(DatabaseUnavailableError):
        orm.finish(database, claim, orm.State.SUCCEEDED, orm.Outcome(), [piece])
    assert states(database) == []


def test_notices_are_in_order_of_id(database: orm.Database) -> None:
    post(database, 3, 1, 2)
    assert [each.id for each in orm.recent(database, 1)] == [2, 3]


def test_the_last_id_is_that_of_the_last_notice(each_database: orm.Database) -> None:
    assert orm.last_id(each_database) == 0
    orm.ask_to_cancel(each_database, published_run(each_database))
    [notice] = orm.recent(each_database, 0)
    assert orm.last_id(each_database) == notice.id


def test_old_notices_are_pruned(database: orm.Database) -> None:
    post(database, 1, 2, 3, 4)
    now = "UPDATE outbox SET ended = ? WHERE id = ?"
    change(database, now, (time.time() - 50, 3))
    change(database, now, (time.time() + 86_400, 4))  # a wrong clock said so
    orm.prune(database, age=100.0)
    assert [each.id for each in orm.recent(database, 0)] == [3]


def test_an_id_is_not_reused(each_database: orm.Database) -> None:
    orm.ask_to_cancel(each_database, published_run(each_database, 1))
    last = orm.last_id(each_database)
    orm.prune(each_database, age=-1.0)
    assert count(each_database, "outbox") == 0
    orm.ask_to_cancel(each_database, published_run(each_database, 2))
    assert orm.last_id(each_database) > last


def test_a_follower_reads_each_notice_once(database: orm.Database) -> None:
    post(database, 1, 2)
    follower = orm.Follower(database)
    post(database, 3, 4)
    assert (news(follower), news(follower)) == ([3, 4], [])


def test_a_follower_reads_a_notice_that_appears_late(database: orm.Database) -> None:
    follower = orm.Follower(database)
    post(database, 1, 4)
    before = news(follower)
    post(database, 3)
    between = news(follower)
    post(database, 2, 5)
    assert (before, between, news(follower), news(follower)) == ([1, 4], [3], [2, 5], [])


def test_a_follower_reads_a_notice_from_before_its_start_that_appears_late(
    database: orm.Database,
) -> None:
    post(database, 7, 9)
    follower = orm.Follower(database)
    post(database, 8)
    assert news(follower) == [8]
