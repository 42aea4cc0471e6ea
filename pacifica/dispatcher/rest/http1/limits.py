"""The limits of the server: time, memory and connections that clients may take."""

from collections.abc import Callable
from dataclasses import dataclass

from pacifica.dispatcher.rest.http1.syntax import Head


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a server.

    Attributes:
        max_body: returns the maximum number of bytes of a request's body, by its head.
        head_timeout: seconds for a whole head, for a TLS handshake, and in which bodies and
            responses may be slower than `min_rate`.
        min_rate: bytes per second, on average, at which clients send bodies and take responses.
        keep_alive: seconds for which an idle connection is kept.
        per_address: maximum number of connections of an address; 0 for any number.
        max_head: maximum number of bytes of a request's head.
        max_received: maximum number of bytes of all requests that are not complete.
        max_unsent: maximum number of bytes of all responses that clients have not taken.
    """

    max_body: Callable[[Head], int]
    head_timeout: float = 10.0
    min_rate: int = 1024
    keep_alive: float = 75.0
    per_address: int = 250
    max_head: int = 64 * 1024
    max_received: int = 256 * 1024**2
    max_unsent: int = 256 * 1024**2
