"""An HTTP server with prepared replies."""

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Request:
    """A received request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Reply:
    """A response to send; the body is JSON unless it is bytes."""

    body: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


class Server(ThreadingHTTPServer):
    """A server that sends the reply prepared for each method and path, or 404."""

    daemon_threads = True

    def __init__(self) -> None:
        """Listen on a free port."""
        super().__init__(("127.0.0.1", 0), _Handler)
        self.replies: dict[str, Reply | list[Reply]] = {}
        self.requests: list[Request] = []
        self.silent = False
        self.ended = threading.Event()

    @property
    def url(self) -> str:
        """The URL of the server."""
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def request_lines(self) -> list[str]:
        """The methods and paths of the received requests."""
        return [f"{each.method} {each.path}" for each in self.requests]

    def handle_error(self, *_: object) -> None:
        """Print nothing when a client closes its connection early."""

    def reply(self, request_line: str) -> Reply:
        """Return the next prepared reply to a request; the last one is repeated."""
        path = request_line.partition("?")[0]
        prepared = self.replies.get(request_line) or self.replies.get(path)
        if isinstance(prepared, list):
            return prepared.pop(0) if len(prepared) > 1 else prepared[0]
        return prepared or problem(404, "Not Found", f"Nothing at {path.partition(' ')[2]}")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length", "0"))
        headers = {name.title(): value for name, value in self.headers.items()}
        request = Request(self.command, self.path, headers, self.rfile.read(length))
        self.server.requests.append(request)
        if self.server.silent:
            self.close_connection = True
            self.server.ended.wait()
            return
        reply = self.server.reply(f"{self.command} {self.path}")
        body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
        self.send_response(reply.status)
        for name, value in {"Content-Length": str(len(body)), **reply.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815 - the library's name

    def log_message(self, *_: object) -> None:
        """Print nothing."""


def problem(status: int, title: str, detail: str, **more: Any) -> Reply:  # noqa: ANN401 - JSON
    """Return a reply with a problem document."""
    document = {"type": "about:blank", "title": title, "status": status, "detail": detail, **more}
    return Reply(document, status, {"Content-Type": "application/problem+json"})
