"""The handshake with senders that request permission to deliver.

CloudEvents "HTTP 1.1 Web Hooks for Event Delivery" 1.0.2, section 4.
"""

import re
import threading
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from requests import RequestException

from pacifica.dispatcher import http_client
from pacifica.dispatcher.config import WebhookSettings
from pacifica.dispatcher.telemetry import WARNING, emit

_URL: Final = re.compile(r"[!-~]{1,4096}")
_MAX_CALLS: Final = 4
_TIME_LIMIT: Final = 10.0  # seconds


class Handshake:
    """Permission to deliver, granted in a response or by calling the sender back."""

    def __init__(self, settings: WebhookSettings, time_limit: float = _TIME_LIMIT) -> None:
        """Keep the settings.

        Args:
            settings: the section [webhook].
            time_limit: maximum duration of a call in seconds.
        """
        self._settings = settings
        self._time_limit = time_limit
        self._free = threading.BoundedSemaphore(_MAX_CALLS)

    def permission(self, origin: str) -> Mapping[str, str]:
        """Return the headers that permit a sender to deliver (section 4.2), or none if it may not.

        Args:
            origin: the sender's `WebHook-Request-Origin`.
        """
        allowed = self._settings.allowed_origins
        if not origin or not allowed & {origin, "*"}:
            return {}
        return {
            "WebHook-Allowed-Origin": origin if origin in allowed else "*",
            "WebHook-Allowed-Rate": self._settings.rate,
        }

    def may_call(self, url: str) -> bool:
        """Return True if a `WebHook-Request-Callback` uses https and a configured host."""
        if not _URL.fullmatch(url):
            return False
        try:
            parts = urlsplit(url)
        except ValueError:
            return False
        host = parts.netloc.lower().removesuffix(":443")
        return parts.scheme == "https" and host in self._settings.callback_hosts

    def call(self, url: str) -> None:
        """Permit a sender to deliver by calling its URL in a thread (section 4.1.3).

        Calls above the maximum number are dropped: the sender will ask again.
        """
        host = urlsplit(url).netloc
        if not self._free.acquire(blocking=False):
            emit("handshake.dropped", WARNING, host=host, calls=_MAX_CALLS)
            return
        threading.Thread(target=self._call, args=(url, host), daemon=True).start()

    def _call(self, url: str, host: str) -> None:
        try:
            status = self._status(url)
        except RequestException as exc:
            emit("handshake.failed", WARNING, host=host, reason=http_client.reason(exc))
        else:
            if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
                emit("handshake.confirmed", host=host, status=status)
            else:
                emit("handshake.refused", WARNING, host=host, status=status)
        finally:
            self._free.release()

    def _status(self, url: str) -> int:
        limit = self._time_limit
        headers = {"WebHook-Allowed-Rate": self._settings.rate}
        with (
            http_client.deadline(limit),
            http_client.Session(connect=limit, read=limit) as session,
            session.get(url, headers=headers, stream=True) as response,
        ):
            return response.status_code
