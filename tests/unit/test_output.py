"""Captured output: the first and the last part of each stream, in order, in few pieces."""

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacifica.dispatcher.output import Capture, Piece
from tests.support import wait_until

STREAMS: Final = ("stdout", "stderr")


class Saved(list[Piece]):
    """What a capture saved while it ran; it can refuse."""

    refusing = False
    refused = 0

    def save(self, pieces: list[Piece]) -> bool:
        if self.refusing:
            self.refused += 1
            return False
        self += pieces
        return True


def captured(limit: int, *writes: tuple[str, bytes]) -> list[Piece]:
    capture = Capture(limit, Saved().save)
    for stream, data in writes:
        capture.write(stream, data)
    return capture.finish()


def texts(pieces: list[Piece]) -> list[tuple[str, int, bytes]]:
    return [(piece.stream, piece.position, piece.data) for piece in pieces]


def test_nothing_written_is_no_piece() -> None:
    assert captured(100) == []


def test_writes_of_one_stream_become_one_piece() -> None:
    pieces = captured(100, ("stdout", b"one "), ("stdout", b"two"))
    assert texts(pieces) == [("stdout", 0, b"one two")]


def test_streams_stay_in_the_order_of_writing() -> None:
    pieces = captured(100, ("stdout", b"one"), ("stderr", b"two"), ("stdout", b"three"))
    assert texts(pieces) == [("stdout", 0, b"one"), ("stderr", 0, b"two"), ("stdout", 3, b"three")]
    assert [piece.written for piece in pieces] == sorted(piece.written for piece in pieces)


def test_the_first_and_the_last_part_are_kept() -> None:
    pieces = captured(10, *[("stdout", b"0123456789")] * 1000)
    assert texts(pieces) == [("stdout", 0, b"01234"), ("stdout", 9995, b"56789")]


def test_one_large_write_is_cut_in_the_middle() -> None:
    pieces = captured(10, ("stderr", b"first" + b"." * 1000 + b"last."))
    assert texts(pieces) == [("stderr", 0, b"first"), ("stderr", 1005, b"last.")]


def test_the_limit_is_that_of_each_stream() -> None:
    pieces = captured(8, ("stdout", b"12345678"), ("stderr", b"abcdefgh"))
    assert {stream: _data(pieces, stream) for stream in STREAMS} == {
        "stdout": b"12345678",
        "stderr": b"abcdefgh",
    }


@pytest.mark.parametrize("limit", [0, 1])
def test_a_limit_of_next_to_nothing_holds(limit: int) -> None:
    pieces = captured(limit, *[("stdout", b"x" * 1000)] * 1000)
    assert sum(len(piece.data) for piece in pieces) <= limit


def test_streams_that_alternate_byte_by_byte_make_few_pieces() -> None:
    saved = Saved()
    capture = Capture(100_000, saved.save)
    for number in range(20_000):
        capture.write(STREAMS[number % 2], b"%d" % (number % 10))
    pieces = saved + capture.finish()
    assert len(pieces) < 100
    assert {stream: _data(pieces, stream) for stream in STREAMS} == {
        "stdout": b"02468" * 2000,
        "stderr": b"13579" * 2000,
    }


def test_a_piece_has_a_bounded_size() -> None:
    pieces = captured(20 * 1024**2, *[("stdout", b"x" * 256 * 1024)] * 100)
    assert max(len(piece.data) for piece in pieces) <= 2 * 1024**2


def test_the_first_part_is_saved_while_the_application_runs() -> None:
    saved = Saved()
    capture = Capture(10, saved.save)
    capture.write("stdout", b"0123456789abc")

    def ticked() -> bool:
        capture.tick()
        return bool(saved)

    wait_until(ticked)
    assert texts(saved) == [("stdout", 0, b"01234")]
    assert texts(capture.finish()) == [("stdout", 8, b"89abc"[-5:])]


def test_what_could_not_be_saved_is_kept() -> None:
    saved = Saved()
    saved.refusing = True
    capture = Capture(100, saved.save)
    capture.write("stdout", b"one ")

    def ticked() -> bool:
        capture.tick()
        return saved.refused > 0

    wait_until(ticked)
    capture.write("stdout", b"two")
    assert saved == []
    assert texts(capture.finish()) == [("stdout", 0, b"one two")]


def test_it_is_not_saved_at_every_tick() -> None:
    saved = Saved()
    capture = Capture(100, saved.save)
    for _ in range(100):
        capture.write("stdout", b".")
        capture.tick()
    assert saved == []


@given(
    limit=st.integers(2, 40),
    writes=st.lists(st.tuples(st.sampled_from(STREAMS), st.binary(min_size=1, max_size=30))),
)
def test_what_is_kept_of_each_stream(limit: int, writes: list[tuple[str, bytes]]) -> None:
    pieces = captured(limit, *writes)
    half = limit // 2
    for stream in STREAMS:
        written = b"".join(data for name, data in writes if name == stream)
        kept = written if len(written) <= 2 * half else written[:half] + written[-half:]
        assert _data(pieces, stream) == kept
        for piece in pieces:
            if piece.stream == stream:
                end = piece.position + len(piece.data)
                assert written[piece.position : end] == piece.data


def _data(pieces: list[Piece], stream: str) -> bytes:
    return b"".join(piece.data for piece in pieces if piece.stream == stream)
