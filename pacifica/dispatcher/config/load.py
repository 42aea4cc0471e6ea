"""Load the settings from the INI file and the environment."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from pacifica.dispatcher.applications import BUILT_IN
from pacifica.dispatcher.config import adapters, applications, ini
from pacifica.dispatcher.config.reader import Reader
from pacifica.dispatcher.config.sections import SECTIONS, parse_broker_url, parse_peewee_url
from pacifica.dispatcher.config.settings import (
    CelerySettings,
    DatabaseSettings,
    ServerSettings,
    Settings,
    WebhookSettings,
    WorkerSettings,
)
from pacifica.dispatcher.errors import SettingsError

T = TypeVar("T")


def load(file: Path | None = None, environment: Mapping[str, str] = os.environ) -> Settings:
    """Load the settings.

    Args:
        file: the INI file; if None, $DISPATCHER_CONFIG, ./config.ini or
            ~/.pacifica-dispatcher/config.ini, or the defaults if none of them exists.
        environment: its BROKER_URL and PEEWEE_URL override the file.

    Raises:
        SettingsError: holds every problem found.
    """
    file = file or ini.find_file(environment)
    reader = Reader(str(file or "defaults"), ini.parse_file(file), applications.MULTILINE)
    home = (file.parent if file else Path()).absolute()
    settings = Settings(
        file=file,
        database=_read_section(reader, "database", DatabaseSettings),
        celery=_read_section(reader, "celery", CelerySettings),
        server=_read_section(reader, "server", ServerSettings),
        worker=_read_section(reader, "worker", WorkerSettings),
        webhook=_read_section(reader, "webhook", WebhookSettings),
        applications={
            each.name: each for each in (*BUILT_IN, *applications.read_applications(reader, home))
        },
        adapters={each.name: each for each in adapters.read_adapters(reader, home)},
    )
    settings = _override(reader, settings, environment)
    _reject_unknown_sections(reader)
    if reader.problems:
        raise SettingsError(reader.problems)
    return settings


def _read_section(reader: Reader, name: str, kind: type[T]) -> T:
    return kind(**reader.values(name, reader.items(name), SECTIONS[name]))


def _override(reader: Reader, settings: Settings, environment: Mapping[str, str]) -> Settings:
    if url := environment.get("PEEWEE_URL"):
        url = reader.parse(parse_peewee_url, url, "environment: PEEWEE_URL", "")
        settings = replace(settings, database=replace(settings.database, peewee_url=url))
    if url := environment.get("BROKER_URL"):
        url = reader.parse(parse_broker_url, url, "environment: BROKER_URL", "")
        settings = replace(settings, celery=replace(settings.celery, broker_url=url))
    return settings


def _reject_unknown_sections(reader: Reader) -> None:
    prefixes = (applications.PREFIX, adapters.PREFIX)
    for section in reader.sections():
        if section not in SECTIONS and not section.startswith(prefixes):
            reader.add_unknown(reader.where(section), section, [*SECTIONS, *prefixes])
