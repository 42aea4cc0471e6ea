"""One child process: how it starts and ends, what it writes, its limits."""

import os
import resource
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from pacifica.dispatcher.errors import ApplicationError
from pacifica.dispatcher.output import Capture
from pacifica.dispatcher.process import Cause, Ended, Limits
from tests.unit.conftest import DEADLINE
from tests.unit.process.conftest import MARK, Place, Watch, Written

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="uses a POSIX shell and signals")

_IGNORES_SIGTERM = "trap '' TERM; echo ready; while :; do sleep 0.05; done"
INTERRUPTIONS = [Cause.CANCELLED, Cause.STOPPED, Cause.ORPHANED, Cause.LOST]


@pytest.mark.parametrize("code", [0, 1, 42, 255])
def test_the_exit_code_is_given(place: Place, code: int) -> None:
    assert place.shell(f"exit {code}") == Ended(code, None, Cause.EXITED)


@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM", "SIGSEGV", "SIGABRT", "SIGUSR1"])
def test_a_signal_is_named(place: Place, name: str) -> None:
    number = signal.Signals[name].value
    assert place.shell(f"ulimit -c 0; kill -{number} $$") == Ended(None, name, Cause.EXITED)


@pytest.mark.skipif(sys.platform != "linux", reason="Linux has signals without a name")
def test_a_signal_without_a_name_has_its_number(place: Place) -> None:
    ended = place.run(sys.executable, "-c", "import os; os.kill(os.getpid(), 40)")
    assert ended == Ended(None, "signal 40", Cause.EXITED)


def test_it_reads_the_file(place: Place) -> None:
    place.run("cat", stdin=b"read this")
    assert place.written.streams == {"stdout": b"read this"}


def test_it_has_this_environment_and_no_other(place: Place) -> None:
    place.run("/usr/bin/env", "-u", MARK, "env", environment={"ONE": "1", "TWO": "a b\nc"})
    assert place.written.streams["stdout"] == b"ONE=1\nTWO=a b\nc\n"


def test_it_works_in_this_directory(place: Place) -> None:
    place.run("/bin/pwd", environment={})
    assert place.written.streams["stdout"].decode().strip() == str(place.directory.resolve())


def test_arguments_arrive_as_they_are(place: Place) -> None:
    arguments = ["", " ", "$HOME `id` ; rm", "*", "ä\n", "--"]
    program = 'import sys; print(ascii(sys.argv[1:]), end="")'
    place.run(sys.executable, "-c", program, *arguments)
    assert place.written.streams["stdout"].decode() == ascii(arguments)


def test_it_leads_a_session_of_its_own(place: Place) -> None:
    program = "import os; print(os.getsid(0) == os.getpid(), end='')"
    place.run(sys.executable, "-c", program)
    assert place.written.streams["stdout"] == b"True"


def test_the_streams_are_told_apart(place: Place) -> None:
    place.shell("echo out; echo err >&2")
    assert place.written.streams == {"stdout": b"out\n", "stderr": b"err\n"}


def test_a_program_that_says_nothing(place: Place) -> None:
    assert place.run("true") == Ended(0, None, Cause.EXITED)
    assert place.written.streams == {}


def test_output_is_binary(place: Place) -> None:
    content = bytes(range(256)) * 1000
    place.run("cat", stdin=content)
    assert place.written.streams["stdout"] == content


def test_the_last_output_of_a_program_is_not_lost(place: Place) -> None:
    place.shell("head -c 1000000 /dev/zero; echo end")
    assert place.written.streams["stdout"].endswith(b"\0end\n")
    assert len(place.written.streams["stdout"]) == 1_000_004


def test_a_program_that_closes_its_output_goes_on(place: Place) -> None:
    before = time.process_time()
    assert place.shell("exec >&- 2>&-; sleep 1; exit 3") == Ended(3, None, Cause.EXITED)
    assert time.process_time() - before < 0.5, "waiting kept the processor busy"


def test_a_program_that_closes_its_output_is_limited_too(place: Place) -> None:
    ended = place.shell("exec >&- 2>&-; sleep 60", Limits(timeout=0.2, kill_after=10))
    assert ended == Ended(None, "SIGTERM", Cause.TIMED_OUT)


def test_a_gigabyte_is_taken_in_bounded_memory(place: Place) -> None:
    capture = Capture(1024**2, lambda *_: True)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert place.shell("head -c 1000000000 /dev/zero", sink=capture).exit_code == 0
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024
    pieces = capture.finish()
    assert sum(len(piece.data) for piece in pieces) == 1024**2
    assert pieces[-1].position + len(pieces[-1].data) == 1_000_000_000


def test_a_silent_program_lets_time_pass(place: Place) -> None:
    place.run("sleep", "0.7")
    assert place.written.ticks >= 2


def test_a_program_whose_time_is_up_gets_sigterm(place: Place) -> None:
    ended = place.run("sleep", "60", limits=Limits(timeout=0.1, kill_after=10))
    assert ended == Ended(None, "SIGTERM", Cause.TIMED_OUT)


def test_a_program_may_end_by_itself_on_sigterm(place: Place) -> None:
    script = "trap 'echo tidied; exit 7' TERM; sleep 60 & wait"
    ended = place.shell(script, Limits(timeout=0.3, kill_after=10))
    assert ended == Ended(7, None, Cause.TIMED_OUT)
    assert place.written.streams["stdout"] == b"tidied\n"


def test_a_program_that_ignores_sigterm_is_killed(place: Place) -> None:
    started = time.monotonic()
    ended = place.shell(_IGNORES_SIGTERM, Limits(timeout=0.3, kill_after=0.3))
    assert ended == Ended(None, "SIGKILL", Cause.TIMED_OUT)
    assert 0.6 <= time.monotonic() - started < 3


def test_a_program_that_writes_all_the_time_is_limited_too(place: Place) -> None:
    capture = Capture(1024, lambda *_: True)
    ended = place.shell("yes", Limits(timeout=0.3, kill_after=10), sink=capture)
    assert ended == Ended(None, "SIGTERM", Cause.TIMED_OUT)


def test_a_program_that_ends_in_time_has_not_timed_out(place: Place) -> None:
    ended = place.run("sleep", "0.1", limits=Limits(timeout=30, kill_after=10))
    assert ended == Ended(0, None, Cause.EXITED)


@pytest.mark.parametrize("cause", INTERRUPTIONS)
def test_an_interruption_ends_it_with_sigterm(place: Place, cause: Cause) -> None:
    place.written.on_output = lambda: place.interrupter.interrupt(cause)
    assert place.shell("echo ready; exec sleep 60") == Ended(None, "SIGTERM", cause)


@pytest.mark.parametrize("cause", INTERRUPTIONS)
def test_an_interruption_that_is_ignored_kills_it(place: Place, cause: Cause) -> None:
    place.written.on_output = lambda: place.interrupter.interrupt(cause)
    ended = place.shell(_IGNORES_SIGTERM, Limits(timeout=60, kill_after=0.2))
    assert ended == Ended(None, "SIGKILL", cause)


@pytest.mark.parametrize("cause", INTERRUPTIONS)
def test_what_is_interrupted_before_it_begins_is_not_started(place: Place, cause: Cause) -> None:
    place.interrupter.interrupt(cause)
    assert place.run("touch", "started") == Ended(None, None, cause)
    assert not (place.directory / "started").exists()


@pytest.mark.parametrize("cause", INTERRUPTIONS)
def test_an_interruption_of_which_nothing_tells_is_noticed_all_the_same(
    place: Place, monkeypatch: pytest.MonkeyPatch, cause: Cause
) -> None:
    first = iter([None])
    monkeypatch.setattr(place.interrupter, "cause", lambda: next(first, cause))
    started = time.monotonic()
    assert place.run("sleep", "60") == Ended(None, "SIGTERM", cause)
    assert time.monotonic() - started < 3


@pytest.mark.parametrize("cause", [Cause.CANCELLED, Cause.STOPPED])
def test_an_interruption_leaves_the_time_that_was_promised(place: Place, cause: Cause) -> None:
    place.written.on_output = lambda: place.interrupter.interrupt(cause)
    script = "trap 'sleep 1.5; exit 7' TERM; echo ready; while :; do sleep 0.05; done"
    assert place.shell(script, Limits(None, kill_after=30)) == Ended(7, None, cause)


@pytest.mark.parametrize("cause", [Cause.LOST, Cause.ORPHANED])
def test_an_urgent_interruption_kills_in_a_second(place: Place, cause: Cause) -> None:
    ready: list[float] = []

    def interrupt() -> None:
        ready.append(time.monotonic())
        place.interrupter.interrupt(cause)

    place.written.on_output = interrupt
    ended = place.shell(_IGNORES_SIGTERM, Limits(None, kill_after=60))
    assert ended == Ended(None, "SIGKILL", cause)
    assert 1.0 <= time.monotonic() - ready[0] < 4.0


@pytest.mark.parametrize("cause", [Cause.LOST, Cause.ORPHANED])
def test_an_urgent_interruption_shortens_one_that_is_not(place: Place, cause: Cause) -> None:
    begun = time.monotonic()

    def interrupt() -> None:
        told = place.written.streams["stdout"]
        place.interrupter.interrupt(cause if b"asked" in told else Cause.CANCELLED)

    place.written.on_output = interrupt
    script = "trap 'echo asked' TERM; echo ready; while :; do sleep 0.05; done"
    ended = place.shell(script, Limits(None, kill_after=60))
    assert ended == Ended(None, "SIGKILL", cause)
    assert time.monotonic() - begun < 5


def test_an_urgent_interruption_shortens_a_timeout(place: Place) -> None:
    place.written.on_output = lambda: place.interrupter.interrupt(Cause.LOST)
    script = "trap 'echo asked' TERM; while :; do sleep 0.05; done"
    begun = time.monotonic()
    ended = place.shell(script, Limits(0.3, kill_after=60))
    assert ended == Ended(None, "SIGKILL", Cause.LOST)
    assert time.monotonic() - begun < 5


def test_a_later_interruption_does_not_hide_why_it_was_ended(place: Place) -> None:
    def interrupt() -> None:
        place.interrupter.interrupt(Cause.STOPPED)

    place.written.on_output = interrupt
    script = "trap 'echo asked; sleep 1; exit 3' TERM; while :; do sleep 0.05; done"
    assert place.shell(script, Limits(0.3, kill_after=10)) == Ended(3, None, Cause.TIMED_OUT)


def test_an_interruption_ends_all_that_it_is_shared_with(place: Place, tmp_path: Path) -> None:
    def run(name: str) -> None:
        (tmp_path / name).mkdir()
        mine = Place(tmp_path / name, place.interrupter, Written(started.release))
        ended.append(mine.shell("echo ready; exec sleep 60"))

    ended: list[Ended] = []
    started = threading.Semaphore(0)
    threads = [threading.Thread(target=run, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for _ in threads:
        assert started.acquire(timeout=DEADLINE)
    place.interrupter.interrupt(Cause.STOPPED)
    for thread in threads:
        thread.join(DEADLINE)
    assert ended == [Ended(None, "SIGTERM", Cause.STOPPED)] * 2


def test_a_sink_that_fails_leaves_no_process(place: Place, watch: Watch) -> None:
    def fail() -> None:
        raise KeyError

    place.written.on_output = fail
    with pytest.raises(KeyError):
        place.shell("exec 3>fifo; echo ready; sleep 60")
    assert watch.abandoned(DEADLINE)


def test_a_missing_program_is_named(place: Place) -> None:
    with pytest.raises(ApplicationError, match="there is no program no-such-program"):
        place.run("no-such-program")


def test_a_missing_interpreter_is_spoken_of(place: Place) -> None:
    program = place.program("#!/no/such/interpreter\n")
    with pytest.raises(ApplicationError, match="or no interpreter"):
        place.run(program)


def test_a_program_that_is_not_executable_is_named(place: Place) -> None:
    program = place.program("#!/bin/sh\n", mode=0o644)
    with pytest.raises(ApplicationError, match=f"{program} is not executable"):
        place.run(program)


def test_a_folder_is_no_program(place: Place) -> None:
    with pytest.raises(ApplicationError, match="is not executable"):
        place.run(str(place.directory))


@pytest.mark.parametrize("content", ["just text\n", "\x7fELF nonsense"])
def test_a_file_of_another_format_is_no_program(place: Place, content: str) -> None:
    program = place.program(content)
    with pytest.raises(ApplicationError, match="is no program of this system"):
        place.run(program)


@pytest.mark.parametrize("lengths", [[8 * 1024**2], [100_000] * 100])
def test_arguments_beyond_the_limit_are_spoken_of(place: Place, lengths: list[int]) -> None:
    with pytest.raises(ApplicationError, match="longer than the system takes"):
        place.run("true", *("x" * length for length in lengths))


def test_an_environment_beyond_the_limit_is_spoken_of(place: Place) -> None:
    with pytest.raises(ApplicationError, match=r"\$DISPATCHER_EVENT"):
        place.run("true", environment={**os.environ, "CE_SUBJECT": "x" * 8 * 1024**2})


def test_a_null_byte_in_an_argument_is_an_error(place: Place) -> None:
    with pytest.raises(ApplicationError, match="could not be started"):
        place.run("true", "\0")


def test_no_file_descriptor_leaks(place: Place) -> None:
    def open_files() -> int:
        return len(list(Path("/dev/fd").iterdir()))

    place.run("true")
    before = open_files()
    for number in range(50):
        place.shell(f"echo out; echo err >&2; exit {number}")
        with suppress(ApplicationError):
            place.run("no-such-program")
    assert open_files() == before


def test_no_process_is_left_unreaped(place: Place) -> None:
    place.shell("echo $$")
    with pytest.raises(ProcessLookupError):
        os.kill(int(place.written.streams["stdout"]), 0)
