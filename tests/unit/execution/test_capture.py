"""Captured output: the first and last parts of each stream, in order, in few pieces."""

from collections.abc import Iterator
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness import wait_until
from pacifica.dispatcher.execution.capture import Capture, Piece
from pacifica.dispatcher.execution.progress import Progress

STREAMS: Final = ("stdout", "stderr")


class Saved(list[Piece]):
    """Pieces that a capture saved while the application ran; saving can be made to fail."""

    refusing = False
    refused = 0

    saves = 0
    progress: Progress | None = None

    def save(self, pieces: list[Piece], progress: Progress | None) -> bool:
        if self.refusing:
            self.refused += 1
            return False
        self.saves += 1
        self.progress = progress
        self += pieces
        return True


def captured(limit: int, *writes: tuple[str, bytes]) -> list[Piece]:
    capture = Capture(limit, Saved().save)
    for stream, data in writes:
        capture.write(stream, data)
    return capture.finish()


def texts(pieces: list[Piece]) -> list[tuple[str, int, bytes]]:
    return [(piece.stream, piece.position, piece.data) for piece in pieces]


def test_no_output_yields_no_piece() -> None:
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


def test_the_limit_applies_to_each_stream() -> None:
    pieces = captured(8, ("stdout", b"12345678"), ("stderr", b"abcdefgh"))
    assert {stream: _data(pieces, stream) for stream in STREAMS} == {
        "stdout": b"12345678",
        "stderr": b"abcdefgh",
    }


@pytest.mark.parametrize("limit", [0, 1])
def test_a_tiny_limit_holds(limit: int) -> None:
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


def test_both_parts_are_saved_while_the_application_runs() -> None:
    saved = Saved()
    capture = Capture(10, saved.save)
    capture.write("stdout", b"0123456789abc")

    def tick() -> bool:
        capture.tick()
        return bool(saved)

    wait_until(tick)
    assert texts(saved) == [("stdout", 0, b"01234"), ("stdout", 8, b"89abc")]
    assert capture.finish() == []


def test_unsaved_output_is_kept() -> None:
    saved = Saved()
    saved.refusing = True
    capture = Capture(100, saved.save)
    capture.write("stdout", b"one ")

    def tick() -> bool:
        capture.tick()
        return saved.refused > 0

    wait_until(tick)
    capture.write("stdout", b"two")
    assert saved == []
    assert texts(capture.finish()) == [("stdout", 0, b"one two")]


def test_output_is_not_saved_at_every_tick() -> None:
    saved = Saved()
    capture = Capture(100, saved.save)
    for _ in range(100):
        capture.write("stdout", b".")
        capture.tick()
    assert saved == []


def test_the_first_save_does_not_need_output() -> None:
    saved = Saved()
    capture = Capture(100, saved.save)

    def tick() -> bool:
        capture.tick()
        return saved.saves > 0

    wait_until(tick)
    assert (saved, saved.progress) == ([], None)


def test_progress_is_saved_even_if_output_is_not_kept() -> None:
    saved = Saved()
    capture = Capture(0, saved.save)
    capture.write("stdout", b"::progress 40 reading\n")

    def tick() -> bool:
        capture.tick()
        return saved.saves > 0

    wait_until(tick)
    assert (saved, saved.progress) == ([], Progress(40, "reading"))


def test_progress_is_the_last_report_on_either_stream() -> None:
    capture = Capture(100, Saved().save)
    capture.write("stdout", b"::progress 40\n")
    capture.write("stderr", b"::progress 50\n")
    capture.write("stdout", b"::progress 60")
    before = capture.progress
    capture.finish()
    assert (before, capture.progress) == (Progress(50, ""), Progress(60, ""))


def test_the_last_line_comes_from_standard_error() -> None:
    capture = Capture(100, Saved().save)
    assert capture.last_line() is None
    capture.write("stderr", b"disk full\n\n")
    capture.write("stdout", b"bye\n")
    assert capture.last_line() == "disk full"


@given(
    limit=st.integers(2, 40),
    writes=st.lists(st.tuples(st.sampled_from(STREAMS), st.binary(min_size=1, max_size=30))),
)
def test_the_kept_part_of_each_stream(limit: int, writes: list[tuple[str, bytes]]) -> None:
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


class Table:
    """A table built from saved pieces, as in the database."""

    def __init__(self) -> None:
        """Start empty."""
        self.rows: dict[tuple[str, int], bytes] = {}
        self.written = 0

    def save(self, pieces: list[Piece], _: Progress | None = None) -> bool:
        for stream, position, _written, data in pieces:
            if data:
                assert (stream, position) not in self.rows
                self.rows[stream, position] = data
                self.written += len(data)
            else:
                del self.rows[stream, position]
        return True

    def kept(self, stream: str) -> bytes:
        return b"".join(data for (name, _), data in sorted(self.rows.items()) if name == stream)


@pytest.fixture
def at_once() -> Iterator[None]:
    """Save at every tick."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pacifica.dispatcher.execution.capture._INTERVAL", 0.0)
        yield


@pytest.mark.usefixtures("at_once")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    limit=st.integers(2, 40),
    writes=st.lists(
        st.tuples(st.sampled_from(STREAMS), st.binary(max_size=30), st.sampled_from("tick-")),
        max_size=30,
    ),
)
def test_the_kept_part_while_the_application_runs(
    limit: int, writes: list[tuple[str, bytes, str]]
) -> None:
    table, half = Table(), limit // 2
    capture = Capture(limit, table.save)
    written = dict.fromkeys(STREAMS, b"")
    for stream, data, then in writes:
        capture.write(stream, data)
        written[stream] += data
        if then == "tick":
            capture.tick()
            for name in STREAMS:
                assert table.kept(name).startswith(written[name][:half])
                assert table.kept(name).endswith(written[name][-half:])
                assert len(table.kept(name)) <= 3 * half
    table.save(capture.finish())
    for name in STREAMS:
        whole = written[name]
        assert table.kept(name) == (
            whole if len(whole) <= 2 * half else whole[:half] + whole[-half:]
        )
        for (stream, position), data in table.rows.items():
            assert stream != name or whole[position : position + len(data)] == data


@pytest.mark.usefixtures("at_once")
def test_an_outdated_piece_is_dropped_later_if_a_save_fails() -> None:
    table = Table()
    refusing = [False, True, False]
    capture = Capture(10, lambda pieces, _: not refusing.pop(0) and table.save(pieces))
    for data in (b"0123456789", b"abcde", b"fghij"):
        capture.write("stdout", data)
        capture.tick()
    assert table.kept("stdout") == b"01234fghij"


@pytest.mark.usefixtures("at_once")
def test_each_save_of_a_fast_stream_is_small() -> None:
    table, half, chunk = Table(), 8 * 1024**2, b"x" * 256 * 1024
    capture = Capture(2 * half, table.save)
    capture.write("stdout", bytes(half))
    capture.tick()
    for _ in range(5):
        before = table.written
        for _ in range(100):
            capture.write("stdout", chunk)
        capture.tick()
        assert len(chunk) <= table.written - before < 1024**2
    table.save(capture.finish())
    assert table.kept("stdout") == bytes(half) + b"x" * half


def _data(pieces: list[Piece], stream: str) -> bytes:
    return b"".join(piece.data for piece in pieces if piece.stream == stream)
