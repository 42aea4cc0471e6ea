"""What is asked of the database: filters, pages, an event's status, output, counts."""

import pytest

from pacifica.dispatcher import orm
from pacifica.dispatcher.errors import NotFoundError
from pacifica.dispatcher.orm.queries import status_of
from pacifica.dispatcher.output import Piece
from tests.unit.conftest import (
    claimed,
    claimed_run,
    due,
    superseded_event,
)

NOWHERE = "01a20997-c0e5-77ee-8e00-a2944b68dfdf"
STATES = [state.value for state in orm.State]


@pytest.mark.parametrize(
    ("states", "status"),
    [
        ([], "unmatched"),
        (["succeeded"], "succeeded"),
        (["succeeded", "cancelled"], "cancelled"),
        (["succeeded", "cancelled", "failed"], "failed"),
        (["succeeded", "cancelled", "failed", "retrying"], "retrying"),
        (["succeeded", "cancelled", "failed", "retrying", "queued"], "queued"),
        (["succeeded", "cancelled", "failed", "retrying", "queued", "running"], "running"),
    ],
)
def test_an_event_has_the_first_status_that_applies(states: list[str], status: str) -> None:
    assert status_of(states) == status_of(states[::-1]) == status


def test_there_is_no_event_of_this_uuid(database: orm.Database) -> None:
    with pytest.raises(NotFoundError, match=f"no event {NOWHERE}"):
        orm.event(database, NOWHERE)


def test_there_is_no_run_of_this_uuid(database: orm.Database) -> None:
    with pytest.raises(NotFoundError, match=f"no run {NOWHERE}"):
        orm.run(database, NOWHERE)


def test_an_event_shows_how_the_last_attempts_of_its_runs_stand(database: orm.Database) -> None:
    claim = claimed_run(database)
    orm.release(database, claim, orm.Outcome(signal="SIGTERM"), [], 0)
    due(database)
    again = orm.claim(database, claim.run, orm.Claimant("worker", "another host", 1, {}))
    assert again is not None
    [run] = orm.event(database, claim.event).runs
    assert (run.attempt, run.host, run.signal) == (2, "another host", None)


def test_output_is_in_the_order_in_which_it_was_written(database: orm.Database) -> None:
    claim = claimed_run(database)
    pieces = [
        Piece("stdout", 0, 10.0, b"one "),
        Piece("stderr", 0, 11.0, b"two "),
        Piece("stdout", 4, 12.0, b"three "),
        Piece("stderr", 900, 13.0, b"after a gap"),
        Piece("stdout", 10, 13.5, bytes(range(256))),
    ]
    orm.save_output(database, claim, pieces[2:], orm.Notes())
    orm.succeed(database, claim, orm.Outcome(), pieces[:2])
    assert orm.output(database, claim.run, 1, None) == pieces
    assert orm.output(database, claim.run, 1, "stderr") == [pieces[1], pieces[3]]


def test_pieces_of_one_moment_are_in_the_order_of_the_stream(database: orm.Database) -> None:
    claim = claimed_run(database)
    pieces = [Piece("stdout", position, 10.0, b"x" * 5) for position in (0, 5, 10)]
    orm.succeed(database, claim, orm.Outcome(), pieces[::-1])
    assert orm.output(database, claim.run, 1, None) == pieces


def test_each_attempt_has_its_own_output(database: orm.Database) -> None:
    first = claimed_run(database)
    orm.release(database, first, orm.Outcome(), [Piece("stdout", 0, 1.0, b"first")], 0)
    due(database)
    second = claimed(database, first.run)
    orm.succeed(database, second, orm.Outcome(), [Piece("stdout", 0, 2.0, b"second")])
    data = [
        b"".join(piece.data for piece in orm.output(database, first.run, attempt, None))
        for attempt in (1, 2, 3)
    ]
    assert data == [b"first", b"second", b""]


def test_runs_that_were_superseded_do_not_count_for_the_status(database: orm.Database) -> None:
    event = orm.event(database, superseded_event(database, "app"))
    assert (event.status, [run.status for run in event.runs]) == ("queued", ["failed", "queued"])


def test_a_run_that_is_to_be_cancelled_says_so(database: orm.Database) -> None:
    claim = claimed_run(database)
    before = orm.run(database, claim.run)[0].cancelling
    orm.ask_to_cancel(database, claim.run)
    assert (before, orm.run(database, claim.run)[0].cancelling) == (False, True)


def test_a_run_says_when_it_is_due(database: orm.Database) -> None:
    claim = claimed_run(database)
    orm.release(database, claim, orm.Outcome(), [], 5e9)
    assert orm.run(database, claim.run)[0].due == 5e9


def test_what_is_saved_beyond_a_position(each_database: orm.Database) -> None:
    claim = claimed_run(each_database)
    run = claim.run
    assert orm.output_saved(each_database, run, 1) == ({}, False)
    pieces = [
        Piece("stdout", 0, 1.0, b"a\0\xff\xc3"),
        Piece("stderr", 0, 2.0, b"err"),
        Piece("stdout", 90, 3.0, b"after a gap"),
    ]
    orm.save_output(each_database, claim, pieces, orm.Notes())
    assert orm.output_saved(each_database, run, 1) == ({"stdout": 101, "stderr": 3}, False)
    after = {
        position: orm.output_after(each_database, run, 1, {"stdout": position})
        for position in (0, 3, 4, 90, 100, 101)
    }
    first, _, last = pieces
    assert after == {
        0: [first, last], 3: [first, last], 4: [last], 90: [last], 100: [last], 101: [],
    }  # fmt: skip
    assert orm.output_after(each_database, run, 1, {"stdout": 0, "stderr": 0}) == pieces
    orm.succeed(each_database, claim, orm.Outcome(), [])
    assert orm.output_saved(each_database, run, 1)[1]
