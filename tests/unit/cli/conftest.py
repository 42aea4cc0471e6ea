"""A small HTTP server that answers as it is told, and the command line that asks it."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pacifica.dispatcher.cli import main

EVENT = "01a209a6-de79-792e-b3d9-4c43386c993a"
RUN = "01a209a6-de7a-713c-b057-217dea95c68a"
OTHER = "01a209a6-de7b-7000-8000-000000000000"


@dataclass(frozen=True)
class Sent:
    """A request that came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Said:
    """An answer: its body is JSON unless it is bytes."""

    body: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


class Server(ThreadingHTTPServer):
    """Answers each request with what stands for its method and path; else there is nothing."""

    daemon_threads = True

    def __init__(self) -> None:
        """Listen on a free port."""
        super().__init__(("127.0.0.1", 0), _Handler)
        self.says: dict[str, Said | list[Said]] = {}
        self.sent: list[Sent] = []
        self.silent = False
        self.ended = threading.Event()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def asked(self) -> list[str]:
        """The requests that came, without their bodies."""
        return [f"{each.method} {each.path}" for each in self.sent]

    def answer(self, asked: str) -> Said:
        """What stands for a request; of several answers the next one, the last one for good."""
        said = self.says.get(asked) or self.says.get(asked.partition("?")[0])
        if isinstance(said, list):
            return said.pop(0) if len(said) > 1 else said[0]
        return said or problem(404, "Not Found", "there is nothing at this address")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length", "0"))
        headers = {name.title(): value for name, value in self.headers.items()}
        sent = Sent(self.command, self.path, headers, self.rfile.read(length))
        self.server.sent.append(sent)
        if self.server.silent:
            self.close_connection = True
            self.server.ended.wait()
            return
        said = self.server.answer(f"{self.command} {self.path}")
        body = said.body if isinstance(said.body, bytes) else json.dumps(said.body).encode()
        self.send_response(said.status)
        for name, value in {"Content-Length": str(len(body)), **said.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815 - the library's name

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    """A server that knows nothing yet."""
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.ended.set()
    server.shutdown()
    thread.join()
    server.server_close()


def problem(status: int, title: str, detail: str, **more: Any) -> Said:  # noqa: ANN401 - JSON
    """An answer that is a problem document."""
    document = {"type": "about:blank", "title": title, "status": status, "detail": detail, **more}
    return Said(document, status, {"Content-Type": "application/problem+json"})


def ask(server: Server, *arguments: str, stdin: str | bytes | None = None) -> Result:
    """Run a command that asks the server."""
    environment = {"DISPATCHER_URL": server.url, "TZ": "UTC"}
    result = CliRunner().invoke(main, arguments, input=stdin, env=environment)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def run_document(**members: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """A run, as a server gives it."""
    return {
        "uuid": RUN,
        "application": "hello",
        "status": "succeeded",
        "attempt": 1,
        "exit_code": 0,
        "signal": None,
        "result": None,
        "error": None,
        "queued": "2026-11-23T18:24:20.601Z",
        "started": "2026-11-23T18:24:20.619Z",
        "finished": "2026-11-23T18:24:21.623Z",
        "host": "vm",
        "due": None,
        "crashes": 0,
        "cancelling": False,
        "origin": None,
        "superseded": False,
        **members,
    }


def attempt_document(**members: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """An attempt, as a server gives it."""
    return {
        "number": 1,
        "host": "vm",
        "started": "2026-11-23T18:24:20.619Z",
        "finished": "2026-11-23T18:24:21.623Z",
        "exit_code": 0,
        "signal": None,
        "error": None,
        **members,
    }


def status_document(**members: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """What became of an event, as a server gives it."""
    return {
        "uuid": EVENT,
        "status": "succeeded",
        "result": None,
        "event": {"specversion": "1.0", "id": "1", "source": "/readme", "type": "org.example"},
        "received": "2026-11-23T18:24:20.601Z",
        "runs": [run_document()],
        **members,
    }
