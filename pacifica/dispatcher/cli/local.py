"""The commands that work here, with the INI file: the servers, and trying a configuration."""

import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from pacifica.dispatcher.errors import DispatcherError, EventError

if TYPE_CHECKING:
    from pacifica.dispatcher.applications import Explained
    from pacifica.dispatcher.config import Settings
    from pacifica.dispatcher.events import Event
    from pacifica.dispatcher.filters import Explanation

_File = click.Path(exists=True, dir_okay=False, path_type=Path)

config_option = click.option(
    "-c",
    "--config",
    "config_file",
    type=_File,
    help="The INI file; else $DISPATCHER_CONFIG, ./config.ini, ~/.pacifica-dispatcher/config.ini.",
)
"""The option that names the INI file."""


def server_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of a server."""
    for option in (
        click.option("-a", "--address", help="Listen on this address."),
        click.option("-p", "--port", type=click.IntRange(1, 65535), help="Listen on this port."),
        click.option("--cp-config", type=_File, help="A CherryPy configuration file."),
        config_option,
    ):
        command = option(command)
    return command


@click.command()
@server_options
def serve(config_file: Path | None, cp_config: Path | None, **server: Any) -> None:  # noqa: ANN401
    """Serve HTTP: accept events, answer what became of them."""
    from pacifica.dispatcher import wsgi

    settings = load_settings(config_file, server)
    _run(lambda: wsgi.serve(settings, cp_config, lambda url: click.echo(f"Listening on {url}/")))


@click.command()
@server_options
def standalone(config_file: Path | None, cp_config: Path | None, **server: Any) -> None:  # noqa: ANN401
    """Serve HTTP and run applications on this machine, with no broker to set up."""
    from pacifica.dispatcher import standalone

    settings = load_settings(config_file, server)
    _run(lambda: standalone.run(settings, cp_config, _welcome))


@click.command()
@config_option
def check(config_file: Path | None) -> None:
    """Check the configuration; exit code 2 and every problem when it cannot be used."""
    from pacifica.dispatcher import review

    settings = load_settings(config_file, {})
    file = settings.file or "defaults"
    click.echo(f"{file}: fine")
    for application in settings.applications.values():
        click.echo(f"  application {application.name}")
    for adapter in settings.adapters.values():
        click.echo(f"  adapter {adapter.name}: {adapter.kind}")
    for warning in review.warnings(settings.applications.values()):
        click.echo(f"warning: {file}: {warning}", err=True)


@click.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="For programs: JSON.")
@click.argument("event", type=click.File("rb"))
@click.pass_context
def explain(
    context: click.Context, config_file: Path | None, event: BinaryIO, *, as_json: bool
) -> None:
    """Say why each application would get the event in a file (- is standard input), or would not.

    The exit code is 3 when none would.
    """
    from pacifica.dispatcher import applications

    settings = load_settings(config_file, {})
    explained = applications.explain(settings.applications.values(), _event(event), time.time())
    if as_json:
        click.echo(json.dumps({"applications": [each.document() for each in explained]}))
    else:
        for line in _in_words(explained):
            click.echo(line)
    if not any(each.matched for each in explained):
        context.exit(3)


@click.command()
@config_option
@click.option("--application", "name", required=True, help="The application to run.")
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep its files in this folder; else they are removed.",
)
@click.argument("event", type=click.File("rb"))
def run(config_file: Path | None, name: str, data: Path | None, event: BinaryIO) -> None:
    """Run one application on the event in a file (- is standard input), here and now.

    It needs no database, broker or worker. What the application prints is shown; its result, the
    working directory that was kept, and an error come on standard error. The exit code is 1 when
    it failed.
    """
    from pacifica.dispatcher import trial

    settings = load_settings(config_file, {})
    application = settings.applications.get(name)
    if application is None:
        raise click.BadParameter(f"there is none of the name {name}", param_hint="--application")
    with TemporaryDirectory(prefix="dispatcher-") as folder:
        directory = data or Path(folder)
        tried = trial.try_out(application, _event(event), settings.home, directory)
    if tried.result is not None:
        click.echo(f"result: {tried.result.strip()}", err=True)
    if data:
        click.echo(f"its files are in {tried.directory}", err=True)
    if tried.error:
        click.echo(f"{name} failed: {tried.error}", err=True)
        raise SystemExit(1)


def _event(file: BinaryIO) -> "Event":
    """The event in a file, in JSON."""
    from pacifica.dispatcher import events

    try:
        [read] = events.receive("application/cloudevents+json", file.read()).events
    except EventError as exc:
        click.echo("\n".join([str(exc), *map(str, exc.problems)]), err=True)
        raise SystemExit(2) from exc
    return read


def _in_words(explained: "Iterable[Explained]") -> Iterator[str]:
    for each in explained:
        note = f" ({each.note})" if each.note else ""
        yield f"{each.application}: {'matched' if each.matched else 'not matched'}{note}"
        for clause in each.clauses:
            yield from _clause_in_words(clause, "  ")


def _clause_in_words(clause: "Explanation", margin: str) -> Iterator[str]:
    found = clause.error or ("" if clause.parts else f"found {json.dumps(clause.value)}")
    yield f"{margin}{'yes' if clause.held else 'no '}  {clause.clause}{found and ': '}{found}"
    for part in clause.parts:
        yield from _clause_in_words(part, f"{margin}  ")


def _welcome(url: str) -> None:
    click.echo(f"Pacifica Dispatcher is ready: {url}/")
    click.echo(f"Try it:  curl -s {url}/dispatch/add/2/2")
    click.echo("Ctrl-C stops it.")


def load_settings(file: Path | None, server: dict[str, Any]) -> "Settings":
    """The settings, with what was given for the server; a file that cannot be used ends it all."""
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
        raise SystemExit(1) from exc
