"""Factories of the REST tests: a context, and a client of its WSGI application."""

import io
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes
from wsgiref.util import setup_testing_defaults

from pacifica.dispatcher import orm, rest
from pacifica.dispatcher.adapters import Adapter
from pacifica.dispatcher.applications import BUILT_IN, Application
from pacifica.dispatcher.applications.command_template import CommandTemplate
from pacifica.dispatcher.config import WebhookSettings
from pacifica.dispatcher.events import Json
from pacifica.dispatcher.intake.group_commit import GroupCommit
from pacifica.dispatcher.intake.receiver import Receiver
from pacifica.dispatcher.rules import Exact
from tests.factories import claimant, due, make_event

UNKNOWN = "01a20997-c0e5-77ee-8e00-a2944b68dfdf"
STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
ADDRESS = "192.0.2.1"
LIMIT = 64 * 1024
SLOTS = 3
TIMEOUT = 0.1
"""Seconds to wait for the database."""
MATCHED = "org.example.hello"


HEADERS = {"ce_specversion": "1.0", "ce_id": "1", "ce_source": "/s", "ce_type": MATCHED}
"""An event in binary mode, without data."""


@dataclass(frozen=True)
class Response:
    """A response, with header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401 - JSON
        """The value of a JSON body."""
        assert self.headers["content-type"] == "application/json"
        return json.loads(self.body)

    @property
    def text(self) -> str:
        """The text of a plain text body."""
        assert self.headers["content-type"].replace(" ", "") == "text/plain;charset=utf-8"
        return self.body.decode()

    def problem(self, status: int) -> dict[str, Any]:
        """Return the problem document (RFC 9457) of a response with this status."""
        assert self.status == status, self.body
        assert self.headers["content-type"] == "application/problem+json"
        assert b"Traceback" not in self.body
        document: dict[str, Any] = json.loads(self.body)
        assert document["type"] == "about:blank"
        assert document["status"] == status
        assert document["title"]
        assert document["detail"]
        return document


class Client:
    """A client that calls the WSGI application like a server."""

    def __init__(self, context: rest.Context, script_name: str = "") -> None:
        """Create the application; the server mounts it at `script_name`."""
        self._application = rest.application(context)
        self._script_name = script_name

    def request(
        self, method: str, target: str, body: bytes | None = None, **headers: str
    ) -> Response:
        path, _, query = target.partition("?")
        environ: dict[str, Any] = {
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": self._script_name,
            "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
            "QUERY_STRING": query,
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": ADDRESS,
            "wsgi.input": io.BytesIO(body or b""),
            "wsgi.multithread": True,
        }
        if body is not None:
            environ["CONTENT_LENGTH"] = str(len(body))
        for name, text in headers.items():
            key = name.upper()
            plain = key in {"CONTENT_TYPE", "CONTENT_LENGTH"}
            environ[key if plain else f"HTTP_{key}"] = text
        setup_testing_defaults(environ)
        started: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(status: str, headers: list[tuple[str, str]], *_: object) -> None:
            started.append((status, headers))

        chunks: Iterable[bytes] = self._application(environ, start_response)
        content = b"".join(chunks)
        close: Callable[[], None] = getattr(chunks, "close")  # noqa: B009 - WSGI's optional method
        close()
        [(status, response_headers)] = started
        names = {name.lower(): text for name, text in response_headers}
        return Response(int(status[:3]), names, content)

    def get(self, target: str, **headers: str) -> Response:
        return self.request("GET", target, None, **headers)

    def post(self, body: bytes, target: str = "/receive", **headers: str) -> Response:
        return self.request("POST", target, body, **{"content_type": STRUCTURED, **headers})

    def send(self, number: object = 1, /, **members: Json) -> Response:
        return self.post(make_event(number, **members).sent.encode())


def make_context(
    database: orm.Database, adapters: Mapping[str, Adapter] | None = None
) -> rest.Context:
    """Return a context with an application `hello` for events of the type MATCHED."""
    hello = Application("hello", CommandTemplate("echo", ()), rule=(Exact("type", MATCHED),))
    applications = {each.name: each for each in (*BUILT_IN, hello)}
    return rest.Context(
        receiver=Receiver(database, applications, GroupCommit(database, TIMEOUT), _publish_nothing),
        max_event_size=LIMIT,
        handshake=rest.Handshake(WebhookSettings()),
        slots=rest.StreamSlots(SLOTS),
        root="",
        default_queue="default",
        directory=Path(str(database.peewee.database)).parent / "runs",
        adapters=adapters or {},
        notices=rest.Notices(database),
        broker_trouble=str,
    )


def _publish_nothing() -> None:
    """Do nothing."""


def with_applications(
    context: rest.Context, applications: Mapping[str, Application]
) -> rest.Context:
    """Return the context with other applications."""
    return replace(context, receiver=replace(context.receiver, applications=applications))


def with_database(context: rest.Context, database: orm.Database) -> rest.Context:
    """Return the context with another database."""
    receiver = replace(context.receiver, database=database, commit=GroupCommit(database, TIMEOUT))
    return replace(context, receiver=receiver)


def with_wake(context: rest.Context, wake: Callable[[], None]) -> rest.Context:
    """Return the context with another callback for due runs."""
    return replace(context, receiver=replace(context.receiver, wake=wake))


def batch_of(*numbers: int, **members: Json) -> bytes:
    return f"[{', '.join(make_event(number, **members).sent for number in numbers)}]".encode()


def act(client: Client, target: str, **headers: str) -> Response:
    """Send a POST request without a body."""
    return client.request("POST", target, None, **headers)


def finish(database: orm.Database, run: str, result: str) -> None:
    """Finish a run successfully."""
    assert run in due(database)
    claim = orm.claim(database, run, claimant())
    assert claim is not None
    assert orm.finish(
        database, claim, orm.State.SUCCEEDED, orm.Outcome(exit_code=0, result=result), []
    )
