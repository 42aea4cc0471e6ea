"""Child processes: start, end, output and limits."""

import os
import resource
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from harness import DEADLINE
from pacifica.dispatcher.errors import ApplicationError
from pacifica.dispatcher.execution.capture import Capture
from pacifica.dispatcher.execution.ended import Cause, Ended
from tests.unit.execution.process.conftest import MARK, Limits, Sandbox, Watch, Written

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="uses a POSIX shell and signals")

_IGNORES_SIGTERM = "trap '' TERM; echo ready; while :; do sleep 0.05; done"
INTERRUPTIONS = [Cause.CANCELLED, Cause.STOPPED, Cause.ORPHANED, Cause.LOST]


@pytest.mark.parametrize("code", [0, 1, 42, 255])
def test_the_exit_code_is_returned(sandbox: Sandbox, code: int) -> None:
    assert sandbox.shell(f"exit {code}") == Ended(code, None, Cause.EXITED)


@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM", "SIGSEGV", "SIGABRT", "SIGUSR1"])
def test_a_signal_is_named(sandbox: Sandbox, name: str) -> None:
    number = signal.Signals[name].value
    assert sandbox.shell(f"ulimit -c 0; kill -{number} $$") == Ended(None, name, Cause.EXITED)


@pytest.mark.skipif(sys.platform != "linux", reason="Linux has signals without a name")
def test_a_signal_without_a_name_has_its_number(sandbox: Sandbox) -> None:
    ended = sandbox.run(sys.executable, "-c", "import os; os.kill(os.getpid(), 40)")
    assert ended == Ended(None, "signal 40", Cause.EXITED)


def test_a_program_reads_the_file_as_stdin(sandbox: Sandbox) -> None:
    sandbox.run("cat", stdin=b"read this")
    assert sandbox.written.streams == {"stdout": b"read this"}


def test_a_program_gets_exactly_this_environment(sandbox: Sandbox) -> None:
    sandbox.run("/usr/bin/env", "-u", MARK, "env", environment={"ONE": "1", "TWO": "a b\nc"})
    assert sandbox.written.streams["stdout"] == b"ONE=1\nTWO=a b\nc\n"


def test_a_program_runs_in_this_directory(sandbox: Sandbox) -> None:
    sandbox.run("/bin/pwd", environment={})
    assert sandbox.written.streams["stdout"].decode().strip() == str(sandbox.directory.resolve())


def test_arguments_are_passed_unchanged(sandbox: Sandbox) -> None:
    arguments = ["", " ", "$HOME `id` ; rm", "*", "ä\n", "--"]
    program = 'import sys; print(ascii(sys.argv[1:]), end="")'
    sandbox.run(sys.executable, "-c", program, *arguments)
    assert sandbox.written.streams["stdout"].decode() == ascii(arguments)


def test_a_program_leads_its_own_session(sandbox: Sandbox) -> None:
    program = "import os; print(os.getsid(0) == os.getpid(), end='')"
    sandbox.run(sys.executable, "-c", program)
    assert sandbox.written.streams["stdout"] == b"True"


def test_the_streams_are_separate(sandbox: Sandbox) -> None:
    sandbox.shell("echo out; echo err >&2")
    assert sandbox.written.streams == {"stdout": b"out\n", "stderr": b"err\n"}


def test_a_silent_program(sandbox: Sandbox) -> None:
    assert sandbox.run("true") == Ended(0, None, Cause.EXITED)
    assert sandbox.written.streams == {}


def test_output_is_binary(sandbox: Sandbox) -> None:
    content = bytes(range(256)) * 1000
    sandbox.run("cat", stdin=content)
    assert sandbox.written.streams["stdout"] == content


def test_the_last_output_of_a_program_is_not_lost(sandbox: Sandbox) -> None:
    sandbox.shell("head -c 1000000 /dev/zero; echo end")
    assert sandbox.written.streams["stdout"].endswith(b"\0end\n")
    assert len(sandbox.written.streams["stdout"]) == 1_000_004


def test_a_program_that_closes_its_output_continues(sandbox: Sandbox) -> None:
    before = time.process_time()
    assert sandbox.shell("exec >&- 2>&-; sleep 1; exit 3") == Ended(3, None, Cause.EXITED)
    assert time.process_time() - before < 0.5, "busy waiting"


def test_a_program_that_closes_its_output_times_out(sandbox: Sandbox) -> None:
    ended = sandbox.shell("exec >&- 2>&-; sleep 60", Limits(timeout=0.2, kill_after=10))
    assert ended == Ended(None, "SIGTERM", Cause.TIMED_OUT)


def test_a_gigabyte_is_captured_in_bounded_memory(sandbox: Sandbox) -> None:
    capture = Capture(1024**2, lambda *_: False)  # Nothing is saved before the end.
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert sandbox.shell("head -c 1000000000 /dev/zero", sink=capture).exit_code == 0
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024
    pieces = capture.finish()
    assert sum(len(piece.data) for piece in pieces) == 1024**2
    assert pieces[-1].position + len(pieces[-1].data) == 1_000_000_000


def test_a_silent_program_is_ticked(sandbox: Sandbox) -> None:
    sandbox.run("sleep", "0.7")
    assert sandbox.written.ticks >= 2


def test_a_program_that_times_out_gets_sigterm(sandbox: Sandbox) -> None:
    ended = sandbox.run("sleep", "60", limits=Limits(timeout=0.1, kill_after=10))
    assert ended == Ended(None, "SIGTERM", Cause.TIMED_OUT)


def test_a_program_may_end_by_itself_on_sigterm(sandbox: Sandbox) -> None:
    script = "trap 'echo tidied; exit 7' TERM; sleep 60 & wait"
    ended = sandbox.shell(script, Limits(timeout=0.3, kill_after=10))
    assert ended == Ended(7, None, Cause.TIMED_OUT)
    assert sandbox.written.streams["stdout"] == b"tidied\n"


def test_a_program_that_ignores_sigterm_is_killed(sandbox: Sandbox) -> None:
    started = time.monotonic()
    ended = sandbox.shell(_IGNORES_SIGTERM, Limits(timeout=0.3, kill_after=0.3))
    assert ended == Ended(None, "SIGKILL", Cause.TIMED_OUT)
    assert 0.6 <= time.monotonic() - started < 30


def test_a_program_that_never_stops_writing_times_out(sandbox: Sandbox) -> None:
    capture = Capture(1024, lambda *_: True)
    ended = sandbox.shell("yes", Limits(timeout=0.3, kill_after=10), sink=capture)
    assert ended == Ended(None, "SIGTERM", Cause.TIMED_OUT)


def test_a_program_that_ends_in_time_has_not_timed_out(sandbox: Sandbox) -> None:
    ended = sandbox.run("sleep", "0.1", limits=Limits(timeout=30, kill_after=10))
    assert ended == Ended(0, None, Cause.EXITED)


@pytest.mark.parametrize("cause", INTERRUPTIONS)
def test_an_interruption_sends_sigterm(sandbox: Sandbox, cause: Cause) -> None:
    sandbox.written.on_output = lambda: sandbox.interrupter.interrupt(cause)
    assert sandbox.shell("echo ready; exec sleep 60") == Ended(None, "SIGTERM", cause)


def test_a_process_that_is_being_started_gets_sigterm(sandbox: Sandbox) -> None:
    sandbox.written.on_output = lambda: sandbox.interrupter.interrupt(Cause.STOPPED)
    script = "echo ready; for number in $(seq 300); do sleep 60 & done; wait"
    started = time.monotonic()
    ended = sandbox.shell(script, Limits(None, kill_after=60))
    assert ended == Ended(None, "SIGTERM", Cause.STOPPED)
    assert time.monotonic() - started < 30


@pytest.mark.parametrize("cause", INTERRUPTIONS)
def test_a_program_that_ignores_an_interruption_is_killed(sandbox: Sandbox, cause: Cause) -> None:
    sandbox.written.on_output = lambda: sandbox.interrupter.interrupt(cause)
    ended = sandbox.shell(_IGNORES_SIGTERM, Limits(timeout=60, kill_after=0.2))
    assert ended == Ended(None, "SIGKILL", cause)


@pytest.mark.parametrize("cause", INTERRUPTIONS)
def test_an_interruption_without_a_wakeup_is_noticed(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, cause: Cause
) -> None:
    first = iter([None])
    monkeypatch.setattr(sandbox.interrupter, "cause", lambda: next(first, cause))
    started = time.monotonic()
    assert sandbox.run("sleep", "60") == Ended(None, "SIGTERM", cause)
    assert time.monotonic() - started < 30


@pytest.mark.parametrize("cause", [Cause.CANCELLED, Cause.STOPPED])
def test_an_interruption_grants_kill_after(sandbox: Sandbox, cause: Cause) -> None:
    sandbox.written.on_output = lambda: sandbox.interrupter.interrupt(cause)
    script = "trap 'sleep 1.5; exit 7' TERM; echo ready; while :; do sleep 0.05; done"
    assert sandbox.shell(script, Limits(None, kill_after=30)) == Ended(7, None, cause)


@pytest.mark.parametrize("cause", [Cause.LOST, Cause.ORPHANED])
def test_an_urgent_interruption_kills_in_a_second(sandbox: Sandbox, cause: Cause) -> None:
    ready: list[float] = []

    def interrupt() -> None:
        ready.append(time.monotonic())
        sandbox.interrupter.interrupt(cause)

    sandbox.written.on_output = interrupt
    ended = sandbox.shell(_IGNORES_SIGTERM, Limits(None, kill_after=60))
    assert ended == Ended(None, "SIGKILL", cause)
    assert 1.0 <= time.monotonic() - ready[0] < 30


@pytest.mark.parametrize("cause", [Cause.LOST, Cause.ORPHANED])
def test_an_urgent_interruption_shortens_another(sandbox: Sandbox, cause: Cause) -> None:
    started = time.monotonic()

    def interrupt() -> None:
        output = sandbox.written.streams["stdout"]
        sandbox.interrupter.interrupt(cause if b"asked" in output else Cause.CANCELLED)

    sandbox.written.on_output = interrupt
    script = "trap 'echo asked' TERM; echo ready; while :; do sleep 0.05; done"
    ended = sandbox.shell(script, Limits(None, kill_after=60))
    assert ended == Ended(None, "SIGKILL", cause)
    assert time.monotonic() - started < 30


def test_an_urgent_interruption_shortens_a_timeout(sandbox: Sandbox) -> None:
    sandbox.written.on_output = lambda: sandbox.interrupter.interrupt(Cause.LOST)
    script = "trap 'echo asked' TERM; while :; do sleep 0.05; done"
    started = time.monotonic()
    ended = sandbox.shell(script, Limits(0.3, kill_after=60))
    assert ended == Ended(None, "SIGKILL", Cause.LOST)
    assert time.monotonic() - started < 30


def test_a_later_interruption_does_not_hide_the_first_cause(sandbox: Sandbox) -> None:
    def interrupt() -> None:
        sandbox.interrupter.interrupt(Cause.STOPPED)

    sandbox.written.on_output = interrupt
    script = "trap 'echo asked; sleep 1; exit 3' TERM; while :; do sleep 0.05; done"
    assert sandbox.shell(script, Limits(0.3, kill_after=10)) == Ended(3, None, Cause.TIMED_OUT)


def test_an_interruption_ends_all_programs_that_share_it(sandbox: Sandbox, tmp_path: Path) -> None:
    def run(name: str) -> None:
        (tmp_path / name).mkdir()
        own = Sandbox(tmp_path / name, sandbox.interrupter, Written(started.release))
        ended.append(own.shell("echo ready; exec sleep 60"))

    ended: list[Ended] = []
    started = threading.Semaphore(0)
    threads = [threading.Thread(target=run, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for _ in threads:
        assert started.acquire(timeout=DEADLINE)
    sandbox.interrupter.interrupt(Cause.STOPPED)
    for thread in threads:
        thread.join(DEADLINE)
    assert ended == [Ended(None, "SIGTERM", Cause.STOPPED)] * 2


def test_a_failing_sink_leaves_no_process(sandbox: Sandbox, watch: Watch) -> None:
    def fail() -> None:
        raise KeyError

    sandbox.written.on_output = fail
    with pytest.raises(KeyError):
        sandbox.shell("exec 3>fifo; echo ready; sleep 60")
    assert watch.abandoned(DEADLINE)


def test_a_missing_program_is_named(sandbox: Sandbox) -> None:
    with pytest.raises(ApplicationError, match="program no-such-program not found"):
        sandbox.run("no-such-program")


def test_a_missing_interpreter_is_mentioned(sandbox: Sandbox) -> None:
    program = sandbox.program("#!/no/such/interpreter\n")
    with pytest.raises(ApplicationError, match="or the interpreter named in its"):
        sandbox.run(program)


def test_a_program_that_is_not_executable_is_named(sandbox: Sandbox) -> None:
    program = sandbox.program("#!/bin/sh\n", mode=0o644)
    with pytest.raises(ApplicationError, match=f"{program} is not executable"):
        sandbox.run(program)


def test_a_folder_is_not_a_program(sandbox: Sandbox) -> None:
    with pytest.raises(ApplicationError, match="is not executable"):
        sandbox.run(str(sandbox.directory))


@pytest.mark.parametrize("content", ["just text\n", "\x7fELF nonsense"])
def test_a_file_of_another_format_is_not_a_program(sandbox: Sandbox, content: str) -> None:
    program = sandbox.program(content)
    with pytest.raises(ApplicationError, match="is not a valid program for this system"):
        sandbox.run(program)


@pytest.mark.parametrize("lengths", [[8 * 1024**2], [100_000] * 100])
def test_arguments_beyond_the_limit_are_an_error(sandbox: Sandbox, lengths: list[int]) -> None:
    with pytest.raises(ApplicationError, match="exceed the system's limit"):
        sandbox.run("true", *("x" * length for length in lengths))


def test_an_environment_beyond_the_limit_is_an_error(sandbox: Sandbox) -> None:
    with pytest.raises(ApplicationError, match=r"\$DISPATCHER_EVENT"):
        sandbox.run("true", environment={**os.environ, "CE_SUBJECT": "x" * 8 * 1024**2})


def test_a_null_byte_in_an_argument_is_an_error(sandbox: Sandbox) -> None:
    with pytest.raises(ApplicationError, match="could not be started"):
        sandbox.run("true", "\0")


def test_no_file_descriptor_leaks(sandbox: Sandbox) -> None:
    def open_files() -> int:
        return len(list(Path("/dev/fd").iterdir()))

    sandbox.run("true")
    before = open_files()
    for number in range(50):
        sandbox.shell(f"echo out; echo err >&2; exit {number}")
        with suppress(ApplicationError):
            sandbox.run("no-such-program")
    assert open_files() == before


def test_processes_are_reaped(sandbox: Sandbox) -> None:
    sandbox.shell("echo $$")
    with pytest.raises(ProcessLookupError):
        os.kill(int(sandbox.written.streams["stdout"]), 0)
