"""Processes of other users: the operator's helper ends them, or they are named and given up."""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn, TypeAlias

import psutil
import pytest

from harness import DEADLINE
from pacifica.dispatcher.execution.process import end_tree, process_tree, use_kill_helper
from pacifica.dispatcher.execution.process.signals import kill_helper, send, why_denied
from tests.factories import wait_executed
from tests.unit.execution.process.conftest import MARK, Limits, Sandbox
from tests.unit.worker.factories import recorded

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="uses signals")

Sleeper: TypeAlias = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture(autouse=True)
def helper() -> Iterator[None]:
    """No helper, unless a test configures one."""
    yield
    use_kill_helper(())


@pytest.fixture
def sleeper() -> Iterator[Sleeper]:
    """Start a process in a session of its own with these variables."""
    started = []

    def start(**variables: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            ["sleep", "60"], env={**os.environ, **variables}, start_new_session=True
        )
        started.append(process)
        wait_executed(process.pid)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait(DEADLINE)


@pytest.fixture
def denied(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deny this process every signal, as if the others belonged to another user."""

    def deny(*_: object) -> NoReturn:
        raise PermissionError

    def deny_psutil(process: psutil.Process) -> NoReturn:
        raise psutil.AccessDenied(process.pid)

    monkeypatch.setattr(os, "killpg", deny)
    monkeypatch.setattr(psutil.Process, "kill", deny_psutil)
    monkeypatch.setattr(psutil.Process, "terminate", deny_psutil)
    monkeypatch.setattr(process_tree, "DENIED_WAIT", 0.3)


def test_a_permitted_signal_needs_no_helper(sleeper: Sleeper, tmp_path: Path) -> None:
    use_kill_helper(["touch", str(tmp_path / "called")])
    process = sleeper()
    assert send([psutil.Process(process.pid)], "TERM") == []
    assert process.wait(DEADLINE) == -signal.SIGTERM
    assert not (tmp_path / "called").exists()


@pytest.mark.usefixtures("denied")
@pytest.mark.parametrize("name", ["TERM", "KILL"])
def test_the_helper_sends_a_signal_that_is_denied(sleeper: Sleeper, name: str) -> None:
    use_kill_helper(["env", "LC_ALL=C", "kill"])
    assert kill_helper() == ("env", "LC_ALL=C", "kill")
    processes = [sleeper(), sleeper()]
    send([psutil.Process(each.pid) for each in processes], name)
    assert {each.wait(DEADLINE) for each in processes} == {-signal.Signals[f"SIG{name}"]}


_FAILURES = {
    "false": "exit code 1: ",
    "sh -c 'echo a password is required >&2; exit 3' x": "exit code 3: a password is required",
    "/does/not/exist": "/does/not/exist could not be started: No such file or directory",
}


@pytest.mark.usefixtures("denied")
@pytest.mark.parametrize("arguments", list(_FAILURES))
def test_a_helper_that_fails_is_reported_once(sleeper: Sleeper, arguments: str) -> None:
    use_kill_helper(shlex.split(arguments))
    process = psutil.Process(sleeper().pid)
    with recorded() as records:
        send([process], "KILL")
        send([process], "KILL")
    [record] = records
    assert (record.name, record.fields["reason"]) == ("kill_helper.failed", _FAILURES[arguments])
    assert why_denied() == f"permission denied; kill_helper failed: {_FAILURES[arguments]}"


@pytest.mark.usefixtures("denied")
def test_a_process_that_cannot_be_ended_is_named_and_given_up(sleeper: Sleeper) -> None:
    marks = {MARK: uuid.uuid4().hex}
    process = sleeper(**marks)
    with recorded() as records:
        left = end_tree(marks)
        again = end_tree(marks)
    user = psutil.Process(process.pid).username()
    reason = "permission denied; set kill_helper in [worker]"
    assert left == f"cannot end process {process.pid} (sleep, user {user}): {reason}"
    assert again == ""
    [record] = records
    assert record.name == "tree.unkillable"
    assert record.fields == {"pids": str(process.pid), "reason": reason}


@pytest.mark.usefixtures("denied")
def test_an_execution_that_cannot_be_ended_ends_at_its_time_limit(sandbox: Sandbox) -> None:
    ended = sandbox.run("sleep", "3", limits=Limits(0.2, 0.2))
    assert ended.cause.name == "TIMED_OUT"
    assert (ended.exit_code, ended.signal) == (None, None)
    assert "cannot end process" in ended.left


@pytest.mark.usefixtures("denied")
def test_what_is_left_does_not_belong_to_the_next_execution(sandbox: Sandbox) -> None:
    assert sandbox.run("sleep", "3", limits=Limits(0.2, 0.2)).left
    assert sandbox.run("true").left == ""


_AS_NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "sleep", "20")


@pytest.mark.skipif(
    sys.platform != "linux"
    or os.getuid() != 0
    or not (shutil.which("capsh") and shutil.which("setpriv")),
    reason="needs root, to start a process of another user",
)
def test_a_process_of_another_user_is_given_up_without_the_right_to_kill(tmp_path: Path) -> None:
    script = tmp_path / "host.py"
    script.write_text(
        f"""
from tests.unit.execution.process.conftest import *
from pacifica.dispatcher.execution.process import adopt_orphans, process_tree
adopt_orphans()
process_tree.DENIED_WAIT = 0.3
sandbox = Sandbox(Path({str(tmp_path)!r}), Interrupter(), Written())
print(sandbox.run(*{_AS_NOBODY!r}, limits=Limits(0.8, 0.2)).left)
""",
        encoding="utf-8",
    )
    done = subprocess.run(
        ["capsh", "--drop=cap_kill", "--", "-c", f"PYTHONPATH=. {sys.executable} {script}"],
        capture_output=True,
        timeout=DEADLINE,
        check=True,
        text=True,
    )
    assert "(sleep, user nobody): permission denied" in done.stdout
