"""send and status: send events and show their status."""

import json
import uuid
from base64 import b64encode
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from pacifica.dispatcher.cli.options import server_command

if TYPE_CHECKING:
    from pacifica.dispatcher.cli.client import Document
    from pacifica.dispatcher.cli.session import Session


@click.command()
@click.argument("event", type=click.File("rb"), required=False)
@click.option("--type", help="Type of the event; not with a file.")
@click.option("--source", help="Source of the event; not with a file.")
@click.option("--id", help="Id of the event; not with a file [default: a new UUID].")
@click.option("--subject", help="Subject of the event; not with a file.")
@click.option(
    "--data",
    metavar="TEXT|@FILE",
    help="Data of the event, or @ and the file that holds it; JSON stays JSON. Not with a file.",
)
@click.option("--wait", is_flag=True, help="Wait until the runs have ended.")
@server_command
def send(
    session: "Session", event: BinaryIO | None, data: str | None, *, wait: bool, **attributes: str
) -> int:
    """Send an event.

    The event comes from a JSON file (- for standard input) or from the options. A file may hold a
    batch: a JSON array of events. With --json, one line is printed per event: the server's response
    or, with --wait, the final status.

    The exit code is that of `status`. For a batch it is 1 if any event has exit code 1, otherwise
    3 if any has exit code 3.
    """
    given = {name: value for name, value in attributes.items() if value is not None}
    if event is not None:
        if given or data is not None:
            raise click.UsageError("give either a file or the options of an event, not both")
        body = event.read()
    elif "type" in given and "source" in given:
        body = _build_event(given, data)
    else:
        raise click.UsageError("give a file (- for standard input), or --type and --source")
    return _send(session, body, wait=wait)


@click.command()
@click.argument("uuid", type=click.UUID)
@click.option("--wait", is_flag=True, help="Wait until the event or run has ended.")
@server_command
def status(session: "Session", uuid: uuid.UUID, *, wait: bool) -> int:
    """Show the status of an event or a run.

    The exit code is 0 if it succeeded or has not ended, 1 if it failed or was cancelled, and 3 if
    no application matched the event.
    """
    from pacifica.dispatcher.cli import views
    from pacifica.dispatcher.cli.session import EXIT_CODES

    path, document = session.client.find(uuid, "/status", "/runs")
    if wait:
        document = session.await_end(path)
    session.show(document, views.status)
    return EXIT_CODES.get(document["status"], 0)


def _send(session: "Session", body: bytes, *, wait: bool) -> int:
    from pacifica.dispatcher.cli import views
    from pacifica.dispatcher.cli.session import EXIT_CODES

    codes = []
    for accepted in _post(session, body):
        if accepted.get("differs"):
            known = f"event {accepted['uuid']} has this source and id, but other content"
            session.report(f"warning: {known}; the event sent was dropped: choose another id")
        document = session.await_end(f"/status/{accepted['uuid']}") if wait else accepted
        session.show(document, views.status if wait else views.accepted)
        codes.append(EXIT_CODES.get(document["status"], 0))
    return next((code for code in (1, 3) if code in codes), 0)


def _post(session: "Session", body: bytes) -> "list[Document]":
    if body.lstrip(b" \t\r\n").startswith(b"["):
        batch = "application/cloudevents-batch+json"
        accepted: list[Document] = session.client.post("/receive", "events", body, batch)["events"]
        return accepted
    return [session.client.post("/receive", "uuid", body, "application/cloudevents+json")]


def _build_event(attributes: dict[str, str], data: str | None) -> bytes:
    # An event with a given id has no time, or sending it again would change its content.
    new = {"id": str(uuid.uuid4()), "time": datetime.now(UTC).isoformat()}
    event = {"specversion": "1.0", **({} if "id" in attributes else new), **attributes}
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
    # Returns the name of the data member, its JSON text, and the media type.
    try:
        text = content.decode()
    except UnicodeDecodeError:
        value = json.dumps(b64encode(content).decode())
        return "data_base64", value, "application/octet-stream"
    try:
        json.loads(text, parse_constant=_reject_constant)
    except (ValueError, RecursionError):
        return "data", json.dumps(text), "text/plain"
    return "data", text, "application/json"


def _reject_constant(name: str) -> None:
    raise ValueError(name)  # NaN and infinity are not JSON
