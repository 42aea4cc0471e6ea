"""database: the state of the tables, by the INI file."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pacifica.dispatcher.cli.local import config_option, load_settings
from pacifica.dispatcher.errors import DatabaseUnavailableError, DatabaseUrlError

if TYPE_CHECKING:
    from pacifica.dispatcher.config import DatabaseSettings
    from pacifica.dispatcher.orm import Database

_BEHIND = 1
_WRONG_URL = 2
_AWAY = 4

_json_option = click.option("--json", "as_json", is_flag=True, help="For programs: JSON.")


@click.group()
def database() -> None:
    """See to the database that the INI file names."""


@database.command()
@config_option
@_json_option
def migrate(config_file: Path | None, *, as_json: bool) -> None:
    """Make the tables, or bring them up to date.

    Every server does so too when it starts. The exit code is 4 when the database does not answer.
    """
    settings = load_settings(config_file, {}).database
    found = _open(settings)
    try:
        before = found.schema().version
        found.prepare(settings.connect_attempts, settings.connect_wait)
        after = found.schema().version
    except DatabaseUnavailableError as exc:
        raise _away(exc) from exc
    if as_json:
        click.echo(json.dumps({"database": found.name, "from": before, "to": after}))
    elif before == after:
        click.echo(f"{found.name}: up to date ({after})")
    else:
        click.echo(f"{found.name}: brought from {before} to {after}")


@database.command()
@config_option
@_json_option
def check(config_file: Path | None, *, as_json: bool) -> None:
    """Say whether the database answers and its tables are up to date.

    The exit code is 1 when they are not, and 4 when the database does not answer.
    """
    found = _open(load_settings(config_file, {}).database)
    try:
        schema = found.schema()
    except DatabaseUnavailableError as exc:
        raise _away(exc) from exc
    if as_json:
        document = {"version": schema.version, "missing": schema.missing, "unknown": schema.unknown}
        click.echo(json.dumps({"database": found.name, **document}))
    elif schema.unknown:
        click.echo(f"{found.name}: made by a later version ({', '.join(schema.unknown)})")
    elif schema.missing:
        click.echo(f"{found.name}: at {schema.version}, without {', '.join(schema.missing)}")
    else:
        click.echo(f"{found.name}: up to date ({schema.version})")
    if schema.missing or schema.unknown:
        raise SystemExit(_BEHIND)


def _open(settings: "DatabaseSettings") -> "Database":
    from pacifica.dispatcher.orm import Database

    try:
        return Database(settings.peewee_url)
    except DatabaseUrlError as exc:
        click.echo(str(exc), err=True)
        raise SystemExit(_WRONG_URL) from exc


def _away(exc: DatabaseUnavailableError) -> SystemExit:
    click.echo(str(exc), err=True)
    return SystemExit(_AWAY)
