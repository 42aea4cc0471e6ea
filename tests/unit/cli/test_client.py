"""The HTTP client: what it asks, and what answers are to it."""

import base64
import socket
import ssl
import threading
from uuid import UUID

import pytest
import trustme

from pacifica.dispatcher.cli.client import (
    Client,
    NothingThereError,
    RefusedError,
    ServerError,
    UnreachableError,
    UrlError,
    WrongError,
)
from tests.support import free_port
from tests.unit.cli.conftest import EVENT, Said, Server, problem

_CUT_OFF = {"Content-Length": "100", "Connection": "close"}


def test_a_document_is_asked_for(server: Server) -> None:
    server.says["GET /thing"] = Said({"uuid": "1"})
    assert Client(server.url).get("/thing", "uuid", {"a": "b c"}) == {"uuid": "1"}
    [sent] = server.sent
    assert sent.path == "/thing?a=b+c"
    assert sent.headers["Accept"] == "application/json"


def test_a_body_is_posted(server: Server) -> None:
    server.says["POST /receive"] = Said({"uuid": "1"}, 202)
    Client(server.url).post("/receive", "uuid", b"{}", "application/cloudevents+json")
    [sent] = server.sent
    assert (sent.body, sent.headers["Content-Type"]) == (b"{}", "application/cloudevents+json")


def test_a_server_may_stand_below_a_path_behind_a_password(server: Server) -> None:
    server.says["GET /below/here/thing"] = Said({"uuid": "1"})
    host = server.url.removeprefix("http://")
    client = Client(f"http://me:se%40cret@{host}/below/here/")
    client.get("/thing", "uuid")
    authorization = server.sent[0].headers["Authorization"]
    assert base64.b64decode(authorization.removeprefix("Basic ")) == b"me:se@cret"
    assert "cret" not in client.url


def test_pages_are_followed_to_the_last_one(server: Server) -> None:
    """A page may be empty and not be the last; the path of the link is the server's own."""
    server.says["GET /below/events?limit=2"] = Said(
        {"events": [{"uuid": "1"}, {"uuid": "2"}]},
        headers={"Link": '</events?limit=2&before=2>; rel="next"'},
    )
    server.says["GET /below/events?limit=2&before=2"] = Said(
        {"events": []}, headers={"Link": '</events?limit=2&before=9>; rel="next"'}
    )
    server.says["GET /below/events?limit=2&before=9"] = Said({"events": [{"uuid": "3"}]})
    pages = Client(f"{server.url}/below").pages("/events", "events", {"limit": 2})
    assert [[each["uuid"] for each in page] for page in pages] == [["1", "2"], [], ["3"]]


def test_the_first_place_that_knows_a_uuid_is_found(server: Server) -> None:
    server.says[f"GET /b/{EVENT}"] = Said({"status": "queued"})
    client = Client(server.url)
    assert client.find(UUID(EVENT), "/a", "/b") == (f"/b/{EVENT}", {"status": "queued"})
    with pytest.raises(NothingThereError, match=f"there is no event and no run {EVENT}"):
        client.find(UUID(EVENT), "/a", "/c")


@pytest.mark.parametrize(
    ("status", "kind", "exit_code"),
    [
        (400, WrongError, 2),
        (404, NothingThereError, 1),
        (405, RefusedError, 1),
        (409, RefusedError, 1),
        (413, WrongError, 2),
        (415, WrongError, 2),
        (422, WrongError, 2),
        (500, UnreachableError, 4),
        (503, UnreachableError, 4),
    ],
)
def test_a_problem_is_an_error_in_sentences(
    server: Server, status: int, kind: type[ServerError], exit_code: int
) -> None:
    errors = [{"pointer": "#/id", "detail": "this is missing"}]
    server.says["GET /thing"] = problem(status, "Title", "what is wrong", errors=errors)
    with pytest.raises(ServerError) as caught:
        Client(server.url).get("/thing", "uuid")
    assert type(caught.value) is kind
    assert caught.value.exit_code == exit_code
    assert str(caught.value).endswith("Title: what is wrong\n#/id: this is missing")


@pytest.mark.parametrize(
    "said",
    [
        Said(b"<html>hello</html>"),
        Said(b""),
        Said([]),
        Said({"other": 1}),
        Said(b"[" * 100_000),
        Said(b"<html>Bad Gateway</html>", 502),
        Said(b"<html>who are you?</html>", 401),
        Said({"detail": "no title", "errors": [1]}, 400),
        Said(b"", 302, {"Location": "https://elsewhere.example.org/"}),
    ],
)
def test_what_is_no_dispatcher_is_told_from_one(server: Server, said: Said) -> None:
    server.says["GET /thing"] = said
    with pytest.raises(UnreachableError, match=r"not as a dispatcher does; is the URL right"):
        Client(server.url).get("/thing", "uuid")


def test_where_nobody_listens_nobody_answers() -> None:
    with pytest.raises(UnreachableError, match="does not answer: Connection refused"):
        Client(f"http://127.0.0.1:{free_port()}").get("/thing", "uuid")


def test_a_host_that_does_not_exist_is_named() -> None:
    with pytest.raises(UnreachableError, match=r"http://no-such-host.invalid does not answer: "):
        Client("http://no-such-host.invalid").get("/thing", "uuid")


def test_a_server_that_says_nothing_is_given_up(server: Server) -> None:
    server.silent = True
    with pytest.raises(UnreachableError, match=r"does not answer: .*timed out"):
        Client(server.url, answer=0.2).get("/thing", "uuid")


def test_an_answer_that_ends_early_is_no_answer(server: Server) -> None:
    server.says["GET /thing"] = Said(b'{"uuid": ', headers=_CUT_OFF)
    with pytest.raises(UnreachableError, match="does not answer"):
        Client(server.url, answer=0.2).get("/thing", "uuid")


def test_a_text_comes_as_it_is_sent() -> None:
    """In chunks that cut a character in two; the next one is sent when the first was read."""
    read = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            connection.sendall(b"4\r\none\xc3\r\n")
            assert read.wait(10)
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


def test_a_text_that_is_cut_off_is_an_error(server: Server) -> None:
    server.says["GET /output"] = Said(b"begun", headers=_CUT_OFF)
    with pytest.raises(UnreachableError, match="does not answer"):
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
def test_a_url_must_be_one_of_http(url: str) -> None:
    with pytest.raises(UrlError):
        Client(url)


def test_a_certificate_is_checked(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """By those that the system trusts, and those of SSL_CERT_FILE."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.says["GET /thing"] = Said({"uuid": "1"})
    url = server.url.replace("http", "https")
    with pytest.raises(UnreachableError, match="certificate verify failed"):
        Client(url).get("/thing", "uuid")
    with authority.cert_pem.tempfile() as file:
        monkeypatch.setenv("SSL_CERT_FILE", file)
        assert Client(url).get("/thing", "uuid") == {"uuid": "1"}
