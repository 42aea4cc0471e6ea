"""The whole tree of a process: nothing is left of it, and nothing else is touched.

Each is shown in a process that adopts orphans, as a worker's do, and in one that does not.
"""

import json
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from pacifica.dispatcher.process import Cause, Limits
from tests.unit.process.conftest import MARK, Place, Watch

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="uses programs of Linux")

_HOST = """
import json
import os
import sys
import threading
import time
import uuid
from pacifica.dispatcher.process import Cause, Limits, Stop, adopt_orphans, execute


class Run:
    \"\"\"One execution of a script: its interruption and its sink.\"\"\"

    def __init__(self, script, cause, timeout, kill_after, times):
        self.times = times
        self.script, self.wanted, self.asked = script, Cause[cause], None
        self.limits = Limits(timeout, kill_after)
        self.output, self.ready, self.stop = b"", threading.Event(), Stop()
        self.ended = self.took = None

    def write(self, stream, data):
        self.output += data
        self.ready.set()
        if self.wanted not in {Cause.EXITED, Cause.TIMED_OUT}:
            self.asked = self.wanted
            self.stop.request()

    def tick(self):
        pass

    def fileno(self):
        return self.stop.fileno()

    def cause(self):
        return self.asked

    def execute(self):
        for _ in range(self.times):
            self.once()
            if self.ended.exit_code != 0:
                break

    def once(self):
        begun = time.monotonic()
        self.ended = execute(
            ["/bin/sh", "-c", self.script],
            directory=".",
            environment={**os.environ, "TEST_APPLICATION": uuid.uuid4().hex},
            marks=["TEST_APPLICATION"],
            stdin="/dev/null",
            limits=self.limits,
            interruption=self,
            sink=self,
        )
        self.took = time.monotonic() - begun


def main(adopting, runs):
    if adopting:
        adopt_orphans()
    *beside, last = [Run(**each) for each in runs]
    threads = [threading.Thread(target=each.execute) for each in beside]
    for each, thread in zip(beside, threads):
        thread.start()
        if each.times == 1:
            each.ready.wait(30)
    last.execute()
    open("over", "w").close()
    for thread in threads:
        thread.join(30)
    for each in (*beside, last):
        ended = each.ended
        print(json.dumps([
            ended.exit_code, ended.signal, ended.cause.name, each.took, each.output.decode()
        ]))


main(**json.loads(sys.argv[1]))
"""


@dataclass(frozen=True)
class Told:
    """What a host process tells of one execution."""

    exit_code: int | None
    signal: str | None
    cause: str
    took: float
    output: str


@dataclass(frozen=True)
class Host:
    """A process that executes scripts."""

    directory: Path
    adopting: bool

    def run(self, *scripts: dict[str, object]) -> list[Told]:
        """Execute scripts: each beside those before it, which know the end by a file `over`."""
        runs = [
            {"cause": "EXITED", "timeout": None, "kill_after": 10, "times": 1} | each
            for each in scripts
        ]
        told = subprocess.run(
            [sys.executable, "-c", _HOST, json.dumps({"adopting": self.adopting, "runs": runs})],
            cwd=self.directory,
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert told.returncode == 0, told.stderr.decode()
        return [Told(*json.loads(line)) for line in told.stdout.splitlines()]

    def execute(self, script: str, /, **settings: object) -> Told:
        """Execute one."""
        [told] = self.run({"script": script, **settings})
        return told


@pytest.fixture(params=[True, False], ids=["adopting", "not adopting"])
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Host:
    return Host(tmp_path, request.param)


@pytest.fixture
def adopting(tmp_path: Path) -> Host:
    return Host(tmp_path, adopting=True)


_STUBBORN = "trap '' TERM; echo ready; while :; do sleep 0.05; done"
_TIDIES = "exec 2>&-; trap '{}; exit' TERM; echo ready; while :; do sleep 0.05; done"
_WITHOUT = f"env -u {MARK}"
_LEFT = {
    "a child": "sleep 60 &",
    "a grandchild": "(sleep 60 & sleep 60) &",
    "a child in a session of its own": "setsid sleep 60 &",
    "a daemon": "(setsid sleep 60 &)",
    "a daemon that ignores SIGTERM": f'(setsid sh -c "{_STUBBORN}" &)',
    "a daemon of a daemon": '(setsid sh -c "setsid sleep 60 & sleep 60" &)',
    "a child without its environment": "env -i sleep 60 &",
    "an orphan without its environment": "(env -i sleep 60 &)",
}
_LEFT_FAR = {
    "a child in a session of its own without the mark": f"{_WITHOUT} setsid sleep 60 &",
    "a daemon without the mark": f"({_WITHOUT} setsid sleep 60 &)",
    "a daemon without any environment": "(env -i setsid sleep 60 &)",
    "a tree of daemons without the mark": (
        f"({_WITHOUT} setsid sh -c 'setsid sleep 60 & (setsid sleep 60 &) sleep 60' &)"
    ),
}


@pytest.mark.parametrize("left", [*_LEFT])
def test_what_is_left_after_an_end_is_killed(host: Host, watch: Watch, left: str) -> None:
    told = host.execute(f"exec 3>fifo\n{_LEFT[left]}\nexit 5")
    assert (told.exit_code, told.cause) == (5, "EXITED")
    assert watch.abandoned(0)


@pytest.mark.parametrize("left", [*_LEFT_FAR])
def test_what_only_its_parents_show_is_killed_by_who_adopts_it(
    adopting: Host, watch: Watch, left: str
) -> None:
    told = adopting.execute(f"exec 3>fifo\n{_LEFT_FAR[left]}\nexit 5")
    assert (told.exit_code, told.cause) == (5, "EXITED")
    assert watch.abandoned(0)


def test_output_that_is_held_open_is_not_waited_for(host: Host) -> None:
    told = host.execute("\n".join([*_LEFT.values(), "echo said", "exit 0"]))
    assert told.took < 3
    assert "said\n" in told.output


def test_output_that_a_stranger_holds_open_is_not_waited_for(tmp_path: Path) -> None:
    told = Host(tmp_path, adopting=False).execute("(env -i setsid sleep 5 &)\necho said")
    assert told.took < 3
    assert told.output == "said\n"


def test_an_end_without_anything_left_is_quick(adopting: Host) -> None:
    assert adopting.execute("exit 0").took < 0.2


_CAUSES = pytest.mark.parametrize(
    "cause", [each.name for each in Cause if each is not Cause.EXITED]
)


def ending(cause: str) -> dict[str, object]:
    """What lets an execution end by a cause, after its first output or soon."""
    return {"cause": cause, "timeout": 1.5 if cause == "TIMED_OUT" else None}


@_CAUSES
def test_whatever_ends_it_ends_all_of_its_tree(host: Host, watch: Watch, cause: str) -> None:
    script = "\n".join(["exec 3>fifo", *_LEFT.values(), "sleep 0.3", "exec sleep 60"])
    told = host.execute(script, **ending(cause), kill_after=1)
    assert (told.signal, told.cause) == ("SIGTERM", cause)
    assert watch.abandoned(0)


@_CAUSES
def test_whatever_ends_it_ends_what_only_its_parents_show(
    adopting: Host, watch: Watch, cause: str
) -> None:
    script = "\n".join(
        ["exec 3>fifo", *_LEFT_FAR.values(), "sleep 0.3", "echo ready", "exec sleep 60"]
    )
    told = adopting.execute(script, **ending(cause), kill_after=1)
    assert (told.signal, told.cause) == ("SIGTERM", cause)
    assert watch.abandoned(0)


@_CAUSES
def test_who_dropped_its_environment_is_killed_while_its_parent_lives(
    host: Host, watch: Watch, cause: str
) -> None:
    script = f'exec 3>fifo; {_WITHOUT} setsid sh -c "{_STUBBORN}" & {_STUBBORN}'
    told = host.execute(script, **ending(cause), kill_after=0.5)
    assert (told.signal, told.cause) == ("SIGKILL", cause)
    assert watch.abandoned(0)


def test_who_left_the_session_is_asked_to_end_first(host: Host) -> None:
    tidy = _TIDIES.format("echo tidied")
    told = host.execute(f'setsid sh -c "{tidy}" & exec sleep 60', **ending("CANCELLED"))
    assert told.output == "ready\ntidied\n"


def test_what_is_left_gets_the_time_that_was_promised(host: Host) -> None:
    tidy = _TIDIES.format("sleep 1.5; echo tidied")
    script = f'setsid sh -c "{tidy}" & exec sleep 60'
    told = host.execute(script, **ending("CANCELLED"), kill_after=20)
    assert (told.signal, told.output) == ("SIGTERM", "ready\ntidied\n")
    assert told.took < 10


def test_what_is_left_gets_no_more_time_than_was_promised(host: Host, watch: Watch) -> None:
    script = f'exec 3>fifo; setsid sh -c "{_STUBBORN}" & exec sleep 60'
    told = host.execute(script, **ending("CANCELLED"), kill_after=1)
    assert 1.0 <= told.took < 5
    assert watch.abandoned(0)


_MULTIPLIES = "trap '' TERM; echo ready; while :; do (setsid sleep 20 &) ; done"


def test_who_is_born_while_the_others_are_killed_is_not_waited_for(
    host: Host, watch: Watch
) -> None:
    told = host.execute(f"exec 3>fifo; {_MULTIPLIES}", **ending("CANCELLED"), kill_after=0.2)
    assert (told.signal, told.cause) == ("SIGKILL", "CANCELLED")
    assert told.took < 10
    assert watch.abandoned(0)


@pytest.mark.parametrize("cause", ["LOST", "ORPHANED"])
def test_an_urgent_end_kills_all_of_the_tree_in_a_second(
    host: Host, watch: Watch, cause: str
) -> None:
    script = f'exec 3>fifo; (setsid sh -c "{_STUBBORN}" &) ; exec sleep 60'
    told = host.execute(script, **ending(cause), kill_after=60)
    assert told.took < 4
    assert watch.abandoned(0)


def test_an_urgent_end_does_not_wait_for_what_is_left_either(place: Place, watch: Watch) -> None:
    """The process itself ends on SIGTERM; what is left of it was promised a minute."""
    begun = time.monotonic()
    place.written.on_output = lambda: place.interrupter.interrupt(Cause.CANCELLED)
    lost = threading.Timer(1.0, place.interrupter.interrupt, [Cause.LOST])
    lost.start()
    place.shell(f'exec 3>fifo; setsid sh -c "{_STUBBORN}" & exec sleep 60', Limits(None, 12))
    lost.join()
    assert time.monotonic() - begun < 6
    assert watch.abandoned(0)


_HOPS = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
until = time.monotonic() + 20
if os.fork():
    print("ready", flush=True)
    time.sleep(60)
while time.monotonic() < until:
    if os.fork():
        os._exit(0)
"""


def test_a_process_that_hops_from_one_to_the_next_is_killed(host: Host, watch: Watch) -> None:
    (host.directory / "hops.py").write_text(_HOPS, encoding="utf-8")
    script = f"exec 3>fifo; exec {sys.executable} hops.py"
    told = host.execute(script, **ending("CANCELLED"), kill_after=0.5)
    assert (told.signal, told.cause) == ("SIGKILL", "CANCELLED")
    assert told.took < 10
    assert watch.abandoned(0)


_BESIDE = """
setsid sleep 60 & child=$!
(setsid sh -c 'echo $$ > daemon; exec sleep 60' &)
while ! test -s daemon; do sleep 0.02; done
echo ready
while ! test -e over; do sleep 0.02; done
kill -0 $child && kill -0 $(cat daemon) && exit 7
"""


@pytest.mark.parametrize("cause", [each.name for each in Cause])
def test_what_runs_beside_it_is_left_alone(host: Host, cause: str) -> None:
    script = "\n".join([*_LEFT.values(), "echo ready"])
    if cause != "EXITED":
        script += "\nexec sleep 60"
    beside, told = host.run(
        {"script": _BESIDE}, {"script": script, **ending(cause), "kill_after": 0.5}
    )
    assert told.cause == cause
    assert (beside.exit_code, beside.signal) == (7, None)


_DAEMONISES = "exec 3>fifo\n(setsid sh -c 'sleep 60 & exit' &)\nexit 0"


def test_who_is_becoming_a_daemon_is_killed(host: Host, watch: Watch) -> None:
    """Its parents come and go while the processes are looked for."""
    host.execute(_DAEMONISES, times=100)
    assert watch.abandoned(0)


def test_what_starts_while_another_ends_is_left_alone(host: Host) -> None:
    busy = "(setsid sleep 60 &)\nexit 0"
    told = host.run(*[{"script": busy, "times": 40}] * 4)
    assert {(each.exit_code, each.signal) for each in told} == {(0, None)}
