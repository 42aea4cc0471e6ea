"""Output, read from each kind of database in parts."""

from collections.abc import Iterable, Iterator

import pytest

from pacifica.dispatcher import orm
from pacifica.dispatcher.execution.capture import Piece
from tests.factories import claimed, claimed_run, due, stored_output


def test_output_is_in_the_order_written(database: orm.Database) -> None:
    claim = claimed_run(database)
    pieces = [
        Piece("stdout", 0, 10.0, b"one "),
        Piece("stderr", 0, 11.0, b"two "),
        Piece("stdout", 4, 12.0, b"three "),
        Piece("stderr", 900, 13.0, b"after a gap"),
        Piece("stdout", 10, 13.5, bytes(range(256))),
    ]
    orm.save_output(database, claim, pieces[2:], orm.Outcome())
    orm.finish(database, claim, orm.State.SUCCEEDED, orm.Outcome(), pieces[:2])
    assert stored_output(database, claim.run, 1) == pieces
    assert stored_output(database, claim.run, 1, "stderr") == [pieces[1], pieces[3]]


def test_pieces_written_at_the_same_time_are_in_order_of_position(
    database: orm.Database,
) -> None:
    claim = claimed_run(database)
    pieces = [Piece("stdout", position, 10.0, b"x" * 5) for position in (0, 5, 10)]
    orm.finish(database, claim, orm.State.SUCCEEDED, orm.Outcome(), pieces[::-1])
    assert stored_output(database, claim.run, 1) == pieces


def test_each_attempt_has_its_own_output(database: orm.Database) -> None:
    first = claimed_run(database)
    orm.postpone(
        database, first, orm.State.QUEUED, orm.Outcome(), [Piece("stdout", 0, 1.0, b"first")], due=0
    )
    due(database)
    second = claimed(database, first.run)
    orm.finish(
        database, second, orm.State.SUCCEEDED, orm.Outcome(), [Piece("stdout", 0, 2.0, b"second")]
    )
    data = [
        b"".join(piece.data for piece in stored_output(database, first.run, attempt))
        for attempt in (1, 2, 3)
    ]
    assert data == [b"first", b"second", b""]


def undated(pieces: Iterable[Piece]) -> list[Piece]:
    """Return pieces without their times, which were converted to the server's clock."""
    return [each._replace(written=0.0) for each in pieces]


def test_output_can_be_read_from_a_position(each_database: orm.Database) -> None:
    claim = claimed_run(each_database)
    run = claim.run
    assert orm.output_saved(each_database, run, 1) == ({}, False)
    pieces = [
        Piece("stdout", 0, 1.0, b"a\0\xff\xc3"),
        Piece("stderr", 0, 2.0, b"err"),
        Piece("stdout", 90, 3.0, b"after a gap"),
    ]
    orm.save_output(each_database, claim, pieces, orm.Outcome())
    assert orm.output_saved(each_database, run, 1) == ({"stdout": 101, "stderr": 3}, False)
    after = {
        position: undated(orm.output_part(each_database, run, 1, {"stdout": (position, 101)}, 1000))
        for position in (0, 3, 4, 90, 100, 101)
    }
    first, _, last = undated(pieces)
    end_of_first = first._replace(position=3, data=b"\xc3")
    end_of_last = last._replace(position=100, data=b"p")
    assert after == {
        0: [first, last], 3: [end_of_first, last], 4: [last], 90: [last],
        100: [end_of_last], 101: [],
    }  # fmt: skip
    stored = stored_output(each_database, run, 1)
    assert undated(stored) == undated(pieces)
    assert [each.written for each in stored] == pytest.approx([1, 2, 3], abs=5)
    orm.finish(each_database, claim, orm.State.SUCCEEDED, orm.Outcome(), [])
    assert orm.output_saved(each_database, run, 1)[1]


def parts(database: orm.Database, run: str, max_bytes: int) -> Iterator[list[Piece]]:
    """Read the output of the first attempt to its end, as a follower does."""
    known = {"stdout": 0, "stderr": 0}
    ends, _ = orm.output_saved(database, run, 1)
    while lacking := {
        stream: (known[stream], end) for stream, end in ends.items() if known[stream] < end
    }:
        part = orm.output_part(database, run, 1, lacking, max_bytes)
        assert part
        for each in part:
            assert each.position >= known[each.stream]
            known[each.stream] = each.position + len(each.data)
        yield part


@pytest.mark.parametrize("max_bytes", [1, 10, 25, 60, 1000, 10_000])
def test_parts_are_bounded_and_in_the_order_written(
    each_database: orm.Database, max_bytes: int
) -> None:
    claim = claimed_run(each_database)
    pieces: list[Piece] = []
    position = {"stdout": 0, "stderr": 0}
    for turn, length in enumerate([9, 1, 1, 30, 40, 2, 1, 1, 3, 3] * 3):
        stream = ("stdout", "stderr")[turn % 2]
        pieces.append(Piece(stream, position[stream], float(turn), b"x" * length))
        position[stream] += length + (500 if turn in {7, 19} else 0)
    pieces += [Piece("stdout", position["stdout"] + i, 99.0 + i, b"y") for i in range(9)]
    orm.finish(each_database, claim, orm.State.SUCCEEDED, orm.Outcome(), pieces)
    found = list(parts(each_database, claim.run, max_bytes))
    assert joined(piece for part in found for piece in part) == undated(pieces)
    assert max(sum(len(each.data) for each in part) for part in found) <= max_bytes


def joined(parts: Iterable[Piece]) -> list[Piece]:
    """Return pieces, undated, of which some were cut."""
    whole: dict[tuple[str, float], Piece] = {}
    for each in parts:
        begun = whole.get((each.stream, each.written))
        if begun:
            assert each.position == begun.position + len(begun.data)
        before = begun or each._replace(data=b"")
        whole[each.stream, each.written] = before._replace(data=before.data + each.data)
    return undated(whole.values())


def test_many_small_pieces_are_read_in_few_parts(database: orm.Database) -> None:
    claim = claimed_run(database)
    pieces = [Piece("stdout", each, 10.0 + each, b"x") for each in range(2500)]
    pieces += [Piece("stderr", each, 1000.5 + each, b"y") for each in range(2500)]
    orm.finish(database, claim, orm.State.SUCCEEDED, orm.Outcome(), pieces)
    found = list(parts(database, claim.run, 1024**2))
    assert len(found) <= 6
    assert [piece for part in found for piece in part] == sorted(
        pieces, key=lambda each: each.written
    )


def test_a_stream_is_in_order_although_a_clock_was_set_back(database: orm.Database) -> None:
    claim = claimed_run(database)
    pieces = [
        Piece("stdout", 0, 100.0, b"a"),
        Piece("stdout", 1, 50.0, b"b"),
        Piece("stderr", 0, 101.0, b"c"),
        Piece("stdout", 2, 102.0, b"d"),
    ]
    orm.finish(database, claim, orm.State.SUCCEEDED, orm.Outcome(), pieces)
    assert stored_output(database, claim.run, 1) == pieces


def test_a_known_piece_before_a_gap_is_not_read_again(database: orm.Database) -> None:
    claim = claimed_run(database)
    pieces = [Piece("stdout", 0, 1.0, b"x" * 50), Piece("stdout", 9999, 2.0, b"y")]
    orm.finish(database, claim, orm.State.SUCCEEDED, orm.Outcome(), pieces)
    for begin in (50, 51, 9999):
        assert (
            orm.output_part(database, claim.run, 1, {"stdout": (begin, 10_000)}, 10) == pieces[1:]
        )


def test_the_end_of_an_output_is_read_without_the_rest(each_database: orm.Database) -> None:
    claim = claimed_run(each_database)
    pieces = [
        Piece(stream, position, 10.0 + position + (stream == "stderr"), b"x" * 10)
        for position in range(0, 100, 10)
        for stream in ("stdout", "stderr")
    ]
    orm.finish(each_database, claim, orm.State.SUCCEEDED, orm.Outcome(), pieces)
    stored = stored_output(each_database, claim.run, 1)
    of_stdout = stored_output(each_database, claim.run, 1, "stdout")
    assert orm.output_end(each_database, claim.run, 1, "stdout", 25) == (of_stdout[-3:], True)
    assert orm.output_end(each_database, claim.run, 1, None, 40) == (stored[-4:], True)
    assert orm.output_end(each_database, claim.run, 1, None, 1000) == (stored, False)
    assert orm.output_end(each_database, claim.run, 2, None, 1000) == ([], False)
