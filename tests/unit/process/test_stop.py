"""A request to stop, and the death of who could make it, over threads and forks."""

import os
import select
import subprocess
import sys
from collections.abc import Iterator

import pytest

from pacifica.dispatcher.process import Stop
from tests.unit.conftest import DEADLINE

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="forks")

_FORK = """
import os
import select
import sys
from pacifica.dispatcher.process import Stop

def tell():
    said = [name for name in ("requested", "orphaned") if getattr(stop, name)()]
    os.write(1, f"{' '.join(said)}\\n".encode())

stop = Stop()
for _ in range(int(sys.argv[1])):
    if os.fork() == 0:
        stop.inherited()
        tell()
        select.select([stop], [], [], 30)
        tell()
        os._exit(0)
if os.read(0, 1) == b"r":
    stop.request()
    os.read(0, 1)
os._exit(0)
"""


@pytest.fixture
def stop() -> Iterator[Stop]:
    stop = Stop()
    yield stop
    stop.close()


def forked(children: int) -> subprocess.Popen[bytes]:
    """A process with children that tell what they know of a request, at first and then later."""
    command = [sys.executable, "-c", _FORK, str(children)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)


def lines(process: subprocess.Popen[bytes], number: int) -> list[str]:
    assert process.stdout is not None
    return [process.stdout.readline().decode().strip() for _ in range(number)]


def test_a_request_is_not_made_at_first(stop: Stop) -> None:
    assert (stop.requested(), stop.orphaned()) == (False, False)


def test_a_request_is_made_for_good(stop: Stop) -> None:
    stop.request()
    assert [stop.requested(), stop.requested()] == [True, True]


def test_a_request_may_be_made_twice(stop: Stop) -> None:
    stop.request()
    stop.request()
    assert stop.requested()


def test_a_request_is_no_death(stop: Stop) -> None:
    stop.request()
    assert not stop.orphaned()


def test_a_request_makes_it_readable(stop: Stop) -> None:
    assert select.select([stop], [], [], 0)[0] == []
    stop.request()
    assert select.select([stop], [], [], 0)[0] == [stop]


def test_every_child_hears_of_the_request() -> None:
    with forked(3) as process:
        assert lines(process, 3) == ["", "", ""]
        assert process.stdin is not None
        process.stdin.write(b"r")
        assert lines(process, 3) == ["requested"] * 3


def test_every_child_hears_of_the_death_of_its_maker() -> None:
    with forked(3) as process:
        assert lines(process, 3) == ["", "", ""]
        process.kill()
        assert lines(process, 3) == ["orphaned"] * 3


def test_the_end_of_its_maker_is_its_death() -> None:
    with forked(1) as process:
        assert lines(process, 1) == [""]
        assert process.stdin is not None
        process.stdin.close()
        assert lines(process, 1) == ["orphaned"]
        assert process.wait(DEADLINE) == 0


def test_it_frees_its_sockets() -> None:
    stop = Stop()
    number = stop.fileno()
    stop.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)
