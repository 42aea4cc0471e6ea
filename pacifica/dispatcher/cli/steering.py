"""retry, cancel, replay, pause and resume: what an operator tells a server to do."""

import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from pacifica.dispatcher.cli.options import Command, asks, chooses, complete_applications

if TYPE_CHECKING:
    from pacifica.dispatcher.cli.client import Document
    from pacifica.dispatcher.cli.session import Session, View

_PAGE = 500
"""Events that are asked for at once."""


def _acts(what: str) -> Callable[[Command], Command]:
    """Give a command the things that it acts on: by their uuids, or the events that are chosen."""

    def decorate(command: Command) -> Command:
        for option in (
            asks,
            click.option("--yes", is_flag=True, help="Do not ask whether it shall be done."),
            click.option("--all", "everything", is_flag=True, help="Choose all events."),
            chooses,
            click.argument("uuids", metavar=what, type=click.UUID, nargs=-1),
        ):
            command = option(command)
        return command

    return decorate


@click.command()
@_acts("[RUN|EVENT]...")
def retry(session: "Session", **asked: Any) -> int:  # noqa: ANN401 - what _act takes
    """Start failed and cancelled runs anew.

    Those that are named, all of an event, or with options instead of uuids those of all events that
    are chosen.
    """
    return _act(session, "retry", **asked)


@click.command()
@_acts("[RUN|EVENT]...")
def cancel(session: "Session", **asked: Any) -> int:  # noqa: ANN401 - what _act takes
    """End runs, or never begin them.

    Those that are named, all of an event, or with options instead of uuids those of all events that
    are chosen.
    """
    return _act(session, "cancel", **asked)


@click.command()
@_acts("[EVENT]...")
def replay(session: "Session", **asked: Any) -> int:  # noqa: ANN401 - what _act takes
    """Run events anew, by the rules of today.

    The new runs take the place of the former ones. The events are those that are named or, with
    options instead of uuids, all that are chosen.
    """
    return _act(session, "replay", **asked)


@click.command()
@click.argument(
    "names", metavar="NAME...", nargs=-1, required=True, shell_complete=complete_applications
)
@asks
def pause(session: "Session", names: tuple[str, ...]) -> int:
    """Let applications wait.

    No more of their runs begin until they are resumed; what runs goes on.
    """
    return _switch(session, "pause", names)


@click.command()
@click.argument(
    "names", metavar="NAME...", nargs=-1, required=True, shell_complete=complete_applications
)
@asks
def resume(session: "Session", names: tuple[str, ...]) -> int:
    """Let applications run again."""
    return _switch(session, "resume", names)


def _act(  # noqa: PLR0913 - the options of the command
    session: "Session",
    action: str,
    uuids: tuple[uuid.UUID, ...],
    chosen: dict[str, str],
    *,
    everything: bool,
    yes: bool,
) -> int:
    """Do something with what is named, or with what is chosen once that is confirmed."""
    if bool(uuids) == bool(chosen or everything):
        raise click.UsageError("give uuids, or choose events by options such as --status or --all")
    if uuids:
        return _act_on(session, action, list(map(str, uuids)), named=True)
    pages = session.client.pages("/events", "events", {**chosen, "limit": _PAGE})
    found = [event["uuid"] for page in pages for event in page]
    if not found:
        session.say("there is no such event")
        return 0
    if not yes:
        number = f"{len(found)} event{'s' * (len(found) != 1)}"
        click.confirm(f"{action.capitalize()} {number}?", abort=True, err=True)
    return _act_on(session, action, found, named=False)


def _act_on(session: "Session", action: str, uuids: list[str], *, named: bool) -> int:
    """Do something with each; 1 when the server refused it for some."""
    from pacifica.dispatcher.cli.client import NothingThereError, RefusedError, UnreachableError

    done = 0
    for each in uuids if named else session.in_turn(uuids, action):
        try:
            document, view = _act_on_one(session, action, each, maybe_run=named)
        except NothingThereError:
            session.say(f"{each}: nothing has this uuid")
            continue
        except RefusedError as exc:
            session.say(f"{each}: {exc}")
            continue
        except UnreachableError:
            session.say(f"{action}: {done} of {len(uuids)} done")
            raise
        done += 1
        if named or session.as_json:
            session.show(document, view)
    if not named:
        session.say(f"{action}: {done} of {len(uuids)} done")
    return int(done < len(uuids))


def _act_on_one(
    session: "Session", action: str, uuid: str, *, maybe_run: bool
) -> "tuple[Document, View]":
    """Do something with one run or event; gives the answer, and what people are shown of it."""
    from pacifica.dispatcher.cli import views
    from pacifica.dispatcher.cli.client import NothingThereError

    if maybe_run and action != "replay":
        with suppress(NothingThereError):
            return session.client.post(f"/runs/{uuid}/{action}", "attempts"), views.acted_on_run
    return session.client.post(f"/events/{uuid}/{action}", "runs"), views.acted_on_event


def _switch(session: "Session", action: str, names: tuple[str, ...]) -> int:
    """Pause or resume each application; 1 when the server refused it for some."""
    from pacifica.dispatcher.cli import views
    from pacifica.dispatcher.cli.client import RefusedError

    refused = False
    for each in names:
        path = f"/applications/{quote(each, safe='')}/{action}"
        try:
            session.show(session.client.post(path, "paused"), views.paused)
        except RefusedError as exc:
            session.say(f"{each}: {exc}")
            refused = True
    return int(refused)
