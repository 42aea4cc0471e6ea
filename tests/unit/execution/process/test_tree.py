"""Process trees end completely, and other processes are left alone.

Most tests run both in a process that adopts orphans, as a worker's do, and in one that does not.
"""

import json
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness import DEADLINE
from pacifica.dispatcher.execution.ended import Cause
from tests.unit.execution.process.conftest import MARK, Limits, Sandbox, Watch

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="uses Linux programs")

_HOST = """
import json
import os
import sys
import threading
import time
import uuid
import psutil
from pacifica.dispatcher.execution.ended import Cause
from pacifica.dispatcher.execution.perform import watch
from pacifica.dispatcher.execution.process import Program, StopRequest, adopt_orphans, start_child


class Run:
    \"\"\"One execution of a script: its interruption and its sink.\"\"\"

    def __init__(self, script, cause, timeout, kill_after, times):
        self.times = times
        self.script, self.wanted, self.asked = script, Cause[cause], None
        self.timeout, self.kill_after = timeout, kill_after
        self.output, self.ready, self.stop = b"", threading.Event(), StopRequest()
        self.ended = self.duration = None

    def write(self, stream, data):
        self.output += data
        self.ready.set()
        if self.wanted not in {Cause.EXITED, Cause.TIMED_OUT}:
            self.asked = self.wanted
            self.stop.request()

    def tick(self):
        pass

    def cause(self):
        return self.asked

    def execute(self):
        for _ in range(self.times):
            self.once()
            if self.ended.exit_code != 0:
                break

    def once(self):
        started = time.monotonic()
        program = Program(
            ["/bin/sh", "-c", self.script],
            directory=".",
            environment={**os.environ, "TEST_APPLICATION": uuid.uuid4().hex},
            marks=["TEST_APPLICATION"],
            stdin="/dev/null",
            timeout=self.timeout,
            kill_after=self.kill_after,
        )
        with start_child(program, self, self.stop.fileno()) as child:
            self.ended = watch(child, self.cause)
        self.duration = time.monotonic() - started


searches = []
process_iter = psutil.process_iter


def counted():
    searches.append(1)
    return process_iter()


def main(adopting, runs):
    psutil.process_iter = counted
    if adopting:
        adopt_orphans()
    *concurrent, last = [Run(**each) for each in runs]
    threads = [threading.Thread(target=each.execute) for each in concurrent]
    for each, thread in zip(concurrent, threads):
        thread.start()
        if each.times == 1:
            each.ready.wait(60)
    last.execute()
    open("over", "w").close()
    for thread in threads:
        thread.join(60)
    for each in (*concurrent, last):
        ended = each.ended
        print(json.dumps([
            ended.exit_code, ended.signal, ended.cause.name, each.duration, each.output.decode(),
            len(searches),
        ]))


main(**json.loads(sys.argv[1]))
"""


@dataclass(frozen=True)
class Execution:
    """Report of a host process about one execution."""

    exit_code: int | None
    signal: str | None
    cause: str
    duration: float
    output: str
    searches: int


@dataclass(frozen=True)
class Host:
    """A process that executes scripts."""

    directory: Path
    adopting: bool

    def run(self, *scripts: dict[str, object]) -> list[Execution]:
        """Execute scripts concurrently; the file `over` appears when the last one has ended."""
        runs = [
            {"cause": "EXITED", "timeout": None, "kill_after": 10, "times": 1} | each
            for each in scripts
        ]
        done = subprocess.run(
            [sys.executable, "-c", _HOST, json.dumps({"adopting": self.adopting, "runs": runs})],
            cwd=self.directory,
            capture_output=True,
            timeout=2 * DEADLINE,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()
        return [Execution(*json.loads(line)) for line in done.stdout.splitlines()]

    def execute(self, script: str, /, **settings: object) -> Execution:
        """Execute one script."""
        [ended] = self.run({"script": script, **settings})
        return ended


@pytest.fixture(params=[True, False], ids=["adopting", "not adopting"])
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Host:
    return Host(tmp_path, request.param)


@pytest.fixture
def adopting(tmp_path: Path) -> Host:
    return Host(tmp_path, adopting=True)


_IGNORES_SIGTERM = "trap '' TERM; echo ready; while :; do sleep 0.05; done"
_TIDIES_UP = "exec 2>&-; trap '{}; exit' TERM; echo ready; while :; do sleep 0.05; done"
_WITHOUT = f"env -u {MARK}"
_LEFTOVERS = {
    "a child": "sleep 60 &",
    "a grandchild": "(sleep 60 & sleep 60) &",
    "a child in a session of its own": "setsid sleep 60 &",
    "a daemon": "(setsid sleep 60 &)",
    "a daemon that ignores SIGTERM": f'(setsid sh -c "{_IGNORES_SIGTERM}" &)',
    "a daemon of a daemon": '(setsid sh -c "setsid sleep 60 & sleep 60" &)',
    "a child without its environment": "env -i sleep 60 &",
    "an orphan without its environment": "(env -i sleep 60 &)",
}
_DETACHED = {
    "a child in a session of its own without the mark": f"{_WITHOUT} setsid sleep 60 &",
    "a daemon without the mark": f"({_WITHOUT} setsid sleep 60 &)",
    "a daemon without any environment": "(env -i setsid sleep 60 &)",
    "a tree of daemons without the mark": (
        f"({_WITHOUT} setsid sh -c 'setsid sleep 60 & (setsid sleep 60 &) sleep 60' &)"
    ),
}


@pytest.mark.parametrize("leftover", [*_LEFTOVERS])
def test_leftover_processes_are_killed(host: Host, watch: Watch, leftover: str) -> None:
    ended = host.execute(f"exec 3>fifo\n{_LEFTOVERS[leftover]}\nexit 5")
    assert (ended.exit_code, ended.cause) == (5, "EXITED")
    assert watch.abandoned(0)


@pytest.mark.parametrize("leftover", [*_DETACHED])
def test_a_process_found_only_by_descent_is_killed_by_its_adopter(
    adopting: Host, watch: Watch, leftover: str
) -> None:
    ended = adopting.execute(f"exec 3>fifo\n{_DETACHED[leftover]}\nexit 5")
    assert (ended.exit_code, ended.cause) == (5, "EXITED")
    assert watch.abandoned(0)


def test_output_held_open_is_not_waited_for(host: Host) -> None:
    ended = host.execute("\n".join([*_LEFTOVERS.values(), "echo output", "exit 0"]))
    assert ended.duration < 30
    assert "output\n" in ended.output


def test_output_held_open_by_an_unrelated_process_is_not_waited_for(tmp_path: Path) -> None:
    ended = Host(tmp_path, adopting=False).execute("(env -i setsid sleep 45 &)\necho output")
    assert ended.duration < 30
    assert ended.output == "output\n"


def test_an_end_without_leftovers_needs_no_search(adopting: Host) -> None:
    assert adopting.execute("exit 0").searches == 0
    left = "setsid sh -c 'touch up; exec sleep 60' & while ! test -e up; do sleep 0.02; done"
    assert adopting.execute(left).searches > 0


_CAUSES = pytest.mark.parametrize(
    "cause", [each.name for each in Cause if each is not Cause.EXITED]
)


def ending(cause: str) -> dict[str, object]:
    """Return settings that end an execution for this cause."""
    return {"cause": cause, "timeout": 1.5 if cause == "TIMED_OUT" else None}


@_CAUSES
def test_every_cause_ends_the_whole_tree(host: Host, watch: Watch, cause: str) -> None:
    script = "\n".join(["exec 3>fifo", *_LEFTOVERS.values(), "sleep 0.3", "exec sleep 60"])
    ended = host.execute(script, **ending(cause), kill_after=1)
    assert (ended.signal, ended.cause) == ("SIGTERM", cause)
    assert watch.abandoned(0)


@_CAUSES
def test_every_cause_ends_processes_found_only_by_descent(
    adopting: Host, watch: Watch, cause: str
) -> None:
    script = "\n".join(
        ["exec 3>fifo", *_DETACHED.values(), "sleep 0.3", "echo ready", "exec sleep 60"]
    )
    ended = adopting.execute(script, **ending(cause), kill_after=1)
    assert (ended.signal, ended.cause) == ("SIGTERM", cause)
    assert watch.abandoned(0)


@_CAUSES
def test_a_process_without_environment_is_killed_while_its_parent_lives(
    host: Host, watch: Watch, cause: str
) -> None:
    script = f'exec 3>fifo; {_WITHOUT} setsid sh -c "{_IGNORES_SIGTERM}" & {_IGNORES_SIGTERM}'
    ended = host.execute(script, **ending(cause), kill_after=0.5)
    assert (ended.signal, ended.cause) == ("SIGKILL", cause)
    assert watch.abandoned(0)


def test_a_process_that_left_the_session_gets_sigterm_first(host: Host) -> None:
    tidy = _TIDIES_UP.format("echo tidied")
    ended = host.execute(f'setsid sh -c "{tidy}" & exec sleep 60', **ending("CANCELLED"))
    assert ended.output == "ready\ntidied\n"


def test_leftovers_get_kill_after(host: Host) -> None:
    tidy = _TIDIES_UP.format("sleep 1.5; echo tidied")
    script = f'setsid sh -c "{tidy}" & exec sleep 60'
    ended = host.execute(script, **ending("CANCELLED"), kill_after=60)
    assert (ended.signal, ended.output) == ("SIGTERM", "ready\ntidied\n")
    assert ended.duration < 30


def test_leftovers_get_no_more_than_kill_after(host: Host, watch: Watch) -> None:
    script = f'exec 3>fifo; setsid sh -c "{_IGNORES_SIGTERM}" & exec sleep 60'
    ended = host.execute(script, **ending("CANCELLED"), kill_after=1)
    assert 1.0 <= ended.duration < 30
    assert watch.abandoned(0)


_MULTIPLIES = "trap '' TERM; echo ready; while :; do (setsid sleep 60 &) ; done"


def test_a_process_born_during_the_kill_is_not_waited_for(host: Host, watch: Watch) -> None:
    ended = host.execute(f"exec 3>fifo; {_MULTIPLIES}", **ending("CANCELLED"), kill_after=0.2)
    assert (ended.signal, ended.cause) == ("SIGKILL", "CANCELLED")
    assert ended.duration < 45
    assert watch.abandoned(0)


@pytest.mark.parametrize("cause", ["LOST", "ORPHANED"])
def test_an_urgent_end_kills_the_whole_tree_within_a_second(
    host: Host, watch: Watch, cause: str
) -> None:
    script = f'exec 3>fifo; (setsid sh -c "{_IGNORES_SIGTERM}" &) ; exec sleep 60'
    ended = host.execute(script, **ending(cause), kill_after=60)
    assert ended.duration < 30
    assert watch.abandoned(0)


def test_an_urgent_end_does_not_wait_for_leftovers(sandbox: Sandbox, watch: Watch) -> None:
    # The process itself ends on SIGTERM; its leftovers still have most of kill_after.
    started = time.monotonic()
    sandbox.written.on_output = lambda: sandbox.interrupter.interrupt(Cause.CANCELLED)
    lost = threading.Timer(1.0, sandbox.interrupter.interrupt, [Cause.LOST])
    lost.start()
    sandbox.shell(
        f'exec 3>fifo; setsid sh -c "{_IGNORES_SIGTERM}" & exec sleep 60', Limits(None, 60)
    )
    lost.join()
    assert time.monotonic() - started < 30
    assert watch.abandoned(0)


_FORKS_ENDLESSLY = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
until = time.monotonic() + 60
if os.fork():
    print("ready", flush=True)
    time.sleep(60)
while time.monotonic() < until:
    if os.fork():
        os._exit(0)
"""


def test_a_process_that_keeps_forking_and_exiting_is_killed(host: Host, watch: Watch) -> None:
    (host.directory / "forks.py").write_text(_FORKS_ENDLESSLY, encoding="utf-8")
    script = f"exec 3>fifo; exec {sys.executable} forks.py"
    ended = host.execute(script, **ending("CANCELLED"), kill_after=0.5)
    assert (ended.signal, ended.cause) == ("SIGKILL", "CANCELLED")
    assert ended.duration < 45
    assert watch.abandoned(0)


_CONCURRENT = """
setsid sleep 60 & child=$!
(setsid sh -c 'echo $$ > daemon; exec sleep 60' &)
while ! test -s daemon; do sleep 0.02; done
echo ready
while ! test -e over; do sleep 0.02; done
kill -0 $child && kill -0 $(cat daemon) && exit 7
"""


@pytest.mark.parametrize("cause", [each.name for each in Cause])
def test_concurrent_executions_are_left_alone(host: Host, cause: str) -> None:
    script = "\n".join([*_LEFTOVERS.values(), "echo ready"])
    if cause != "EXITED":
        script += "\nexec sleep 60"
    concurrent, ended = host.run(
        {"script": _CONCURRENT}, {"script": script, **ending(cause), "kill_after": 0.5}
    )
    assert ended.cause == cause
    assert (concurrent.exit_code, concurrent.signal) == (7, None)


_DAEMONISES = "exec 3>fifo\n(setsid sh -c 'sleep 60 & exit' &)\nexit 0"


def test_a_process_that_is_becoming_a_daemon_is_killed(host: Host, watch: Watch) -> None:
    # Its parents come and go while the processes are being searched.
    host.execute(_DAEMONISES, times=100)
    assert watch.abandoned(0)


def test_executions_that_start_while_another_ends_are_left_alone(host: Host) -> None:
    busy = "(setsid sleep 60 &)\nexit 0"
    ended = host.run(*[{"script": busy, "times": 40}] * 4)
    assert {(each.exit_code, each.signal) for each in ended} == {(0, None)}
