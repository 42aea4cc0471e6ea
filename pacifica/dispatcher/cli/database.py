"""database: manage the schema of the configured database."""

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pacifica.dispatcher.cli.local import config_option, load_settings
from pacifica.dispatcher.errors import (
    DatabaseUnavailableError,
    DatabaseUnfitError,
    DatabaseUrlError,
    SchemaError,
)

if TYPE_CHECKING:
    from pacifica.dispatcher.config import DatabaseSettings
    from pacifica.dispatcher.orm import Database

_OUTDATED = 1
_UNUSABLE = 2
_UNAVAILABLE = 4

_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def database() -> None:
    """Manage the schema of the database."""


@database.command()
@config_option
@_json_option
@click.option("--estimate", is_flag=True, help="Only print how many rows would change.")
def migrate(config_file: Path | None, *, as_json: bool, estimate: bool) -> None:
    """Create or update the tables.

    Every server does this when it starts. Rows are changed in lots, between which others can write.
    The exit code is 2 if the database cannot be used or its tables cannot be changed, and 4 if it
    is not available.
    """
    settings = load_settings(config_file, {}).database
    with _open(settings) as found:
        if estimate:
            _show_estimate(found, as_json=as_json)
            return
        before = found.schema().version
        found.prepare(settings.connect_attempts, settings.connect_wait)
        after = found.schema().version
    if as_json:
        click.echo(json.dumps({"database": found.name, "from": before, "to": after}))
    elif before == after:
        click.echo(f"{found.name}: up to date ({after})")
    else:
        click.echo(f"{found.name}: migrated from {before} to {after}")


def _show_estimate(database: "Database", *, as_json: bool) -> None:
    from pacifica.dispatcher import orm

    missing = orm.estimates(database)
    if as_json:
        click.echo(json.dumps({"missing": [asdict(each) for each in missing]}))
        return
    for each in missing:
        click.echo(f"{each.migration}: {each.rows} rows, about {each.seconds:.0f} s")
    if not missing:
        click.echo(f"{database.name}: up to date")


@database.command()
@config_option
@_json_option
def check(config_file: Path | None, *, as_json: bool) -> None:
    """Check that the database is available and can be used, and its tables are up to date.

    The exit code is 1 if the tables are not up to date, 2 if the database cannot be used (rights,
    encoding, damage), and 4 if it is not available.
    """
    with _open(load_settings(config_file, {}).database) as found:
        schema = found.schema()
        if not (schema.missing or schema.unknown):
            found.check(fully=True)
    if as_json:
        document = {"version": schema.version, "missing": schema.missing, "unknown": schema.unknown}
        click.echo(json.dumps({"database": found.name, **document}))
    elif schema.unknown:
        click.echo(f"{found.name}: migrated by a later version ({', '.join(schema.unknown)})")
    elif schema.missing:
        click.echo(f"{found.name}: at {schema.version}, not applied: {', '.join(schema.missing)}")
    else:
        click.echo(f"{found.name}: up to date ({schema.version})")
    if schema.missing or schema.unknown:
        raise SystemExit(_OUTDATED)


@contextmanager
def _open(settings: "DatabaseSettings") -> Iterator["Database"]:
    from pacifica.dispatcher.orm import Database

    try:
        with closing(Database(settings.peewee_url)) as found:
            found.check_setup()
            yield found
    except (DatabaseUrlError, DatabaseUnfitError, SchemaError) as exc:
        click.echo(str(exc), err=True)
        raise SystemExit(_UNUSABLE) from exc
    except DatabaseUnavailableError as exc:
        click.echo(str(exc), err=True)
        raise SystemExit(_UNAVAILABLE) from exc
