"""The slots for responses that stay open."""

from dataclasses import replace

import pytest

from pacifica.dispatcher.rest import StreamSlots
from pacifica.dispatcher.rest.request import Request

REQUEST = Request(
    id="0",
    method="GET",
    path="/",
    segments=[],
    query="",
    fields=[],
    headers={},
    body=b"",
    base="http://127.0.0.1",
    root="",
    address="127.0.0.1",
    threads=True,
    descriptor=None,
)


@pytest.mark.parametrize("error", [RuntimeError("can't start new thread"), MemoryError()])
def test_without_threads_there_is_no_slot(error: Exception) -> None:
    slots = StreamSlots(2)
    refused = [error, error]

    def resize(_: int) -> None:
        if refused:
            raise refused.pop()

    slots.grow_threads(resize)
    assert slots.try_take(REQUEST) is None
    assert slots.try_take(REQUEST) is None
    assert slots.taken == 0
    slot = slots.take(REQUEST)
    refused.append(error)
    slot.release()
    assert slots.taken == 0


def test_a_server_with_one_thread_has_no_slots() -> None:
    assert StreamSlots(2).try_take(replace(REQUEST, threads=False)) is None
