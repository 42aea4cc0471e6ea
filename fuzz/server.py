"""The built-in server on a loopback port, judged by an independent parser of HTTP/1.1."""

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

import cherrypy
import h11

from pacifica.dispatcher import rest, telemetry
from pacifica.dispatcher.telemetry import ERROR, Record

_HOST: Final = "127.0.0.1"
_STATUS: Final = re.compile(rb"^HTTP/1\.[01] ([2-9][0-9]{2}) ", re.MULTILINE)
_MAX_BODY: Final = 1024**2
_DEADLINE: Final = 10.0  # seconds for all responses
_HEALTH: Final = b"GET /health/live HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
_HEALTH_LIMIT: Final = 1.0  # seconds
_LINE_END: Final = b"\r\n"
_ACCEPTED: Final = 202
_REFUSALS: Final = frozenset({400, 408, 413, 414, 417, 431, 501, 503, 505})
_EXPECTED: Final = frozenset({501, 503, 505})


@dataclass(frozen=True, slots=True)
class _Running:
    port: int
    errors: list[Record] = field(default_factory=list)


def find_fault(application: Callable[..., Any], data: bytes) -> str:
    """Send bytes to the server; return what is wrong with its responses, or "".

    There must not be more responses than whole requests and one refusal, and not more accepted
    deliveries than requests that could have made them. Another client must be served at once.
    """
    server = _run(application)
    server.errors.clear()
    statuses = [int(each) for each in _STATUS.findall(_exchange(server.port, data))]
    methods = list(_requests(data))
    answered = statuses[:-1] if statuses and statuses[-1] in _REFUSALS else statuses
    began = time.monotonic()
    health = _exchange(server.port, _HEALTH)
    waited = time.monotonic() - began
    checks = {
        "more responses than requests": len(answered) > len(methods),
        "more deliveries than requests": statuses.count(_ACCEPTED) > methods.count(b"POST"),
        "an internal error": any(each >= 500 and each not in _EXPECTED for each in statuses),  # noqa: PLR2004
        "another client is not served": not health.startswith(b"HTTP/1.1 200 "),
        f"another client waits for {waited:.1f} s": waited > _HEALTH_LIMIT,
        f"errors in the log: {server.errors}": bool(server.errors),
    }
    faults = [each for each, is_wrong in checks.items() if is_wrong]
    return f"{'; '.join(faults)}: {statuses} for {methods}" if faults else ""


@cache
def _run(application: Callable[..., Any]) -> _Running:
    server = rest.Server(cherrypy.server, application, rest.Limits(max_body=lambda _: _MAX_BODY))
    server.bind_addr = (_HOST, 0)
    server.requests.min = 4
    server.prepare()
    threading.Thread(target=server.serve, daemon=True).start()
    running = _Running(server.bind_addr[1])
    telemetry.add_handler(
        lambda record: running.errors.append(record) if record.level >= ERROR else None
    )
    return running


def _exchange(port: int, data: bytes) -> bytes:
    """Send bytes, close the client's half, and return everything that comes back."""
    received = bytearray()
    with socket.create_connection((_HOST, port), _DEADLINE) as connection:
        with suppress(ConnectionError):  # the server refuses the beginning
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
        with suppress(ConnectionError):
            while more := connection.recv(64 * 1024):
                received += more
    return bytes(received)


def _requests(data: bytes) -> Iterator[bytes]:
    """Yield the method of each whole request, as h11 reads them."""
    while data:
        data = data.removeprefix(_LINE_END)
        parser = h11.Connection(h11.SERVER, max_incomplete_event_size=2 * _MAX_BODY)
        parser.receive_data(data)
        head: h11.Request | None = None
        try:
            while not isinstance(event := parser.next_event(), h11.EndOfMessage):
                if isinstance(event, h11.Request):
                    head = event
                elif not isinstance(event, h11.Data):
                    return
        except h11.RemoteProtocolError:
            return
        assert head is not None  # noqa: S101 - it precedes the end
        yield head.method
        data, _ = parser.trailing_data
