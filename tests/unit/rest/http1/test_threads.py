"""The threads of the web server, and the queue in which requests wait for them."""

import threading
from collections.abc import Iterator
from functools import partial

import pytest
from cheroot import wsgi

from harness import free_port, wait_until
from pacifica.dispatcher.rest.http1.threads import Lanes, Pool


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


class Item:
    """A request that waits for a thread."""

    def __init__(self, *, urgent: bool) -> None:
        """Be urgent or not."""
        self.is_urgent = urgent


def test_what_is_urgent_overtakes() -> None:
    lanes = Lanes()
    lanes.resize(3, 0)
    first, second, urgent = Item(urgent=False), Item(urgent=False), Item(urgent=True)
    for item in (first, second, urgent):
        lanes.put(item)
    assert [lanes.get(), lanes.get(), lanes.get()] == [urgent, first, second]
    assert lanes.qsize() == 0


def test_what_is_not_urgent_leaves_threads_to_what_is() -> None:
    lanes, taken, end = Lanes(), list[Item](), threading.Event()
    lanes.resize(2, 1)

    def take() -> None:
        taken.append(lanes.get())
        end.wait(30)  # a new thread could have the same number

    views = [Item(urgent=False) for _ in range(3)]
    for view in views:
        lanes.put(view)
    threads = [threading.Thread(target=take) for _ in range(3)]
    for each in threads:
        each.start()
    wait_until(lambda: len(taken) == 2, "two views")
    urgent = Item(urgent=True)
    lanes.put(urgent)
    wait_until(lambda: len(taken) == 3, "the urgent one")
    assert taken == [*views[:2], urgent]
    assert lanes.qsize() == 1
    end.set()
    for each in threads:
        each.join()


def test_one_thread_serves_everything() -> None:
    lanes = Lanes()
    view = Item(urgent=False)
    lanes.put(view)
    assert lanes.get() is view
