"""The child process of a Python handler, run for real."""

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from pacifica.dispatcher.events import Event, Json
from tests.unit.conftest import make_event

HANDLERS = '''
import sys

RAISES = "no callable"


def attributes(event):
    """Give back what arrived."""
    print("to be seen")
    return [event.id, event.data]


def size(event):
    return len(event.data)


class Steps:
    """Keeps what it needs between its steps."""

    def __init__(self):
        self.words = []

    def handle(self, event):
        self.words.append(event.type)
        return {"words": self.words}


class Lacking:
    """Has no handle."""


def nothing(event):
    """Return None."""


def wrong(event):
    raise LookupError("there is no such thing as " + event.id)


def leaves(event):
    print("bye", file=sys.stderr)
    sys.exit(3)


def no_json(event):
    return object()


def no_number(event):
    return float("nan")
'''

Run: TypeAlias = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The folder of the configuration, with modules beside it."""
    home = tmp_path / "home"
    (home / "package").mkdir(parents=True)
    for module in ("handlers.py", "package/inner.py"):
        (home / module).write_text(textwrap.dedent(HANDLERS), encoding="utf-8")
    return home


@pytest.fixture
def result(tmp_path: Path) -> Path:
    """Where the handler's result is written."""
    return tmp_path / "result.json"


@pytest.fixture
def run(tmp_path: Path, home: Path, result: Path) -> Run:
    """Run a handler in a child process, from a working directory of its own."""

    def run(target: str, event: Event | None = None) -> subprocess.CompletedProcess[str]:
        sent = tmp_path / "event.json"
        sent.write_text((event or make_event(7)).to_json(), encoding="utf-8")
        work = tmp_path / "work"
        work.mkdir()
        return subprocess.run(
            [sys.executable, "-P", "-m", "pacifica.dispatcher.handler", str(home), target],
            cwd=work,
            env=os.environ | {"DISPATCHER_EVENT": str(sent), "DISPATCHER_RESULT": str(result)},
            capture_output=True,
            encoding="utf-8",
            timeout=30,
            check=False,
        )

    return run


@pytest.mark.parametrize(
    ("target", "event", "value"),
    [
        pytest.param(
            "handlers:attributes",
            make_event(7, data={"ä": [None, 1.5]}),
            ["7", {"ä": [None, 1.5]}],
            id="callable beside the configuration",
        ),
        pytest.param("handlers:size", make_event(7, data_base64="//4="), 2, id="binary data"),
        pytest.param("handlers:Steps", make_event(7), {"words": ["org.example"]}, id="class"),
        pytest.param("handlers:nothing", make_event(7), None, id="no result is null"),
        pytest.param("package.inner:nothing", make_event(7), None, id="module of a package"),
        pytest.param(
            "pacifica.dispatcher.arithmetic:add", make_event(7, data=[2, 2]), 4, id="built in"
        ),
    ],
)
def test_what_a_handler_returns_is_its_result(
    run: Run, result: Path, target: str, event: Event, value: Json
) -> None:
    done = run(target, event)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(result.read_text(encoding="utf-8")) == value


def test_what_a_handler_prints_is_its_output(run: Run) -> None:
    assert run("handlers:attributes", make_event(7, data=1)).stdout == "to be seen\n"


@pytest.mark.parametrize(
    ("target", "message"),
    [
        pytest.param("handlers:wrong", "LookupError: there is no such thing as 7", id="exception"),
        pytest.param("handlers:no_json", "TypeError: Object of type object", id="no JSON value"),
        pytest.param("handlers:no_number", "ValueError: Out of range float", id="NaN"),
        pytest.param("handlers:Lacking", "has no attribute 'handle'", id="class without handle"),
        pytest.param("handlers:RAISES", "'str' object is not callable", id="no callable"),
        pytest.param("handlers:lacking", "has no attribute 'lacking'", id="no such name"),
        pytest.param("lacking:name", "No module named 'lacking'", id="no such module"),
    ],
)
def test_a_handler_that_fails_ends_with_a_traceback_and_no_result(
    run: Run, result: Path, target: str, message: str
) -> None:
    done = run(target)
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback (most recent call last):\n")
    assert message in done.stderr.splitlines()[-1]
    assert not result.exists()


def test_the_traceback_shows_the_line_of_the_handler(run: Run) -> None:
    assert (
        'raise LookupError("there is no such thing as " + event.id)' in run("handlers:wrong").stderr
    )


def test_a_handler_may_choose_its_exit_code(run: Run, result: Path) -> None:
    done = run("handlers:leaves")
    assert (done.returncode, done.stderr) == (3, "bye\n")
    assert not result.exists()
