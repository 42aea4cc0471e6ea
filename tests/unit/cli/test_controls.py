"""Whatever a server says, no control character of it reaches a terminal."""

import unicodedata
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.cli.conftest import (
    EVENT,
    RUN,
    Said,
    Server,
    ask,
    attempt_document,
    problem,
    run_document,
    status_document,
)

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
"""Documents whose parts that others have a say in are `TEXT`."""

SAYS: dict[str, Any] = {
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
    """What a terminal obeys, but the ends of lines."""
    hidden = {"Cc", "Cs", "Zl", "Zp"}
    return {each for each in text if unicodedata.category(each) in hidden} - {"\n", "\t"} | (
        {"\u202e"} & set(text)
    )


def filled(document: Any, text: str) -> Any:  # noqa: ANN401 - JSON
    """A document with another text in its place, names of members included."""
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
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_control_character_is_printed(
    server: Server, command: list[str], options: list[str], text: str
) -> None:
    for path, document in SAYS.items():
        server.says[f"GET {path}"] = Said(filled(document, text))
    server.says[f"GET /runs/{RUN}/output"] = Said(text.encode(errors="replace"))
    result = ask(server, *command, *options)
    assert result.exit_code in {0, 1}, result.stderr
    assert not controls(result.stdout)


@given(text=TEXTS)
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_nor_in_an_error(server: Server, text: str) -> None:
    errors = [{"pointer": text, "detail": text}]
    server.says["GET /events"] = problem(400, text, text, errors=errors)
    server.says[f"POST /events/{EVENT}/replay"] = problem(409, text, text, errors=errors)
    server.says["GET /workers"] = Said(text.encode(errors="replace"), 302)
    for command in (["events"], ["replay", EVENT], ["workers"]):
        assert not controls(ask(server, *command).stderr)


@pytest.mark.parametrize("command", [["events"], ["show", EVENT], ["workers"]])
def test_markup_is_no_markup(server: Server, command: list[str]) -> None:
    for path, document in SAYS.items():
        server.says[f"GET {path}"] = Said(filled(document, "[bold]:smile:[/bold][red"))
    assert "[bold]:smile:[/bold][red" in ask(server, *command).stdout
