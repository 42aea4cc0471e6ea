"""events, show and logs: what a server has, to be read."""

import sys
from collections.abc import Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

import click

from pacifica.dispatcher.cli.options import asks, chooses
from pacifica.dispatcher.cli.text import json_line, lines

if TYPE_CHECKING:
    from pacifica.dispatcher.cli.session import Session

_PAGE = 200
"""Events that are asked for at once."""


@click.command()
@chooses
@click.option(
    "--limit", type=click.IntRange(1), default=50, show_default=True, help="Show so many."
)
@click.option("--all", "everything", is_flag=True, help="Show all of them.")
@asks
def events(session: "Session", chosen: dict[str, str], limit: int, *, everything: bool) -> None:
    """List events, newest first.

    With --json one line for each.
    """
    from pacifica.dispatcher.cli import views

    query = chosen | {"limit": str(_PAGE if everything else min(limit, _PAGE))}
    left = None if everything else limit
    headed = True
    for page in session.client.pages("/events", "events", query):
        shown = page[:left]
        if session.as_json:
            for each in shown:
                click.echo(json_line(each))
        elif shown:
            session.show({"events": shown}, partial(views.events, headed=headed))
            headed = False
        if left is not None:
            left -= len(shown)
            if not left:
                return
    if headed and not session.as_json:
        session.say("there is no such event" if chosen else "there is no event yet")


@click.command()
@click.argument("uuid", type=click.UUID)
@asks
def show(session: "Session", uuid: UUID) -> None:
    """Show all of an event, or of a run.

    Of whichever has this uuid; an event is shown as it was sent.
    """
    from pacifica.dispatcher.cli import views

    _, document = session.client.find(uuid, "/runs", "/events")
    session.show(document, views.run if "attempts" in document else views.event)


@click.command()
@click.argument("uuid", metavar="RUN|EVENT", type=click.UUID)
@click.option("--attempt", type=click.IntRange(1), help="Of this attempt, not of the last one.")
@click.option(
    "--stream", type=click.Choice(["stdout", "stderr"]), help="Only this; else both as they came."
)
@click.option("--follow", is_flag=True, help="Go on while the attempt runs.")
@click.option("--raw", is_flag=True, help="With control characters as they are: for files.")
@asks
def logs(
    session: "Session", uuid: UUID, *, follow: bool, raw: bool, **asked: str | int | None
) -> None:
    """Print what a run has printed.

    The uuid of an event will do when it has just one run. With --json one line for each line that
    was printed: {"text": …}.
    """
    if raw and sys.stdout.isatty():
        raise click.UsageError("--raw is for files and pipes: an application may print anything")
    query = {name: value for name, value in asked.items() if value is not None}
    if follow:
        query["follow"] = "1"
    pieces = session.client.text(f"/runs/{_run(session, uuid)}/output", query)
    if session.as_json:
        for each in _in_lines(pieces):
            click.echo(json_line({"text": each}))
    else:
        for piece in pieces:
            click.echo(piece if raw else lines(piece), nl=False, color=True)


def _run(session: "Session", uuid: UUID) -> str:
    """The uuid of a run, which is that of the run or of an event that has no other one."""
    _, document = session.client.find(uuid, "/runs", "/status")
    if "attempts" in document:
        return str(uuid)
    runs = [each for each in document["runs"] if not each["superseded"]]
    if len(runs) == 1:
        return str(runs[0]["uuid"])
    names = "".join(f"\n{each['uuid']}  {each['application']}" for each in runs)
    raise click.ClickException(lines(f"this event has {len(runs)} runs{names}"))


def _in_lines(pieces: Iterable[str]) -> Iterator[str]:
    """A text that comes in pieces, by lines without their ends."""
    begun = ""
    for piece in pieces:
        *whole, begun = (begun + piece).split("\n")
        yield from whole
    if begun:
        yield begun
