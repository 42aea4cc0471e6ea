"""Search for events: filters, pages, texts, and the time limit."""

import random
import string
import sys
import time
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacifica.dispatcher import orm
from pacifica.dispatcher.orm.search import time_of, uuid_at
from tests.factories import (
    accepted_runs,
    apps,
    change,
    make_event,
    stored,
    superseded_event,
)

STATES = [state.value for state in orm.State]


def at(database: orm.Database, moment: float, **members: str) -> str:
    """Store an event without runs, received at this time; return its uuid."""
    uuid = stored(database, random.random(), **members)  # noqa: S311 - a new id
    moved = uuid_at(moment)[:14] + uuid[14:]
    change(database, "UPDATE event SET uuid = ? WHERE uuid = ?", (moved, uuid))
    return moved


def found(database: orm.Database, wanted: orm.EventFilter, limit: int = 100) -> list[str]:
    return [each.uuid for each in orm.search(database, wanted, limit).events]


def test_a_status_finds_the_events_that_have_it(database: orm.Database) -> None:
    stored(database, 0)
    for number, states in enumerate(product(STATES, repeat=2), start=1):
        runs = accepted_runs(database, make_event(number), "one", "two")
        for run, state in zip(runs, states, strict=True):
            change(database, "UPDATE run SET state = ? WHERE uuid = ?", (state, run))
    shown = {each.uuid: each.status for each in orm.search(database, orm.EventFilter(), 100).events}
    assert len(shown) == 37
    for status in ["unmatched", *STATES]:
        asked = found(database, orm.EventFilter(status=status))
        assert sorted(asked) == sorted(uuid for uuid in shown if shown[uuid] == status)


@pytest.mark.parametrize("application", [None, "one", "two"])
def test_a_state_finds_the_events_with_a_run_in_it(
    each_database: orm.Database, application: str | None
) -> None:
    unmatched = stored(each_database, 0)
    other = stored(each_database, 1, "three")
    states: dict[str, dict[str, str]] = {}
    for number, pair in enumerate(product(STATES, repeat=2), start=2):
        [accepted] = orm.accept(
            each_database, [orm.Arrival(make_event(number), apps("one", "two"))]
        )
        runs = orm.event(each_database, accepted.uuid).runs
        states[accepted.uuid] = dict(zip(("one", "two"), pair, strict=True))
        for run in runs:
            state = states[accepted.uuid][run.application]
            change(each_database, "UPDATE run SET state = ? WHERE uuid = ?", (state, run.uuid))
    for state in STATES:
        asked = found(each_database, orm.EventFilter(state=state, application=application))
        has = {
            uuid
            for uuid, of_each in states.items()
            if state in ([of_each[application]] if application else of_each.values())
        }
        assert set(asked) - {other} == has
    filters = orm.EventFilter(state="unmatched", application=application)
    assert found(each_database, filters) == ([] if application else [unmatched])


def test_an_empty_database_has_no_events(database: orm.Database) -> None:
    assert orm.search(database, orm.EventFilter(), 10) == orm.EventPage((), None)


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        (orm.EventFilter(), [3, 2, 1]),
        (orm.EventFilter(type="b"), [2]),
        (orm.EventFilter(type="B"), []),
        (orm.EventFilter(source="/s"), [3, 1]),
        (orm.EventFilter(application="one"), [2, 1]),
        (orm.EventFilter(application="on"), []),
        (orm.EventFilter(type="a", application="one"), [1]),
        (orm.EventFilter(status="unmatched", source="/s"), [3]),
        (orm.EventFilter(state="unmatched", type="a"), [3]),
        (orm.EventFilter(state="queued", type="a"), [1]),
        (orm.EventFilter(state="queued", status="queued", application="two"), [2]),
        (orm.EventFilter(state="failed", status="queued"), []),
    ],
)
def test_all_filters_must_match(
    database: orm.Database, wanted: orm.EventFilter, numbers: list[int]
) -> None:
    uuids = {
        stored(database, 1, "one", type="a", source="/s"): 1,
        stored(database, 2, "one", "two", type="b", source="/t"): 2,
        stored(database, 3, type="a", source="/s"): 3,
    }
    assert [uuids[uuid] for uuid in found(database, wanted)] == numbers


def test_a_time_span_includes_its_start_but_not_its_end(database: orm.Database) -> None:
    uuids = [at(database, 1_000.0 + second) for second in range(4)]
    assert found(database, orm.EventFilter(since=1_001, until=1_003)) == [uuids[2], uuids[1]]


def test_pages_follow_one_another_without_overlap_or_gap(database: orm.Database) -> None:
    uuids = [
        each.uuid
        for each in orm.accept(database, [orm.Arrival(make_event(n), []) for n in range(25)])
    ]
    pages = []
    last = None
    while page := found(database, orm.EventFilter(before=last), limit=10):
        pages.append(page)
        last = page[-1]
        stored(database, 100 + len(pages))
    assert [len(page) for page in pages] == [10, 10, 5]
    assert [uuid for page in pages for uuid in page] == sorted(uuids, reverse=True)


def test_pages_of_a_filter_follow_one_another(database: orm.Database) -> None:
    uuids = [stored(database, number, *["app"] * (number % 2)) for number in range(10)]
    first = found(database, orm.EventFilter(application="app"), limit=3)
    rest = found(database, orm.EventFilter(application="app", before=first[-1]), limit=3)
    assert first + rest == uuids[1::2][::-1]


@pytest.mark.parametrize(("status", "times"), [("failed", 0), ("queued", 1)])
def test_an_event_is_not_found_by_the_status_of_superseded_runs(
    database: orm.Database, status: str, times: int
) -> None:
    event = superseded_event(database, "app")
    assert found(database, orm.EventFilter(status=status)) == [event] * times
    assert found(database, orm.EventFilter(state=status)) == [event] * times


def test_an_event_is_not_found_by_the_application_of_superseded_runs(
    database: orm.Database,
) -> None:
    superseded_event(database, "other")
    assert found(database, orm.EventFilter(application="app")) == []


def test_a_text_finds_part_of_the_id_or_subject(each_database: orm.Database) -> None:
    by_id = stored(each_database, "run-0815")
    by_subject = stored(each_database, 1, subject="/data/RUN-0816.raw")
    stored(each_database, 2, subject="run_0815", type="run-08")
    assert found(each_database, orm.EventFilter(text="Run-08")) == [by_subject, by_id]


@pytest.mark.parametrize("text", list(string.punctuation))
def test_no_character_of_a_text_is_a_wildcard(database: orm.Database, text: str) -> None:
    stored(database, 1, subject="plain")
    wanted = stored(database, 2, subject=f"a{text}b")
    assert found(database, orm.EventFilter(text=f"a{text}b")) == [wanted]


@pytest.mark.parametrize(
    "wanted",
    [
        orm.EventFilter(text="rare"),
        orm.EventFilter(type="rare"),
        orm.EventFilter(source="/rare"),
        orm.EventFilter(application="rare"),
        orm.EventFilter(status="failed"),
    ],
    ids=str,
)
def test_a_rare_event_is_found_however_old_it_is(
    each_database: orm.Database, wanted: orm.EventFilter
) -> None:
    [run] = accepted_runs(
        each_database, make_event("rare", type="rare", source="/rare", subject="rare"), "rare"
    )
    change(each_database, "UPDATE run SET state = 'failed' WHERE uuid = ?", (run,))
    for days in range(1, 3_000, 100):
        at(each_database, time.time() + days * 86_400.0)
    everything = orm.search(each_database, wanted, 10, timeout=10)
    assert [view.runs[0].uuid for view in everything.events] == [run]
    assert everything.before is None


def test_a_search_that_times_out_can_be_continued(database: orm.Database) -> None:
    now = time.time()
    uuids = [at(database, now - 86_400.0 * day, subject=f"day-{day % 7}") for day in range(50)]
    pages: list[orm.EventPage] = []
    before = None
    while not pages or before:
        wanted = orm.EventFilter(text="day-3", before=before)
        pages.append(orm.search(database, wanted, 10, timeout=0))
        before = pages[-1].before
        assert len(pages) < 200
    assert [view.uuid for page in pages for view in page.events] == uuids[3::7]
    assert len(pages) > 10


def test_many_events_within_a_short_time_are_read_in_several_stretches(
    each_database: orm.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[uuid_at.__module__], "_MOST_READ", 3)
    uuids = [stored(each_database, number, subject=f"part-{number % 5}") for number in range(10)]
    befores: list[str | None] = [None]
    events: list[str] = []
    while befores == [None] or befores[-1]:
        wanted = orm.EventFilter(text="part-1", before=befores[-1])
        page = orm.search(each_database, wanted, 10, timeout=0)
        events += [view.uuid for view in page.events]
        befores.append(page.before)
    assert befores == [None, uuids[7], uuids[4], uuids[1], None]
    assert events == [uuids[6], uuids[1]]


def test_a_search_without_a_condition_never_times_out(database: orm.Database) -> None:
    now = time.time()
    uuids = [at(database, now - 86_400.0 * day) for day in range(50)]
    assert found(database, orm.EventFilter(), 60) == uuids


def test_a_full_last_page_has_no_next_page(database: orm.Database) -> None:
    uuids = [stored(database, number) for number in range(4)]
    assert orm.search(database, orm.EventFilter(), 4).before is None
    assert orm.search(database, orm.EventFilter(), 3).before == uuids[1]


@pytest.mark.parametrize("brief", [False, True])
def test_a_page_has_a_maximum_size(
    each_database: orm.Database, monkeypatch: pytest.MonkeyPatch, *, brief: bool
) -> None:
    monkeypatch.setattr(sys.modules[uuid_at.__module__], "MAX_PAGE", 100_000)
    uuids = [stored(each_database, number, "app", subject="s" * 40_000) for number in range(5)]
    change(each_database, "UPDATE run SET result = ?", (f'"{"r" * 40_000}"',))
    pages: list[list[str]] = []
    before = None
    while not pages or before:
        wanted = orm.EventFilter(before=before)
        found = orm.search(each_database, wanted, 10, brief=brief)
        pages.append([view.uuid for view in found.events])
        before = found.before
    newest = uuids[::-1]
    expected = [newest[:2], newest[2:4], newest[4:]] if brief else [[uuid] for uuid in newest]
    assert pages == expected


def test_an_event_larger_than_a_page_is_found(
    database: orm.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[uuid_at.__module__], "MAX_PAGE", 1000)
    uuid = stored(database, 1, subject="s" * 40_000)
    assert found(database, orm.EventFilter()) == [uuid]


@given(st.floats(0, 2**37))
def test_a_uuid_keeps_its_time_to_the_millisecond(moment: float) -> None:
    assert -0.0001 < moment - time_of(uuid_at(moment)) < 0.0011  # a double has no more digits


def test_a_new_uuid_lies_between_now_and_the_next_millisecond() -> None:
    before = time.time()
    uuid = orm.new_uuid()
    assert uuid_at(before) <= uuid < uuid_at(time.time() + 0.001)


def test_an_event_that_a_replay_matched_is_not_found_as_unmatched(database: orm.Database) -> None:
    uuid = stored(database, 1)
    assert found(database, orm.EventFilter(status="unmatched")) == [uuid]
    view = orm.event(database, uuid)
    orm.replay(database, uuid, make_event(1), apps("app"))
    assert view.status == "unmatched"
    assert found(database, orm.EventFilter(status="unmatched")) == []
    assert found(database, orm.EventFilter(status="queued")) == [uuid]
