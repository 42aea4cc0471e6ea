"""The part of `check` that looks into the database."""

from collections.abc import Iterator
from contextlib import closing

from pacifica.dispatcher import orm
from pacifica.dispatcher.config import Settings


def inspect_database(settings: Settings) -> list[str]:
    """Return warnings about the database; nothing is created or changed.

    Raises:
        DatabaseUrlError: the URL is not valid.
        DatabaseUnavailableError: the database does not respond, or cannot be used.
        SchemaError: its tables are too new for this version.
    """
    with closing(orm.Database(settings.database.peewee_url)) as database:
        database.check_setup()
        schema = database.schema()
        if schema.unknown:
            database.require_compatible()
        if schema.missing or schema.unknown:
            return []  # a tier applies the migrations, or says that it cannot
        database.check(fully=True)
        return list(_warnings(database, settings))


def _warnings(database: orm.Database, settings: Settings) -> Iterator[str]:
    asked, taken = settings.server.max_event_size, database.max_row()
    if asked > taken:
        yield (
            f"[server] max_event_size is {asked} bytes, but {database.name} takes {taken}; larger "
            "events get 413"
        )
    if unserved := orm.unserved(database, database.name):
        yield unserved
    for each in orm.orphans(database, settings.applications, settings.celery.queue):
        wait = "run waits" if each.number == 1 else "runs wait"
        yield f"{each.number} {wait} for application {each.application}: {each.reason}"
