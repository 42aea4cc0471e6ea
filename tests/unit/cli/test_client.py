"""The client of a dispatcher: requests and errors."""

import base64
import socket
import ssl
import threading
from pathlib import Path
from uuid import UUID

import pytest
import trustme

from harness import DEADLINE, free_port
from pacifica.dispatcher.cli.client import (
    Client,
    InvalidError,
    RefusedError,
    ServerError,
    UnknownError,
    UnreachableError,
    UrlError,
)
from tests.unit.cli.documents import EVENT
from tests.unit.cli.fake_server import Reply, Server, problem

_CUT_OFF = {"Content-Length": "100", "Connection": "close"}


def test_a_document_is_requested(server: Server) -> None:
    server.replies["GET /thing"] = Reply({"uuid": "1"})
    assert Client(server.url).get("/thing", "uuid", {"a": "b c"}) == {"uuid": "1"}
    [sent] = server.requests
    assert sent.path == "/thing?a=b+c"
    assert sent.headers["Accept"] == "application/json"


def test_a_body_is_posted(server: Server) -> None:
    server.replies["POST /receive"] = Reply({"uuid": "1"}, 202)
    Client(server.url).post("/receive", "uuid", b"{}", "application/cloudevents+json")
    [sent] = server.requests
    assert (sent.body, sent.headers["Content-Type"]) == (b"{}", "application/cloudevents+json")


def test_a_url_may_have_a_path_and_a_password(server: Server) -> None:
    server.replies["GET /below/here/thing"] = Reply({"uuid": "1"})
    host = server.url.removeprefix("http://")
    client = Client(f"http://me:se%40cret@{host}/below/here/")
    client.get("/thing", "uuid")
    authorization = server.requests[0].headers["Authorization"]
    assert base64.b64decode(authorization.removeprefix("Basic ")) == b"me:se@cret"
    assert "cret" not in client.url


def test_pages_are_followed_to_the_last_one(server: Server) -> None:
    # A page may be empty and not the last. The path of the link is the server's own.
    server.replies["GET /below/events?limit=2"] = Reply(
        {"events": [{"uuid": "1"}, {"uuid": "2"}]},
        headers={"Link": '</events?limit=2&before=2>; rel="next"'},
    )
    server.replies["GET /below/events?limit=2&before=2"] = Reply(
        {"events": []}, headers={"Link": '</events?limit=2&before=9>; rel="next"'}
    )
    server.replies["GET /below/events?limit=2&before=9"] = Reply({"events": [{"uuid": "3"}]})
    pages = Client(f"{server.url}/below").pages("/events", "events", {"limit": 2})
    assert [[each["uuid"] for each in page] for page in pages] == [["1", "2"], [], ["3"]]


def test_a_uuid_is_found_in_the_first_collection_that_has_it(server: Server) -> None:
    server.replies[f"GET /b/{EVENT}"] = Reply({"status": "queued"})
    client = Client(server.url)
    assert client.find(UUID(EVENT), "/a", "/b") == (f"/b/{EVENT}", {"status": "queued"})
    with pytest.raises(UnknownError, match=f"No event or run {EVENT}"):
        client.find(UUID(EVENT), "/a", "/c")


@pytest.mark.parametrize(
    ("status", "kind", "exit_code"),
    [
        (400, InvalidError, 2),
        (404, UnknownError, 1),
        (405, RefusedError, 1),
        (409, RefusedError, 1),
        (413, InvalidError, 2),
        (415, InvalidError, 2),
        (422, InvalidError, 2),
        (500, UnreachableError, 4),
        (503, UnreachableError, 4),
    ],
)
def test_a_problem_document_is_an_error(
    server: Server, status: int, kind: type[ServerError], exit_code: int
) -> None:
    errors = [{"pointer": "#/id", "detail": "missing"}]
    server.replies["GET /thing"] = problem(status, "Title", "The problem", errors=errors)
    with pytest.raises(ServerError) as caught:
        Client(server.url).get("/thing", "uuid")
    assert type(caught.value) is kind
    assert caught.value.exit_code == exit_code
    assert str(caught.value).endswith("Title: The problem\n#/id: missing")


@pytest.mark.parametrize(
    "reply",
    [
        Reply(b"<html>hello</html>"),
        Reply(b""),
        Reply([]),
        Reply({"other": 1}),
        Reply(b"[" * 100_000),
        Reply(b"<html>Bad Gateway</html>", 502),
        Reply(b"<html>who are you?</html>", 401),
        Reply({"detail": "no title", "errors": [1]}, 400),
        Reply(b"", 302, {"Location": "https://elsewhere.example.org/"}),
    ],
)
def test_another_server_is_not_taken_for_a_dispatcher(server: Server, reply: Reply) -> None:
    server.replies["GET /thing"] = reply
    with pytest.raises(
        UnreachableError, match=r"does not look like a dispatcher: .*; check the URL"
    ):
        Client(server.url).get("/thing", "uuid")


def test_a_closed_port_is_unreachable() -> None:
    with pytest.raises(UnreachableError, match="does not respond: Connection refused"):
        Client(f"http://127.0.0.1:{free_port()}").get("/thing", "uuid")


def test_an_unknown_host_is_unreachable() -> None:
    with pytest.raises(UnreachableError, match=r"http://no-such-host.invalid does not respond: "):
        Client("http://no-such-host.invalid").get("/thing", "uuid")


def test_a_silent_server_is_unreachable(server: Server) -> None:
    server.silent = True
    with pytest.raises(UnreachableError, match=r"does not respond: .*timed out"):
        Client(server.url, read=0.2).get("/thing", "uuid")


def test_a_response_cut_off_is_an_error(server: Server) -> None:
    server.replies["GET /thing"] = Reply(b'{"uuid": ', headers=_CUT_OFF)
    with pytest.raises(UnreachableError, match="does not respond"):
        Client(server.url, read=0.2).get("/thing", "uuid")


def test_a_text_is_yielded_as_it_arrives() -> None:
    # A chunk ends inside a character, and the next is sent only after the first has been read.
    read = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            connection.sendall(b"4\r\none\xc3\r\n")
            assert read.wait(DEADLINE)
            connection.sendall(b"2\r\n\xbc!\r\n0\r\n\r\n")

    thread = threading.Thread(target=serve)
    thread.start()
    with listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        pieces = Client(url).text("/output", {})
        assert next(pieces) == "one"
        read.set()
        assert "".join(pieces) == "ü!"
        thread.join()


def test_a_text_cut_off_is_an_error(server: Server) -> None:
    server.replies["GET /output"] = Reply(b"partial", headers=_CUT_OFF)
    with pytest.raises(UnreachableError, match="does not respond"):
        list(Client(server.url).text("/output", {}))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:8069",
        "ftp://host",
        "http://",
        "http://h:99999",
        "http://a b",
        "http://h/?a=b",
    ],
)
def test_an_invalid_url_is_refused(url: str) -> None:
    with pytest.raises(UrlError):
        Client(url)


@pytest.mark.parametrize("url", ["unix:", "unix:a\0b"])
def test_an_invalid_socket_is_refused(url: str) -> None:
    with pytest.raises(UrlError, match="expected the path of a socket"):
        Client(url)


def test_a_socket_without_a_server_is_named(tmp_path: Path) -> None:
    for file in (tmp_path / "none.sock", tmp_path / ("x" * 200)):
        with pytest.raises(UnreachableError, match=f"unix:{file} does not respond: "):
            Client(f"unix:{file}").get("/workers", "workers")


def test_a_certificate_is_checked(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    # Only authorities in $SSL_CERT_FILE, or of the system, are trusted.
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.replies["GET /thing"] = Reply({"uuid": "1"})
    url = server.url.replace("http", "https")
    with pytest.raises(UnreachableError, match="certificate verify failed"):
        Client(url).get("/thing", "uuid")
    with authority.cert_pem.tempfile() as file:
        monkeypatch.setenv("SSL_CERT_FILE", file)
        assert Client(url).get("/thing", "uuid") == {"uuid": "1"}
