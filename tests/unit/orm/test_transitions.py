"""The arrows between the states: each happens from its own state only, and says whether it did."""

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
from pacifica.dispatcher.lines import Progress
from pacifica.dispatcher.output import Piece
from tests.unit.conftest import (
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
    count,
    due,
    make_event,
    published_run,
    view,
)

Arrow = Callable[[orm.Database, orm.Claim, orm.Outcome, Iterable[Piece]], bool]

release_now = partial(orm.release, due=0.0)
retry_now = partial(orm.retry_later, due=0.0)
FINAL: dict[str, Arrow] = {"succeeded": orm.succeed, "failed": orm.fail, "cancelled": orm.cancel}
ARROWS: dict[str, Arrow] = {**FINAL, "queued": release_now, "retrying": retry_now}
NOWHERE = "01a20997-c0e5-77ee-8e00-a2944b68dfdf"
PIECE = Piece("stdout", 0, 1.0, b"said")


def each_of(name: str, arrows: dict[str, Arrow]) -> pytest.MarkDecorator:
    """A test for each of the arrows; it is called by the state to which it leads."""
    return pytest.mark.parametrize(name, arrows.values(), ids=arrows.keys())


def held_of(database: orm.Database, claim: orm.Claim, worker: str = "worker") -> orm.Held:
    """What recovery sees of an attempt that goes on."""
    [held] = [each for each in orm.held(database, worker) if each.run == claim.run]
    return held


def brought_to(database: orm.Database, state: str) -> orm.Claim:
    """The last claim of a run that has come into this state."""
    claim = claimed_run(database)
    if state != "running":
        assert ARROWS[state](database, claim, orm.Outcome(error="it went wrong"), [])
    assert view(database, claim.run).status == state
    return claim


def test_a_claim_holds_what_is_needed_to_run(database: orm.Database) -> None:
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
    assert orm.claim(database, claim.run, orm.Claimant("other", "elsewhere", 1, {})) is None
    assert view(database, claim.run).host == "host"


def test_a_run_without_a_wakeup_is_not_claimed(database: orm.Database) -> None:
    [run] = accept_runs(database, app(), 1)
    assert orm.claim(database, run, claimant()) is None
    assert view(database, run).status == "queued"


def test_a_run_that_is_none_is_not_claimed(database: orm.Database) -> None:
    assert orm.claim(database, NOWHERE, claimant()) is None


@each_of("arrow", FINAL)
def test_a_run_that_has_ended_is_not_claimed(database: orm.Database, arrow: Arrow) -> None:
    claim = claimed_run(database)
    arrow(database, claim, orm.Outcome(), [])
    assert due(database) == []
    assert orm.claim(database, claim.run, claimant()) is None


def test_of_two_that_claim_at_once_one_gets_the_run(database: orm.Database) -> None:
    def claim(run: str) -> bool:
        claimed = orm.claim(database, run, claimant()) is not None
        database.close()
        return claimed

    for number in range(20):
        run = published_run(database, number)
        assert sorted(at_once(partial(claim, run), partial(claim, run))) == [False, True]
    assert count(database, "attempt") == 20


@pytest.mark.parametrize(("status", "arrow"), FINAL.items())
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
    assert release_now(database, claim, orm.Outcome(signal="SIGTERM", error="stopped"), [PIECE])
    run, [attempt] = orm.run(database, claim.run)
    assert (run.status, run.finished, run.error) == ("queued", None, None)
    assert (attempt.signal, attempt.error) == ("SIGTERM", "stopped")
    assert orm.output(database, claim.run, 1, None) == [PIECE]


def test_a_released_run_is_claimed_after_it_was_published_again(database: orm.Database) -> None:
    first = claimed_run(database)
    release_now(database, first, orm.Outcome(), [])
    assert orm.claim(database, first.run, claimant()) is None
    second = claim_next(database)
    assert second.attempt == 2
    orm.succeed(database, second, orm.Outcome(exit_code=0), [])
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
    assert orm.save_output(database, claim, [PIECE], orm.Notes())
    assert orm.output(database, claim.run, 1, None) == [PIECE]


def test_a_piece_without_data_drops_the_one_that_was_kept_there(database: orm.Database) -> None:
    claim = claimed_run(database)
    other = PIECE._replace(stream="stdout" if PIECE.stream == "stderr" else "stderr")
    assert orm.save_output(database, claim, [PIECE, other], orm.Notes())
    assert orm.save_output(database, claim, [PIECE._replace(data=b"")], orm.Notes())
    assert orm.output(database, claim.run, 1, None) == [other]


@each_of("ended", ARROWS)
def test_output_is_not_kept_when_the_attempt_has_ended(
    database: orm.Database, ended: Arrow
) -> None:
    claim = claimed_run(database)
    ended(database, claim, orm.Outcome(), [])
    assert not orm.save_output(database, claim, [PIECE], orm.Notes())
    assert count(database, "output") == 0


def test_output_of_an_attempt_that_lost_the_run_is_not_kept(database: orm.Database) -> None:
    stale = claimed_run(database)
    release_now(database, stale, orm.Outcome(), [])
    claim_next(database)
    assert not orm.save_output(database, stale, [PIECE], orm.Notes())
    assert count(database, "output") == 0


NOTES = orm.Notes(["a", "b c"], Progress(40, "half-way"), "disk full")


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
    assert arrow(database, claim, orm.Outcome(notes=NOTES), [])
    assert noted(database, claim.run) == (["a", "b c"], Progress(40, "half-way"), "disk full")


def test_notes_outlive_the_death_of_the_worker(database: orm.Database) -> None:
    claim = claimed_run(database)
    orm.save_output(database, claim, [], NOTES)
    [held] = orm.held(database, "worker")
    assert orm.crash(database, held, "killed", 3)
    assert noted(database, claim.run) == (["a", "b c"], Progress(40, "half-way"), "disk full")


def test_a_claim_says_who_runs_it(database: orm.Database) -> None:
    run = published_run(database)
    orm.claim(database, run, orm.Claimant("a worker", "a host", 42, {}))
    assert orm.held(database, "a worker") == [orm.Held(run, 1, "app", 42, cancelling=False)]


@pytest.mark.parametrize("concurrency", [None, 3])
def test_a_claim_says_whether_its_application_is_limited(
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


def test_claims_that_follow_each_other_move_the_pace_by_an_interval_each(
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
        before = time.time()
        at_once(*(partial(claim, run, application) for run in runs))
        assert before + 7200 <= free_at(each_database) <= time.time() + 7200
        change(each_database, "DELETE FROM pace")


def test_a_pace_that_was_free_for_long_saves_nothing_up(database: orm.Database) -> None:
    application = app(rate=Rate(1, 60.0))
    claimed(database, published_run(database, 1), application)
    change(database, "UPDATE pace SET free_at = free_at - 36000")
    claimed(database, published_run(database, 2), application)
    assert free_at(database) > time.time()


def test_a_run_that_is_not_to_be_had_does_not_move_the_pace(database: orm.Database) -> None:
    run = claimed_run(database).run
    assert orm.claim(database, run, claimant("worker", app(rate=Rate(1, 60.0)))) is None
    assert count(database, "pace") == 0


def free_at(database: orm.Database) -> float:
    """When the only pace that there is lets the next attempt start."""
    with database.reading():
        [(when,)] = database.fetch("SELECT free_at FROM pace", ()).fetchall()
    return float(when)


@each_of("arrow", ARROWS)
def test_whatever_ends_an_attempt_takes_it_from_its_worker(
    database: orm.Database, arrow: Arrow
) -> None:
    claim = claimed_run(database)
    arrow(database, claim, orm.Outcome(), [])
    assert orm.held(database, "worker") == []


@pytest.mark.parametrize(("arrow", "state"), [(release_now, "queued"), (retry_now, "retrying")])
def test_a_run_that_waits_says_until_when_and_is_not_published_before(
    database: orm.Database, arrow: Callable[..., bool], state: str
) -> None:
    claim = claimed_run(database)
    until = time.time() + 60
    assert arrow(database, claim, orm.Outcome(error="it went wrong"), [], due=until)
    run = view(database, claim.run)
    assert (run.status, run.due, run.finished) == (state, until, None)
    assert due(database) == []


@pytest.mark.parametrize(("arrow", "failures"), [(release_now, 0), (retry_now, 1)])
def test_only_a_failure_counts_as_one(database: orm.Database, arrow: Arrow, failures: int) -> None:
    arrow(database, claimed_run(database), orm.Outcome(), [])
    again = claim_next(database)
    assert (again.attempt, again.failures) == (2, failures)


def test_a_run_that_is_retried_says_what_went_wrong(database: orm.Database) -> None:
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


def test_deaths_of_the_worker_are_no_failures(database: orm.Database) -> None:
    claim = claimed_run(database)
    orm.crash(database, held_of(database, claim), "it died", 3)
    assert claim_next(database).failures == 0


def test_a_run_that_crashes_as_often_as_it_may_fails(database: orm.Database) -> None:
    [uuid] = accept_runs(database, app(), 1)
    states = [
        orm.crash(database, held_of(database, claim_next(database)), "it died", 3) for _ in range(3)
    ]
    run, attempts = orm.run(database, uuid)
    assert states == [orm.State.QUEUED, orm.State.QUEUED, orm.State.FAILED]
    assert (run.status, run.crashes, len(attempts), run.due) == ("failed", 3, 3, None)
    assert run.error == "it died, for the 3. time (max_crashes)"
    assert run.finished


def test_a_run_that_was_to_be_cancelled_is_when_its_worker_dies(database: orm.Database) -> None:
    claim = claimed_run(database)
    orm.ask_to_cancel(database, claim.run)
    state = orm.crash(database, held_of(database, claim), "it died", 1)
    run = view(database, claim.run)
    assert state is orm.State.CANCELLED
    assert (run.status, run.error, run.cancelling) == ("cancelled", "it was cancelled", False)


@each_of("ended", ARROWS)
def test_an_attempt_that_has_ended_does_not_crash(database: orm.Database, ended: Arrow) -> None:
    claim = claimed_run(database)
    held = held_of(database, claim)
    ended(database, claim, orm.Outcome(), [])
    before = orm.run(database, claim.run)
    assert orm.crash(database, held, "it died", 1) is None
    assert orm.run(database, claim.run) == before


def test_an_attempt_crashes_for_one_of_two_that_see_it(database: orm.Database) -> None:
    def crash(held: orm.Held) -> orm.State | None:
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
    assert (run.status, run.error, run.due) == ("cancelled", "it was cancelled", None)
    assert run.finished
    assert due(database) == []


def test_a_run_whose_wakeup_is_on_its_way_is_cancelled_and_not_claimed(
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


def test_a_run_that_is_none_cannot_be_cancelled(database: orm.Database) -> None:
    with pytest.raises(NotFoundError, match=f"no run {NOWHERE}"):
        orm.ask_to_cancel(database, NOWHERE)


@pytest.mark.parametrize("arrow", [release_now, retry_now])
def test_a_run_that_is_to_be_cancelled_does_not_wait_for_another_attempt(
    database: orm.Database, arrow: Arrow
) -> None:
    claim = claimed_run(database)
    orm.ask_to_cancel(database, claim.run)
    assert arrow(database, claim, orm.Outcome(error="it went wrong"), [])
    run = view(database, claim.run)
    assert (run.status, run.error, run.cancelling) == ("cancelled", "it was cancelled", False)
    assert run.finished
    assert due(database) == []


@pytest.mark.parametrize(("state", "arrow"), FINAL.items())
def test_a_run_that_ended_before_it_was_cancelled_is_what_it_came_to(
    database: orm.Database, state: str, arrow: Arrow
) -> None:
    claim = claimed_run(database)
    orm.ask_to_cancel(database, claim.run)
    arrow(database, claim, orm.Outcome(), [])
    run = view(database, claim.run)
    assert (run.status, run.cancelling) == (state, False)


@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_a_run_that_is_retried_waits_as_if_it_were_new(database: orm.Database, state: str) -> None:
    claim = claimed_run(database)
    outcome = orm.Outcome(exit_code=1, result="{}", error="it went wrong")
    FINAL[state](database, claim, outcome, [PIECE])
    orm.retry(database, claim.run, {"app": app()})
    run, attempts = orm.run(database, claim.run)
    assert (run.status, run.finished, run.result, run.error) == ("queued", None, None, None)
    assert [attempt.error for attempt in attempts] == ["it went wrong"]
    again = claim_next(database)
    assert (again.run, again.attempt, again.failures) == (claim.run, 2, 0)


def test_a_run_that_is_retried_may_fail_as_often_again(database: orm.Database) -> None:
    retry_now(database, claimed_run(database), orm.Outcome(), [])
    claim = claim_next(database)
    orm.crash(database, held_of(database, claim), "it died", 1)
    orm.retry(database, claim.run, {"app": app()})
    run = view(database, claim.run)
    assert (run.crashes, claim_next(database).failures) == (0, 0)


def test_a_run_that_is_retried_goes_where_its_application_goes_now(
    database: orm.Database,
) -> None:
    claim = brought_to(database, "failed")
    orm.retry(database, claim.run, {"app": app(queue="elsewhere")})
    assert orm.publish(database, 10, {})[0] == [orm.WakeUp(claim.run, "elsewhere")]


@pytest.mark.parametrize("state", ["queued", "running", "retrying", "succeeded"])
def test_a_run_in_another_state_is_not_retried(database: orm.Database, state: str) -> None:
    claim = brought_to(database, state)
    before = view(database, claim.run)
    with pytest.raises(ConflictError, match=f"it is {state}"):
        orm.retry(database, claim.run, {"app": app()})
    assert view(database, claim.run) == before


def test_a_run_whose_application_is_gone_is_not_retried(database: orm.Database) -> None:
    claim = brought_to(database, "failed")
    with pytest.raises(ConflictError, match="app is not configured"):
        orm.retry(database, claim.run, {})
    assert view(database, claim.run).status == "failed"


def test_a_run_that_is_none_is_not_retried(database: orm.Database) -> None:
    with pytest.raises(NotFoundError, match=f"no run {NOWHERE}"):
        orm.retry(database, NOWHERE, {})


def ended_event(database: orm.Database, event: Event, *applications: str) -> str:
    """The uuid of an event whose runs have failed."""
    runs = accepted_runs(database, event, *applications)
    due(database)
    for run in runs:
        orm.fail(database, claimed(database, run), orm.Outcome(), [])
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


def test_a_replayed_run_names_the_one_that_it_repeats(database: orm.Database) -> None:
    event = make_event()
    uuid = ended_event(database, event, "one", "two")
    former = {run.application: run.uuid for run in orm.event(database, uuid).runs}
    for run in orm.replay(database, uuid, event, apps("two", "one")):
        assert view(database, run).origin == former[view(database, run).application]


def test_an_application_that_is_new_to_the_event_repeats_nothing(database: orm.Database) -> None:
    event = make_event()
    uuid = ended_event(database, event, "one")
    [made] = orm.replay(database, uuid, event, apps("new"))
    assert view(database, made).origin is None


def test_a_replay_takes_the_place_of_all_former_runs(database: orm.Database) -> None:
    event = make_event()
    uuid = ended_event(database, event, "one", "two")
    [made] = orm.replay(database, uuid, event, apps("one"))
    superseded = {run.uuid: run.superseded for run in orm.event(database, uuid).runs}
    assert [run for run, is_superseded in superseded.items() if not is_superseded] == [made]


def test_an_event_can_be_replayed_again(database: orm.Database) -> None:
    event = make_event()
    uuid = ended_event(database, event, "app")
    [second] = orm.replay(database, uuid, event, apps("app"))
    orm.succeed(database, claim_next(database), orm.Outcome(), [])
    [third] = orm.replay(database, uuid, event, apps("app"))
    assert view(database, third).origin == second
    assert [run.superseded for run in orm.event(database, uuid).runs] == [True, True, False]


def test_an_event_that_matched_nothing_can_be_replayed(database: orm.Database) -> None:
    [accepted] = orm.accept(database, [(make_event(), [])])
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


def test_an_event_that_matches_nothing_any_more_is_not_replayed(database: orm.Database) -> None:
    claim = brought_to(database, "failed")
    with pytest.raises(ConflictError, match="no application matches"):
        orm.replay(database, claim.event, make_event(), [])
    assert not view(database, claim.run).superseded


def test_two_replays_at_once_make_one(database: orm.Database) -> None:
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
    with pytest.raises(ConflictError, match="a replay of its event has taken its place"):
        orm.retry(database, claim.run, {"app": app()})
    assert view(database, claim.run).status == "failed"


def test_a_retry_in_the_middle_of_a_replay_comes_too_late(each_database: orm.Database) -> None:
    database = each_database
    uuid = ended_event(database, make_event(), "app")
    [former] = orm.event(database, uuid).runs
    retries: list[Future[None]] = []

    def retry() -> None:
        try:
            orm.retry(database, former.uuid, {"app": app()})
        finally:
            database.close()

    class Interrupted(Application):
        def slot(self, event: Event) -> str:
            """Is asked for while the new run is made."""
            retries.append(pool.submit(retry))
            wait(retries, timeout=0.3)
            return Application.slot(self, event)

    with ThreadPoolExecutor(1) as pool:
        orm.replay(database, uuid, make_event(), [Interrupted("app", app().way)])
    assert isinstance(retries[0].exception(), ConflictError)
    assert view(database, former.uuid).status == "failed"
