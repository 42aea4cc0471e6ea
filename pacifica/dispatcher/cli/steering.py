"""retry, cancel, replay, pause and resume: control runs and applications."""

import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from pacifica.dispatcher.cli.options import (
    Command,
    complete_applications,
    event_filters,
    server_command,
)

if TYPE_CHECKING:
    from pacifica.dispatcher.cli.client import Document
    from pacifica.dispatcher.cli.session import Session, View

_PAGE = 500
"""Maximum number of events per request."""

_OF_RUNS = ("application", "state")
"""The filters that select runs, not only events."""


def _targets(metavar: str) -> Callable[[Command], Command]:
    def decorate(command: Command) -> Command:
        for option in (
            server_command,
            click.option("--yes", is_flag=True, help="Skip the confirmation."),
            click.option("--all", "select_all", is_flag=True, help="Select all events."),
            event_filters,
            click.argument("uuids", metavar=metavar, type=click.UUID, nargs=-1),
        ):
            command = option(command)
        return command

    return decorate


@click.command()
@_targets("[RUN|EVENT]...")
def retry(session: "Session", **options: Any) -> int:  # noqa: ANN401 - parameters of _act
    """Retry failed and cancelled runs.

    Give the UUIDs of runs, or of events to retry all their runs, or select events with options.
    """
    return _act(session, "retry", **options)


@click.command()
@_targets("[RUN|EVENT]...")
def cancel(session: "Session", **options: Any) -> int:  # noqa: ANN401 - parameters of _act
    """Cancel runs, running or queued.

    Give the UUIDs of runs, or of events to cancel all their runs, or select events with options.
    """
    return _act(session, "cancel", **options)


@click.command()
@_targets("[EVENT]...")
def replay(session: "Session", **options: Any) -> int:  # noqa: ANN401 - parameters of _act
    """Replay events with the current rules.

    The new runs supersede the previous ones. Give the UUIDs of events, or select events with
    options.
    """
    return _act(session, "replay", **options)


@click.command()
@click.argument(
    "names", metavar="NAME...", nargs=-1, required=True, shell_complete=complete_applications
)
@server_command
def pause(session: "Session", names: tuple[str, ...]) -> int:
    """Pause applications.

    None of their runs start until they are resumed; those already running continue.
    """
    return _switch(session, "pause", names)


@click.command()
@click.argument(
    "names", metavar="NAME...", nargs=-1, required=True, shell_complete=complete_applications
)
@server_command
def resume(session: "Session", names: tuple[str, ...]) -> int:
    """Resume paused applications."""
    return _switch(session, "resume", names)


def _act(  # noqa: PLR0913 - the options of the command
    session: "Session",
    action: str,
    uuids: tuple[uuid.UUID, ...],
    filters: dict[str, str],
    *,
    select_all: bool,
    yes: bool,
) -> int:
    if bool(uuids) == bool(filters or select_all):
        raise click.UsageError("give UUIDs, or select events with options: --status, --all, …")
    if uuids:
        return _act_on(session, action, list(map(str, uuids)), {}, named=True)
    selection = {name: filters[name] for name in _OF_RUNS if name in filters}
    pages = session.client.pages("/events", "events", {**filters, "limit": _PAGE})
    found = [event["uuid"] for page in pages for event in page]
    if not found:
        session.report("no events match")
        return 0
    if not yes:
        number = f"{len(found)} event{'s' * (len(found) != 1)}"
        only = ", ".join(f"{name} {text}" for name, text in selection.items())
        question = f"{action.capitalize()} {number}{only and f' (only runs with {only})'}?"
        click.confirm(question, abort=True, err=True)
    return _act_on(session, action, found, selection, named=False)


def _act_on(
    session: "Session", action: str, uuids: list[str], selection: dict[str, str], *, named: bool
) -> int:
    from pacifica.dispatcher.cli.client import RefusedError, UnknownError, UnreachableError

    done, applications = 0, Counter[str]()
    for each in uuids if named else session.with_progress(uuids, action):
        try:
            document, view = _act_on_one(session, action, each, selection, may_be_run=named)
        except UnknownError:
            session.report(f"No event or run {each}")
            continue
        except RefusedError as exc:
            session.report(f"{each}: {exc}")
            continue
        except UnreachableError:
            session.report(f"{action}: {done} of {len(uuids)} done{_counted(applications)}")
            raise
        done += 1
        applications.update(document.get("applications", {}))
        if named or session.as_json:
            session.show(document, view)
    if not named:
        session.report(f"{action}: {done} of {len(uuids)} done{_counted(applications)}")
    return int(done < len(uuids))


def _counted(applications: Mapping[str, int]) -> str:
    numbers = [f"{name} {number}" for name, number in sorted(applications.items())]
    return f" (runs: {', '.join(numbers)})" if numbers else ""


def _act_on_one(
    session: "Session", action: str, uuid: str, selection: dict[str, str], *, may_be_run: bool
) -> "tuple[Document, View]":
    from pacifica.dispatcher.cli import views
    from pacifica.dispatcher.cli.client import UnknownError

    if may_be_run and action != "replay":
        with suppress(UnknownError):
            return session.client.post(f"/runs/{uuid}/{action}", "attempts"), views.acted_on_run
    path = f"/events/{uuid}/{action}"
    return session.client.post(path, "runs", query=selection), views.acted_on_event


def _switch(session: "Session", action: str, names: tuple[str, ...]) -> int:
    from pacifica.dispatcher.cli import views
    from pacifica.dispatcher.cli.client import RefusedError

    refused = False
    for each in names:
        path = f"/applications/{quote(each, safe='')}/{action}"
        try:
            session.show(session.client.post(path, "paused"), views.paused)
        except RefusedError as exc:
            session.report(f"{each}: {exc}")
            refused = True
    return int(refused)
