"""retry, cancel, replay, pause and resume: on what, after which question, and what is said."""

import json

import pytest

from tests.unit.cli.conftest import (
    EVENT,
    OTHER,
    RUN,
    Said,
    Server,
    ask,
    problem,
    run_document,
    status_document,
)

TWO = {"events": [status_document(), status_document(uuid=OTHER)]}
CONFLICT = problem(409, "Conflict", "the run has ended: it is failed")


def done(uuid: str = EVENT, *runs: str) -> Said:
    """What a server says of an event on whose runs it acts."""
    return Said({"uuid": uuid, "status": "queued", "runs": list(runs)}, 202)


@pytest.mark.parametrize(
    ("action", "members", "shown"),
    [
        ("retry", {"status": "queued"}, "queued"),
        ("cancel", {"status": "running", "cancelling": True}, "is being cancelled"),
        ("cancel", {"status": "cancelled"}, "cancelled"),
    ],
)
def test_a_run(server: Server, action: str, members: dict[str, object], shown: str) -> None:
    said = run_document(event=EVENT, attempts=[], **members)
    server.says[f"POST /runs/{RUN}/{action}"] = Said(said, 202)
    result = ask(server, action, RUN)
    assert (result.exit_code, result.stdout) == (0, f"{RUN}  {shown}\n")
    assert json.loads(ask(server, action, RUN, "--json").stdout) == said


@pytest.mark.parametrize("action", ["retry", "cancel", "replay"])
def test_the_runs_of_events(server: Server, action: str) -> None:
    server.says[f"POST /events/{EVENT}/{action}"] = done(EVENT, RUN)
    server.says[f"POST /events/{OTHER}/{action}"] = done(OTHER, RUN, RUN)
    result = ask(server, action, EVENT, OTHER)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"{EVENT}  queued  1 run\n{OTHER}  queued  2 runs\n"


def test_what_is_refused_holds_up_nothing_else(server: Server) -> None:
    server.says[f"POST /runs/{RUN}/cancel"] = CONFLICT
    server.says[f"POST /events/{EVENT}/cancel"] = done(EVENT, RUN)
    result = ask(server, "cancel", RUN, OTHER, EVENT)
    assert (result.exit_code, result.stdout) == (1, f"{EVENT}  queued  1 run\n")
    assert result.stderr.splitlines() == [
        f"{RUN}: Conflict: the run has ended: it is failed",
        f"{OTHER}: nothing has this uuid",
    ]


@pytest.mark.parametrize("action", ["retry", "cancel", "replay"])
def test_chosen_events_are_asked_about_first(server: Server, action: str) -> None:
    server.says["GET /events?status=failed&limit=500"] = Said(TWO)
    server.says[f"POST /events/{EVENT}/{action}"] = done()
    server.says[f"POST /events/{OTHER}/{action}"] = CONFLICT
    options = [action, "--status", "failed"]
    for answer in ("n\n", "\n", ""):
        refused = ask(server, *options, stdin=answer)
        assert refused.exit_code == 1
        assert f"{action.capitalize()} 2 events? [y/N]:" in refused.stderr
    assert [each for each in server.asked if each.startswith("POST")] == []
    result = ask(server, *options, stdin="y\n")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines()[-2:] == [
        f"{OTHER}: Conflict: the run has ended: it is failed",
        f"{action}: 1 of 2 done",
    ]


def test_nobody_is_asked_with_yes(server: Server) -> None:
    server.says["GET /events?limit=500"] = Said(TWO)
    server.says[f"POST /events/{EVENT}/replay"] = done()
    server.says[f"POST /events/{OTHER}/replay"] = done(OTHER)
    result = ask(server, "replay", "--all", "--yes", "--json")
    assert (result.exit_code, result.stderr) == (0, "replay: 2 of 2 done\n")
    lines = [json.loads(each)["uuid"] for each in result.stdout.splitlines()]
    assert lines == [EVENT, OTHER]


def test_where_nothing_is_chosen_nothing_is_asked(server: Server) -> None:
    server.says["GET /events"] = Said({"events": []})
    result = ask(server, "replay", "--type", "rare")
    assert (result.exit_code, result.stderr) == (0, "there is no such event\n")


@pytest.mark.parametrize("options", [[], ["--yes"], [EVENT, "--all"], [EVENT, "--type", "a"]])
def test_it_must_be_said_what_is_meant(server: Server, options: list[str]) -> None:
    result = ask(server, "replay", *options)
    assert (result.exit_code, server.sent) == (2, [])
    assert "give uuids, or choose events" in result.stderr


def test_a_server_that_goes_away_in_between(server: Server) -> None:
    """What was done until then is said."""
    server.says["GET /events"] = Said(TWO)
    server.says[f"POST /events/{EVENT}/replay"] = done()
    server.says[f"POST /events/{OTHER}/replay"] = problem(503, "Service Unavailable", "away")
    result = ask(server, "replay", "--all", "--yes")
    assert result.exit_code == 4
    assert result.stderr.splitlines() == [
        "replay: 1 of 2 done",
        f"{server.url}: Service Unavailable: away",
    ]


def test_applications_are_paused_and_resumed(server: Server) -> None:
    since = "2026-11-23T18:24:20.601Z"
    server.says["POST /applications/a/pause"] = Said({"name": "a", "paused": since})
    server.says["POST /applications/a/resume"] = Said({"name": "a", "paused": None})
    result = ask(server, "pause", "a", "../b")
    assert (result.exit_code, result.stdout) == (1, "a  paused since 2026-11-23 18:24:20\n")
    assert result.stderr == "../b: Not Found: there is nothing at this address\n"
    assert server.asked[1] == "POST /applications/..%2Fb/pause"
    result = ask(server, "resume", "a")
    assert (result.exit_code, result.stdout) == (0, "a  not paused\n")
    assert json.loads(ask(server, "resume", "a", "--json").stdout)["paused"] is None
