"""Replay, retry and cancel."""

from collections.abc import Callable

import pytest

from harness import wait_until
from pacifica.dispatcher import events, orm, rest
from pacifica.dispatcher.broker.publisher import Publisher
from tests.factories import (
    Postbox,
    accepted_runs,
    app,
    apps,
    change,
    claimant,
    claimed_run,
    count,
    due,
    make_event,
    published_run,
    view,
)
from tests.unit.rest.factories import MATCHED, UNKNOWN, Client, act, finish, with_applications


def test_a_waiting_run_is_cancelled(client: Client, database: orm.Database) -> None:
    run = published_run(database)
    response = act(client, f"/runs/{run}/cancel")
    assert (response.status, response.headers["location"]) == (202, f"/runs/{run}")
    assert response.json == client.get(f"/runs/{run}").json
    assert (response.json["status"], response.json["error"]) == ("cancelled", "cancelled")


def test_a_running_run_is_shown_as_cancelling(client: Client, database: orm.Database) -> None:
    claim = claimed_run(database)
    response = act(client, f"/runs/{claim.run}/cancel")
    assert (response.status, response.headers["location"]) == (202, f"/runs/{claim.run}")
    assert (response.json["status"], response.json["cancelling"]) == ("running", True)
    assert len(response.json["attempts"]) == 1


def test_a_running_run_can_be_cancelled_twice(client: Client, database: orm.Database) -> None:
    claim = claimed_run(database)
    first, again = (act(client, f"/runs/{claim.run}/cancel") for _ in range(2))
    assert (again.status, again.json) == (202, first.json)


@pytest.mark.parametrize("state", ["succeeded", "failed", "cancelled"])
def test_a_run_that_has_ended_cannot_be_cancelled(
    client: Client, ended_run: Callable[[orm.State], str], state: str
) -> None:
    run = ended_run(orm.State(state))
    before = client.get(f"/runs/{run}").json
    problem = act(client, f"/runs/{run}/cancel").problem(409)
    assert problem["detail"] == f"The run has already ended: it is {state}"
    assert client.get(f"/runs/{run}").json == before


@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_a_run_is_retried(
    client: Client, database: orm.Database, ended_run: Callable[[orm.State], str], state: str
) -> None:
    run = ended_run(orm.State(state))
    response = act(client, f"/runs/{run}/retry")
    assert (response.status, response.headers["location"]) == (202, f"/runs/{run}")
    shown = response.json
    assert (shown["status"], shown["result"], shown["error"], shown["finished"]) == (
        "queued", None, None, None,
    )  # fmt: skip
    assert [each["number"] for each in shown["attempts"]] == [1]
    assert due(database) == [run]


def test_a_retry_wakes_the_publisher(
    publishing: Client,
    publisher: Publisher,
    postbox: Postbox,
    ended_run: Callable[[orm.State], str],
) -> None:
    run = ended_run(orm.State.FAILED)
    publisher.start()
    act(publishing, f"/runs/{run}/retry")
    wait_until(lambda: postbox.sent == [run])


def test_a_run_that_succeeded_cannot_be_retried(
    client: Client, ended_run: Callable[[orm.State], str]
) -> None:
    run = ended_run(orm.State.SUCCEEDED)
    problem = act(client, f"/runs/{run}/retry").problem(409)
    assert problem["detail"] == "Only a failed or cancelled run can be retried: it is succeeded"


def test_a_running_run_cannot_be_retried(context: rest.Context, database: orm.Database) -> None:
    other = Client(with_applications(context, {"app": app("app")}))
    claim = claimed_run(database)
    problem = act(other, f"/runs/{claim.run}/retry").problem(409)
    assert problem["detail"].endswith(" is running")
    assert view(database, claim.run).status == "running"


def test_a_run_of_a_removed_application_cannot_be_retried(
    context: rest.Context, ended_run: Callable[[orm.State], str]
) -> None:
    run = ended_run(orm.State.FAILED)
    problem = act(Client(with_applications(context, {})), f"/runs/{run}/retry").problem(409)
    assert problem["detail"] == "Application hello is no longer configured"


def test_a_superseded_run_cannot_be_retried(
    client: Client, database: orm.Database, ended_run: Callable[[orm.State], str]
) -> None:
    run = ended_run(orm.State.FAILED)
    event = orm.event(database, view(database, run).event)
    orm.replay(database, event.uuid, events.parse_event(event.sent), apps("hello"))
    problem = act(client, f"/runs/{run}/retry").problem(409)
    assert problem["detail"] == "The run was superseded by a replay of its event"


# Selections of runs


@pytest.fixture
def two(context: rest.Context) -> Client:
    """A client of a web tier with two applications that match the same events."""
    return Client(with_applications(context, {name: app(name) for name in ("one", "two")}))


def two_runs(database: orm.Database, **states: orm.State) -> str:
    """Store an event with a run of each application, in these states."""
    [accepted] = orm.accept(database, [orm.Arrival(make_event(), apps(*states))])
    due(database)
    for run in orm.event(database, accepted.uuid).runs:
        claim = orm.claim(database, run.uuid, claimant())
        assert claim is not None
        orm.finish(database, claim, states[run.application], orm.Outcome(exit_code=1), [])
    return accepted.uuid


def runs_of(database: orm.Database, uuid: str) -> dict[str, str]:
    """Return the state of each live run of an event by its application."""
    runs = orm.event(database, uuid).runs
    return {each.application: each.status for each in runs if not each.superseded}


FAILED, CANCELLED, SUCCEEDED = orm.State.FAILED, orm.State.CANCELLED, orm.State.SUCCEEDED


@pytest.mark.parametrize(
    ("query", "changed"),
    [
        ("?application=one", {"one"}),
        ("?application=two", {"two"}),
        ("?state=failed", {"one"}),
        ("?state=cancelled&application=two", {"two"}),
        ("", {"one", "two"}),
    ],
)
def test_only_the_selected_runs_are_retried(
    two: Client, database: orm.Database, query: str, changed: set[str]
) -> None:
    uuid = two_runs(database, one=FAILED, two=CANCELLED)
    before = runs_of(database, uuid)
    document = act(two, f"/events/{uuid}/retry{query}").json
    assert document["applications"] == dict.fromkeys(changed, 1)
    assert len(document["runs"]) == len(changed)
    expected = before | dict.fromkeys(changed, "queued")
    assert runs_of(database, uuid) == expected


@pytest.mark.parametrize(
    "query", ["application=other", "state=succeeded", "application=one&state=cancelled"]
)
def test_a_retry_of_no_selected_run_is_refused(
    two: Client, database: orm.Database, query: str
) -> None:
    uuid = two_runs(database, one=FAILED, two=CANCELLED)
    problem = act(two, f"/events/{uuid}/retry?{query}").problem(409)
    assert problem["detail"].startswith("None of the runs ")
    assert runs_of(database, uuid) == {"one": "failed", "two": "cancelled"}


def test_only_the_selected_runs_are_cancelled(two: Client, database: orm.Database) -> None:
    [accepted] = orm.accept(database, [orm.Arrival(make_event(), apps("one", "two"))])
    document = act(two, f"/events/{accepted.uuid}/cancel?application=two").json
    assert document["applications"] == {"two": 1}
    assert runs_of(database, accepted.uuid) == {"one": "queued", "two": "cancelled"}


@pytest.mark.parametrize("query", ["application=one", "state=failed"])
def test_only_the_selected_runs_are_replayed(
    context: rest.Context, database: orm.Database, query: str
) -> None:
    named = {name: app(name, rule=app("hello").rule) for name in ("one", "two")}
    two = Client(with_applications(context, named))
    uuid = two_runs(database, one=FAILED, two=SUCCEEDED)
    document = act(two, f"/events/{uuid}/replay?{query}").json
    assert document["applications"] == {"one": 1}
    assert runs_of(database, uuid) == {"one": "queued", "two": "succeeded"}
    superseded = [each.application for each in orm.event(database, uuid).runs if each.superseded]
    assert superseded == ["one"]


def test_an_unknown_state_is_refused(two: Client, database: orm.Database) -> None:
    uuid = two_runs(database, one=FAILED)
    assert act(two, f"/events/{uuid}/retry?state=broken").status == 400


# POST /events/…/replay


@pytest.fixture
def replayed(client: Client, database: orm.Database) -> tuple[str, str, str]:
    """The uuids of a replayed event, its previous run and its new one."""
    uuid = client.send(type=MATCHED).json["uuid"]
    [previous] = orm.event(database, uuid).runs
    finish(database, previous.uuid, "1")
    [new] = act(client, f"/events/{uuid}/replay").json["runs"]
    return uuid, previous.uuid, new


def test_an_event_is_replayed(client: Client, database: orm.Database) -> None:
    uuid = client.send(type=MATCHED).json["uuid"]
    [previous] = orm.event(database, uuid).runs
    finish(database, previous.uuid, "1")
    response = act(client, f"/events/{uuid}/replay")
    assert (response.status, response.headers["location"]) == (202, f"/status/{uuid}")
    [new] = due(database)
    expected = {"uuid": uuid, "status": "queued", "runs": [new], "applications": {"hello": 1}}
    assert response.json == expected


def test_a_replay_shows_which_run_supersedes_which(
    client: Client, replayed: tuple[str, str, str]
) -> None:
    uuid, previous, new = replayed
    for target in (f"/status/{uuid}", f"/events/{uuid}"):
        runs = {each["uuid"]: each for each in client.get(target).json["runs"]}
        assert (runs[previous]["superseded"], runs[previous]["origin"]) == (True, None)
        assert (runs[new]["superseded"], runs[new]["origin"]) == (False, previous)


def test_the_status_after_a_replay_is_that_of_the_new_runs(
    client: Client, database: orm.Database, replayed: tuple[str, str, str]
) -> None:
    uuid, _, new = replayed
    before = client.get(f"/status/{uuid}").json
    assert (before["status"], before["result"]) == ("queued", None)
    finish(database, new, "2")
    after = client.get(f"/status/{uuid}").json
    assert (after["status"], after["result"]) == ("succeeded", 2)


def test_the_status_as_text_after_a_replay_is_that_of_the_new_run(
    client: Client, database: orm.Database, replayed: tuple[str, str, str]
) -> None:
    uuid, _, new = replayed
    assert client.get(f"/status/{uuid}", accept="text/plain").text == "queued\n"
    finish(database, new, "2")
    assert client.get(f"/status/{uuid}", accept="text/plain").text == "2\n"


def test_a_duplicate_of_a_replayed_event_gets_the_new_status(
    client: Client, database: orm.Database, replayed: tuple[str, str, str]
) -> None:
    uuid, _, _ = replayed
    again = client.send(type=MATCHED)
    assert again.json == {
        "uuid": uuid, "status": "queued", "duplicate": True, "applications": ["hello"],
    }  # fmt: skip
    assert count(database, "run") == 2


def test_a_filter_by_status_uses_the_new_runs(
    client: Client, replayed: tuple[str, str, str]
) -> None:
    uuid, _, _ = replayed
    assert client.get("/events?status=succeeded").json["events"] == []
    assert [each["uuid"] for each in client.get("/events?status=queued").json["events"]] == [uuid]


def test_a_replay_uses_the_current_configuration(
    client: Client, context: rest.Context, database: orm.Database
) -> None:
    uuid = client.send(type=MATCHED).json["uuid"]
    [previous] = orm.event(database, uuid).runs
    finish(database, previous.uuid, "1")
    today = {each.name: each for each in apps("one", "two")}
    act(Client(with_applications(context, today)), f"/events/{uuid}/replay")
    runs = orm.event(database, uuid).runs
    assert sorted(each.application for each in runs if not each.superseded) == ["one", "two"]


def test_a_replay_of_a_renamed_application_creates_runs_of_those_that_match_now(
    context: rest.Context, database: orm.Database
) -> None:
    today = {name: app(name, rule=app("hello").rule) for name in ("one", "new")}
    client = Client(with_applications(context, today))
    uuid = two_runs(database, one=SUCCEEDED, old=SUCCEEDED)
    document = act(client, f"/events/{uuid}/replay?application=old").json
    assert document["applications"] == {"new": 1}
    assert runs_of(database, uuid) == {"one": "succeeded", "new": "queued"}
    assert act(client, f"/events/{uuid}/replay?application=never").status == 409


def test_a_replay_may_match_an_unmatched_event(
    client: Client, context: rest.Context, database: orm.Database
) -> None:
    uuid = client.send().json["uuid"]
    later = Client(with_applications(context, {"app": app("app")}))
    response = act(later, f"/events/{uuid}/replay")
    assert (response.status, response.json["runs"]) == (202, due(database))
    assert client.get(f"/status/{uuid}").json["status"] == "queued"


def test_a_manual_run_is_replayed_with_its_application(
    client: Client, database: orm.Database
) -> None:
    uuid = client.get("/dispatch/add/2/3").text
    [previous] = orm.event(database, uuid).runs
    finish(database, previous.uuid, "5")
    response = act(client, f"/events/{uuid}/replay")
    assert response.status == 202
    new = [each for each in orm.event(database, uuid).runs if not each.superseded]
    assert [(each.application, each.origin) for each in new] == [("add", previous.uuid)]


def test_a_manual_run_is_not_replayed_if_dispatch_is_now_forbidden(
    client: Client, context: rest.Context, database: orm.Database
) -> None:
    uuid = client.get("/dispatch/add/2/3").text
    [previous] = orm.event(database, uuid).runs
    finish(database, previous.uuid, "5")
    later = Client(with_applications(context, {"add": app("add")}))
    act(later, f"/events/{uuid}/replay").problem(409)


@pytest.mark.parametrize("claimed", [False, True], ids=["queued", "running"])
def test_an_event_with_unfinished_runs_is_not_replayed(
    client: Client, database: orm.Database, *, claimed: bool
) -> None:
    uuid = client.send(type=MATCHED).json["uuid"]
    [run] = due(database)
    if claimed:
        orm.claim(database, run, claimant())
    problem = act(client, f"/events/{uuid}/replay").problem(409)
    assert problem["detail"] == "Some runs of the event have not ended; cancel them first"
    assert [each.uuid for each in orm.event(database, uuid).runs] == [run]


def test_an_unmatched_event_is_not_replayed(client: Client, database: orm.Database) -> None:
    uuid = client.send().json["uuid"]
    problem = act(client, f"/events/{uuid}/replay").problem(409)
    assert problem["detail"] == "No application matches this event"
    assert count(database, "run") == 0


def test_a_replay_wakes_the_publisher(
    publishing: Client, publisher: Publisher, database: orm.Database, postbox: Postbox
) -> None:
    uuid = publishing.send(type=MATCHED).json["uuid"]
    [previous] = orm.event(database, uuid).runs
    finish(database, previous.uuid, "1")
    publisher.start()
    runs = act(publishing, f"/events/{uuid}/replay").json["runs"]
    wait_until(lambda: postbox.sent == runs)


# Common to all three

_ACTIONS = ("/runs/{}/cancel", "/runs/{}/retry", "/events/{}/replay")


@pytest.mark.parametrize("target", _ACTIONS)
def test_an_action_on_an_unknown_uuid_is_not_found(client: Client, target: str) -> None:
    problem = act(client, target.format(UNKNOWN)).problem(404)
    assert UNKNOWN in problem["detail"]


@pytest.mark.parametrize("target", _ACTIONS)
@pytest.mark.parametrize("uuid", ["7", UNKNOWN + "0", "%FF", UNKNOWN + "%0A", "'%20OR%201=1"])
def test_an_action_on_an_invalid_uuid_is_refused(client: Client, target: str, uuid: str) -> None:
    act(client, target.format(uuid)).problem(422)


@pytest.mark.parametrize("target", _ACTIONS)
@pytest.mark.parametrize("query", ["x=1", "self=1", "path=cancel", "uuid=1"])
def test_a_parameter_of_an_action_is_refused(client: Client, target: str, query: str) -> None:
    act(client, f"{target.format(UNKNOWN)}?{query}").problem(400)


@pytest.mark.parametrize("target", _ACTIONS)
@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
def test_an_action_with_a_wrong_method_is_refused(client: Client, target: str, method: str) -> None:
    response = client.request(method, target.format(UNKNOWN), b"{}")
    response.problem(405)
    assert "POST" in response.headers["allow"]


@pytest.mark.parametrize("target", ["/runs/{run}/cancel", "/runs/{run}/retry"])
def test_a_get_of_an_action_does_nothing(
    client: Client, database: orm.Database, target: str
) -> None:
    run = published_run(database, application="hello")
    client.get(target.format(run=run)).problem(405)
    assert view(database, run).status == "queued"


@pytest.mark.parametrize("target", _ACTIONS)
def test_an_action_without_the_database_says_when_to_retry(
    without_database: Client, target: str
) -> None:
    response = act(without_database, target.format(UNKNOWN))
    assert response.problem(503)["detail"] == "Database unavailable; try again later"
    assert response.headers["retry-after"].isdecimal()


def test_an_action_accepts_a_uuid_in_upper_case(client: Client, database: orm.Database) -> None:
    run = published_run(database)
    assert act(client, f"/runs/{run.upper()}/cancel").json["uuid"] == run


def test_an_action_ignores_a_body(client: Client, database: orm.Database) -> None:
    run = published_run(database)
    response = client.post(b"reason=none", f"/runs/{run}/cancel", content_type="text/plain")
    assert (response.status, response.json["status"]) == (202, "cancelled")


# POST /events/EVENT/retry, /cancel


def test_retrying_an_event_retries_its_failed_and_cancelled_runs(
    context: rest.Context, database: orm.Database
) -> None:
    client = Client(with_applications(context, {name: app(name) for name in "abcd"}))
    runs = dict(zip("abcd", accepted_runs(database, make_event(), *"abcd"), strict=True))
    for name, state in {"a": "failed", "b": "cancelled", "c": "succeeded"}.items():
        change(database, "UPDATE run SET state = ? WHERE uuid = ?", (state, runs[name]))
    event = view(database, runs["a"]).event
    response = act(client, f"/events/{event}/retry")
    assert (response.status, response.headers["location"]) == (202, f"/status/{event}")
    changed = {"runs": [runs["a"], runs["b"]], "applications": {"a": 1, "b": 1}}
    assert response.json == {"uuid": event, "status": "queued", **changed}
    assert view(database, runs["c"]).status == "succeeded"


def test_cancelling_an_event_cancels_its_unfinished_runs(
    client: Client, database: orm.Database
) -> None:
    runs = accepted_runs(database, make_event(), *"abc")
    change(database, "UPDATE run SET state = 'failed' WHERE uuid = ?", (runs[0],))
    change(database, "UPDATE run SET state = 'running' WHERE uuid = ?", (runs[1],))
    event = view(database, runs[0]).event
    response = act(client, f"/events/{event}/cancel")
    assert (response.status, response.json["runs"]) == (202, runs[1:])
    assert view(database, runs[1]).cancelling
    assert [view(database, run).status for run in runs] == ["failed", "running", "cancelled"]


@pytest.mark.parametrize(
    ("action", "detail"),
    [
        ("retry", "is cancelled or failed"),
        ("cancel", "is queued or retrying or running"),
    ],
)
def test_an_event_without_such_runs_is_a_conflict(client: Client, action: str, detail: str) -> None:
    uuid = client.send().json["uuid"]
    assert act(client, f"/events/{uuid}/{action}").problem(409)["detail"].endswith(detail)


def test_an_event_of_a_removed_application_cannot_be_retried(
    ended_run: Callable[[orm.State], str], context: rest.Context, database: orm.Database
) -> None:
    run = ended_run(orm.State.FAILED)
    later = Client(with_applications(context, {}))
    problem = act(later, f"/events/{view(database, run).event}/retry").problem(409)
    assert problem["detail"] == "Application hello is no longer configured"
