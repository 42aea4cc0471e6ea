"""Requests, in whatever pieces they are received."""

from collections.abc import Iterable

import pytest

from pacifica.dispatcher.rest.http1.limits import Limits
from pacifica.dispatcher.rest.http1.reception import Reception
from pacifica.dispatcher.rest.http1.syntax import ProtocolError

POST = b"POST / HTTP/1.1\r\nHost: a\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
LIMITS = Limits(max_body=lambda _: 1000, max_head=2000)


def receive(pieces: Iterable[bytes]) -> list[tuple[bytes, bytes]]:
    """Return path and body of all requests in these pieces."""
    reception, found = Reception(LIMITS), []
    for piece in pieces:
        reception.add(piece)
        while reception.begun and reception.advance():
            head, body = reception.take()
            found.append((head.path, body))
    return found


def one_by_one(data: bytes) -> list[bytes]:
    """Return each byte."""
    return [data[index : index + 1] for index in range(len(data))]


def status_of(data: bytes) -> int:
    """Return the status with which data is refused, which does not depend on its pieces."""
    statuses = set()
    for pieces in ([data], one_by_one(data), [data[:-1], data[-1:]]):
        with pytest.raises(ProtocolError) as caught:
            receive(pieces)
        statuses.add(caught.value.status.value)
    [status] = statuses
    return status


REQUESTS = (
    b"\r\nGET /1 HTTP/1.1\r\nHost: a\r\n\r\n"
    b"POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
    b"POST /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    b'2\r\nde\r\n00A ; x="y";z\r\n0123456789\r\n000\r\nX-Sum: 1\r\nX-Other: 2\r\n\r\n'
    b"\r\nGET /4 HTTP/1.1\r\nHost: a\r\n\r\n"
)
FOUND = [(b"/1", b""), (b"/2", b"abc"), (b"/3", b"de0123456789"), (b"/4", b"")]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 11, 64, 1000])
def test_requests_do_not_depend_on_pieces(size: int) -> None:
    pieces = [REQUESTS[index : index + size] for index in range(0, len(REQUESTS), size)]
    assert receive(pieces) == FOUND


def test_a_request_is_complete_with_its_last_byte() -> None:
    data = CHUNKED + b"1\r\nx\r\n0\r\n\r\n"
    for end in range(len(data)):
        assert receive([data[:end]]) == []
    assert receive([data]) == [(b"/", b"x")]


@pytest.mark.parametrize(
    "size",
    [
        b"-1",
        b"+1",
        b"0x1",
        b" 1",
        b"1 ",
        b"1_0",
        b"",
        b"g",
        b"1;a\0b",
        b"1 a",
        b"\xb2",
        b"1;\x7f",
        b"1" * 17,
        b"0" * 17,
    ],
)
def test_a_malformed_chunk_size_is_refused(size: bytes) -> None:
    assert status_of(CHUNKED + size + b"\r\nx\r\n0\r\n\r\n") == 400


@pytest.mark.parametrize(
    "chunks",
    [
        b"1\nx\r\n0\r\n\r\n",
        b"1\rx\r\n0\r\n\r\n",
        b"1\r\r\nx\r\n0\r\n\r\n",
        b"1\r\nx\n0\r\n\r\n",
        b"1\r\nxy\r\n0\r\n\r\n",
        b"1\r\nx0\r\n\r\n",
        b"0\r\n\n",
        b"0\r\nX\r\n\r\n",
        b"0\r\n X: y\r\n\r\n",
        b"0\r\nX: y\n\r\n",
        b"0\r\nGET / HTTP/1.1\r\n\r\n",
    ],
)
def test_malformed_chunks_are_refused(chunks: bytes) -> None:
    assert status_of(CHUNKED + chunks) == 400


@pytest.mark.parametrize("ending", [b"\n\n", b"\r\n\n", b"\n\r\n", b"\r\r\n"])
def test_lines_end_with_cr_and_lf(ending: bytes) -> None:
    assert status_of(b"GET / HTTP/1.1\r\nHost: a" + ending + b"xx") == 400


def test_only_one_empty_line_may_precede() -> None:
    assert status_of(b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n") == 400


def test_large_heads_are_refused() -> None:
    assert status_of(b"GET /" + b"x" * 3000) == 414
    assert status_of(b"GET / HTTP/1.1\r\nX: " + b"x" * 3000) == 431
    fits = b"GET / HTTP/1.1\r\nHost: a\r\nX: ".ljust(2000, b"x")
    assert receive(one_by_one(fits + b"\r\n\r\n")) == [(b"/", b"")]
    assert status_of(fits + b"x\r\n\r\n") == 431


def test_large_bodies_are_refused_before_they_are_read() -> None:
    assert status_of(POST + b"Content-Length: 1001\r\n\r\n") == 413
    assert status_of(CHUNKED + b"3e9\r\n") == 413
    assert status_of(CHUNKED + b"3e8\r\n" + b"x" * 1000 + b"\r\n1\r\n") == 413
    assert status_of(CHUNKED + b"f" * 16 + b"\r\n") == 413
    assert len(receive([POST + b"Content-Length: 1000\r\n\r\n" + b"x" * 1000])[0][1]) == 1000


@pytest.mark.parametrize(
    "chunks",
    [
        b"0" * 2000,
        b"1;" + b"x" * 2000,
        b"0\r\n" + b"X: " + b"y" * 10_000,
        b"0\r\n" + b"X: y\r\n" * 20_000,
        (b"1;" + b"x" * 900 + b"\r\nx\r\n") * 200,
    ],
)
def test_endless_framing_is_refused(chunks: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        receive([CHUNKED, *(chunks[at : at + 100] for at in range(0, len(chunks), 100))])
    assert caught.value.status == 400


def test_chunks_of_a_byte_are_accepted() -> None:
    assert receive([CHUNKED, b"1\r\nx\r\n" * 1000, b"0\r\n\r\n"]) == [(b"/", b"x" * 1000)]
