"""What the commands that ask a server have in common: their options, and how errors end."""

import functools
import io
import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import click
from click.shell_completion import CompletionItem

from pacifica.dispatcher.cli.text import lines
from pacifica.dispatcher.errors import DispatcherError

STATUSES: Final = (
    "unmatched",
    "queued",
    "running",
    "retrying",
    "succeeded",
    "failed",
    "cancelled",
)
"""What the status of an event can be."""

_URL: Final = "http://127.0.0.1:8069"
_INTERRUPTED: Final = 130  # as a shell has it: 128 and the number of SIGINT
_AGO: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

Command = Callable[..., "int | None"]
"""A command that asks a server; it gives its exit code, None for 0."""


def asks(command: Command) -> Callable[..., None]:
    """Give a command a session with a server, and the options --url and --json for it.

    What goes wrong with the server is said on standard error and ends as an exit code.
    """

    @click.option(
        "--url",
        envvar="DISPATCHER_URL",
        default=_URL,
        show_default=True,
        show_envvar=True,
        help="The server.",
    )
    @click.option("--json", "as_json", is_flag=True, help="For programs: JSON.")
    @click.pass_context
    @functools.wraps(command)
    def asking(context: click.Context, /, **options: Any) -> None:  # noqa: ANN401 - click's options
        from pacifica.dispatcher.cli.client import Client, ServerError, UrlError
        from pacifica.dispatcher.cli.session import Session

        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")  # not every encoding has all letters
        try:
            session = Session(Client(options.pop("url")), as_json=options.pop("as_json"))
            code = command(session, **options) or 0
        except UrlError as exc:
            raise click.BadParameter(str(exc), param_hint="--url") from exc
        except ServerError as exc:
            click.echo(lines(str(exc)), err=True)
            code = exc.exit_code
        except KeyboardInterrupt:
            code = _INTERRUPTED
        context.exit(code)

    return asking


def _moment(text: str) -> str:
    """A time, or how long ago it was, as a timestamp in RFC 3339, which servers take."""
    if ago := re.fullmatch(r"(\d{1,5})([smhd])", text, re.ASCII):
        return (datetime.now(UTC) - timedelta(**{_AGO[ago[2]]: int(ago[1])})).isoformat()
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise click.BadParameter("a time looks like 2026-11-23T16:57:37Z, or 2h for so long ago")
    return found.isoformat()


def complete_applications(
    context: click.Context, _: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """The names of the server's applications; none when it does not answer quickly."""
    from pacifica.dispatcher.cli.client import Client

    try:
        server = Client(context.params.get("url") or _URL, connect=0.5, answer=1.0)
        found = server.get("/applications", "applications")["applications"]
    except DispatcherError:
        return []
    return [CompletionItem(each["name"]) for each in found if each["name"].startswith(incomplete)]


_FILTERS: Final = {
    "status": click.option(
        "--status", type=click.Choice(STATUSES), help="Events that have this status."
    ),
    "state": click.option(
        "--state",
        type=click.Choice(STATUSES),
        help="Events that have a run in this state (of --application).",
    ),
    "type": click.option("--type", help="Events of exactly this type."),
    "source": click.option("--source", help="Events from exactly this source."),
    "application": click.option(
        "--application",
        shell_complete=complete_applications,
        help="Events that have a run of this application.",
    ),
    "text": click.option("--text", help="Events with this in their id or subject."),
    "since": click.option(
        "--since", type=_moment, metavar="TIME", help="Received since then; 2h for so long ago."
    ),
    "until": click.option(
        "--until", type=_moment, metavar="TIME", help="Received before then; 2h for so long ago."
    ),
}


def chooses(command: Command) -> Command:
    """Give a command the options that choose events, as a mapping `chosen` of what was given."""

    @functools.wraps(command)
    def choosing(*args: Any, **options: Any) -> int | None:  # noqa: ANN401 - what the command takes
        given = {name: options.pop(name) for name in _FILTERS}
        chosen = {name: value for name, value in given.items() if value is not None}
        return command(*args, chosen=chosen, **options)

    decorated: Command = choosing
    for option in reversed(_FILTERS.values()):
        decorated = option(decorated)
    return decorated
