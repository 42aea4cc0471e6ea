"""events, show and logs: read events, runs and their output."""

import sys
from collections.abc import Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

import click

from pacifica.dispatcher.cli.options import event_filters, server_command
from pacifica.dispatcher.cli.text import json_line, lines

if TYPE_CHECKING:
    from pacifica.dispatcher.cli.session import Session

_PAGE = 200
"""Maximum number of events per request."""


@click.command()
@event_filters
@click.option(
    "--limit",
    type=click.IntRange(1),
    default=50,
    show_default=True,
    help="Maximum number of events.",
)
@click.option("--all", "select_all", is_flag=True, help="List all events.")
@server_command
def events(session: "Session", filters: dict[str, str], limit: int, *, select_all: bool) -> None:
    """List events, newest first.

    With --json, print one line per event.
    """
    from pacifica.dispatcher.cli import views

    query = filters | {"limit": str(_PAGE if select_all else min(limit, _PAGE))}
    left = None if select_all else limit
    header = True
    for page in session.client.pages("/events", "events", query):
        shown = page[:left]
        if session.as_json:
            for each in shown:
                click.echo(json_line(each))
        elif shown:
            session.show({"events": shown}, partial(views.events, header=header))
            header = False
        if left is not None:
            left -= len(shown)
            if not left:
                return
    if header and not session.as_json:
        session.report("no events match" if filters else "no events yet")


@click.command()
@click.argument("uuid", type=click.UUID)
@server_command
def show(session: "Session", uuid: UUID) -> None:
    """Show the details of an event or a run.

    An event is shown as sent.
    """
    from pacifica.dispatcher.cli import views

    _, document = session.client.find(uuid, "/runs", "/events")
    session.show(document, views.run if "attempts" in document else views.event)


@click.command()
@click.argument("uuid", metavar="RUN|EVENT", type=click.UUID)
@click.option("--attempt", type=click.IntRange(1), help="Attempt number [default: the last one].")
@click.option(
    "--stream",
    type=click.Choice(["stdout", "stderr"]),
    help="Print only this stream [default: both, interleaved].",
)
@click.option("--follow", is_flag=True, help="Print new output until the attempt ends.")
@click.option("--raw", is_flag=True, help="Do not escape control characters; for files and pipes.")
@server_command
def logs(
    session: "Session", uuid: UUID, *, follow: bool, raw: bool, **options: str | int | None
) -> None:
    """Print the output of a run.

    An event can be named instead if it has exactly one run. With --json, print {"text": …} for each
    line of output.
    """
    if raw and sys.stdout.isatty():
        raise click.UsageError(
            "--raw is for files and pipes: the output may contain control characters"
        )
    query = {name: value for name, value in options.items() if value is not None}
    path = f"/runs/{_run_id(session, uuid)}/output"
    pieces = session.follow(path, query) if follow else session.client.text(path, query)
    if session.as_json:
        for each in _split_lines(pieces):
            click.echo(json_line({"text": each}))
    else:
        for piece in pieces:
            click.echo(piece if raw else lines(piece), nl=False, color=True)


def _run_id(session: "Session", uuid: UUID) -> str:
    _, document = session.client.find(uuid, "/runs", "/status")
    if "attempts" in document:
        return str(uuid)
    runs = [each for each in document["runs"] if not each["superseded"]]
    if len(runs) == 1:
        return str(runs[0]["uuid"])
    names = "".join(f"\n{each['uuid']}  {each['application']}" for each in runs)
    raise click.ClickException(
        lines(f"event {uuid} has {len(runs)} runs; name one of them:{names}")
    )


def _split_lines(pieces: Iterable[str]) -> Iterator[str]:
    rest = ""
    for piece in pieces:
        *complete, rest = (rest + piece).split("\n")
        yield from complete
    if rest:
        yield rest
