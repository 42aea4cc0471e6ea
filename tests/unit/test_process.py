"""One child process: how it ends, what it writes, its limits, and that nothing is left of it."""

import os
import resource
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pacifica.dispatcher.errors import ApplicationError
from pacifica.dispatcher.output import Capture
from pacifica.dispatcher.process import Cause, Ended, Limits, Sink, Stop, execute
from tests.unit.conftest import DEADLINE

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="uses a POSIX shell and signals")

NO_LIMITS = Limits(timeout=None, kill_after=10)
_IGNORES_SIGTERM = "trap '' TERM; echo ready; while :; do sleep 0.05; done"
_DAEMON = """
import subprocess
import sys

daemon = subprocess.Popen(["sleep", "60"], start_new_session=True)
print(daemon.pid, flush=True)
"""
_STOP_OF_THE_DEAD = """
import os
import select
from pacifica.dispatcher.process import Stop

stop = Stop()
if os.fork() == 0:
    stop.inherited()
    print("made" if stop.requested() else "not made", flush=True)
    select.select([stop], [], [], 10)
    print("made" if stop.requested() else "not made", flush=True)
else:
    os.read(0, 1)
os._exit(0)
"""


@dataclass
class Written:
    """A sink that keeps everything, and may act on the first output."""

    on_output: Callable[[], object] = lambda: None
    streams: dict[str, bytes] = field(default_factory=dict)
    ticks: int = 0

    def write(self, stream: str, data: bytes) -> None:
        self.streams[stream] = self.streams.get(stream, b"") + data
        self.on_output()

    def tick(self) -> None:
        self.ticks += 1


@dataclass
class Place:
    """Where the tests run programs."""

    directory: Path
    stop: Stop
    written: Written

    def run(
        self,
        *arguments: str,
        limits: Limits = NO_LIMITS,
        environment: Mapping[str, str] = os.environ,
        stdin: bytes = b"",
        stop: Stop | None = None,
        sink: Sink | None = None,
    ) -> Ended:
        source = self.directory / "stdin"
        source.write_bytes(stdin)
        return execute(
            arguments,
            directory=self.directory,
            environment=environment,
            stdin=source,
            limits=limits,
            stop=stop or self.stop,
            sink=sink or self.written,
        )

    def shell(self, script: str, limits: Limits = NO_LIMITS, sink: Sink | None = None) -> Ended:
        return self.run("/bin/sh", "-c", script, limits=limits, sink=sink)

    def program(self, content: str, mode: int = 0o755) -> str:
        file = self.directory / "program"
        file.write_text(content, encoding="utf-8")
        file.chmod(mode)
        return str(file)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    stop = Stop()
    yield Place(tmp_path, stop, Written())
    stop.close()


class Watch:
    """A named pipe: whoever opened it for writing lives as long as it is open."""

    def __init__(self, path: Path) -> None:
        """Make it; a program's shell opens it by `exec 3>fifo`."""
        os.mkfifo(path)
        self._reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)

    def abandoned(self, seconds: float) -> bool:
        """Whether all who wrote to it end in time."""
        poll = select.poll()
        poll.register(self._reader, select.POLLHUP)
        return bool(poll.poll(seconds * 1000))

    def close(self) -> None:
        os.close(self._reader)


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Watch]:
    watch = Watch(tmp_path / "fifo")
    yield watch
    watch.close()


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
    place.run("/usr/bin/env", environment={"ONE": "1", "TWO": "a b\nc"})
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


def test_a_gigabyte_is_taken_quickly_in_bounded_memory(place: Place) -> None:
    capture = Capture(1024**2, lambda _: True)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.monotonic()
    assert place.shell("head -c 1000000000 /dev/zero", sink=capture).exit_code == 0
    assert time.monotonic() - started < DEADLINE
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
    capture = Capture(1024, lambda _: True)
    ended = place.shell("yes", Limits(timeout=0.3, kill_after=10), sink=capture)
    assert ended == Ended(None, "SIGTERM", Cause.TIMED_OUT)


def test_a_program_that_ends_in_time_has_not_timed_out(place: Place) -> None:
    ended = place.run("sleep", "0.1", limits=Limits(timeout=30, kill_after=10))
    assert ended == Ended(0, None, Cause.EXITED)


def test_background_children_are_killed_at_the_end(place: Place, watch: Watch) -> None:
    ended = place.shell("exec 3>fifo; sleep 60 & exit 5")
    assert ended == Ended(5, None, Cause.EXITED)
    assert watch.abandoned(DEADLINE)


def test_background_children_that_ignore_sigterm_are_killed(place: Place, watch: Watch) -> None:
    script = f"exec 3>fifo; ({_IGNORES_SIGTERM}) & sleep 60"
    ended = place.shell(script, Limits(timeout=0.2, kill_after=30))
    assert ended == Ended(None, "SIGTERM", Cause.TIMED_OUT)
    assert watch.abandoned(DEADLINE)


def test_a_daemon_that_keeps_the_output_open_is_not_waited_for(place: Place) -> None:
    started = time.monotonic()
    ended = place.run(sys.executable, "-c", _DAEMON)
    took = time.monotonic() - started
    daemon = int(place.written.streams["stdout"])
    os.kill(daemon, signal.SIGKILL)
    assert ended == Ended(0, None, Cause.EXITED)
    assert took < 3


def test_a_stop_ends_it(place: Place) -> None:
    place.written.on_output = place.stop.request
    ended = place.shell("echo ready; sleep 60")
    assert ended == Ended(None, "SIGTERM", Cause.STOPPED)


def test_a_stop_that_is_ignored_kills_it(place: Place) -> None:
    place.written.on_output = place.stop.request
    ended = place.shell(_IGNORES_SIGTERM, Limits(timeout=60, kill_after=0.2))
    assert ended == Ended(None, "SIGKILL", Cause.STOPPED)


def test_a_stop_from_before_the_start_ends_it(place: Place) -> None:
    place.stop.request()
    assert place.run("sleep", "60") == Ended(None, "SIGTERM", Cause.STOPPED)


def test_a_stop_ends_all_that_run(place: Place, tmp_path: Path) -> None:
    def run(name: str) -> None:
        (tmp_path / name).mkdir()
        mine = Place(tmp_path / name, place.stop, Written(started.release))
        ended.append(mine.shell("echo ready; sleep 60"))

    ended: list[Ended] = []
    started = threading.Semaphore(0)
    threads = [threading.Thread(target=run, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for _ in threads:
        assert started.acquire(timeout=DEADLINE)
    place.stop.request()
    for thread in threads:
        thread.join(DEADLINE)
    assert ended == [Ended(None, "SIGTERM", Cause.STOPPED)] * 2


def test_a_stop_is_requested_for_good(place: Place) -> None:
    assert not place.stop.requested()
    place.stop.request()
    assert place.stop.requested()
    assert place.stop.requested()


def test_a_stop_may_be_requested_twice(place: Place) -> None:
    place.stop.request()
    place.stop.request()
    assert place.stop.requested()


def test_the_death_of_its_maker_requests_a_stop() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _STOP_OF_THE_DEAD], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"not made\n"
        process.kill()
        assert process.stdout.readline() == b"made\n"


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


def test_a_stop_frees_its_sockets() -> None:
    stop = Stop()
    number = stop.fileno()
    stop.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)


def test_no_process_is_left_unreaped(place: Place) -> None:
    place.shell("echo $$")
    with pytest.raises(ProcessLookupError):
        os.kill(int(place.written.streams["stdout"]), 0)
