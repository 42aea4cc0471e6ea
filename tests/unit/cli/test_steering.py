"""retry, cancel, replay, pause and resume: requests, confirmation and output."""

import json

import pytest

from tests.unit.cli.command_line import call
from tests.unit.cli.documents import EVENT, OTHER, RUN, run_document, status_document
from tests.unit.cli.fake_server import Reply, Server, problem

TWO = {"events": [status_document(), status_document(uuid=OTHER)]}
CONFLICT = problem(409, "Conflict", f"Run {RUN} cannot be retried: its state is succeeded")


def done(uuid: str = EVENT, *runs: str) -> Reply:
    """Return the reply to an action on the runs of an event."""
    return Reply({"uuid": uuid, "status": "queued", "runs": list(runs)}, 202)


@pytest.mark.parametrize(
    ("action", "members", "shown"),
    [
        ("retry", {"status": "queued"}, "queued"),
        ("cancel", {"status": "running", "cancelling": True}, "cancelling"),
        ("cancel", {"status": "cancelled"}, "cancelled"),
    ],
)
def test_a_run_is_retried_or_cancelled(
    server: Server, action: str, members: dict[str, object], shown: str
) -> None:
    document = run_document(event=EVENT, attempts=[], **members)
    server.replies[f"POST /runs/{RUN}/{action}"] = Reply(document, 202)
    result = call(server, action, RUN)
    assert (result.exit_code, result.stdout) == (0, f"{RUN}  {shown}\n")
    assert json.loads(call(server, action, RUN, "--json").stdout) == document


@pytest.mark.parametrize("action", ["retry", "cancel", "replay"])
def test_events_are_retried_cancelled_or_replayed(server: Server, action: str) -> None:
    server.replies[f"POST /events/{EVENT}/{action}"] = done(EVENT, RUN)
    server.replies[f"POST /events/{OTHER}/{action}"] = done(OTHER, RUN, RUN)
    result = call(server, action, EVENT, OTHER)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"{EVENT}  queued  1 run\n{OTHER}  queued  2 runs\n"


def test_a_refusal_does_not_stop_the_rest(server: Server) -> None:
    server.replies[f"POST /runs/{RUN}/cancel"] = CONFLICT
    server.replies[f"POST /events/{EVENT}/cancel"] = done(EVENT, RUN)
    result = call(server, "cancel", RUN, OTHER, EVENT)
    assert (result.exit_code, result.stdout) == (1, f"{EVENT}  queued  1 run\n")
    assert result.stderr.splitlines() == [
        f"{RUN}: Conflict: Run {RUN} cannot be retried: its state is succeeded",
        f"No event or run {OTHER}",
    ]


@pytest.mark.parametrize("action", ["retry", "cancel", "replay"])
def test_selected_events_must_be_confirmed(server: Server, action: str) -> None:
    server.replies["GET /events?status=failed&limit=500"] = Reply(TWO)
    server.replies[f"POST /events/{EVENT}/{action}"] = done()
    server.replies[f"POST /events/{OTHER}/{action}"] = CONFLICT
    options = [action, "--status", "failed"]
    for reply in ("n\n", "\n", ""):
        refused = call(server, *options, stdin=reply)
        assert refused.exit_code == 1
        assert f"{action.capitalize()} 2 events? [y/N]:" in refused.stderr
    assert [each for each in server.request_lines if each.startswith("POST")] == []
    result = call(server, *options, stdin="y\n")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines()[-2:] == [
        f"{OTHER}: Conflict: Run {RUN} cannot be retried: its state is succeeded",
        f"{action}: 1 of 2 done",
    ]


def test_yes_skips_the_confirmation(server: Server) -> None:
    server.replies["GET /events?limit=500"] = Reply(TWO)
    server.replies[f"POST /events/{EVENT}/replay"] = done()
    server.replies[f"POST /events/{OTHER}/replay"] = done(OTHER)
    result = call(server, "replay", "--all", "--yes", "--json")
    assert (result.exit_code, result.stderr) == (0, "replay: 2 of 2 done\n")
    lines = [json.loads(each)["uuid"] for each in result.stdout.splitlines()]
    assert lines == [EVENT, OTHER]


@pytest.mark.parametrize("action", ["retry", "cancel", "replay"])
def test_a_selection_of_runs_is_passed_on_and_counted(server: Server, action: str) -> None:
    query = "application=up+load&state=failed"
    server.replies["GET /events?state=failed&type=t&application=up+load&limit=500"] = Reply(TWO)
    for each in (EVENT, OTHER):
        document = {"uuid": each, "status": "queued", "runs": [RUN], "applications": {"up load": 1}}
        server.replies[f"POST /events/{each}/{action}?{query}"] = Reply(document, 202)
    options = ["--application", "up load", "--state", "failed", "--type", "t"]
    result = call(server, action, *options, stdin="y\n")
    assert result.exit_code == 0, result.stderr
    question = f"{action.capitalize()} 2 events (only runs with application up load, state failed)?"
    assert question in result.stderr
    assert result.stderr.endswith(f"{action}: 2 of 2 done (runs: up load 2)\n")


def test_nothing_selected_needs_no_confirmation(server: Server) -> None:
    server.replies["GET /events"] = Reply({"events": []})
    result = call(server, "replay", "--type", "rare")
    assert (result.exit_code, result.stderr) == (0, "no events match\n")


@pytest.mark.parametrize("options", [[], ["--yes"], [EVENT, "--all"], [EVENT, "--type", "a"]])
def test_targets_are_either_uuids_or_a_selection(server: Server, options: list[str]) -> None:
    result = call(server, "replay", *options)
    assert (result.exit_code, server.requests) == (2, [])
    assert "give UUIDs, or select events" in result.stderr


def test_the_progress_is_printed_if_the_server_becomes_unavailable(server: Server) -> None:
    server.replies["GET /events"] = Reply(TWO)
    server.replies[f"POST /events/{EVENT}/replay"] = done()
    server.replies[f"POST /events/{OTHER}/replay"] = problem(
        503, "Service Unavailable", "Database unavailable"
    )
    result = call(server, "replay", "--all", "--yes")
    assert result.exit_code == 4
    assert result.stderr.splitlines() == [
        "replay: 1 of 2 done",
        f"{server.url}: Service Unavailable: Database unavailable",
    ]


def test_applications_are_paused_and_resumed(server: Server) -> None:
    since = "2026-11-23T18:24:20.601Z"
    server.replies["POST /applications/a/pause"] = Reply({"name": "a", "paused": since})
    server.replies["POST /applications/a/resume"] = Reply({"name": "a", "paused": None})
    result = call(server, "pause", "a", "../b")
    assert (result.exit_code, result.stdout) == (1, "a  paused since 2026-11-23 18:24:20\n")
    assert result.stderr == "../b: Not Found: Nothing at /applications/..%2Fb/pause\n"
    assert server.request_lines[1] == "POST /applications/..%2Fb/pause"
    result = call(server, "resume", "a")
    assert (result.exit_code, result.stdout) == (0, "a  not paused\n")
    assert json.loads(call(server, "resume", "a", "--json").stdout)["paused"] is None
