"""Commands that use the INI file: servers, and tools to try a configuration."""

import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from pacifica.dispatcher.errors import (
    DatabaseUnavailableError,
    DatabaseUnfitError,
    DatabaseUrlError,
    DispatcherError,
    EventError,
    SchemaError,
    WorkerRefusedError,
)

if TYPE_CHECKING:
    from pacifica.dispatcher.applications import Explained
    from pacifica.dispatcher.config import Settings
    from pacifica.dispatcher.events import Event
    from pacifica.dispatcher.rest import Address
    from pacifica.dispatcher.rules import Explanation

_UNUSABLE = (DatabaseUrlError, DatabaseUnfitError, SchemaError, WorkerRefusedError)

_File = click.Path(exists=True, dir_okay=False, path_type=Path)

config_option = click.option(
    "-c",
    "--config",
    "config_file",
    type=_File,
    help="INI file [default: $DISPATCHER_CONFIG, config.ini, ~/.pacifica-dispatcher/config.ini].",
)
"""The option that names the INI file."""


def server_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the server options to a command."""
    for option in (
        click.option("-a", "--address", help="Address to listen on."),
        click.option("-p", "--port", type=click.IntRange(1, 65535), help="Port to listen on."),
        click.option("--cp-config", type=_File, help="CherryPy configuration file."),
        config_option,
    ):
        command = option(command)
    return command


@click.command()
@server_options
def serve(config_file: Path | None, cp_config: Path | None, **server: Any) -> None:  # noqa: ANN401
    """Serve HTTP: accept events and report on them."""
    from pacifica.dispatcher import wsgi

    settings = load_settings(config_file, server)
    _run(lambda: wsgi.serve(settings, cp_config, _print_address))


@click.command()
@server_options
def standalone(config_file: Path | None, cp_config: Path | None, **server: Any) -> None:  # noqa: ANN401
    """Serve HTTP and run applications, without a separate broker."""
    from pacifica.dispatcher.cli import standalone

    settings = load_settings(config_file, server)
    _run(lambda: standalone.run_standalone(settings, cp_config, _print_welcome))


@click.command()
@config_option
def check(config_file: Path | None) -> None:
    """Check the configuration, and the database if it is available.

    All problems are listed. The exit code is 2 if there are any.
    """
    from pacifica.dispatcher.applications import lint
    from pacifica.dispatcher.cli.inspection import inspect_database

    settings = load_settings(config_file, {})
    file = settings.file or "defaults"
    click.echo(f"{file}: OK")
    for application in settings.applications.values():
        click.echo(f"  application {application.name}")
    for adapter in settings.adapters.values():
        click.echo(f"  adapter {adapter.name}: {adapter.kind}")
    for warning in lint.warnings(settings.applications.values()):
        click.echo(f"warning: {file}: {warning}", err=True)
    try:
        warnings = inspect_database(settings)
    except _UNUSABLE as exc:
        click.echo(str(exc), err=True)
        raise SystemExit(2) from exc
    except DatabaseUnavailableError as exc:
        warnings = [str(exc)]
    for each in warnings:
        click.echo(f"warning: {each}", err=True)


@click.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.argument("event", type=click.File("rb"))
@click.pass_context
def explain(
    context: click.Context, config_file: Path | None, event: BinaryIO, *, as_json: bool
) -> None:
    """Explain which applications match an event, and why.

    The event is read from a JSON file (- for standard input). The exit code is 3 if no application
    matches.
    """
    from pacifica.dispatcher import applications

    settings = load_settings(config_file, {})
    explained = applications.explain(
        settings.applications.values(), _read_event(event), time.time()
    )
    if as_json:
        click.echo(json.dumps({"applications": [each.document() for each in explained]}))
    else:
        for line in _explanation_lines(explained):
            click.echo(line)
    if not any(each.matched for each in explained):
        context.exit(3)


@click.command()
@config_option
@click.option("--application", "name", required=True, help="Application to run.")
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep the files of the run in this folder.",
)
@click.argument("event", type=click.File("rb"))
def run(config_file: Path | None, name: str, data: Path | None, event: BinaryIO) -> None:
    """Run an application on an event locally.

    The event is read from a JSON file (- for standard input). No database, broker or worker is
    needed. The application's output is shown; its result, its working directory if kept, and any
    error go to standard error. The exit code is 1 if the run failed.
    """
    from pacifica.dispatcher.execution import dry_run

    settings = load_settings(config_file, {})
    application = settings.applications.get(name)
    if application is None:
        raise click.BadParameter(f"no application named {name!r}", param_hint="--application")
    with TemporaryDirectory(prefix="dispatcher-") as folder:
        directory = data or Path(folder)
        attempt = dry_run.dry_attempt(application, _read_event(event), settings.home, directory)
        outcome = dry_run.dry_run(attempt)
    if outcome.result is not None:
        click.echo(f"result: {outcome.result.strip()}", err=True)
    if data:
        click.echo(f"working directory: {attempt.workdir.directory}", err=True)
    if outcome.error:
        click.echo(f"{name} failed: {outcome.error}", err=True)
        raise SystemExit(1)


def _read_event(file: BinaryIO) -> "Event":
    from pacifica.dispatcher import events

    try:
        [event] = events.parse_request("application/cloudevents+json", file.read()).events
    except EventError as exc:
        click.echo("\n".join([str(exc), *map(str, exc.problems)]), err=True)
        raise SystemExit(2) from exc
    return event


def _explanation_lines(explained: "Iterable[Explained]") -> Iterator[str]:
    for each in explained:
        note = f" ({each.note})" if each.note else ""
        yield f"{each.application}: {'matched' if each.matched else 'not matched'}{note}"
        for clause in each.clauses:
            yield from _clause_lines(clause, "  ")


def _clause_lines(clause: "Explanation", margin: str) -> Iterator[str]:
    found = clause.error or ("" if clause.parts else f"found {json.dumps(clause.value)}")
    yield f"{margin}{'yes' if clause.held else 'no '}  {clause.clause}{found and ': '}{found}"
    for part in clause.parts:
        yield from _clause_lines(part, f"{margin}  ")


def _print_address(address: "Address") -> None:
    click.echo(f"Listening on {address}")


def _print_welcome(address: "Address") -> None:
    click.echo(f"Pacifica Dispatcher is ready: {address}")
    click.echo(f"Try it:  {address.curl('/dispatch/add/2/2')}")
    click.echo("Press Ctrl-C to stop.")


def load_settings(file: Path | None, server: dict[str, Any]) -> "Settings":
    """Load the settings and override server settings; exit with code 2 if they are invalid."""
    from pacifica.dispatcher import config

    try:
        settings = config.load(file)
    except DispatcherError as exc:
        click.echo(str(exc), err=True)
        raise SystemExit(2) from exc
    given = {name: value for name, value in server.items() if value is not None}
    return replace(settings, server=replace(settings.server, **given))


def _run(command: Callable[[], None]) -> None:
    try:
        command()
    except DispatcherError as exc:
        click.echo(str(exc), err=True)
        raise SystemExit(2 if isinstance(exc, _UNUSABLE) else 1) from exc
