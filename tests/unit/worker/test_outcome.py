"""The outcome of an attempt: exit code, signal, result and kept files."""

import os
import sys
import threading
from dataclasses import replace

import pytest

from harness import DEADLINE
from pacifica.dispatcher.applications import Application, Keep
from pacifica.dispatcher.applications.command_template import Argument, CommandTemplate, Placeholder
from pacifica.dispatcher.events import Json
from pacifica.dispatcher.execution.workdir import MAX_RESULT
from tests.factories import make_event, view
from tests.unit.worker.factories import Driver, shell

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="uses a POSIX shell")


def test_exit_code_0_means_success(driver: Driver) -> None:
    run = driver.run(shell("echo out; echo err >&2"))
    assert (run.status, run.exit_code, run.signal, run.error, run.result) == (
        "succeeded", 0, None, None, None,
    )  # fmt: skip
    assert (run.attempt, run.host) == (1, "this-host")
    assert (driver.output(run, "stdout"), driver.output(run, "stderr")) == ("out\n", "err\n")


def test_another_exit_code_means_failure(driver: Driver) -> None:
    run = driver.run(shell("exit 3"))
    assert (run.status, run.exit_code) == ("failed", 3)
    assert run.error == "exit code 3"


def test_a_signal_means_failure(driver: Driver) -> None:
    run = driver.run(shell("kill -9 $$"))
    assert (run.status, run.exit_code, run.signal) == ("failed", None, "SIGKILL")
    assert run.error == "killed by SIGKILL"


def test_a_timeout_means_failure(driver: Driver) -> None:
    run = driver.run(replace(shell("echo started; sleep 60"), timeout=0.2))
    assert (run.status, run.signal) == ("failed", "SIGTERM")
    assert run.error == "timed out after 0.2 s"
    assert driver.output(run) == "started\n"


def test_a_missing_placeholder_fails_the_run(driver: Driver) -> None:
    command = CommandTemplate("echo", (Argument((Placeholder("data.path"),)),))
    run = driver.run(Application("app", command), make_event(data={}))
    assert (run.status, run.exit_code) == ("failed", None)
    assert run.error == "the event has no value for {data.path}"


@pytest.mark.parametrize("program", ["no-such-program", "/no/such/program"])
def test_a_missing_program_fails_the_run(driver: Driver, program: str) -> None:
    run = driver.run(Application("app", CommandTemplate(program, ())))
    assert run.status == "failed"
    assert (run.error or "").startswith(f"program {program} not found")


def test_an_attribute_too_large_for_a_variable_fails_the_run(driver: Driver) -> None:
    run = driver.run(shell("exit 0"), make_event(subject="x" * 8 * 1024**2))
    assert run.status == "failed"
    assert "$DISPATCHER_EVENT" in (run.error or "")


def test_a_working_directory_that_cannot_be_created_fails_the_run(driver: Driver) -> None:
    driver.runner.directory.write_text("in the way", encoding="utf-8")
    run = driver.run(shell("exit 0"))
    assert run.status == "failed"
    assert (run.error or "").startswith("cannot create the working directory")


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("4", 4),
        ('{"a": [1, null]}', {"a": [1, None]}),
        ("null", None),
        ('  "\u00e4" ', "\u00e4"),
        ("false", False),
    ],
)
def test_the_result_is_recorded(driver: Driver, text: str, result: Json) -> None:
    run = driver.run(shell(f"printf '%s' '{text}' > $DISPATCHER_RESULT"))
    assert (run.status, run.error) == ("succeeded", None)
    assert run.result == result


def test_a_failed_run_can_have_a_result(driver: Driver) -> None:
    run = driver.run(shell("echo 4 > $DISPATCHER_RESULT; exit 1"))
    assert (run.status, run.exit_code, run.result) == ("failed", 1, 4)


@pytest.mark.parametrize(
    ("script", "error"),
    [
        (": > $DISPATCHER_RESULT", "the result is not valid JSON"),
        ("echo hello > $DISPATCHER_RESULT", "the result is not valid JSON"),
        ("echo NaN > $DISPATCHER_RESULT", "the result is not valid JSON"),
        (
            "printf '\\377' > $DISPATCHER_RESULT",
            "the result is not valid JSON: Invalid UTF-8: invalid start byte at byte 0",
        ),
        ("echo 1 2 > $DISPATCHER_RESULT", "the result is not valid JSON"),
        ("head -c 1000000 /dev/zero | tr '\\0' [ > $DISPATCHER_RESULT", "nested deeper"),
        ("head -c 2000000 /dev/zero | tr '\\0' 1 > $DISPATCHER_RESULT", "the result exceeds"),
        ("ln -s /dev/zero $DISPATCHER_RESULT", "the result is not a regular file"),
        ("mkdir $DISPATCHER_RESULT", "the result is not a regular file"),
    ],
)
def test_an_invalid_result_fails_the_run(driver: Driver, script: str, error: str) -> None:
    run = driver.run(shell(script))
    assert (run.status, run.result) == ("failed", None)
    assert error in (run.error or "")


@pytest.mark.parametrize("script", ["echo hello > $DISPATCHER_RESULT", "mkdir $DISPATCHER_RESULT"])
def test_an_invalid_result_does_not_hide_the_exit_code(driver: Driver, script: str) -> None:
    run = driver.run(shell(f"{script}; exit 3"))
    assert (run.status, run.exit_code, run.result) == ("failed", 3, None)


def test_a_truncated_result_does_not_hide_the_signal(driver: Driver) -> None:
    run = driver.run(shell("printf '{' > $DISPATCHER_RESULT; kill -9 $$"))
    assert (run.status, run.signal, run.result) == ("failed", "SIGKILL", None)


def test_a_result_of_the_maximum_size_is_accepted(driver: Driver) -> None:
    script = f"head -c {MAX_RESULT} /dev/zero | tr '\\0' ' ' | sed 's/^ /1/' > $DISPATCHER_RESULT"
    assert driver.run(shell(script)).result == 1


def test_a_pipe_in_place_of_the_result_does_not_block(driver: Driver) -> None:
    run = driver.offer(shell("mkfifo $DISPATCHER_RESULT", Keep.ALWAYS), make_event())
    thread = threading.Thread(target=driver.runner.make_attempt, args=(run,))
    thread.start()
    thread.join(2)
    blocked = thread.is_alive()
    if blocked:
        pipe = driver.runner.directory / f"{run}.1" / "result.json"
        os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
        thread.join(DEADLINE)
    assert not blocked
    assert view(driver.database, run).status == "failed"


@pytest.mark.parametrize(
    ("keep", "script", "kept"),
    [
        (Keep.FAILED, "exit 0", False),
        (Keep.FAILED, "exit 1", True),
        (Keep.FAILED, "kill -9 $$", True),
        (Keep.FAILED, "echo no JSON > $DISPATCHER_RESULT", True),
        (Keep.ALWAYS, "exit 0", True),
        (Keep.ALWAYS, "exit 1", True),
        (Keep.NEVER, "exit 0", False),
        (Keep.NEVER, "exit 1", False),
    ],
)
def test_working_directories_are_kept_as_configured(
    driver: Driver, keep: Keep, script: str, *, kept: bool
) -> None:
    run = driver.run(shell(f"echo content > file; {script}", keep))
    assert driver.folders() == ([f"{run.uuid}.1"] if kept else [])
    if kept:
        file = driver.runner.directory / f"{run.uuid}.1" / "work" / "file"
        assert file.read_text(encoding="utf-8") == "content\n"
