"""Header fields as the web server reads them, and its threads."""

import io
import threading
from collections.abc import Iterator
from functools import partial

import pytest
from cheroot import wsgi

from pacifica.dispatcher.rest.wire import HeaderReader, Pool
from tests.support import free_port, wait_until


def read(*lines: str) -> dict[bytes, bytes]:
    """What is read of these lines."""
    text = "".join(f"{line}\r\n" for line in (*lines, ""))
    return HeaderReader()(io.BytesIO(text.encode("latin-1")), {})


def test_fields_of_one_name_are_joined() -> None:
    found = read("Prefer: respond-async", "Accept: a/b", "prefer: reply", "accept: c/d", "ce-id: 1")
    assert found == {
        b"Prefer": b"respond-async, reply",
        b"Accept": b"a/b, c/d",
        b"Ce-Id": b"1",
    }


@pytest.mark.parametrize("second", ["ce-id: 2", "CE-ID: 2", " 2"])
def test_an_attribute_that_is_there_twice_can_be_told(second: str) -> None:
    assert read("ce-id: 1", second) == {b"Ce-Id": b"1\n2"}


def test_a_second_line_of_any_other_field_is_kept() -> None:
    assert read("X-Note: 1", "\t2") == {b"X-Note": b"1, 2"}


def test_an_underscore_is_no_hyphen() -> None:
    assert read("ce-id: 1", "ce_id: 2", "X_Hub_Signature_256: 3") == {b"Ce-Id": b"1"}


def test_two_lengths_are_no_number() -> None:
    assert read("Content-Length: 1", "Content-Length: 2") == {b"Content-Length": b"1, 2"}


def workers(pool: Pool) -> int:
    """The threads of a pool that are alive."""
    return sum(getattr(each, "server", None) is pool.server for each in threading.enumerate())


def has(pool: Pool, number: int) -> bool:
    """Whether it has so many."""
    return workers(pool) == number


@pytest.fixture
def pool() -> Iterator[Pool]:
    server = wsgi.Server(("127.0.0.1", free_port()), None, numthreads=2)
    server.requests = pool = Pool(server, min=2)
    pool.start()
    yield pool
    pool.stop()


def test_there_are_as_many_threads_as_are_needed(pool: Pool) -> None:
    for more in (0, 3, 1, 4, 4, 0, 1, 0):
        pool.resize(more)
        wait_until(partial(has, pool, 2 + more), f"{more} more threads")


def test_threads_that_come_and_go_leave_as_many(pool: Pool) -> None:
    """Whether those that were told to end have done so by then, or not."""
    for _ in range(200):
        pool.resize(1)
        pool.resize(0)
    wait_until(partial(has, pool, 2), "the threads that there always are")
    pool.resize(0)
    assert has(pool, 2)
