"""Version 7 UUIDs."""

import multiprocessing
import sys
import time
import uuid

import pytest

from pacifica.dispatcher.orm.uuid7 import new_uuid


def test_a_uuid_has_version_7() -> None:
    made = uuid.UUID(new_uuid())
    assert (made.version, made.variant) == (7, uuid.RFC_4122)


def test_a_uuid_starts_with_the_time() -> None:
    before = time.time_ns() // 1_000_000
    milliseconds = uuid.UUID(new_uuid()).int >> 80
    assert before <= milliseconds <= time.time_ns() // 1_000_000


def test_uuids_a_microsecond_apart_are_in_order_of_time() -> None:
    made = []
    for _ in range(500):
        made.append(new_uuid())
        until = time.time_ns() + 1000
        while time.time_ns() < until:
            pass
    assert made == sorted(made)


def test_uuids_made_at_the_same_time_differ() -> None:
    assert len({new_uuid() for _ in range(10_000)}) == 10_000


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_forked_children_do_not_share_random_bits() -> None:
    new_uuid()  # so there are random bits to inherit
    context = multiprocessing.get_context("fork")
    with context.Pool(2) as pool:
        made = pool.map(_random_part, range(20), chunksize=10)
    made += [_random_part() for _ in range(10)]
    assert len(set(made)) == len(made)


def _random_part(_: int = 0) -> str:
    return new_uuid()[-17:]
