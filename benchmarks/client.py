"""The sender: prepared requests over keep-alive connections, in a separate process."""

import argparse
import json
import selectors
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

CONNECTIONS: Final = 8
TYPE: Final = "org.example.bench"

_SINGLE: Final = "application/cloudevents+json"
_BATCH: Final = "application/cloudevents-batch+json"
_SEND_BUFFER: Final = 4 * 1024**2


@dataclass(frozen=True, slots=True)
class Load:
    """The duration of sending events, and the seconds for which the sender was busy."""

    events: int
    seconds: float
    busy: float

    @property
    def rate(self) -> float:
        """Events per second."""
        return self.events / self.seconds


class Connection:
    """A keep-alive connection with one pending request at a time."""

    def __init__(self, url: str) -> None:
        """Connect to the server of a URL."""
        address = urlsplit(url)
        assert address.hostname
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.connect((address.hostname, address.port or 80))
        self._received = b""

    def send(self, request: bytes) -> None:
        """Send a request."""
        self.socket.sendall(request)

    def receive(self) -> bytes | None:
        """Read the next data; return the body once the response is complete."""
        data = self.socket.recv(1024**2)
        assert data, f"the server closed the connection after {self._received[:200]!r}"
        self._received += data
        head, ended, body = self._received.partition(b"\r\n\r\n")
        if not ended or len(body) < int(head.lower().partition(b"content-length: ")[2].split()[0]):
            return None
        assert head.split(b" ", 2)[1] == b"202", self._received[:500]
        self._received = b""
        return body

    def exchange(self, request: bytes) -> bytes:
        """Send a request and return the body of the response."""
        self.send(request)
        while (body := self.receive()) is None:
            pass
        return body


def requests(count: int, batch: int = 1) -> Iterator[bytes]:
    """Yield requests with distinct events of about 1 KB.

    Args:
        count: the number of events.
        batch: the number of events per request; 1 for single events.
    """
    name = uuid.uuid4().hex
    for first in range(0, count, batch):
        events = [_event(name, number) for number in range(first, min(first + batch, count))]
        body = json.dumps(events if batch > 1 else events[0]).encode()
        head = (
            "POST /receive HTTP/1.1\r\nHost: bench\r\n"
            f"Content-Type: {_BATCH if batch > 1 else _SINGLE}\r\nContent-Length: {len(body)}\r\n"
        )
        yield f"{head}\r\n".encode() + body


def _event(name: str, number: int) -> dict[str, object]:
    files = [
        {
            "destinationTable": "Files",
            "_id": number * 10 + index,
            "name": f"spectrum-{number}-{index}.raw",
            "subdir": f"instruments/{name}/2026/11/23",
            "hashsum": f"{number * 10 + index:064x}",
            "hashtype": "sha256",
        }
        for index in range(3)
    ]
    return {
        "specversion": "1.0",
        "id": f"{name}-{number}",
        "source": "http://metadata.example.org/transactions",
        "type": TYPE,
        "time": "2026-11-23T16:57:37Z",
        "datacontenttype": "application/json",
        "data": files,
    }


def send(url: str, count: int, batch: int = 1) -> Load:
    """Send events from a separate process as fast as the server accepts them.

    Args:
        url: the server's URL.
        count: the number of events.
        batch: the number of events per request; 1 for single events.
    """
    command = [sys.executable, "-m", "benchmarks.client", url, str(count), str(batch)]
    root = Path(__file__).parent.parent
    done = subprocess.run(
        command, cwd=root, stdout=subprocess.PIPE, check=True, start_new_session=True
    )
    return Load(**json.loads(done.stdout))


def _send_here(url: str, count: int, batch: int) -> Load:
    prepared = iter(list(requests(count, batch)))
    with selectors.DefaultSelector() as selector:
        for _ in range(CONNECTIONS):
            connection = Connection(url)
            selector.register(connection.socket, selectors.EVENT_READ, connection)
        started, busy = time.perf_counter(), time.process_time()
        for key in list(selector.get_map().values()):
            _send_next(key.data, prepared, selector)
        while selector.get_map():
            for key, _ in selector.select():
                if key.data.receive() is not None:
                    _send_next(key.data, prepared, selector)
        return Load(count, time.perf_counter() - started, time.process_time() - busy)


def _send_next(
    connection: Connection, prepared: Iterator[bytes], selector: selectors.BaseSelector
) -> None:
    request = next(prepared, None)
    if request is None:
        selector.unregister(connection.socket)
    else:
        connection.send(request)


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("count", type=int)
    parser.add_argument("batch", type=int)
    print(json.dumps(asdict(_send_here(**vars(parser.parse_args())))))


if __name__ == "__main__":
    _main()
