"""No control character sent by a server reaches a terminal."""

import unicodedata
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.cli.command_line import call
from tests.unit.cli.documents import EVENT, RUN, attempt_document, run_document, status_document
from tests.unit.cli.fake_server import Reply, Server, problem

TIME = "2026-11-23T18:24:20.601Z"
TEXTS = st.text(st.sampled_from("a[]/\\ \n\t\r\x00\x07\x1b\x7f\x85\x9b\u2028\u202e\ud800ü"))
EVENTS = {
    "specversion": "TEXT",
    "id": "TEXT",
    "source": "TEXT",
    "type": "TEXT",
    "subject": "TEXT",
    "TEXT": "TEXT",
    "data": {"TEXT": ["TEXT"]},
}
RUNS = run_document(
    application="TEXT",
    error="TEXT",
    host="TEXT",
    result="TEXT",
    finished=None,
    progress={"percent": 1, "text": "TEXT"},
)
ATTEMPTS = attempt_document(
    host="TEXT", error="TEXT", signal="TEXT", last_line="TEXT", command=["TEXT"]
)
"""Documents with `TEXT` wherever a sender, an application or a host provides the text."""

REPLIES: dict[str, Any] = {
    f"/status/{EVENT}": status_document(event=EVENTS, runs=[RUNS], result={"TEXT": "TEXT"}),
    f"/events/{EVENT}": {**status_document(event=EVENTS, runs=[RUNS])},
    f"/runs/{RUN}": {**RUNS, "event": "TEXT", "attempts": [ATTEMPTS]},
    "/events": {"events": [status_document(event=EVENTS, runs=[RUNS])]},
    "/applications": {
        "applications": [{"name": "TEXT", "way": "TEXT", "command": "TEXT", "runs": {}}],
        "failures": [
            {
                "application": "TEXT",
                "how": "TEXT",
                "last_line": "TEXT",
                "runs": ["TEXT"],
                "finished": TIME,
            }
        ],
    },
    "/workers": {
        "workers": [
            {
                "uuid": "TEXT",
                "host": "TEXT",
                "queues": ["TEXT"],
                "processes": 1,
                "started": TIME,
                "renewed": TIME,
                "running": [{"run": "TEXT", "application": "TEXT"}],
            }
        ],
        "queues": [{"queue": "TEXT", "published": 1, "due": 1, "workers": 1}],
        "waiting": [{"application": "TEXT", "queue": "TEXT", "reason": "TEXT", "number": 1}],
    },
}
COMMANDS = (
    ["status", EVENT],
    ["status", RUN],
    ["show", EVENT],
    ["show", RUN],
    ["events"],
    ["applications"],
    ["workers"],
    ["logs", RUN],
)


def controls(text: str) -> set[str]:
    """Return the control characters in a text, except tabs and line ends."""
    hidden = {"Cc", "Cs", "Zl", "Zp"}
    return {each for each in text if unicodedata.category(each) in hidden} - {"\n", "\t"} | (
        {"\u202e"} & set(text)
    )


def filled(document: Any, text: str) -> Any:  # noqa: ANN401 - JSON
    """Return a document with `TEXT` replaced, also in member names."""
    match document:
        case dict():
            return {
                (text if name == "TEXT" else name): filled(each, text)
                for name, each in document.items()
            }
        case list():
            return [filled(each, text) for each in document]
        case "TEXT":
            return text
    return document


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["people", "programs"])
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@given(text=TEXTS)
@settings(
    max_examples=15,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_no_control_character_is_printed(
    server: Server, command: list[str], options: list[str], text: str
) -> None:
    for path, document in REPLIES.items():
        server.replies[f"GET {path}"] = Reply(filled(document, text))
    server.replies[f"GET /runs/{RUN}/output"] = Reply(text.encode(errors="replace"))
    result = call(server, *command, *options)
    assert result.exit_code in {0, 1}, result.stderr
    assert not controls(result.stdout)


@given(text=TEXTS)
@settings(
    max_examples=15,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_no_control_character_is_printed_in_an_error(server: Server, text: str) -> None:
    errors = [{"pointer": text, "detail": text}]
    server.replies["GET /events"] = problem(400, text, text, errors=errors)
    server.replies[f"POST /events/{EVENT}/replay"] = problem(409, text, text, errors=errors)
    server.replies["GET /workers"] = Reply(text.encode(errors="replace"), 302)
    for command in (["events"], ["replay", EVENT], ["workers"]):
        assert not controls(call(server, *command).stderr)


@pytest.mark.parametrize("command", [["events"], ["show", EVENT], ["workers"]])
def test_markup_is_printed_literally(server: Server, command: list[str]) -> None:
    for path, document in REPLIES.items():
        server.replies[f"GET {path}"] = Reply(filled(document, "[bold]:smile:[/bold][red"))
    assert "[bold]:smile:[/bold][red" in call(server, *command).stdout
