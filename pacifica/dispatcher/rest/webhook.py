"""The handshake of senders that ask before they deliver.

CloudEvents "HTTP 1.1 Web Hooks for Event Delivery" 1.0.2, section 4.
"""

import logging
import re
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from pacifica.dispatcher.config import WebhookSettings

_log = logging.getLogger(__name__)

_URL: Final = re.compile(r"[!-~]{1,4096}")
_AT_ONCE: Final = 4
_PATIENCE: Final = 10.0  # seconds
_STATUS_LINE: Final = 1024  # bytes of an answer that are looked at


class Webhook:
    """Who may deliver, and the calls by which that is told to those who want to be called."""

    def __init__(self, settings: WebhookSettings, patience: float = _PATIENCE) -> None:
        """Permit what the settings say.

        Args:
            settings: the section [webhook].
            patience: seconds that a call may take.
        """
        self._settings = settings
        self._patience = patience
        self._room = threading.BoundedSemaphore(_AT_ONCE)

    def permission(self, origin: str) -> Mapping[str, str]:
        """The headers that permit a sender to deliver (section 4.2); none when it may not.

        Args:
            origin: what it sent as `WebHook-Request-Origin`.
        """
        allowed = self._settings.allowed_origins
        if not origin or not allowed & {origin, "*"}:
            return {}
        return {
            "WebHook-Allowed-Origin": origin if origin in allowed else "*",
            "WebHook-Allowed-Rate": self._settings.rate,
        }

    def may_call(self, url: str) -> bool:
        """Whether a `WebHook-Request-Callback` is over https, and to a host that is configured."""
        if not _URL.fullmatch(url):
            return False
        try:
            parts = urlsplit(url)
        except ValueError:
            return False
        host = parts.netloc.lower().removesuffix(":443")
        return parts.scheme == "https" and host in self._settings.callback_hosts

    def call(self, url: str) -> None:
        """Permit a sender to deliver by a request to its URL, in a thread (section 4.1.3).

        What comes while others are under way, as many as there may be, is dropped: the sender asks
        again.
        """
        if not self._room.acquire(blocking=False):
            _log.warning("too many senders want to be called back; one is not")
            return
        threading.Thread(target=self._call, args=(url,), daemon=True).start()

    def _call(self, url: str) -> None:
        parts = urlsplit(url)
        deadline = time.monotonic() + self._patience
        request = (
            f"GET {parts.path or '/'}{parts.query and '?'}{parts.query} HTTP/1.1\r\n"
            f"Host: {parts.netloc}\r\n"
            f"WebHook-Allowed-Rate: {self._settings.rate}\r\n"
            "Connection: close\r\n\r\n"
        )
        try:
            with _connected(parts.hostname or "", parts.port or 443, deadline) as connection:
                _limit(connection, deadline)
                connection.do_handshake()
                connection.sendall(request.encode("ascii"))
                answer = _first_line(connection, deadline)  # a redirect is a refusal like any other
            _log.info("called back %s, which answered %s", parts.netloc, _status(answer))
        except (OSError, ValueError) as exc:  # ValueError: a host that can be none
            _log.warning("cannot call back %s: %s", parts.netloc, type(exc).__name__)
        finally:
            self._room.release()


def _connected(host: str, port: int, deadline: float) -> ssl.SSLSocket:
    """A connection to the first address of a host that takes it; its handshake is yet to come.

    What is wrapped is not connected yet: of a connection that the other side resets at once, the
    wrapping fails and leaves a socket that nobody can close.

    Raises:
        OSError: no address takes it in time.
        ValueError: there can be no such host.
    """
    context = ssl.create_default_context()
    refused = OSError("the host has no address")
    for family, kind, protocol, _, address in socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM
    ):
        connection = context.wrap_socket(
            socket.socket(family, kind, protocol),
            server_hostname=host,
            do_handshake_on_connect=False,
        )
        try:
            _limit(connection, deadline)
            connection.connect(address)
        except OSError as exc:
            connection.close()
            refused = exc
        else:
            return connection
    raise refused


def _first_line(connection: ssl.SSLSocket, deadline: float) -> bytes:
    """What comes up to the first line's end, or as much of it as a status is in."""
    received = b""
    while b"\n" not in received and len(received) < _STATUS_LINE:
        _limit(connection, deadline)
        more = connection.recv(_STATUS_LINE)
        if not more:
            break
        received += more
    return received


def _status(answer: bytes) -> str:
    """The status that an answer begins with."""
    match = re.match(rb"HTTP/1\.[01] (\d{3})\b", answer)
    return match[1].decode("ascii") if match else "no HTTP"


def _limit(connection: ssl.SSLSocket, deadline: float) -> None:
    """Let the connection's next step take what time is left: a timeout is of one step alone.

    Raises:
        TimeoutError: none is left.
    """
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    connection.settimeout(left)
