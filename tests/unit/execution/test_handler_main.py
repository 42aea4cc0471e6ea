"""The child process of a Python handler."""

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from harness import DEADLINE
from pacifica.dispatcher.events import Event, Json
from tests.factories import make_event

HANDLERS = '''
import sys

RAISES = "not callable"


def attributes(event):
    """Return the received event."""
    print("printed")
    return [event.id, event.data]


def size(event):
    return len(event.data)


class Steps:
    """Keep state between calls."""

    def __init__(self):
        self.words = []

    def handle(self, event):
        self.words.append(event.type)
        return {"words": self.words}


class Lacking:
    """Lack a `handle` method."""


def nothing(event):
    """Return None."""


def wrong(event):
    raise LookupError("unknown event " + event.id)


def leaves(event):
    print("bye", file=sys.stderr)
    sys.exit(3)


def no_json(event):
    return object()


def no_number(event):
    return float("nan")


async def waits(event):
    import asyncio
    await asyncio.sleep(0)
    return event.id


class Waits:
    """Wait before it returns."""

    async def handle(self, event):
        return await waits(event)


async def waits_wrong(event):
    wrong(event)


def prints(event):
    print("\\xe4 \\u6c34 \\udcff \\ud800")
    print("\\udcff", file=sys.stderr)
    sys.stdout.flush()
    sys.stdout.buffer.write(b"\\xff\\n")


def closes_file(event):
    print("no line end", end="")
    sys.stdout.close()


def closes_descriptor(event):
    import os
    print("lost", end="")
    os.close(1)


def takes_it_away(event):
    sys.stdout = None
'''

Run: TypeAlias = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The folder of the configuration, with modules next to it."""
    home = tmp_path / "home"
    (home / "package").mkdir(parents=True)
    for module in ("handlers.py", "package/inner.py"):
        (home / module).write_text(textwrap.dedent(HANDLERS), encoding="utf-8")
    return home


@pytest.fixture
def result(tmp_path: Path) -> Path:
    """The file for the handler's result."""
    return tmp_path / "result.json"


@pytest.fixture
def run(tmp_path: Path, home: Path, result: Path) -> Run:
    """Run a handler in a child process, in its own working directory."""

    def run(
        target: str, event: Event | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        sent = tmp_path / "event.json"
        sent.write_text((event or make_event(7)).to_json(), encoding="utf-8")
        work = tmp_path / "work"
        work.mkdir()
        return subprocess.run(
            [
                sys.executable,
                "-P",
                "-m",
                "pacifica.dispatcher.execution.handler_main",
                str(home),
                target,
            ],
            cwd=work,
            env=os.environ
            | {"DISPATCHER_EVENT": str(sent), "DISPATCHER_RESULT": str(result), **environment},
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            timeout=DEADLINE,
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
            id="callable next to the configuration",
        ),
        pytest.param("handlers:size", make_event(7, data_base64="//4="), 2, id="binary data"),
        pytest.param("handlers:Steps", make_event(7), {"words": ["org.example"]}, id="class"),
        pytest.param("handlers:nothing", make_event(7), None, id="no result is null"),
        pytest.param("package.inner:nothing", make_event(7), None, id="module of a package"),
        pytest.param("handlers:waits", make_event(7), "7", id="asynchronous callable"),
        pytest.param("handlers:Waits", make_event(7), "7", id="asynchronous class"),
        pytest.param("handlers:closes_file", make_event(7), None, id="closes its output"),
        pytest.param("handlers:closes_descriptor", make_event(7), None, id="closes descriptor 1"),
        pytest.param("handlers:takes_it_away", make_event(7), None, id="has no output"),
        pytest.param(
            "pacifica.dispatcher.applications.builtin:add",
            make_event(7, data=[2, 2]),
            4,
            id="built in",
        ),
    ],
)
def test_the_return_value_of_a_handler_is_its_result(
    run: Run, result: Path, target: str, event: Event, value: Json
) -> None:
    done = run(target, event)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(result.read_text(encoding="utf-8")) == value


def test_printed_text_is_the_output(run: Run) -> None:
    assert run("handlers:attributes", make_event(7, data=1)).stdout == "printed\n"


@pytest.mark.parametrize(
    "environment",
    [
        {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
        {"PYTHONIOENCODING": "ascii:strict"},
        {"LANG": "de_DE.ISO-8859-1", "LC_ALL": ""},
    ],
)
def test_output_accepts_any_text_in_any_locale(run: Run, environment: dict[str, str]) -> None:
    done = run("handlers:prints", **environment)
    assert (done.returncode, done.stderr) == (0, "\\udcff\n")
    assert done.stdout == "ä 水 \\udcff \\ud800\n\udcff\n"


@pytest.mark.parametrize(
    ("target", "message"),
    [
        pytest.param("handlers:wrong", "LookupError: unknown event 7", id="exception"),
        pytest.param("handlers:waits_wrong", "LookupError: unknown event 7", id="asynchronous"),
        pytest.param(
            "handlers:no_json", "TypeError: Object of type object", id="not JSON serializable"
        ),
        pytest.param("handlers:no_number", "ValueError: Out of range float", id="NaN"),
        pytest.param("handlers:Lacking", "has no attribute 'handle'", id="class without handle"),
        pytest.param("handlers:RAISES", "'str' object is not callable", id="not callable"),
        pytest.param("handlers:lacking", "has no attribute 'lacking'", id="missing name"),
        pytest.param("lacking:name", "No module named 'lacking'", id="missing module"),
    ],
)
def test_a_failing_handler_ends_with_a_traceback_and_no_result(
    run: Run, result: Path, target: str, message: str
) -> None:
    done = run(target)
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback (most recent call last):\n")
    assert message in done.stderr.splitlines()[-1]
    assert not result.exists()


def test_the_traceback_shows_the_line_of_the_handler(run: Run) -> None:
    assert 'raise LookupError("unknown event " + event.id)' in run("handlers:wrong").stderr


def test_a_handler_may_choose_its_exit_code(run: Run, result: Path) -> None:
    done = run("handlers:leaves")
    assert (done.returncode, done.stderr) == (3, "bye\n")
    assert not result.exists()
