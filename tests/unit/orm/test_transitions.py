"""State transitions: each is only possible from certain states, and returns the new state."""

import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from itertools import pairwise

import pytest

from pacifica.dispatcher import orm
from pacifica.dispatcher.applications import Application, Rate
from pacifica.dispatcher.errors import ConflictError, NotFoundError
from pacifica.dispatcher.events import Event
from pacifica.dispatcher.execution.capture import Piece
from pacifica.dispatcher.execution.ended import Cause
from pacifica.dispatcher.execution.progress import Progress
from tests.factories import (
    accept_runs,
    accepted_runs,
    app,
    apps,
    at_once,
    change,
    claim_next,
    claimant,
    claimed,
    claimed_run,
    configured,
    count,
    due,
    make_event,
    published_run,
    stored_output,
    view,
)

Arrow = Callable[[orm.Database, orm.Claim, orm.Outcome, Iterable[Piece]], orm.State | None]


def finishing(state: orm.State) -> Arrow:
    return lambda database, claim, *ended: orm.finish(database, claim, state, *ended)


def postponing(state: orm.State, due: float = 0.0) -> Arrow:
    return lambda database, claim, *ended: orm.postpone(database, claim, state, *ended, due=due)


release_now = postponing(orm.State.QUEUED)
retry_now = postponing(orm.State.RETRYING)
FINAL: dict[str, Arrow] = {
    state.value: finishing(state)
    for state in (orm.State.SUCCEEDED, orm.State.FAILED, orm.State.CANCELLED)
}
ARROWS: dict[str, Arrow] = {**FINAL, "queued": release_now, "retrying": retry_now}
UNKNOWN = "01a20997-c0e5-77ee-8e00-a2944b68dfdf"
PIECE = Piece("stdout", 0, 1.0, b"said")


def each_of(name: str, arrows: dict[str, Arrow]) -> pytest.MarkDecorator:
    """Parametrise a test by transitions, each named after its target state."""
    return pytest.mark.parametrize(name, arrows.values(), ids=arrows.keys())


def held_of(database: orm.Database, claim: orm.Claim, worker: str = "worker") -> orm.LiveAttempt:
    """Return a running attempt as recovery sees it."""
    [held] = [each for each in orm.attempts_of(database, worker) if each.run == claim.run]
    return held


def brought_to(database: orm.Database, state: str) -> orm.Claim:
    """Bring a run to this state; return its last claim."""
    claim = claimed_run(database)
    if state != "running":
        assert ARROWS[state](database, claim, orm.Outcome(error="it went wrong"), [])
    assert view(database, claim.run).status == state
    return claim


def test_a_claim_has_all_that_an_attempt_needs(database: orm.Database) -> None:
    event = make_event(data={"a": 1})
    [run] = accepted_runs(database, event, "app")
    claim = claim_next(database)
    assert claim == orm.Claim(run, 1, "app", False, "", 0, claim.event, event.sent)
    assert orm.event(database, claim.event).runs == (view(database, run),)


def test_a_claimed_run_is_running(database: orm.Database) -> None:
    before = time.time()
    run = view(database, claimed_run(database).run)
    assert (run.status, run.attempt, run.host, run.finished) == ("running", 1, "host", None)
    assert before <= (run.started or 0) <= time.time()


def test_a_run_is_claimed_once(database: orm.Database) -> None:
    claim = claimed_run(database)
    assert orm.claim(database, claim.run, claimant("other", host="elsewhere")) is None
    assert view(database, claim.run).host == "host"


def test_a_run_without_a_wakeup_is_not_claimed(database: orm.Database) -> None:
    [run] = accept_runs(database, app(), 1)
    assert orm.claim(database, run, claimant()) is None
    assert view(database, run).status == "queued"


def test_an_unknown_run_is_not_claimed(database: orm.Database) -> None:
    assert orm.claim(database, UNKNOWN, claimant()) is None


@each_of("arrow", FINAL)
def test_a_run_that_has_ended_is_not_claimed(database: orm.Database, arrow: Arrow) -> None:
    claim = claimed_run(database)
    arrow(database, claim, orm.Outcome(), [])
    assert due(database) == []
    assert orm.claim(database, claim.run, claimant()) is None


def test_one_of_two_concurrent_claims_gets_the_run(database: orm.Database) -> None:
    def claim(run: str) -> bool:
        claimed = orm.claim(database, run, claimant()) is not None
        database.close()
        return claimed

    for number in range(20):
        run = published_run(database, number)
        assert sorted(at_once(partial(claim, run), partial(claim, run))) == [False, True]
    assert count(database, "attempt") == 20


@pytest.mark.parametrize(("status", "arrow"), FINAL.items())
def test_an_end_is_recorded_for_run_and_attempt(
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
    assert stored_output(database, claim.run, 1) == [PIECE]


def test_a_signal_is_recorded(database: orm.Database) -> None:
    claim = claimed_run(database)
    orm.finish(database, claim, orm.State.FAILED, orm.Outcome(signal="SIGKILL"), [])
    run, [attempt] = orm.run(database, claim.run)
    assert (run.exit_code, run.signal) == (attempt.exit_code, attempt.signal) == (None, "SIGKILL")


def test_a_released_run_waits_again(database: orm.Database) -> None:
    claim = claimed_run(database)
    assert release_now(database, claim, orm.Outcome(signal="SIGTERM", error="stopped"), [PIECE])
    run, [attempt] = orm.run(database, claim.run)
    assert (run.status, run.finished, run.error) == ("queued", None, None)
    assert (attempt.signal, attempt.error) == ("SIGTERM", "stopped")
    assert stored_output(database, claim.run, 1) == [PIECE]


def test_a_released_run_is_claimed_after_being_published_again(database: orm.Database) -> None:
    first = claimed_run(database)
    release_now(database, first, orm.Outcome(), [])
    assert orm.claim(database, first.run, claimant()) is None
    second = claim_next(database)
    assert second.attempt == 2
    orm.finish(database, second, orm.State.SUCCEEDED, orm.Outcome(exit_code=0), [])
    run, attempts = orm.run(database, first.run)
    assert (run.status, run.attempt, [each.number for each in attempts]) == ("succeeded", 2, [1, 2])


@each_of("arrow", ARROWS)
@each_of("ended", ARROWS)
def test_an_attempt_ends_once(database: orm.Database, ended: Arrow, arrow: Arrow) -> None:
    claim = claimed_run(database)
    assert ended(database, claim, orm.Outcome(exit_code=1), [])
    before = orm.run(database, claim.run)
    assert not arrow(database, claim, orm.Outcome(exit_code=2), [PIECE])
    assert orm.run(database, claim.run) == before
    assert count(database, "output") == 0


@each_of("arrow", ARROWS)
def test_an_attempt_that_lost_the_run_records_nothing(database: orm.Database, arrow: Arrow) -> None:
    stale = claimed_run(database)
    release_now(database, stale, orm.Outcome(), [])
    claim_next(database)
    before = orm.run(database, stale.run)
    assert not arrow(database, stale, orm.Outcome(exit_code=2), [PIECE])
    assert orm.run(database, stale.run) == before
    assert count(database, "output") == 0


def test_output_is_kept_while_the_attempt_runs(database: orm.Database) -> None:
    claim = claimed_run(database)
    assert orm.save_output(database, claim, [PIECE], orm.Outcome())
    assert stored_output(database, claim.run, 1) == [PIECE]


def test_a_piece_without_data_deletes_the_piece_at_its_position(database: orm.Database) -> None:
    claim = claimed_run(database)
    other = PIECE._replace(stream="stdout" if PIECE.stream == "stderr" else "stderr")
    assert orm.save_output(database, claim, [PIECE, other], orm.Outcome())
    assert orm.save_output(database, claim, [PIECE._replace(data=b"")], orm.Outcome())
    assert stored_output(database, claim.run, 1) == [other]


@each_of("ended", ARROWS)
def test_output_is_not_kept_when_the_attempt_has_ended(
    database: orm.Database, ended: Arrow
) -> None:
    claim = claimed_run(database)
    ended(database, claim, orm.Outcome(), [])
    assert not orm.save_output(database, claim, [PIECE], orm.Outcome())
    assert count(database, "output") == 0


def test_output_of_an_attempt_that_lost_the_run_is_not_kept(database: orm.Database) -> None:
    stale = claimed_run(database)
    release_now(database, stale, orm.Outcome(), [])
    claim_next(database)
    assert not orm.save_output(database, stale, [PIECE], orm.Outcome())
    assert count(database, "output") == 0


NOTES = orm.Outcome(command=["a", "b c"], progress=Progress(40, "half-way"), last_line="disk full")


def noted(database: orm.Database, run: str) -> tuple[object, ...]:
    _, [attempt] = orm.run(database, run)
    assert view(database, run).progress == attempt.progress
    return (attempt.command, attempt.progress, attempt.last_line)


def test_notes_are_kept_while_the_attempt_runs(database: orm.Database) -> None:
    claim = claimed_run(database)
    assert noted(database, claim.run) == (None, None, None)
    assert orm.save_output(database, claim, [], NOTES)
    assert noted(database, claim.run) == (["a", "b c"], Progress(40, "half-way"), "disk full")


@each_of("arrow", ARROWS)
def test_notes_are_kept_with_the_end(database: orm.Database, arrow: Arrow) -> None:
    claim = claimed_run(database)
    assert arrow(database, claim, NOTES, [])
    assert noted(database, claim.run) == (["a", "b c"], Progress(40, "half-way"), "disk full")


def test_notes_outlive_the_death_of_the_worker(database: orm.Database) -> None:
    claim = claimed_run(database)
    orm.save_output(database, claim, [], NOTES)
    [held] = orm.attempts_of(database, "worker")
    assert orm.crash(database, held, "killed", 3)
    assert noted(database, claim.run) == (["a", "b c"], Progress(40, "half-way"), "disk full")


def test_a_claim_stores_the_worker_and_handle_of_the_attempt(database: orm.Database) -> None:
    run = published_run(database)
    orm.claim(database, run, claimant("a worker", pid=42))
    assert orm.attempts_of(database, "a worker") == [
        orm.LiveAttempt(run, 1, "app", "local:42", cancelling=False)
    ]


@pytest.mark.parametrize("concurrency", [None, 3])
def test_a_claim_is_limited_if_its_application_is(
    database: orm.Database, concurrency: int | None
) -> None:
    application = app(concurrency=concurrency)
    accept_runs(database, application, 1)
    assert claim_next(database, application).limited is (concurrency is not None)


def test_a_claim_moves_the_pace_of_its_application(database: orm.Database) -> None:
    application = app(rate=Rate(1, 60.0))
    before = time.time()
    run = published_run(database)
    claimed(database, run, application)
    assert before + 60 <= free_at(database) <= time.time() + 60


def test_each_claim_moves_the_pace_by_one_interval(
    database: orm.Database,
) -> None:
    application = app(rate=Rate(10, 600.0))
    moved = []
    for number in range(3):
        claimed(database, published_run(database, number), application)
        moved.append(free_at(database))
    assert [round(later - earlier) for earlier, later in pairwise(moved)] == [60, 60]


def test_two_first_claims_at_once_move_the_pace_by_two_intervals(
    each_database: orm.Database,
) -> None:
    def claim(run: str, application: Application) -> None:
        claimed(each_database, run, application)
        each_database.close()

    for number in range(10):
        application = app(f"app-{number}", rate=Rate(1, 3600.0))
        runs = accept_runs(each_database, application, f"{number}-1", f"{number}-2")
        due(each_database)
        at_once(*(partial(claim, run, application) for run in runs))
        assert free_at(each_database) == pytest.approx(each_database.now() + 7200, abs=60)
        change(each_database, "DELETE FROM pace")


def test_an_idle_pace_accumulates_nothing(database: orm.Database) -> None:
    application = app(rate=Rate(1, 60.0))
    claimed(database, published_run(database, 1), application)
    change(database, "UPDATE pace SET free_at = free_at - 36000")
    claimed(database, published_run(database, 2), application)
    assert free_at(database) > time.time()


def test_a_run_that_cannot_be_claimed_does_not_move_the_pace(database: orm.Database) -> None:
    run = claimed_run(database).run
    assert orm.claim(database, run, claimant("worker", app(rate=Rate(1, 60.0)))) is None
    assert count(database, "pace") == 0


def free_at(database: orm.Database) -> float:
    """Return the time when the only pace lets the next attempt start."""
    with database.reading():
        [(when,)] = database.fetch("SELECT free_at FROM pace", ()).fetchall()
    return float(when)


@each_of("arrow", ARROWS)
def test_any_end_of_an_attempt_removes_it_from_its_worker(
    database: orm.Database, arrow: Arrow
) -> None:
    claim = claimed_run(database)
    arrow(database, claim, orm.Outcome(), [])
    assert orm.attempts_of(database, "worker") == []


@pytest.mark.parametrize("state", [orm.State.QUEUED, orm.State.RETRYING])
def test_a_postponed_run_is_not_published_before_it_is_due(
    database: orm.Database, state: orm.State
) -> None:
    claim = claimed_run(database)
    until = time.time() + 60
    arrow = postponing(state, until)
    assert arrow(database, claim, orm.Outcome(error="it went wrong"), []) is state
    run = view(database, claim.run)
    assert (run.status, run.due, run.finished) == (state, until, None)
    assert due(database) == []


@pytest.mark.parametrize(("arrow", "failures"), [(release_now, 0), (retry_now, 1)])
def test_only_a_failure_counts_as_a_failure(
    database: orm.Database, arrow: Arrow, failures: int
) -> None:
    arrow(database, claimed_run(database), orm.Outcome(), [])
    again = claim_next(database)
    assert (again.attempt, again.failures) == (2, failures)


def test_a_retrying_run_has_the_last_error(database: orm.Database) -> None:
    claim = brought_to(database, "retrying")
    run, [attempt] = orm.run(database, claim.run)
    assert (run.error, attempt.error) == ("it went wrong", "it went wrong")


def test_a_run_whose_worker_died_waits_again(database: orm.Database) -> None:
    claim = claimed_run(database)
    assert orm.crash(database, held_of(database, claim), "it died", 3) is orm.State.QUEUED
    run, [attempt] = orm.run(database, claim.run)
    assert (run.status, run.crashes, run.error, run.finished) == ("queued", 1, None, None)
    assert (attempt.error, attempt.exit_code, attempt.finished is None) == ("it died", None, False)
    assert due(database) == [claim.run]


def test_crashes_do_not_count_as_failures(database: orm.Database) -> None:
    claim = claimed_run(database)
    orm.crash(database, held_of(database, claim), "it died", 3)
    assert claim_next(database).failures == 0


def test_a_run_that_crashes_max_crashes_times_fails(database: orm.Database) -> None:
    [uuid] = accept_runs(database, app(), 1)
    states = [
        orm.crash(database, held_of(database, claim_next(database)), "it died", 3) for _ in range(3)
    ]
    run, attempts = orm.run(database, uuid)
    assert states == [orm.State.QUEUED, orm.State.QUEUED, orm.State.FAILED]
    assert (run.status, run.crashes, len(attempts), run.due) == ("failed", 3, 3, None)
    assert run.error == "crashed 3 times (max_crashes = 3)"
    assert run.finished


def interrupt(database: orm.Database, *kinds: str) -> orm.RunView:
    """Interrupt one attempt after the other of a run; return the run."""
    [uuid] = accept_runs(database, app(), 1)
    for kind in kinds:
        change(database, "UPDATE run SET due = 0 WHERE due IS NOT NULL")
        held = held_of(database, claim_next(database))
        if kind == "crash":
            orm.crash(database, held, "it died", 3)
        else:
            orm.lose(database, held, "it was lost")
    return view(database, uuid)


def test_losses_never_fail_a_run(each_database: orm.Database) -> None:
    run = interrupt(each_database, *["loss"] * 9)
    assert (run.status, run.losses, run.crashes, run.error) == ("queued", 9, 0, None)
    _, attempts = orm.run(each_database, run.uuid)
    assert {each.error for each in attempts} == {"it was lost"}


def test_losses_do_not_count_as_crashes(database: orm.Database) -> None:
    run = interrupt(database, "crash", "loss", "loss", "crash", "loss")
    assert (run.status, run.losses, run.crashes) == ("queued", 3, 2)


@pytest.mark.parametrize(
    ("losses", "delay"), [(1, 0), (3, 0), (4, 60), (5, 120), (8, 900), (12, 900)]
)
def test_a_run_that_is_lost_often_waits_longer(
    database: orm.Database, losses: int, delay: float
) -> None:
    # Otherwise a run that takes its whole worker down would end all others, again and again.
    run = interrupt(database, *["loss"] * losses)
    assert run.due == pytest.approx(time.time() + delay, abs=29)


@pytest.mark.parametrize(("elapsed", "status"), [(3500, "failed"), (3700, "queued")])
@pytest.mark.parametrize("ahead", [1, -1], ids=["past", "future"])
def test_interruptions_are_forgotten_after_an_hour(
    database: orm.Database, elapsed: int, status: str, ahead: int
) -> None:
    run = interrupt(database, "loss", "crash", "crash")
    change(database, "UPDATE run SET interrupted = interrupted - ?", (elapsed * ahead,))
    orm.crash(database, held_of(database, claim_next(database)), "it died", 3)
    after = view(database, run.uuid)
    assert (after.status, after.crashes, after.losses) == (
        (status, 3, 1) if status == "failed" else (status, 1, 0)
    )


def test_a_release_by_an_orphan_is_a_loss(database: orm.Database) -> None:
    [uuid] = accept_runs(database, app(), 1)
    for number in range(1, 5):
        orphaned = orm.Outcome(Cause.ORPHANED, error="the worker died")
        claim = claim_next(database)
        orm.postpone(database, claim, orm.State.QUEUED, orphaned, [], due=time.time())
        assert view(database, uuid).losses == number
    run = view(database, uuid)
    assert (run.status, run.crashes) == ("queued", 0)
    assert run.due == pytest.approx(time.time() + 60, abs=29)


def test_a_loss_cancels_a_run_with_a_requested_cancel(database: orm.Database) -> None:
    claim = claimed_run(database)
    orm.ask_to_cancel(database, claim.run)
    assert orm.lose(database, held_of(database, claim), "it was lost") is orm.State.CANCELLED
    assert view(database, claim.run).error == "cancelled"


def test_a_loss_unblocks_the_next_run(database: orm.Database) -> None:
    limited = app(concurrency=1)
    runs = accept_runs(database, limited, 1, 2)
    claim = claim_next(database, limited)
    assert due(database, 1000, limited) == []
    orm.lose(database, held_of(database, claim), "it was lost")
    assert due(database, 1000, limited)[0] in runs


@each_of("ended", ARROWS)
def test_an_attempt_that_has_ended_is_not_lost(database: orm.Database, ended: Arrow) -> None:
    claim = claimed_run(database)
    held = held_of(database, claim)
    ended(database, claim, orm.Outcome(), [])
    before = orm.run(database, claim.run)
    assert orm.lose(database, held, "it was lost") is None
    assert orm.run(database, claim.run) == before


def test_a_crash_cancels_a_run_with_a_requested_cancel(database: orm.Database) -> None:
    claim = claimed_run(database)
    orm.ask_to_cancel(database, claim.run)
    state = orm.crash(database, held_of(database, claim), "it died", 1)
    run = view(database, claim.run)
    assert state is orm.State.CANCELLED
    assert (run.status, run.error, run.cancelling) == ("cancelled", "cancelled", False)


@each_of("ended", ARROWS)
def test_an_attempt_that_has_ended_does_not_crash(database: orm.Database, ended: Arrow) -> None:
    claim = claimed_run(database)
    held = held_of(database, claim)
    ended(database, claim, orm.Outcome(), [])
    before = orm.run(database, claim.run)
    assert orm.crash(database, held, "it died", 1) is None
    assert orm.run(database, claim.run) == before


def test_one_of_two_concurrent_crashes_counts(database: orm.Database) -> None:
    def crash(held: orm.LiveAttempt) -> orm.State | None:
        state = orm.crash(database, held, "it died", 3)
        database.close()
        return state

    held = held_of(database, claimed_run(database))
    states = at_once(partial(crash, held), partial(crash, held))
    assert sorted(states, key=str) == [None, orm.State.QUEUED]
    assert view(database, held.run).crashes == 1


@each_of("arrow", ARROWS)
def test_an_attempt_that_crashed_records_nothing(database: orm.Database, arrow: Arrow) -> None:
    claim = claimed_run(database)
    orm.crash(database, held_of(database, claim), "it died", 3)
    before = orm.run(database, claim.run)
    assert not arrow(database, claim, orm.Outcome(exit_code=0), [PIECE])
    assert orm.run(database, claim.run) == before


@pytest.mark.parametrize("state", ["queued", "retrying"])
def test_a_waiting_run_is_cancelled_at_once(database: orm.Database, state: str) -> None:
    claim = brought_to(database, state)
    assert orm.ask_to_cancel(database, claim.run) is orm.State.CANCELLED
    run = view(database, claim.run)
    assert (run.status, run.error, run.due) == ("cancelled", "cancelled", None)
    assert run.finished
    assert due(database) == []


def test_a_published_run_is_cancelled_and_not_claimed(
    database: orm.Database,
) -> None:
    run = published_run(database)
    assert orm.ask_to_cancel(database, run) is orm.State.CANCELLED
    assert orm.claim(database, run, claimant()) is None


def test_a_running_run_is_marked_for_its_worker(database: orm.Database) -> None:
    claim = claimed_run(database)
    assert orm.ask_to_cancel(database, claim.run) is orm.State.RUNNING
    assert held_of(database, claim).cancelling
    assert view(database, claim.run).status == "running"


@pytest.mark.parametrize("state", FINAL)
def test_a_run_that_has_ended_cannot_be_cancelled(database: orm.Database, state: str) -> None:
    claim = brought_to(database, state)
    before = view(database, claim.run)
    with pytest.raises(ConflictError, match=f"it is {state}"):
        orm.ask_to_cancel(database, claim.run)
    assert view(database, claim.run) == before


def test_an_unknown_run_cannot_be_cancelled(database: orm.Database) -> None:
    with pytest.raises(NotFoundError, match=f"Run {UNKNOWN} does not exist"):
        orm.ask_to_cancel(database, UNKNOWN)


@pytest.mark.parametrize("arrow", [release_now, retry_now])
def test_a_run_with_a_requested_cancel_does_not_wait_for_another_attempt(
    database: orm.Database, arrow: Arrow
) -> None:
    claim = claimed_run(database)
    orm.ask_to_cancel(database, claim.run)
    assert arrow(database, claim, orm.Outcome(error="it went wrong"), [])
    run = view(database, claim.run)
    assert (run.status, run.error, run.cancelling) == ("cancelled", "cancelled", False)
    assert run.finished
    assert due(database) == []


@pytest.mark.parametrize(("state", "arrow"), FINAL.items())
def test_a_run_that_ended_before_it_was_cancelled_keeps_its_state(
    database: orm.Database, state: str, arrow: Arrow
) -> None:
    claim = claimed_run(database)
    orm.ask_to_cancel(database, claim.run)
    arrow(database, claim, orm.Outcome(), [])
    run = view(database, claim.run)
    assert (run.status, run.cancelling) == (state, False)


@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_a_retried_run_waits_like_a_new_one(database: orm.Database, state: str) -> None:
    claim = claimed_run(database)
    outcome = orm.Outcome(exit_code=1, result="{}", error="it went wrong")
    FINAL[state](database, claim, outcome, [PIECE])
    orm.retry(database, claim.run, {"app": app()})
    run, attempts = orm.run(database, claim.run)
    assert (run.status, run.finished, run.result, run.error) == ("queued", None, None, None)
    assert [attempt.error for attempt in attempts] == ["it went wrong"]
    again = claim_next(database)
    assert (again.run, again.attempt, again.failures) == (claim.run, 2, 0)


def test_a_retry_resets_the_counts_of_a_run(database: orm.Database) -> None:
    retry_now(database, claimed_run(database), orm.Outcome(), [])
    orm.lose(database, held_of(database, claim_next(database)), "it was lost")
    claim = claim_next(database)
    orm.crash(database, held_of(database, claim), "it died", 1)
    orm.retry(database, claim.run, {"app": app()})
    run = view(database, claim.run)
    assert (run.crashes, run.losses, claim_next(database).failures) == (0, 0, 0)


def test_a_retried_run_uses_the_current_queue_of_its_application(
    database: orm.Database,
) -> None:
    claim = brought_to(database, "failed")
    orm.retry(database, claim.run, {"app": app(queue="elsewhere")})
    assert orm.publish(database, 10, configured(database))[0] == [
        orm.WakeUp(claim.run, "elsewhere")
    ]


@pytest.mark.parametrize("state", ["queued", "running", "retrying", "succeeded"])
def test_a_run_in_another_state_is_not_retried(database: orm.Database, state: str) -> None:
    claim = brought_to(database, state)
    before = view(database, claim.run)
    with pytest.raises(ConflictError, match=f"it is {state}"):
        orm.retry(database, claim.run, {"app": app()})
    assert view(database, claim.run) == before


def test_a_run_whose_application_was_removed_is_not_retried(database: orm.Database) -> None:
    claim = brought_to(database, "failed")
    with pytest.raises(ConflictError, match="Application app is no longer configured"):
        orm.retry(database, claim.run, {})
    assert view(database, claim.run).status == "failed"


def test_an_unknown_run_is_not_retried(database: orm.Database) -> None:
    with pytest.raises(NotFoundError, match=f"Run {UNKNOWN} does not exist"):
        orm.retry(database, UNKNOWN, {})


def ended_event(database: orm.Database, event: Event, *applications: str) -> str:
    """Store an event whose runs have failed; return its uuid."""
    runs = accepted_runs(database, event, *applications)
    due(database)
    for run in runs:
        orm.finish(database, claimed(database, run), orm.State.FAILED, orm.Outcome(), [])
    return view(database, runs[0]).event


def test_a_replay_makes_a_new_run_for_each_application(database: orm.Database) -> None:
    event = make_event()
    uuid = ended_event(database, event, "one", "two")
    made = orm.replay(database, uuid, event, apps("one", "two"))
    assert [(view(database, run).application, view(database, run).status) for run in made] == [
        ("one", "queued"),
        ("two", "queued"),
    ]
    assert sorted(due(database)) == sorted(made)


def test_a_replayed_run_names_its_origin(database: orm.Database) -> None:
    event = make_event()
    uuid = ended_event(database, event, "one", "two")
    previous = {run.application: run.uuid for run in orm.event(database, uuid).runs}
    for run in orm.replay(database, uuid, event, apps("two", "one")):
        assert view(database, run).origin == previous[view(database, run).application]


def test_a_run_of_a_newly_matching_application_has_no_origin(database: orm.Database) -> None:
    event = make_event()
    uuid = ended_event(database, event, "one")
    [made] = orm.replay(database, uuid, event, apps("new"))
    assert view(database, made).origin is None


def test_a_replay_replaces_all_previous_runs(database: orm.Database) -> None:
    event = make_event()
    uuid = ended_event(database, event, "one", "two")
    [made] = orm.replay(database, uuid, event, apps("one"))
    superseded = {run.uuid: run.superseded for run in orm.event(database, uuid).runs}
    assert [run for run, is_superseded in superseded.items() if not is_superseded] == [made]


def test_an_event_can_be_replayed_again(database: orm.Database) -> None:
    event = make_event()
    uuid = ended_event(database, event, "app")
    [second] = orm.replay(database, uuid, event, apps("app"))
    orm.finish(database, claim_next(database), orm.State.SUCCEEDED, orm.Outcome(), [])
    [third] = orm.replay(database, uuid, event, apps("app"))
    assert view(database, third).origin == second
    assert [run.superseded for run in orm.event(database, uuid).runs] == [True, True, False]


def test_an_event_that_matched_nothing_can_be_replayed(database: orm.Database) -> None:
    [accepted] = orm.accept(database, [orm.Arrival(make_event(), [])])
    [made] = orm.replay(database, accepted.uuid, make_event(), apps("app"))
    assert orm.event(database, accepted.uuid).status == "queued"
    assert due(database) == [made]


@pytest.mark.parametrize("state", ["queued", "running", "retrying"])
def test_an_event_with_a_run_that_has_not_ended_is_not_replayed(
    database: orm.Database, state: str
) -> None:
    claim = brought_to(database, state)
    with pytest.raises(ConflictError, match="have not ended"):
        orm.replay(database, claim.event, make_event(), apps("app"))
    assert count(database, "run") == 1


def test_an_event_that_no_longer_matches_is_not_replayed(database: orm.Database) -> None:
    claim = brought_to(database, "failed")
    with pytest.raises(ConflictError, match="No application matches"):
        orm.replay(database, claim.event, make_event(), [])
    assert not view(database, claim.run).superseded


def test_one_of_two_concurrent_replays_succeeds(database: orm.Database) -> None:
    def replay(uuid: str) -> int:
        try:
            return len(orm.replay(database, uuid, make_event(), apps("app")))
        except ConflictError:
            return 0
        finally:
            database.close()

    for number in range(10):
        uuid = ended_event(database, make_event(number), "app")
        assert sorted(at_once(partial(replay, uuid), partial(replay, uuid))) == [0, 1]


def test_a_superseded_run_is_not_retried(database: orm.Database) -> None:
    claim = brought_to(database, "failed")
    orm.replay(database, claim.event, make_event(), apps("app"))
    with pytest.raises(ConflictError, match="superseded by a replay"):
        orm.retry(database, claim.run, {"app": app()})
    assert view(database, claim.run).status == "failed"


def test_a_retry_during_a_replay_is_refused(each_database: orm.Database) -> None:
    database = each_database
    uuid = ended_event(database, make_event(), "app")
    [previous] = orm.event(database, uuid).runs
    retries: list[Future[None]] = []

    def retry() -> None:
        try:
            orm.retry(database, previous.uuid, {"app": app()})
        finally:
            database.close()

    class Interrupted(Application):
        def slot(self, event: Event) -> str:
            """Retry the previous run while the new one is made."""
            retries.append(pool.submit(retry))
            wait(retries, timeout=0.3)
            return Application.slot(self, event)

    with ThreadPoolExecutor(1) as pool:
        orm.replay(database, uuid, make_event(), [Interrupted("app", app().target)])
    assert isinstance(retries[0].exception(), ConflictError)
    assert view(database, previous.uuid).status == "failed"
