"""The output, progress and command of an attempt, while it runs and afterwards."""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from harness import DEADLINE, wait_until
from pacifica.dispatcher import orm
from pacifica.dispatcher.applications import Application, Retry
from pacifica.dispatcher.applications.command_template import Argument, CommandTemplate, Placeholder
from pacifica.dispatcher.execution.progress import Progress
from tests.factories import make_event, stored_output, view
from tests.unit.worker.factories import Driver, handler, only_attempt, shell

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="uses a POSIX shell")


def test_output_is_bounded(driver: Driver) -> None:
    run = driver.run(replace(shell("yes | head -c 1000000; echo the end"), max_output=1000))
    pieces = stored_output(driver.database, run.uuid, 1)
    assert [(piece.position, len(piece.data)) for piece in pieces] == [(0, 500), (999_508, 500)]
    assert pieces[-1].data.endswith(b"the end\n")


def test_output_is_saved_while_the_application_runs(driver: Driver, tmp_path: Path) -> None:
    (tmp_path / "go").touch()
    script = f"echo early; while test -e '{tmp_path}/go'; do sleep 0.02; done; echo late"
    run = driver.offer(shell(script), make_event())
    thread = threading.Thread(target=driver.runner.make_attempt, args=(run,))
    thread.start()
    wait_until(lambda: stored_output(driver.database, run, 1))
    early = driver.output(view(driver.database, run))
    status = view(driver.database, run).status
    (tmp_path / "go").unlink()
    thread.join(DEADLINE)
    assert (early, status) == ("early\n", "running")
    assert driver.output(view(driver.database, run)) == "early\nlate\n"


def test_the_command_is_stored_as_executed(driver: Driver) -> None:
    command = CommandTemplate(
        "/bin/echo", (Argument(("a b",)), Argument((Placeholder("id"), "/x")))
    )
    run = driver.run(Application("echo", command), make_event("7; rm -r"))
    assert only_attempt(driver, run).command == ["/bin/echo", "a b", "7; rm -r/x"]


def test_the_command_of_a_handler_is_its_name(driver: Driver, tmp_path: Path) -> None:
    run = driver.run(handler(tmp_path, "def given(event): return 1", "given"))
    assert only_attempt(driver, run).command == ["given_handlers:given"]


def test_a_long_command_is_shortened(driver: Driver) -> None:
    arguments = (Argument(("x" * 2000,)), *[Argument(("y",))] * 200)
    run = driver.run(Application("true", CommandTemplate("true", arguments)))
    assert only_attempt(driver, run).command == ["true", "x" * 1000 + "…", *"y" * 98, "…"]


def test_a_command_without_a_placeholder_value_is_not_stored(driver: Driver) -> None:
    run = driver.run(
        Application("echo", CommandTemplate("echo", (Argument((Placeholder("missing"),)),)))
    )
    assert (run.status, only_attempt(driver, run).command) == ("failed", None)


def test_progress_and_command_are_shown_while_the_application_runs(
    driver: Driver, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    script = f"echo ::progress 40 half >&2; until [ -e {go} ]; do sleep 0.05; done"
    run = driver.offer(shell(f"{script}; echo ::progress 90 nearly"), make_event())
    with ThreadPoolExecutor(1) as pool:
        attempt = pool.submit(driver.runner.make_attempt, run)
        wait_until(lambda: view(driver.database, run).progress == Progress(40, "half"))
        command = only_attempt(driver, view(driver.database, run)).command
        go.touch()
        attempt.result(DEADLINE)
    assert command is not None
    assert command[:2] == ["/bin/sh", "-c"]
    assert view(driver.database, run).progress == Progress(90, "nearly")


def test_progress_of_a_handler_is_shown_while_it_runs(driver: Driver, tmp_path: Path) -> None:
    go = tmp_path / "go"
    source = f"""
import time
from pathlib import Path

def given(event):
    print("::progress 40 half")
    while not Path({str(go)!r}).exists():
        time.sleep(0.05)
"""
    run = driver.offer(handler(tmp_path, source, "given"), make_event())
    with ThreadPoolExecutor(1) as pool:
        attempt = pool.submit(driver.runner.make_attempt, run)
        wait_until(lambda: view(driver.database, run).progress == Progress(40, "half"))
        go.touch()
        attempt.result(DEADLINE)


def test_the_last_line_is_stored(driver: Driver) -> None:
    run = driver.run(shell("echo why >&2; echo out; exit 1"))
    assert only_attempt(driver, run).last_line == "why"


def test_each_attempt_has_its_own_progress(driver: Driver) -> None:
    script = shell('[ "$DISPATCHER_ATTEMPT" = 2 ] || { echo ::progress 50; exit 1; }')
    run = driver.run(replace(script, retry=Retry(retries=1, delay=0.0)))
    before = run.progress
    driver.again(run.uuid)
    after, attempts = orm.run(driver.database, run.uuid)
    assert (before, after.progress) == (Progress(50, ""), None)
    assert [each.progress for each in attempts] == [Progress(50, ""), None]
