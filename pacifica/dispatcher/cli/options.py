"""Common parts of the commands that call a server: options, and exit codes for errors."""

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
"""All statuses of an event."""

_URL: Final = "http://127.0.0.1:8069"
_INTERRUPTED: Final = 130  # 128 + SIGINT, like a shell
_AGO: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

Command = Callable[..., "int | None"]
"""A command that calls a server and returns its exit code, or None for 0."""


def server_command(command: Command) -> Callable[..., None]:
    """Add a session with a server, --url and --json to a command.

    Errors are printed on standard error and determine the exit code.
    """

    @click.option(
        "--url",
        envvar="DISPATCHER_URL",
        default=_URL,
        show_default=True,
        show_envvar=True,
        help="URL of the server.",
    )
    @click.option("--json", "as_json", is_flag=True, help="Print JSON.")
    @click.pass_context
    @functools.wraps(command)
    def wrapper(context: click.Context, /, **options: Any) -> None:  # noqa: ANN401 - click's options
        from pacifica.dispatcher.cli.client import Client, ServerError, UrlError
        from pacifica.dispatcher.cli.session import Session

        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")  # the encoding may lack characters
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

    return wrapper


def _time(text: str) -> str:
    if ago := re.fullmatch(r"(\d{1,5})([smhd])", text, re.ASCII):
        return (datetime.now(UTC) - timedelta(**{_AGO[ago[2]]: int(ago[1])})).isoformat()
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise click.BadParameter(
            f"invalid time {text!r}: expected 2026-11-23T16:57:37Z, or an age such as 2h"
        )
    return found.isoformat()


def complete_applications(
    context: click.Context, _: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the application names of the server, or none if it does not respond quickly."""
    from pacifica.dispatcher.cli.client import Client

    try:
        server = Client(context.params.get("url") or _URL, connect=0.5, read=1.0)
        found = server.get("/applications", "applications")["applications"]
    except DispatcherError:
        return []
    return [CompletionItem(each["name"]) for each in found if each["name"].startswith(incomplete)]


_FILTERS: Final = {
    "status": click.option(
        "--status", type=click.Choice(STATUSES), help="Events with this status."
    ),
    "state": click.option(
        "--state",
        type=click.Choice(STATUSES),
        help="Events with a run in this state (of --application, if given).",
    ),
    "type": click.option("--type", help="Events of this exact type."),
    "source": click.option("--source", help="Events from this exact source."),
    "application": click.option(
        "--application",
        shell_complete=complete_applications,
        help="Events with a run of this application.",
    ),
    "text": click.option("--text", help="Events with this text in their id or subject."),
    "since": click.option(
        "--since",
        type=_time,
        metavar="TIME",
        help="Events received since this time, or since an age such as 2h.",
    ),
    "until": click.option(
        "--until",
        type=_time,
        metavar="TIME",
        help="Events received before this time, or before an age such as 2h.",
    ),
}


def event_filters(command: Command) -> Command:
    """Add options that select events to a command, which receives them as `filters`."""

    @functools.wraps(command)
    def wrapper(*args: Any, **options: Any) -> int | None:  # noqa: ANN401 - the command's
        given = {name: options.pop(name) for name in _FILTERS}
        filters = {name: value for name, value in given.items() if value is not None}
        return command(*args, filters=filters, **options)

    decorated: Command = wrapper
    for option in reversed(_FILTERS.values()):
        decorated = option(decorated)
    return decorated
