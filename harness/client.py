"""A minimal HTTP client."""

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from email.message import Message
from typing import Any

from harness.waiting import DEADLINE


@dataclass(frozen=True)
class Response:
    """An HTTP response."""

    status: int
    headers: Message
    body: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401 - JSON
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()


def http(
    url: str, body: bytes | None = None, method: str | None = None, **headers: str
) -> Response:
    """Send a request; underscores in header names stand for hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, body, named, method=method)  # noqa: S310 - our own server
    return send(request)


def send(request: urllib.request.Request, timeout: float = DEADLINE) -> Response:
    """Send a prepared request.

    Raises:
        OSError: the connection failed or timed out.
        http.client.HTTPException: the response is invalid or incomplete.
    """
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:  # noqa: S310
            return Response(response.status, response.headers, response.read())
    except urllib.error.HTTPError as exc:
        with exc:
            return Response(exc.code, exc.headers, exc.read())
