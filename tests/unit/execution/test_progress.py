"""Progress reports and the last line, without control characters."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacifica.dispatcher.execution.progress import MAX_SHOWN, Progress, ProgressReader


def progress_of(*pieces: bytes) -> Progress | None:
    """Return the last progress report of a stream."""
    reader = ProgressReader()
    found = None
    for piece in pieces:
        found = reader.feed(piece) or found
    return reader.end() or found


def last(*pieces: bytes) -> str | None:
    reader = ProgressReader()
    for piece in pieces:
        reader.feed(piece)
    return reader.last_line()


@pytest.mark.parametrize(
    ("line", "progress"),
    [
        (b"::progress 40 reading file 4 of 10", Progress(40, "reading file 4 of 10")),
        (b"::progress 0", Progress(0, "")),
        (b"::progress 100 ", Progress(100, "")),
        (b"::progress 007 bond", Progress(7, "bond")),
        (b"::progress 40.5 reading", Progress(40, "reading")),
        (b"::progress 99.99", Progress(99, "")),
        (b"::progress 40% reading", Progress(40, "reading")),
        (b"::progress 40.5%", Progress(40, "")),
        (b"::progress\t40\treading\t\tfile", Progress(40, "reading  file")),
        (b"::progress   40   reading  ", Progress(40, "reading")),
        (b"::progress 40 reading\r", Progress(40, "reading")),
        ("::progress 40 größer".encode(), Progress(40, "größer")),
        (b"::progress 40 bad \xff byte", Progress(40, "bad \ufffd byte")),
        (b"::progress 40 a\0b\x07c\x7fd", Progress(40, "abcd")),
        (b"::progress 40 \x1b[1;31mred\x1b[0m \x1b]0;title\x07x", Progress(40, "red x")),
        (b"::progress 40 one\rtwo", Progress(40, "one two")),
        ("::progress 40 a\u202eb\u2028c".encode(), Progress(40, "ab c")),
        (b"::progress 40 " + b"x" * 1000, Progress(40, "x" * MAX_SHOWN)),
        (b"::progress 40 " + b"x" * 10_000_000, Progress(40, "x" * MAX_SHOWN)),
    ],
)
def test_a_line_that_reports_progress(line: bytes, progress: Progress) -> None:
    assert progress_of(line + b"\n") == progress
    assert progress_of(b"before\n" + line + b"\nafter\n") == progress
    assert progress_of(b"before\n" + line) == progress


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"::progress",
        b"::progress ",
        b"::progress x",
        b"::progress -1",
        b"::progress 101",
        b"::progress 1000",
        b"::progress 40x",
        b"::progress 40%% x",
        b"::progress 40,5",
        b"::progress40",
        b"::Progress 40",
        b" ::progress 40",
        b"text ::progress 40",
        b"::progress \xd9\xa3",
        b"::progress 1" + b"0" * 100_000,
    ],
)
def test_a_line_that_reports_no_progress(line: bytes) -> None:
    assert progress_of(line + b"\n") is None
    assert progress_of(b"::progress 7 before\n" + line + b"\n") == Progress(7, "before")


def test_the_last_of_several_lines_counts() -> None:
    assert progress_of(b"::progress 1\n::progress 2\n::progress x\n::progress 3\n\n") == Progress(
        3, ""
    )
    assert progress_of(b"::progress 1\n", b"::progress 2\nx") == Progress(2, "")


def test_an_incomplete_line_reports_nothing_yet() -> None:
    reader = ProgressReader()
    assert reader.feed(b"::progress 4") is None
    assert reader.feed(b"0 rea") is None
    assert reader.feed(b"ding\n") == Progress(40, "reading")
    assert reader.feed(b"more\n") is None


def test_a_report_within_a_long_line_does_not_count() -> None:
    assert progress_of(b"x" * 5000, b"::progress 40\n") is None
    assert progress_of(b"x" * 4096, b"::progress 40\n") is None


@given(st.data())
def test_the_division_into_pieces_does_not_matter(data: st.DataObject) -> None:
    words = [b"\n", b"::progress", b" ", b"40", b"101", b"text", b"\xff", b"\xc3\xa4", b"\r"]
    stream = b"".join(data.draw(st.lists(st.sampled_from(words), max_size=30)))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert progress_of(*pieces) == progress_of(stream)
    assert last(*pieces) == last(stream)


@pytest.mark.parametrize(
    ("written", "line"),
    [
        (b"", None),
        (b"\n \n\t\r\n", None),
        (b"\x1b[0m\n\0\n", None),
        (b"one\ntwo\n", "two"),
        (b"one\ntwo", "two"),
        (b"one\ntwo\n\n  \n\x1b[0m\n", "two"),
        (b"10%\r50%\r100%\r\n", "100%"),
        (b"  \x1b[31mError:\x1b[0m\tdisk full\x07 ", "Error: disk full"),
        (b"bad \xff byte\n", "bad \ufffd byte"),
        (b"x" * 1000 + b"\n", "x" * MAX_SHOWN),
        ("ä".encode() * 150, "ä" * 150),
    ],
)
def test_the_last_line(written: bytes, line: str | None) -> None:
    assert last(written) == line
    assert last(*(bytes([byte]) for byte in written)) == line


def test_the_last_line_of_a_huge_stream_is_found() -> None:
    assert last(*[b"line\n" * 50_000] * 10, b"the last\n") == "the last"
