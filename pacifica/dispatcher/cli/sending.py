"""send and status: an event goes to a server, and what becomes of it."""

import json
import uuid
from base64 import b64encode
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from pacifica.dispatcher.cli.options import asks

if TYPE_CHECKING:
    from pacifica.dispatcher.cli.client import Document
    from pacifica.dispatcher.cli.session import Session


@click.command()
@click.argument("event", type=click.File("rb"), required=False)
@click.option("--type", help="Without a file: the event's type.")
@click.option("--source", help="Without a file: the event's source.")
@click.option("--id", help="Without a file: the event's id; else one is made.")
@click.option("--subject", help="Without a file: the event's subject.")
@click.option(
    "--data",
    metavar="TEXT|@FILE",
    help="Without a file: the event's data, or @ and a file that has it. JSON stays JSON.",
)
@click.option("--wait", is_flag=True, help="Wait for its runs; their end is the exit code.")
@asks
def send(
    session: "Session", event: BinaryIO | None, data: str | None, *, wait: bool, **attributes: str
) -> int:
    """Send an event.

    It is in a file, in JSON (- is standard input), or made of the options. A file may hold a batch,
    a JSON array of events. With --json one line is printed for each event: the server's answer or,
    with --wait, what became of it.

    The exit code is that of `status`; of a batch, 1 or else 3 if one event has it.
    """
    given = {name: value for name, value in attributes.items() if value is not None}
    if event is not None:
        if given or data is not None:
            raise click.UsageError("an event comes from a file or from options, not from both")
        body = event.read()
    elif "type" in given and "source" in given:
        body = _made(given, data)
    else:
        raise click.UsageError("name a file (- is standard input), or give --type and --source")
    return _sent(session, body, wait=wait)


@click.command()
@click.argument("uuid", type=click.UUID)
@click.option("--wait", is_flag=True, help="Wait until it has ended.")
@asks
def status(session: "Session", uuid: uuid.UUID, *, wait: bool) -> int:
    """Say what became of an event or a run.

    The exit code is 0 when it succeeded or has not ended, 1 when it failed or was cancelled, and 3
    when no application took the event.
    """
    from pacifica.dispatcher.cli import views
    from pacifica.dispatcher.cli.session import EXIT_CODES

    path, document = session.client.find(uuid, "/status", "/runs")
    if wait:
        document = session.ended(path)
    session.show(document, views.status)
    return EXIT_CODES.get(document["status"], 0)


def _sent(session: "Session", body: bytes, *, wait: bool) -> int:
    from pacifica.dispatcher.cli import views
    from pacifica.dispatcher.cli.session import EXIT_CODES

    codes = []
    for accepted in _accepted(session, body):
        document = session.ended(f"/status/{accepted['uuid']}") if wait else accepted
        session.show(document, views.status if wait else views.accepted)
        codes.append(EXIT_CODES.get(document["status"], 0))
    return next((code for code in (1, 3) if code in codes), 0)


def _accepted(session: "Session", body: bytes) -> "list[Document]":
    """Post an event, or a batch; gives the answer for each."""
    if body.lstrip(b" \t\r\n").startswith(b"["):
        batch = "application/cloudevents-batch+json"
        accepted: list[Document] = session.client.post("/receive", "events", body, batch)["events"]
        return accepted
    return [session.client.post("/receive", "uuid", body, "application/cloudevents+json")]


def _made(attributes: dict[str, str], data: str | None) -> bytes:
    """The JSON text of an event whose producer we are."""
    event = {
        "specversion": "1.0",
        "id": str(uuid.uuid4()),
        "time": datetime.now(UTC).isoformat(),
        **attributes,
    }
    if data is None:
        return json.dumps(event).encode()
    if data.startswith("@"):
        try:
            content = Path(data[1:]).read_bytes()
        except OSError as exc:
            raise click.BadParameter(f"{data[1:]}: {exc.strerror}", param_hint="--data") from exc
    else:
        content = data.encode()
    member, value, kind = _payload(content)
    return f'{json.dumps(event | {"datacontenttype": kind})[:-1]}, "{member}": {value}}}'.encode()


def _payload(content: bytes) -> tuple[str, str, str]:
    """The member of an event that holds a content, its JSON text, and the content's media type."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        value = json.dumps(b64encode(content).decode())
        return "data_base64", value, "application/octet-stream"
    try:
        json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return "data", json.dumps(text), "text/plain"
    return "data", text, "application/json"


def _no_constant(name: str) -> None:
    """Refuse NaN and infinity, which JSON does not have."""
    raise ValueError(name)
