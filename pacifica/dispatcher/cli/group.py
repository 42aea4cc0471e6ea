"""The group of all commands."""

import sys
from typing import Any, Final

import click

from pacifica.dispatcher.cli import database, local, overview, reading, sending, steering
from pacifica.dispatcher.telemetry import log_to


@click.group(invoke_without_command=True)
@local.server_options
@click.version_option(package_name="pacifica-dispatcher")
@click.pass_context
def main(context: click.Context, /, **options: Any) -> None:  # noqa: ANN401 - click's options
    """Run the right application when a CloudEvent arrives, and show what happened.

    Without a command, serve HTTP like `serve`.
    """
    log_to(sys.stderr)
    if context.invoked_subcommand is None:
        context.invoke(local.serve, **options)
    elif any(value is not None for value in options.values()):
        raise click.UsageError(
            f"server options must follow the command {context.invoked_subcommand}"
        )


_COMMANDS: Final = (
    *(local.serve, local.standalone, local.check, local.explain, local.run),
    *(sending.send, sending.status, reading.events, reading.show, reading.logs),
    *(steering.retry, steering.cancel, steering.replay, steering.pause, steering.resume),
    *(overview.applications, overview.workers, database.database),
)
for command in _COMMANDS:
    main.add_command(command)
