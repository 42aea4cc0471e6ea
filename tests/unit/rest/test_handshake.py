"""The handshake with senders that request permission; calls reach a real server."""

import re
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import trustme

from harness import wait_until
from pacifica.dispatcher import rest
from pacifica.dispatcher.config import WebhookSettings
from tests.unit.rest.factories import Client, Response

PATHS = ["/receive", "/events", "/"]
GRID = "eventgrid.azure.net"


def request_permission(
    context: rest.Context, settings: WebhookSettings, path: str = "/receive", **headers: str
) -> Response:
    """Request permission to deliver; header names are given without `WebHook-Request-`."""
    named = {f"webhook_request_{name}": text for name, text in headers.items()}
    client = Client(replace(context, handshake=rest.Handshake(settings, time_limit=1.0)))
    return client.request("OPTIONS", path, None, **named)


def granted(response: Response) -> tuple[str | None, str | None]:
    """Return the allowed origin and rate."""
    headers = response.headers
    return headers.get("webhook-allowed-origin"), headers.get("webhook-allowed-rate")


def origins(*names: str, rate: str = "*") -> WebhookSettings:
    """Return settings that allow these senders."""
    return WebhookSettings(frozenset(names), rate)


@pytest.mark.parametrize("path", PATHS)
def test_an_allowed_sender_gets_permission(context: rest.Context, path: str) -> None:
    response = request_permission(
        context, origins("a.org", GRID, rate="120"), path, origin=GRID, rate="1000"
    )
    assert (response.status, response.body) == (200, b"")
    assert granted(response) == (GRID, "120")
    assert "POST" in response.headers["allow"]


@pytest.mark.parametrize(
    ("allowed", "origin"),
    [
        ((), GRID),
        ((GRID,), "EventGrid.azure.net"),
        ((GRID,), "x.eventgrid.azure.net"),
        ((GRID,), f"{GRID}, {GRID}"),
        ((GRID,), "*"),
        ((GRID,), ""),
        (("*",), ""),
    ],
)
def test_another_sender_gets_no_permission(
    context: rest.Context, allowed: tuple[str, ...], origin: str
) -> None:
    response = request_permission(context, origins(*allowed), origin=origin)
    assert (response.status, granted(response)) == (200, (None, None))


@pytest.mark.parametrize(("origin", "allowed"), [(GRID, GRID), ("b.org", "*"), ("é\r\nx: y", "*")])
def test_all_senders_may_be_allowed(context: rest.Context, origin: str, allowed: str) -> None:
    assert granted(request_permission(context, origins("*", GRID), origin=origin)) == (allowed, "*")


def test_without_a_request_for_permission_only_methods_are_listed(context: rest.Context) -> None:
    response = request_permission(context, origins("*"))
    assert (response.status, granted(response)) == (200, (None, None))
    assert set(response.headers["allow"].split(", ")) == {"OPTIONS", "POST"}


@dataclass
class Sender:
    """A server that expects a call.

    Attributes:
        requests: the targets of the received requests, with the rate that each allowed.
        status: the status of its responses.
        responds: no response is sent until this is set.
    """

    port: int = 0
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    status: int = 200
    responds: threading.Event = field(default_factory=threading.Event)

    @property
    def host(self) -> str:
        return f"localhost:{self.port}"

    def settings(self, *hosts: str) -> WebhookSettings:
        """Return settings that allow calls to it, or to these hosts."""
        return WebhookSettings(frozenset({GRID}), "120", frozenset(hosts or {self.host}))


@pytest.fixture
def sender(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sender]:
    """A sender that listens with TLS and has a trusted certificate."""
    sender = Sender()
    sender.responds.set()

    class Handler(BaseHTTPRequestHandler):
        """Records requests."""

        def do_GET(self) -> None:
            sender.requests.append((self.path, self.headers["WebHook-Allowed-Rate"]))
            with suppress(OSError):
                sender.responds.wait()
                self.send_response(sender.status)
                self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    server = ThreadingHTTPServer(("localhost", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    sender.port = server.server_port
    threading.Thread(target=server.serve_forever, args=(0.05,)).start()
    yield sender
    sender.responds.set()
    server.shutdown()
    server.server_close()


def test_a_sender_is_called_back(context: rest.Context, sender: Sender) -> None:
    url = f"https://{sender.host}/confirm?id=1&key=a%2Fb#fragment"
    response = request_permission(context, sender.settings(), origin=GRID, callback=url)
    assert (response.status, granted(response)) == (200, (None, None))
    wait_until(lambda: sender.requests == [("/confirm?id=1&key=a%2Fb", "120")])


def test_a_confirmation_is_logged(
    context: rest.Context, sender: Sender, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    request_permission(context, sender.settings(), origin=GRID, callback=f"https://{sender.host}/")
    wait_until(lambda: f"handshake.confirmed host={sender.host} status=200" in caplog.text)


def test_a_redirect_is_a_refusal(
    context: rest.Context, sender: Sender, caplog: pytest.LogCaptureFixture
) -> None:
    sender.status = 302
    request_permission(context, sender.settings(), origin=GRID, callback=f"https://{sender.host}")
    wait_until(lambda: f"handshake.refused host={sender.host} status=302" in caplog.text)
    assert sender.requests == [("/", "120")]


@pytest.mark.parametrize(
    "callback",
    [
        "http://{host}/",
        "HTTP://{host}/",
        "//{host}/",
        "https://{host}.evil.org/",
        "https://user@{host}/",
        "https://evil.org\\@{host}/",
        "https://evil.org/{host}",
        "https://127.0.0.1:{port}/",
        "https://localhost/",
        "https://{host} /",
        "https://{host}/\u00e9",
        "https://[::1",
        "ftp://{host}/",
        "https://{host}/" + "a" * 4096,
    ],
    ids=lambda text: re.sub(r"\W+", " ", text)[:40],
)
def test_a_callback_to_another_host_is_ignored(
    context: rest.Context, sender: Sender, callback: str
) -> None:
    callback = callback.format(host=sender.host, port=sender.port)
    response = request_permission(context, sender.settings(), origin=GRID, callback=callback)
    assert granted(response) == (GRID, "120")
    assert sender.requests == []


def test_another_sender_is_not_called_back(context: rest.Context, sender: Sender) -> None:
    url = f"https://{sender.host}/"
    assert granted(
        request_permission(context, sender.settings(), origin="b.org", callback=url)
    ) == (None, None)
    assert sender.requests == []


def test_a_call_has_a_time_limit(
    context: rest.Context, sender: Sender, caplog: pytest.LogCaptureFixture
) -> None:
    sender.responds.clear()
    request_permission(context, sender.settings(), origin=GRID, callback=f"https://{sender.host}/")
    wait_until(lambda: f"handshake.failed host={sender.host} reason=" in caplog.text)


def test_an_untrusted_certificate_is_refused(
    context: rest.Context,
    sender: Sender,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    request_permission(context, sender.settings(), origin=GRID, callback=f"https://{sender.host}/")
    wait_until(lambda: "certificate verify failed" in caplog.text)
    assert sender.requests == []


def test_an_impossible_host_is_a_failure(
    context: rest.Context, caplog: pytest.LogCaptureFixture
) -> None:
    settings = WebhookSettings(frozenset({GRID}), "120", frozenset({"a..b"}))
    request_permission(context, settings, origin=GRID, callback="https://a..b/")
    wait_until(lambda: "handshake.failed host=a..b reason=" in caplog.text)


def test_at_most_four_calls_run_at_once(sender: Sender, caplog: pytest.LogCaptureFixture) -> None:
    sender.responds.clear()
    webhook = rest.Handshake(sender.settings())
    for _ in range(5):
        webhook.call(f"https://{sender.host}/")
    assert caplog.text.count("handshake.dropped") == 1
    wait_until(lambda: len(sender.requests) == 4)
    sender.responds.set()

    def is_called_again() -> bool:
        webhook.call(f"https://{sender.host}/again")
        return ("/again", "120") in sender.requests

    wait_until(is_called_again)
