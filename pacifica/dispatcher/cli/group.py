"""All commands together."""

import logging
import sys
from typing import Any, Final

import click

from pacifica.dispatcher.cli import database, local, overview, reading, sending, steering


@click.group(invoke_without_command=True)
@local.server_options
@click.version_option(package_name="pacifica-dispatcher")
@click.pass_context
def main(context: click.Context, /, **options: Any) -> None:  # noqa: ANN401 - click's options
    """When a CloudEvent arrives, the right application runs, and anyone can see what happened.

    Without a command it serves HTTP, as `serve` does.
    """
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    logging.getLogger("pacifica.dispatcher").setLevel(logging.INFO)
    if context.invoked_subcommand is None:
        context.invoke(local.serve, **options)
    elif any(value is not None for value in options.values()):
        raise click.UsageError(f"put the options after {context.invoked_subcommand}")


_COMMANDS: Final = (
    *(local.serve, local.standalone, local.check, local.explain, local.run),
    *(sending.send, sending.status, reading.events, reading.show, reading.logs),
    *(steering.retry, steering.cancel, steering.replay, steering.pause, steering.resume),
    *(overview.applications, overview.workers, database.database),
)
for command in _COMMANDS:
    main.add_command(command)
