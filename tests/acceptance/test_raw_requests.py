"""Requests as raw bytes: what RFC 9112 and RFC 9110 want refused gets one response and no second.

Behind each request that must be refused stands a whole other one, which stores an event. A server
that takes those bytes for a second request can be made to run what a proxy has not seen.
"""

import json
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import pytest

from harness import Site, http, raw
from tests import serving

MARK: Final = b"MARKMARK"  # replaced by a name that each request has for itself
HOST: Final = b"Host: localhost\r\n"
CLOSE: Final = b"Connection: close\r\n"
EVENT: Final = b'{"specversion": "1.0", "id": "MARKMARK", "source": "/raw", "type": "raw"}'
TYPE: Final = b"Content-Type: application/cloudevents+json\r\n"
LENGTH: Final = b"Content-Length: %d\r\n" % len(EVENT)
CHUNKED: Final = b"Transfer-Encoding: chunked\r\n"
LIVE: Final = b"GET /health/live HTTP/1.1\r\n" + HOST


def get(fields: bytes = HOST, line: bytes = b"GET /health/live HTTP/1.1") -> bytes:
    """Return a request without a body."""
    return line + b"\r\n" + fields + b"\r\n"


def post(fields: bytes, body: bytes = EVENT, line: bytes = b"POST /receive HTTP/1.1") -> bytes:
    """Return a request that stores an event if its body is one."""
    return line + b"\r\n" + HOST + TYPE + fields + b"\r\n" + body


def chunk(data: bytes) -> bytes:
    """Return data as a chunk."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def in_chunks(body: bytes) -> bytes:
    """Return a request whose body is in chunks, as given."""
    return post(CHUNKED, body)


def sized(size: bytes) -> bytes:
    """Return a request whose only chunk has this size line."""
    return in_chunks(size + b"\r\n" + EVENT + b"\r\n0\r\n\r\n")


SMUGGLED: Final = post(LENGTH + CLOSE)


@dataclass(frozen=True)
class Refused:
    """A request that must be refused.

    Attributes:
        name: the name of the case.
        request: the bytes.
        statuses: the permitted statuses; gunicorn may respond with 400 to all.
        detail: a part of the built-in server's reason.
    """

    name: str
    request: bytes
    statuses: tuple[int, ...] = (400,)
    detail: str = ""


LENGTHS: Final = [
    Refused(f"length {value!r}", post(b"Content-Length: " + value + b"\r\n"))
    for value in (
        b"", b"+73", b"-73", b"-1", b"7_3", b"0x49", b"7 3", b"73;", b"73.0", b"73, 73", b"73,73",
        b"73,", b"\xb2", b"\xef\xbc\x97", b"seventy", b"'73'", b"\x0b73",
    )
]  # fmt: skip
SIZES: Final = [
    Refused(f"size {size!r}", sized(size))
    for size in (
        b"", b"-1", b"+1", b"+49", b"-49", b"0x49", b"0X49", b" 49", b"49 ", b"\t49", b"49\t",
        b"4_9", b"4g", b"g", b"zz", b"4 9", b"4,9", b"49.", b"\xb2",
        b"\x0049", b"49\x00", b"49\x0b", b'"49"', b"49;\x00", b"49;a=\x01", b"49;a\x7f",
    )
]  # fmt: skip
CHUNKS: Final = [
    Refused("a size line with a bare LF", in_chunks(b"49\n" + EVENT + b"\r\n0\r\n\r\n")),
    Refused("a size line with a bare CR", in_chunks(b"49\r" + EVENT + b"\r\n0\r\n\r\n")),
    Refused("a bare LF in an extension", in_chunks(b"49;a\nb\r\n" + EVENT + b"\r\n0\r\n\r\n")),
    Refused("a bare CR in an extension", in_chunks(b"49;a\rb\r\n" + EVENT + b"\r\n0\r\n\r\n")),
    Refused("a chunk without its end", in_chunks(b"49\r\n" + EVENT + b"0\r\n\r\n")),
    Refused("a chunk that ends with LF", in_chunks(b"49\r\n" + EVENT + b"\n0\r\n\r\n")),
    Refused("a chunk that ends with CR", in_chunks(b"49\r\n" + EVENT + b"\r0\r\n\r\n")),
    Refused("a chunk that ends with other bytes", in_chunks(b"49\r\n" + EVENT + b"XX0\r\n\r\n")),
    Refused("a chunk longer than its size", in_chunks(b"48\r\n" + EVENT + b"\r\n0\r\n\r\n")),
    Refused("a negative size behind a chunk", in_chunks(chunk(EVENT) + b"-1\r\n\r\n")),
    Refused("an empty size behind a chunk", in_chunks(chunk(EVENT) + b"\r\n0\r\n\r\n")),
    Refused("a last chunk with a bare LF", in_chunks(chunk(EVENT) + b"0\n\n")),
    Refused("a trailer without a colon", in_chunks(chunk(EVENT) + b"0\r\nab\r\n\r\n")),
    Refused("a trailer with a space in its name", in_chunks(chunk(EVENT) + b"0\r\na b: c\r\n\r\n")),
    Refused("a trailer with a space before its colon", in_chunks(chunk(EVENT) + b"0\r\na : c\r\n\r\n")),
    Refused("a trailer without a name", in_chunks(chunk(EVENT) + b"0\r\n: c\r\n\r\n")),
    Refused("a folded trailer", in_chunks(chunk(EVENT) + b"0\r\na: b\r\n c\r\n\r\n")),
    Refused("a trailer with a bare LF", in_chunks(chunk(EVENT) + b"0\r\na: b\n\r\n\r\n")),
    Refused("a trailer with a bare CR", in_chunks(chunk(EVENT) + b"0\r\na: b\rc: d\r\n\r\n")),
    Refused("a trailer with NUL", in_chunks(chunk(EVENT) + b"0\r\na: \0\r\n\r\n")),
]  # fmt: skip
CODINGS: Final = [
    Refused("length before chunks", post(LENGTH + CHUNKED, chunk(EVENT) + b"0\r\n\r\n")),
    Refused("length behind chunks", post(CHUNKED + LENGTH, chunk(EVENT) + b"0\r\n\r\n")),
    Refused("length 0 with chunks", post(b"Content-Length: 0\r\n" + CHUNKED, chunk(EVENT) + b"0\r\n\r\n")),
    Refused("an equal length again", post(LENGTH + LENGTH)),
    Refused("another length again", post(b"Content-Length: 0\r\n" + LENGTH)),
    Refused("a length in other letters again", post(b"content-length: 5\r\n" + LENGTH)),
    Refused("a length of 20 digits", post(b"Content-Length: 18446744073709551689\r\n"), (400, 413)),
    Refused("chunked twice", post(b"Transfer-Encoding: chunked, chunked\r\n", chunk(EVENT) + b"0\r\n\r\n")),
    Refused("chunked in two fields", post(CHUNKED + CHUNKED, chunk(EVENT) + b"0\r\n\r\n")),
    Refused("chunked before gzip", post(b"Transfer-Encoding: chunked, gzip\r\n", chunk(EVENT) + b"0\r\n\r\n"), (400, 501)),
    Refused("gzip before chunked", post(b"Transfer-Encoding: gzip, chunked\r\n", chunk(EVENT) + b"0\r\n\r\n"), (400, 501)),
    Refused("gzip alone", post(b"Transfer-Encoding: gzip\r\n"), (400, 501)),
    Refused("identity before chunked", post(b"Transfer-Encoding: identity, chunked\r\n", chunk(EVENT) + b"0\r\n\r\n"), (400, 501)),
    Refused("identity alone", post(b"Transfer-Encoding: identity\r\n" + LENGTH), (400, 501)),
    Refused("identity and chunked in two fields", post(b"Transfer-Encoding: identity\r\n" + CHUNKED, chunk(EVENT) + b"0\r\n\r\n")),
    Refused("an unknown coding", post(b"Transfer-Encoding: xchunked\r\n", chunk(EVENT) + b"0\r\n\r\n"), (400, 501)),
    Refused("a parameter of chunked", post(b"Transfer-Encoding: chunked;q=1\r\n", chunk(EVENT) + b"0\r\n\r\n"), (400, 501)),
    Refused("chunked in quotes", post(b'Transfer-Encoding: "chunked"\r\n', chunk(EVENT) + b"0\r\n\r\n"), (400, 501)),
    Refused("an empty coding", post(b"Transfer-Encoding:\r\n" + LENGTH), (400, 501)),
    Refused("a comma before chunked", post(b"Transfer-Encoding: ,chunked\r\n", chunk(EVENT) + b"0\r\n\r\n"), (400, 501)),
    Refused("a comma behind chunked", post(b"Transfer-Encoding: chunked,\r\n", chunk(EVENT) + b"0\r\n\r\n"), (400, 501)),
    Refused("a vertical tab before chunked", post(b"Transfer-Encoding: \x0bchunked\r\n", chunk(EVENT) + b"0\r\n\r\n")),
    Refused("a folded coding", post(b"Transfer-Encoding:\r\n chunked\r\n", chunk(EVENT) + b"0\r\n\r\n")),
    Refused("a space before the colon of a coding", post(b"Transfer-Encoding : chunked\r\n" + LENGTH)),
    Refused("chunks in HTTP/1.0", post(CHUNKED, chunk(EVENT) + b"0\r\n\r\n", b"POST /receive HTTP/1.0"), detail="HTTP/1.0"),
    Refused("chunks and a length in HTTP/1.0", post(CHUNKED + LENGTH, EVENT, b"POST /receive HTTP/1.0")),
    Refused("an unknown expectation", post(LENGTH + b"Expect: 200-maybe\r\n"), (417,)),
]  # fmt: skip
FIELDS: Final = [
    Refused(f"field {field!r}", get(HOST + field + b"\r\n"))
    for field in (
        b"A: b\nC: d", b"A: b\rC: d", b"A: \0", b"A: b\x01", b"A: \x0b", b"A: \x7f", b"A: \x1b[31m",
        b"A : b", b"A\t: b", b": b", b"A b: c", b"A(b): c", b"A\xe4: c", b'A"b": c', b"A@b: c",
        b"A[b]: c", b"A,b: c", b"A/b: c", b"A\0: b", b"A", b" A: b", b"\tA: b", b"A: b\r\n c",
        b"A: b\r\n\tc", b"A: b\r\n ", b"A:\r\n b", b"A: b\r\r\nC: d", b"A: b\n", b"\n", b"A: b\r",
    )
]  # fmt: skip
HOSTS: Final = [
    Refused(f"host {name}", get(fields))
    for name, fields in {
        "missing": b"Accept: */*\r\n",
        "twice": HOST + HOST,
        "and another": HOST + b"Host: other\r\n",
        "in other letters again": HOST + b"HOST: other\r\n",
        "with a space": b"Host: a b\r\n",
        "with a path": b"Host: a/b\r\n",
        "with a user": b"Host: user@a\r\n",
        "list": b"Host: a, b\r\n",
        "list without a space": b"Host: a,b\r\n",
        "with an open bracket": b"Host: [::1\r\n",
        "with brackets around nothing": b"Host: []\r\n",
        "with letters as port": b"Host: a:b\r\n",
        "with a long port": b"Host: a:123456\r\n",
        "with two ports": b"Host: a:1:2\r\n",
        "with a query": b"Host: a?b\r\n",
        "with a fragment": b"Host: a#b\r\n",
        "with a backslash": b"Host: a\\b\r\n",
        "with quotes": b'Host: "a"\r\n',
        "with a tag": b"Host: <a>\r\n",
        "of other letters": b"Host: \xe4\r\n",
    }.items()
]  # fmt: skip
LINES: Final = [
    Refused(f"line {line!r}", get(line=line), (status,))
    for line, status in {
        b"GET  /health/live HTTP/1.1": 400,
        b"GET /health/live  HTTP/1.1": 400,
        b"GET\t/health/live\tHTTP/1.1": 400,
        b" GET /health/live HTTP/1.1": 400,
        b"GET /health/live HTTP/1.1 ": 400,
        b"GET /health/live": 400,
        b"GET": 400,
        b"GET /health/live HTTP/1": 400,
        b"GET /health/live HTTP/1.1x": 400,
        b"GET /health/live HTTP/1.10": 400,
        b"GET /health/live HTTP/11.1": 400,
        b"GET /health/live HTTP/01.1": 400,
        b"GET /health/live HTTP/-1.1": 400,
        b"GET /health/live http/1.1": 400,
        b"GET /health/live ICY/1.1": 400,
        b"GET /health/live HTTP/1.1 HTTP/1.1": 400,
        b"GET /health/live HTTP/2.0": 505,
        b"GET /health/live HTTP/0.9": 505,
        b"GET /health/live HTTP/3.1": 505,
        b"PRI * HTTP/2.0": 505,
        b"get /health/live HTTP/1.1": 400,
        b"Get /health/live HTTP/1.1": 400,
        b"GE(T /health/live HTTP/1.1": 400,
        b"G\xcbT /health/live HTTP/1.1": 400,
        b"\0GET /health/live HTTP/1.1": 400,
        b"GET /health/live\0 HTTP/1.1": 400,
        b"GET /health/\x01live HTTP/1.1": 400,
        b"GET /health/live\x7f HTTP/1.1": 400,
        b"GET /health/l\xefve HTTP/1.1": 400,
        b"GET /health/live\nHTTP/1.1": 400,
        b"GET /health/live\rHTTP/1.1": 400,
        b"GET /health/live#a HTTP/1.1": 400,
        b"GET /health/live?a#b HTTP/1.1": 400,
        b"GET health/live HTTP/1.1": 400,
        b"GET * HTTP/1.1": 400,
        b"GET localhost:80 HTTP/1.1": 400,
        b"GET ?a HTTP/1.1": 400,
        b"GET http:///health/live HTTP/1.1": 400,
        b"GET http://a b/health/live HTTP/1.1": 400,
        b"GET http://[::1/health/live HTTP/1.1": 400,
        b"GET http://user@a/health/live HTTP/1.1": 400,
        b"GET http://a/health/live#b HTTP/1.1": 400,
        b"GET ftp://localhost/health/live HTTP/1.1": 400,
        b"GET http:/health/live HTTP/1.1": 400,
        b"CONNECT localhost:80 HTTP/1.1": 400,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03": 400,
        b"\r\n\r\nGET /health/live HTTP/1.1": 400,
        b"\nGET /health/live HTTP/1.1": 400,
        b"\rGET /health/live HTTP/1.1": 400,
    }.items()
]  # fmt: skip
LARGE: Final = [
    # gunicorn reads these, or waits for the announced bytes.
    Refused("a size of 17 digits", sized(b"00000000000000049")),
    Refused("a size beyond any memory", sized(b"FFFFFFFFFFFFFFFF"), (413,)),
    Refused("a chunk that is too large", sized(b"7FFFFFFF"), (413,)),
    Refused("a length that is too large", post(b"Content-Length: 99999999999\r\n"), (413,)),
    Refused("a long target", get(line=b"GET /%s HTTP/1.1" % (b"a" * 70_000)), (414,)),
    Refused("a long query", get(line=b"GET /?%s HTTP/1.1" % (b"a" * 70_000)), (414,)),
    Refused("a long field", get(HOST + b"A: %s\r\n" % (b"b" * 70_000)), (431,)),
    Refused("a long name", get(HOST + b"%s: b\r\n" % (b"A" * 70_000)), (431,)),
    Refused("many fields", get(HOST + b"A: b\r\n" * 12_000), (431,)),
    Refused("more fields than anybody sends", get(HOST + b"A: b\r\n" * 200), (431,)),
]
REFUSED: Final = [
    *LENGTHS, *SIZES, *CHUNKS, *CODINGS, *FIELDS, *HOSTS, *LINES,
    Refused("lines that end with LF", get().replace(b"\r\n", b"\n")),
    Refused("an end with LF", get()[:-2] + b"\n"),
]  # fmt: skip


@dataclass(frozen=True)
class Accepted:
    """Requests that must be read as sent.

    Attributes:
        name: the name of the case.
        request: the bytes of one or several requests.
        statuses: the statuses, in order.
        stored: True if the event is stored.
    """

    name: str
    request: bytes
    statuses: tuple[int, ...]
    stored: bool = False


LAST: Final = get(HOST + CLOSE)
ENDED: Final = b"0\r\n\r\n"
TINY: Final = b"".join(map(chunk, re.findall(MARK + b"|.", EVENT)))
ACCEPTED: Final = [
    Accepted("one request", LAST, (200,)),
    Accepted("an empty line before it", b"\r\n" + LAST, (200,)),
    Accepted("HTTP/1.0 without Host", get(b"", b"GET /health/live HTTP/1.0"), (200,)),
    Accepted("HTTP/1.0 with a length", post(LENGTH, line=b"POST /receive HTTP/1.0"), (202,), True),
    Accepted("all options", b"OPTIONS * HTTP/1.1\r\n" + HOST + CLOSE + b"\r\n", (200,)),
    Accepted("three in a row", get() + get() + LAST, (200, 200, 200)),
    Accepted("ten in a row", get() * 9 + LAST, (200,) * 10),
    Accepted("an event and a check", post(LENGTH) + LAST, (202, 200), True),
    Accepted("nothing behind the last", LAST + get(), (200,)),
    Accepted("an absolute target", get(HOST + CLOSE, b"GET http://localhost/health/live HTTP/1.1"), (200,)),
    Accepted("an absolute target of another name", get(HOST + CLOSE, b"GET http://disp.example.org:80/health/live HTTP/1.1"), (200,)),
    Accepted("two slashes", post(LENGTH + CLOSE, line=b"POST //receive HTTP/1.1"), (202,), True),
    Accepted("chunks", post(CHUNKED + CLOSE, chunk(EVENT) + ENDED), (202,), True),
    Accepted("chunks of one byte", post(CHUNKED + CLOSE, TINY + ENDED), (202,), True),
    Accepted("a size in upper case with zeros", post(CHUNKED + CLOSE, b"0049\r\n" + EVENT + b"\r\n000\r\n\r\n"), (202,), True),
    Accepted("chunked in upper case", post(b"Transfer-Encoding: CHUNKED\r\n" + CLOSE, chunk(EVENT) + ENDED), (202,), True),
    Accepted("extensions", post(CHUNKED + CLOSE, b'49;a;b=c;d="e;f"\r\n' + EVENT + b"\r\n0;g\r\n\r\n"), (202,), True),
    Accepted("a space before an extension", post(CHUNKED + CLOSE, b"49 ; a\r\n" + EVENT + b"\r\n" + ENDED), (202,), True),
    Accepted("trailers", post(CHUNKED + CLOSE, chunk(EVENT) + b"0\r\nDigest: a\r\nB:\r\n\r\n"), (202,), True),
    Accepted("chunks and a check", post(CHUNKED, chunk(EVENT) + ENDED) + LAST, (202, 200), True),
    Accepted("chunks that nobody reads", post(CHUNKED, chunk(EVENT) + ENDED, b"POST /receive/none HTTP/1.1") + LAST, (404, 200)),
    Accepted("chunks that no address reads", post(CHUNKED, chunk(EVENT) + ENDED, b"POST /nowhere HTTP/1.1") + LAST, (404, 200)),
    Accepted("a body that no address reads", post(LENGTH, line=b"POST /nowhere HTTP/1.1") + LAST, (404, 200)),
    Accepted("a body with GET", get(HOST + LENGTH) + EVENT + LAST, (200, 200)),
    Accepted("chunks with GET", get(HOST + CHUNKED) + chunk(EVENT) + ENDED + LAST, (200, 200)),
    Accepted("an event that is none", post(b"Content-Length: 2\r\n", b"{}") + LAST, (400, 200)),
    Accepted("permission to continue", post(LENGTH + CLOSE + b"Expect: 100-continue\r\n"), (202,), True),
    Accepted("spaces around a value", get(b"Host:  \t localhost \t \r\n" + CLOSE), (200,)),
    Accepted("no spaces around a value", get(b"Host:localhost\r\nConnection:close\r\n"), (200,)),
    Accepted("an empty value", get(HOST + CLOSE + b"A:\r\nB: \r\n"), (200,)),
    Accepted("a value of other letters", get(HOST + CLOSE + b"A: \xc3\xa4\xe4\tb\r\n"), (200,)),
    Accepted("a length with an underscore", get(HOST + CLOSE + b"Content_Length: 5\r\n"), (200,)),
    Accepted("a coding with an underscore", post(LENGTH + CLOSE + b"Transfer_Encoding: chunked\r\n"), (202,), True),
    Accepted("an address of IPv6", get(b"Host: [::1]:8069\r\n" + CLOSE), (200,)),
]  # fmt: skip

CUT: Final = [
    *(post(LENGTH)[:end] for end in (1, 10, 40, -len(EVENT) - 2)),
    *(post(LENGTH, EVENT[:end]) for end in (0, 1, -1)),
    *(
        post(CHUNKED, (chunk(EVENT) + b"0\r\nA: b\r\n\r\n")[:end])
        for end in (0, 1, 3, 4, 40, -12, -11, -10, -9, -8, -3, -2, -1)
    ),
]


@pytest.fixture(scope="module", params=serving.SERVERS)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator["Server"]:
    """A web tier of each kind, whose log has no trace of an internal error at the end."""
    site = Site(tmp_path_factory.mktemp("raw"))
    try:
        site.configure(f"[celery]\nbroker_url = filesystem://localhost{site.folder / 'broker'}\n")
        serving.start(site, request.param)
        yield Server(site, request.param)
        serving.check_log(site)
    finally:
        site.kill_all()


@dataclass(frozen=True)
class Server:
    """A web tier that runs."""

    site: Site
    kind: str

    @property
    def built_in(self) -> bool:
        return self.kind == serving.BUILT_IN

    @property
    def keeps_connections(self) -> bool:
        return self.kind != "sync"

    @property
    def port(self) -> int:
        return self.site.port

    def stored(self, mark: str) -> int:
        """Count the events of a case."""
        return len(http(f"{self.site.url}/events?text={mark}").json["events"])


def marked(request: bytes) -> tuple[str, bytes]:
    """Return a new name, and the request with it."""
    mark = uuid.uuid4().hex[: len(MARK)]
    return mark, request.replace(MARK, mark.encode())


def check_refused(server: Server, case: Refused, reply: raw.Reply) -> None:
    """Check that a reply is one refusal on a connection that the server has closed in order."""
    assert len(reply.statuses) == 1, reply
    assert reply.end == "closed", reply
    [status] = reply.statuses
    if not server.built_in:
        assert status in {*case.statuses, 400}, reply
        return
    assert status in case.statuses, reply
    assert b"\r\nconnection: close" in reply.head, reply
    assert b"\r\ncontent-type: application/problem+json" in reply.head, reply
    problem = json.loads(reply.body)
    assert problem["status"] == status
    assert case.detail in problem["detail"]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_a_malformed_request_is_refused_once(server: Server, case: Refused) -> None:
    mark, request = marked(case.request + SMUGGLED)
    replies = [raw.exchange(server.port, request), raw.trickle(server.port, request)]
    if server.built_in:
        _, refused = marked(case.request)
        parts = [(head, tail + request[len(refused) :]) for head, tail in raw.splits(refused)]
        replies += raw.exchanges(server.port, parts)
    for reply in replies:
        check_refused(server, case, reply)
    assert server.stored(mark) == 0


@pytest.mark.parametrize("server", ["built-in"], indirect=True)
@pytest.mark.parametrize("case", LARGE, ids=lambda case: case.name)
def test_too_much_is_refused_once(server: Server, case: Refused) -> None:
    mark, request = marked(case.request + SMUGGLED)
    check_refused(server, case, raw.exchange(server.port, request))
    assert server.stored(mark) == 0


@pytest.mark.parametrize("case", ACCEPTED, ids=lambda case: case.name)
def test_a_valid_request_is_read_as_sent(server: Server, case: Accepted) -> None:
    mark, request = marked(case.request)
    expected = [*case.statuses] if server.keeps_connections else [case.statuses[0]]
    replies = [raw.exchange(server.port, request), raw.trickle(server.port, request)]
    if server.built_in:
        replies += raw.exchanges(server.port, raw.splits(request))
    for reply in replies:
        assert reply.statuses == expected, reply
        assert reply.end == "closed", reply
    assert server.stored(mark) == case.stored


@pytest.mark.parametrize("request_", CUT, ids=lambda request_: str(len(request_)))
def test_a_request_that_ends_early_is_not_stored(server: Server, request_: bytes) -> None:
    mark, request = marked(request_)
    reply = raw.exchange(server.port, request, half_close=True)
    assert reply.end == "closed", reply
    has_head = b"\r\n\r\n" in request
    assert reply.statuses == [400] if server.built_in or has_head else reply.statuses == [], reply
    assert server.stored(mark) == 0
