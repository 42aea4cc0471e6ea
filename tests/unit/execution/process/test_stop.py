"""Stop requests and the death of their creator, across threads and forks."""

import os
import select
import subprocess
import sys
from collections.abc import Iterator

import pytest

from harness import DEADLINE
from pacifica.dispatcher.execution.process import StopRequest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="forks")

_FORK = """
import os
import select
import sys
from pacifica.dispatcher.execution.process import StopRequest

def report():
    found = [name for name in ("requested", "orphaned") if getattr(stop, name)()]
    os.write(1, f"{' '.join(found)}\\n".encode())

stop = StopRequest()
for _ in range(int(sys.argv[1])):
    if os.fork() == 0:
        stop.inherited()
        report()
        select.select([stop], [], [], 30)
        report()
        os._exit(0)
if os.read(0, 1) == b"r":
    stop.request()
    os.read(0, 1)
os._exit(0)
"""


@pytest.fixture
def stop() -> Iterator[StopRequest]:
    stop = StopRequest()
    yield stop
    stop.close()


def forked(children: int) -> subprocess.Popen[bytes]:
    """Start a process whose children report a request: at once, and when it changes."""
    command = [sys.executable, "-c", _FORK, str(children)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)


def lines(process: subprocess.Popen[bytes], number: int) -> list[str]:
    assert process.stdout is not None
    return [process.stdout.readline().decode().strip() for _ in range(number)]


def test_nothing_is_requested_at_first(stop: StopRequest) -> None:
    assert (stop.requested(), stop.orphaned()) == (False, False)


def test_a_request_is_permanent(stop: StopRequest) -> None:
    stop.request()
    assert [stop.requested(), stop.requested()] == [True, True]


def test_a_request_may_be_made_twice(stop: StopRequest) -> None:
    stop.request()
    stop.request()
    assert stop.requested()


def test_a_request_is_not_a_death(stop: StopRequest) -> None:
    stop.request()
    assert not stop.orphaned()


def test_a_request_makes_the_socket_readable(stop: StopRequest) -> None:
    assert select.select([stop], [], [], 0)[0] == []
    stop.request()
    assert select.select([stop], [], [], 0)[0] == [stop]


def test_every_child_sees_the_request() -> None:
    with forked(3) as process:
        assert lines(process, 3) == ["", "", ""]
        assert process.stdin is not None
        process.stdin.write(b"r")
        assert lines(process, 3) == ["requested"] * 3


def test_every_child_sees_the_death_of_the_creator() -> None:
    with forked(3) as process:
        assert lines(process, 3) == ["", "", ""]
        process.kill()
        assert lines(process, 3) == ["orphaned"] * 3


def test_the_exit_of_the_creator_is_a_death() -> None:
    with forked(1) as process:
        assert lines(process, 1) == [""]
        assert process.stdin is not None
        process.stdin.close()
        assert lines(process, 1) == ["orphaned"]
        assert process.wait(DEADLINE) == 0


def test_close_frees_the_sockets() -> None:
    stop = StopRequest()
    number = stop.fileno()
    stop.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)
