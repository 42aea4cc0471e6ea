"""The web server: header fields and threads."""

import io
import threading
from collections.abc import Iterator
from functools import partial

import pytest
from cheroot import wsgi

from harness import free_port, wait_until
from pacifica.dispatcher.rest.cheroot_server import HeaderReader, Pool


def read(*lines: str) -> dict[bytes, bytes]:
    """Return the header fields read from these lines."""
    text = "".join(f"{line}\r\n" for line in (*lines, ""))
    return HeaderReader()(io.BytesIO(text.encode("latin-1")), {})


def test_fields_with_the_same_name_are_joined() -> None:
    found = read("Prefer: respond-async", "Accept: a/b", "prefer: reply", "accept: c/d", "ce-id: 1")
    assert found == {
        b"Prefer": b"respond-async, reply",
        b"Accept": b"a/b, c/d",
        b"Ce-Id": b"1",
    }


@pytest.mark.parametrize("second", ["ce-id: 2", "CE-ID: 2", " 2"])
def test_a_repeated_attribute_is_detectable(second: str) -> None:
    assert read("ce-id: 1", second) == {b"Ce-Id": b"1\n2"}


def test_a_second_line_of_another_field_is_kept() -> None:
    assert read("X-Note: 1", "\t2") == {b"X-Note": b"1, 2"}


def test_an_underscore_does_not_become_a_hyphen() -> None:
    assert read("ce-id: 1", "ce_id: 2", "X_Hub_Signature_256: 3") == {b"Ce-Id": b"1"}


def test_two_lengths_are_not_a_number() -> None:
    assert read("Content-Length: 1", "Content-Length: 2") == {b"Content-Length": b"1, 2"}


def workers(pool: Pool) -> int:
    """Return the number of running threads of a pool."""
    return sum(getattr(each, "server", None) is pool.server for each in threading.enumerate())


def has_workers(pool: Pool, number: int) -> bool:
    return workers(pool) == number


@pytest.fixture
def pool() -> Iterator[Pool]:
    server = wsgi.Server(("127.0.0.1", free_port()), None, numthreads=2)
    server.requests = pool = Pool(server, min=2)
    pool.start()
    yield pool
    pool.stop()


def test_the_pool_grows_and_shrinks_on_demand(pool: Pool) -> None:
    for more in (0, 3, 1, 4, 4, 0, 1, 0):
        pool.resize(more)
        wait_until(partial(has_workers, pool, 2 + more), f"{more} more threads")


def test_frequent_resizing_keeps_the_minimum(pool: Pool) -> None:
    # Threads that are to end may or may not have ended by the next resize.
    for _ in range(200):
        pool.resize(1)
        pool.resize(0)
    wait_until(partial(has_workers, pool, 2), "the minimum number of threads")
    pool.resize(0)
    assert has_workers(pool, 2)
