"""Heads of requests: what is read, and what is refused."""

import pytest

from pacifica.dispatcher.rest.http1.syntax import (
    ProtocolError,
    check_beginning,
    check_trailers,
    parse_head,
)

POST = b"POST /receive HTTP/1.1\r\nHost: a"


def head_of(*fields: bytes) -> bytes:
    """Return a head with these fields after the field Host."""
    return b"\r\n".join((POST, *fields))


def status_of(head: bytes) -> int:
    """Return the status with which a head is refused."""
    with pytest.raises(ProtocolError) as caught:
        parse_head(head)
    return caught.value.status.value


def test_a_head_is_read() -> None:
    head = parse_head(
        b"GET /runs/a%20b%2fc?x=%20 HTTP/1.1\r\nhost: a.example:80\r\nX-Note:\t one two \r\nEmpty:"
    )
    assert (head.method, head.target, head.minor) == (b"GET", b"/runs/a%20b%2fc?x=%20", 1)
    assert (head.path, head.query) == (b"/runs/a b%2Fc", b"x=%20")
    assert head.fields == {b"Host": b"a.example:80", b"X-Note": b"one two", b"Empty": b""}
    assert (head.length, head.closes, head.waits) == (0, False, False)


@pytest.mark.parametrize(
    ("target", "path", "query", "host"),
    [
        (b"/", b"/", b"", b"a"),
        (b"//receive", b"//receive", b"", b"a"),
        (b"/?", b"/", b"", b"a"),
        (b"/%zz", b"/%zz", b"", b"a"),
        (b"http://b.example/x?y", b"/x", b"y", b"b.example"),
        (b"HTTPS://[::1]:8069", b"/", b"", b"[::1]:8069"),
        (b"http://b.example?y", b"/", b"y", b"b.example"),
    ],
)
def test_targets_are_paths_or_urls(target: bytes, path: bytes, query: bytes, host: bytes) -> None:
    head = parse_head(b"GET " + target + b" HTTP/1.1\r\nHost: a")
    assert (head.path, head.query, head.fields[b"Host"]) == (path, query, host)


def test_options_may_be_about_the_server() -> None:
    assert parse_head(b"OPTIONS * HTTP/1.1\r\nHost: a").path == b"*"


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"GET",
        b"GET /",
        b"GET  / HTTP/1.1",
        b"GET /  HTTP/1.1",
        b" GET / HTTP/1.1",
        b"GET / HTTP/1.1 ",
        b"GET\t/ HTTP/1.1",
        b"GET / HTTP/1",
        b"GET / HTTP/1.1x",
        b"GET / HTTP/1.10",
        b"GET / HTTP/+1.1",
        b"GET / http/1.1",
        b"GET / ICAP/1.1",
        b"get / HTTP/1.1",
        b"G=T / HTTP/1.1",
        b"GET /a b HTTP/1.1",
        b"GET /a\0b HTTP/1.1",
        b"GET /\xc3\xa9 HTTP/1.1",
        b"GET /a#b HTTP/1.1",
        b"GET a HTTP/1.1",
        b"GET * HTTP/1.1",
        b"GET ?a HTTP/1.1",
        b"GET ftp://a/ HTTP/1.1",
        b"GET http:///a HTTP/1.1",
        b"GET http://u@a/ HTTP/1.1",
        b"GET http://a,b/ HTTP/1.1",
        b"GET http://a/b#c HTTP/1.1",
        b"CONNECT a:80 HTTP/1.1",
    ],
)
def test_a_malformed_request_line_is_refused(line: bytes) -> None:
    assert status_of(line + b"\r\nHost: a") == 400


@pytest.mark.parametrize("version", [b"0.9", b"1.2", b"2.0", b"9.9"])
def test_other_versions_are_refused(version: bytes) -> None:
    assert status_of(b"GET / HTTP/" + version + b"\r\nHost: a") == 505


@pytest.mark.parametrize(
    "field",
    [
        b"",
        b" folded: x",
        b"\tfolded",
        b"X : y",
        b"X\t: y",
        b": y",
        b"X",
        b"X y: z",
        b"X(): y",
        b"X\xe9: y",
        b"X: a\0b",
        b"X: a\x0bb",
        b"X: a\x7fb",
        b"X: a\rb",
        b"X: a\nb",
        b"X: a\n",
        b"X: a\r",
    ],
)
def test_a_malformed_field_is_refused(field: bytes) -> None:
    assert status_of(head_of(field)) == 400


def test_too_many_fields_are_refused() -> None:
    assert status_of(head_of(*[b"X: y"] * 128)) == 431
    assert parse_head(head_of(*[b"X: y"] * 127)).fields[b"X"] == b", ".join([b"y"] * 127)


@pytest.mark.parametrize(
    "host", [b"a", b"a.example:8069", b"[::1]", b"[::1]:80", b"a_b", b"", b"a:", b"127.0.0.1"]
)
def test_hosts_are_read(host: bytes) -> None:
    assert parse_head(b"GET / HTTP/1.1\r\nHost: " + host).fields[b"Host"] == host


@pytest.mark.parametrize(
    "host",
    [b"a, b", b"a b", b"a/b", b"u@a", b"a:b", b"a:80:81", b"a:999999", b"::1", b"[g]", b"a\xe9"],
)
def test_malformed_hosts_are_refused(host: bytes) -> None:
    assert status_of(b"GET / HTTP/1.1\r\nHost: " + host) == 400


def test_a_host_is_mandatory_since_1_1() -> None:
    assert status_of(b"GET / HTTP/1.1") == 400
    assert parse_head(b"GET / HTTP/1.0").fields == {}


@pytest.mark.parametrize(
    "name",
    [
        b"Host",
        b"Content-Length",
        b"Content-Type",
        b"Transfer-Encoding",
        b"Authorization",
        b"Expect",
    ],
)
def test_fields_that_occur_once_are_not_repeated(name: bytes) -> None:
    assert status_of(head_of(name + b": 1", name.lower() + b": 1")) == 400


def test_fields_with_the_same_name_are_joined() -> None:
    head = parse_head(head_of(b"Prefer: a", b"Accept: b/c", b"prefer: d", b"ACCEPT: e/f"))
    assert head.fields == {b"Host": b"a", b"Prefer": b"a, d", b"Accept": b"b/c, e/f"}


@pytest.mark.parametrize("second", [b"ce-id: 2", b"CE-ID: 2"])
def test_a_repeated_attribute_is_detectable(second: bytes) -> None:
    assert parse_head(head_of(b"ce-id: 1", second)).fields[b"Ce-Id"] == b"1\n2"


def test_an_underscore_does_not_become_a_hyphen() -> None:
    head = parse_head(head_of(b"ce-id: 1", b"ce_id: 2", b"Content_Length: 3", b"X_Hub: 4"))
    assert head.fields == {b"Host": b"a", b"Ce-Id": b"1"}


@pytest.mark.parametrize(("text", "length"), [(b"0", 0), (b"007", 7), (b"12", 12)])
def test_lengths_are_read(text: bytes, length: int) -> None:
    assert parse_head(head_of(b"Content-Length: " + text)).length == length


@pytest.mark.parametrize(
    "text", [b"", b"-1", b"+1", b"1_0", b"0x1", b"1 2", b"1, 1", b"1,1", b"\xb2", b"1" * 19, b"1.0"]
)
def test_malformed_lengths_are_refused(text: bytes) -> None:
    assert status_of(head_of(b"Content-Length: " + text)) == 400


@pytest.mark.parametrize("text", [b"chunked", b"Chunked", b" chunked\t"])
def test_chunks_are_recognised(text: bytes) -> None:
    assert parse_head(head_of(b"Transfer-Encoding: " + text)).length is None


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (b"", 400),
        (b"identity", 400),
        (b"chunked, identity", 400),
        (b"chunked, chunked", 400),
        (b"chunked,", 400),
        (b"xchunked", 400),
        (b'"chunked"', 400),
        (b"chunked;a=b", 400),
        (b"chunked\x0b", 400),
        (b"gzip, chunked", 501),
        (b",chunked", 501),
    ],
)
def test_other_codings_are_refused(text: bytes, status: int) -> None:
    assert status_of(head_of(b"Transfer-Encoding: " + text)) == status


def test_a_length_and_chunks_contradict_each_other() -> None:
    assert status_of(head_of(b"Content-Length: 1", b"Transfer-Encoding: chunked")) == 400


def test_chunks_are_newer_than_1_0() -> None:
    with pytest.raises(ProtocolError, match=r"Transfer-Encoding in HTTP/1\.0"):
        parse_head(b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked")


@pytest.mark.parametrize(
    ("version", "field", "closes"),
    [
        (b"1.1", b"X: y", False),
        (b"1.1", b"Connection: close", True),
        (b"1.1", b"Connection: Upgrade, Close", True),
        (b"1.1", b"Connection: closed", False),
        (b"1.0", b"X: y", True),
        (b"1.0", b"Connection: Keep-Alive", False),
        (b"1.0", b"Connection: keep-alive, close", True),
    ],
)
def test_connections_are_kept_or_closed(version: bytes, field: bytes, closes: bool) -> None:  # noqa: FBT001 - a parameter of the test
    assert parse_head(b"GET / HTTP/" + version + b"\r\nHost: a\r\n" + field).closes is closes


def test_a_client_may_wait_for_permission() -> None:
    assert parse_head(head_of(b"Expect: 100-Continue")).waits
    assert not parse_head(b"POST / HTTP/1.0\r\nExpect: 100-continue").waits
    assert status_of(head_of(b"Expect: 200-ok")) == 417


@pytest.mark.parametrize(
    "received", [b"", b"P", b"\r", b"\r\nPOST / H", b"GET / HTTP/1.1\r\nX: y\r"]
)
def test_a_valid_beginning_is_waited_for(received: bytes) -> None:
    check_beginning(received, 0)


@pytest.mark.parametrize(
    "received", [b"\x16\x03\x01", b" GET", b"\n", b"\rG", b"GET / HTTP/1.1\n", b"GET /\rHTTP/1.1"]
)
def test_a_beginning_that_cannot_become_valid_is_refused(received: bytes) -> None:
    with pytest.raises(ProtocolError):
        check_beginning(received, 0)


def test_trailers_are_checked() -> None:
    check_trailers(b"X: y\r\nZ: \r\n")
    with pytest.raises(ProtocolError):
        check_trailers(b"X y\r\n")
