"""applications and workers: what a server runs, and where."""

from typing import TYPE_CHECKING

import click

from pacifica.dispatcher.cli.options import asks

if TYPE_CHECKING:
    from pacifica.dispatcher.cli.session import Session


@click.command()
@asks
def applications(session: "Session") -> None:
    """List applications, count their runs, and say what failures have in common."""
    from pacifica.dispatcher.cli import views

    session.show(session.client.get("/applications", "applications"), views.applications)


@click.command()
@asks
def workers(session: "Session") -> None:
    """List workers, queues, and what waits and why."""
    from pacifica.dispatcher.cli import views

    session.show(session.client.get("/workers", "workers"), views.workers)
