"""Output as text: characters stay whole and gaps are marked."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacifica.dispatcher.execution.capture import Piece
from pacifica.dispatcher.rest.output_text import Transcript, beginning, parts_of


def out(position: int, data: bytes, stream: str = "stdout") -> Piece:
    return Piece(stream, position, 0.0, data)


def text_of(pieces: list[Piece]) -> str:
    return "".join(text for _, text in parts_of(pieces))


@given(st.text(max_size=20), st.lists(st.integers(0, 60), max_size=5))
def test_a_split_character_stays_whole(text: str, cuts: list[int]) -> None:
    data = text.encode()
    ends = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    transcript = Transcript(beginning())
    texts = []
    for begin, end in pairwise(ends):
        texts.append(transcript.add(out(begin, data[begin:end])))
        assert "".join(texts).encode() == data[: transcript.position("stdout")]
    assert "".join([*texts, *transcript.end().values()]) == text


def test_interleaved_streams_keep_characters_whole() -> None:
    pieces = [out(0, b"a\xc3"), out(0, b"\xe2\x82", "stderr"), out(2, b"\xa4b")]
    assert text_of([*pieces, out(2, b"\xac", "stderr")]) == "aäb€"


def test_a_gap_is_marked_and_ends_a_character() -> None:
    assert text_of([out(0, b"a\xc3"), out(10, b"b")]) == (
        "a\ufffd\n[… 8 bytes of stdout were not kept …]\nb"
    )


@pytest.mark.parametrize(
    ("piece", "text"),
    [(out(0, b"abcde"), ""), (out(0, b"abcdefg"), "fg"), (out(3, b"defg"), "fg")],
)
def test_known_output_is_not_repeated(piece: Piece, text: str) -> None:
    transcript = Transcript({"stdout": 5, "stderr": 0})
    assert transcript.add(piece) == text
    assert transcript.position("stdout") == max(5, piece.position + len(piece.data))
