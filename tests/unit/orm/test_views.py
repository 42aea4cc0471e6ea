"""Views of events, runs, attempts and output."""

from collections.abc import Iterable

import pytest

from pacifica.dispatcher import orm
from pacifica.dispatcher.errors import NotFoundError
from pacifica.dispatcher.execution.capture import Piece
from pacifica.dispatcher.execution.progress import Progress
from pacifica.dispatcher.orm.views import status_of
from tests.factories import (
    change,
    claimant,
    claimed,
    claimed_run,
    due,
    make_event,
    superseded_event,
)

UNKNOWN = "01a20997-c0e5-77ee-8e00-a2944b68dfdf"
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


def test_an_unknown_event_is_not_found(database: orm.Database) -> None:
    with pytest.raises(NotFoundError, match=f"Event {UNKNOWN} does not exist"):
        orm.event(database, UNKNOWN)


def test_an_unknown_run_is_not_found(database: orm.Database) -> None:
    with pytest.raises(NotFoundError, match=f"Run {UNKNOWN} does not exist"):
        orm.run(database, UNKNOWN)


def test_an_event_shows_the_last_attempts_of_its_runs(database: orm.Database) -> None:
    claim = claimed_run(database)
    orm.postpone(database, claim, orm.State.QUEUED, orm.Outcome(signal="SIGTERM"), [], due=0)
    due(database)
    again = orm.claim(database, claim.run, claimant(host="another host"))
    assert again is not None
    [run] = orm.event(database, claim.event).runs
    assert (run.attempt, run.host, run.signal) == (2, "another host", None)


def test_stored_values_are_converted_when_read(each_database: orm.Database) -> None:
    claim = claimed_run(each_database)
    notes = orm.Outcome(command=["true", "--now"], progress=Progress(50, "half"))
    orm.save_output(each_database, claim, [], notes)
    change(each_database, "UPDATE run SET result = ?", ('{"a": [1, null]}',))
    run, [attempt] = orm.run(each_database, claim.run)
    assert (run.result, run.progress) == ({"a": [1, None]}, Progress(50, "half"))
    assert (attempt.command, attempt.progress) == (["true", "--now"], Progress(50, "half"))
    assert (run.cancelling is False, run.superseded is False) == (True, True)


def test_missing_values_are_none(each_database: orm.Database) -> None:
    run, [attempt] = orm.run(each_database, claimed_run(each_database).run)
    assert (run.result, run.progress, attempt.command, attempt.progress) == (None,) * 4


def test_output_is_in_the_order_written(database: orm.Database) -> None:
    claim = claimed_run(database)
    pieces = [
        Piece("stdout", 0, 10.0, b"one "),
        Piece("stderr", 0, 11.0, b"two "),
        Piece("stdout", 4, 12.0, b"three "),
        Piece("stderr", 900, 13.0, b"after a gap"),
        Piece("stdout", 10, 13.5, bytes(range(256))),
    ]
    orm.save_output(database, claim, pieces[2:], orm.Outcome())
    orm.finish(database, claim, orm.State.SUCCEEDED, orm.Outcome(), pieces[:2])
    assert orm.output(database, claim.run, 1, None) == pieces
    assert orm.output(database, claim.run, 1, "stderr") == [pieces[1], pieces[3]]


def test_pieces_written_at_the_same_time_are_in_order_of_position(
    database: orm.Database,
) -> None:
    claim = claimed_run(database)
    pieces = [Piece("stdout", position, 10.0, b"x" * 5) for position in (0, 5, 10)]
    orm.finish(database, claim, orm.State.SUCCEEDED, orm.Outcome(), pieces[::-1])
    assert orm.output(database, claim.run, 1, None) == pieces


def test_each_attempt_has_its_own_output(database: orm.Database) -> None:
    first = claimed_run(database)
    orm.postpone(
        database, first, orm.State.QUEUED, orm.Outcome(), [Piece("stdout", 0, 1.0, b"first")], due=0
    )
    due(database)
    second = claimed(database, first.run)
    orm.finish(
        database, second, orm.State.SUCCEEDED, orm.Outcome(), [Piece("stdout", 0, 2.0, b"second")]
    )
    data = [
        b"".join(piece.data for piece in orm.output(database, first.run, attempt, None))
        for attempt in (1, 2, 3)
    ]
    assert data == [b"first", b"second", b""]


def test_superseded_runs_do_not_count_for_the_status(database: orm.Database) -> None:
    event = orm.event(database, superseded_event(database, "app"))
    assert (event.status, [run.status for run in event.runs]) == ("queued", ["failed", "queued"])


def test_a_run_shows_a_requested_cancel(database: orm.Database) -> None:
    claim = claimed_run(database)
    before = orm.run(database, claim.run)[0].cancelling
    orm.ask_to_cancel(database, claim.run)
    assert (before, orm.run(database, claim.run)[0].cancelling) == (False, True)


def test_a_run_shows_when_it_is_due(database: orm.Database) -> None:
    claim = claimed_run(database)
    orm.postpone(database, claim, orm.State.QUEUED, orm.Outcome(), [], due=5e9)
    assert orm.run(database, claim.run)[0].due == 5e9


def undated(pieces: Iterable[Piece]) -> list[Piece]:
    """Return pieces without their times, which were converted to the server's clock."""
    return [each._replace(written=0.0) for each in pieces]


def test_output_can_be_read_from_a_position(each_database: orm.Database) -> None:
    claim = claimed_run(each_database)
    run = claim.run
    assert orm.output_saved(each_database, run, 1) == ({}, False)
    pieces = [
        Piece("stdout", 0, 1.0, b"a\0\xff\xc3"),
        Piece("stderr", 0, 2.0, b"err"),
        Piece("stdout", 90, 3.0, b"after a gap"),
    ]
    orm.save_output(each_database, claim, pieces, orm.Outcome())
    assert orm.output_saved(each_database, run, 1) == ({"stdout": 101, "stderr": 3}, False)
    after = {
        position: undated(orm.output_after(each_database, run, 1, {"stdout": position}))
        for position in (0, 3, 4, 90, 100, 101)
    }
    first, _, last = undated(pieces)
    assert after == {
        0: [first, last], 3: [first, last], 4: [last], 90: [last], 100: [last], 101: [],
    }  # fmt: skip
    stored = orm.output_after(each_database, run, 1, {"stdout": 0, "stderr": 0})
    assert undated(stored) == undated(pieces)
    assert [each.written for each in stored] == pytest.approx([1, 2, 3], abs=5)
    orm.finish(each_database, claim, orm.State.SUCCEEDED, orm.Outcome(), [])
    assert orm.output_saved(each_database, run, 1)[1]


def test_the_end_of_an_output_is_read_without_the_rest(each_database: orm.Database) -> None:
    claim = claimed_run(each_database)
    pieces = [
        Piece(stream, position, 10.0 + position, b"x" * 10)
        for position in range(0, 100, 10)
        for stream in ("stdout", "stderr")
    ]
    orm.finish(each_database, claim, orm.State.SUCCEEDED, orm.Outcome(), pieces)
    stored = orm.output(each_database, claim.run, 1, None)
    of_stdout = orm.output(each_database, claim.run, 1, "stdout")
    assert orm.output_end(each_database, claim.run, 1, "stdout", 25) == (of_stdout[-3:], True)
    assert orm.output_end(each_database, claim.run, 1, None, 40) == (stored[-4:], True)
    assert orm.output_end(each_database, claim.run, 1, None, 1000) == (stored, False)
    assert orm.output_end(each_database, claim.run, 2, None, 1000) == ([], False)


@pytest.mark.parametrize("length", [10, orm.MAX_SHORT, 2 * orm.MAX_SHORT])
def test_a_summary_has_the_attributes_of_short_and_long_events(
    each_database: orm.Database, length: int
) -> None:
    sent = make_event(7, count=2, flag=True, data="ä" * length)
    [accepted] = orm.accept(each_database, [orm.Arrival(sent, ())])
    summary = orm.event_summary(each_database, accepted.uuid)
    assert summary.attributes == sent.attributes
    [found] = orm.search(each_database, orm.EventFilter(), 10).events
    assert found == summary
    assert orm.event(each_database, accepted.uuid).sent == sent.sent


def test_a_list_does_not_read_the_data_of_long_events(database: orm.Database) -> None:
    [accepted] = orm.accept(database, [orm.Arrival(make_event(data="x" * 10_000), ())])
    change(database, "UPDATE event SET sent = 'not read'", ())
    assert orm.event_summary(database, accepted.uuid).attributes["id"] == "1"


def test_an_event_that_is_no_longer_valid_has_no_attributes(database: orm.Database) -> None:
    [accepted] = orm.accept(database, [orm.Arrival(make_event(), ())])
    change(database, "UPDATE event SET sent = '{}'", ())
    assert orm.event_summary(database, accepted.uuid).attributes == {}
