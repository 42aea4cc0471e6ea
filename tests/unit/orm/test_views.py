"""Views of events, runs, attempts and output."""

import pytest

from pacifica.dispatcher import orm
from pacifica.dispatcher.errors import NotFoundError
from pacifica.dispatcher.execution.progress import Progress
from pacifica.dispatcher.orm.views import status_of
from tests.factories import (
    change,
    claimant,
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
