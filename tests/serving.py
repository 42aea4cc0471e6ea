"""Web tiers of each kind, and checks that they serve others meanwhile."""

import http.client
import json
import shutil
import ssl
import sys
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psutil

from chaos.journal import now
from chaos.lag import LagMeter
from harness import Site, raw
from harness.ports import HOST

BUILT_IN: Final = "built-in"
BY_GUNICORN: Final[Mapping[str, tuple[str, ...]]] = {
    "sync": ("--worker-class", "sync"),
    "gthread": ("--threads", "64"),
}
SERVERS: Final = (BUILT_IN, *BY_GUNICORN)

_HEALTH_LIMIT: Final = 1.0  # seconds
_EVENT_LIMIT: Final = 2.0
_FAULTS: Final = ("Traceback", "request.failed", "server.failed")


def start(site: Site, kind: str) -> psutil.Process:
    """Start a web tier; return the process that serves."""
    if kind == BUILT_IN:
        return psutil.Process(site.start_web().pid)
    gunicorn = shutil.which("gunicorn", path=str(Path(sys.executable).parent))
    assert gunicorn
    options = ("--bind", f"{HOST}:{site.port}", *BY_GUNICORN[kind])
    process = site.start(gunicorn, *options, "pacifica.dispatcher.wsgi:application")
    site.wait_listening(process)
    [serving] = psutil.Process(process.pid).children()
    return serving


def check_log(site: Site) -> None:
    """Check that the log has no internal error."""
    for fault in _FAULTS:
        assert fault not in site.logs(), site.logs()[-4000:]


def check_served(port: int, context: ssl.SSLContext | None = None, times: int = 3) -> None:
    """Check that the server is alive and accepts events, each time in its limit.

    What the machine kept a small process waiting for meanwhile is not the server's.
    """
    meter = LagMeter()
    meter.start()
    try:
        spans = [_timed_span(port, context) for _ in range(times)]
    finally:
        lag = meter.stop()
    for begin, alive, end in spans:
        assert alive - begin < _HEALTH_LIMIT + lag.during(begin, alive)
        assert end - alive < _EVENT_LIMIT + lag.during(alive, end)


def _timed_span(port: int, context: ssl.SSLContext | None) -> tuple[float, float, float]:
    begin = now()
    assert ask(port, "GET", "/health/live", b"", context) == 200
    alive = now()
    event = {"specversion": "1.0", "id": uuid.uuid4().hex, "source": "/slow", "type": "none"}
    assert ask(port, "POST", "/receive", json.dumps(event).encode(), context) == 202
    return begin, alive, now()


def ask(port: int, method: str, path: str, body: bytes, context: ssl.SSLContext | None) -> int:
    """Send a request on a new connection; return the status."""
    if context is None:
        connection = http.client.HTTPConnection(HOST, port, timeout=raw.DEADLINE)
    else:
        connection = http.client.HTTPSConnection(HOST, port, timeout=raw.DEADLINE, context=context)
    try:
        connection.request(method, path, body, {"Content-Type": "application/cloudevents+json"})
        response = connection.getresponse()
        response.read()
        return response.status
    finally:
        connection.close()


@contextmanager
def largest_memory(process: psutil.Process) -> Iterator[list[int]]:
    """Measure the memory of a process: yield a list of the first and, at the end, the most."""
    measured = [int(process.memory_info().rss)]
    stop = threading.Event()

    def measure() -> None:
        while not stop.wait(0.05):
            measured.append(int(process.memory_info().rss))

    measuring = threading.Thread(target=measure)
    measuring.start()
    try:
        yield measured
    finally:
        stop.set()
        measuring.join()
        measured.append(max(measured))
