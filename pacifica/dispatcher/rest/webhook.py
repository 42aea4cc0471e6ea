"""The handshake of senders that ask before they deliver.

CloudEvents "HTTP 1.1 Web Hooks for Event Delivery" 1.0.2, section 4.
"""

import logging
import re
import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from http.client import HTTPException, HTTPSConnection
from typing import Final
from urllib.parse import urlsplit

from pacifica.dispatcher.config import WebhookSettings

_log = logging.getLogger(__name__)

_URL: Final = re.compile(r"[!-~]{1,4096}")
_AT_ONCE: Final = 4
_PATIENCE: Final = 10.0  # seconds


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
        connection = HTTPSConnection(parts.netloc, timeout=self._patience)
        end = threading.Timer(self._patience, _cut, (connection,))
        end.start()
        target = f"{parts.path or '/'}{parts.query and '?'}{parts.query}"
        try:
            connection.request("GET", target, headers={"WebHook-Allowed-Rate": self._settings.rate})
            status = connection.getresponse().status  # a redirect is a refusal like any other
            _log.info("called back %s, which answered %d", parts.netloc, status)
        except (OSError, HTTPException) as exc:
            _log.warning("cannot call back %s: %s", parts.netloc, type(exc).__name__)
        finally:
            end.cancel()
            connection.close()
            self._room.release()


def _cut(connection: HTTPSConnection) -> None:
    """End a call, whatever it waits for: a timeout counts from the last byte that came."""
    with suppress(OSError):
        if connection.sock is not None:
            connection.sock.shutdown(socket.SHUT_RDWR)
