"""applications and workers: show the applications and the workers of a server."""

from typing import TYPE_CHECKING

import click

from pacifica.dispatcher.cli.options import server_command

if TYPE_CHECKING:
    from pacifica.dispatcher.cli.session import Session


@click.command()
@server_command
def applications(session: "Session") -> None:
    """List applications, their runs and recent failures."""
    from pacifica.dispatcher.cli import views

    session.show(session.client.get("/applications", "applications"), views.applications)


@click.command()
@server_command
def workers(session: "Session") -> None:
    """List workers, queues, and the reasons why runs wait."""
    from pacifica.dispatcher.cli import views

    session.show(session.client.get("/workers", "workers"), views.workers)
