"""Helpers that load a configuration or return its problems."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from pacifica.dispatcher.applications import Application
from pacifica.dispatcher.config import (
    CelerySettings,
    DatabaseSettings,
    ServerSettings,
    Settings,
    WebhookSettings,
    WorkerSettings,
    load,
)
from pacifica.dispatcher.errors import SettingsError

SECTIONS = {
    "database": DatabaseSettings,
    "celery": CelerySettings,
    "server": ServerSettings,
    "worker": WorkerSettings,
    "webhook": WebhookSettings,
}
APPLICATION = "[application:one]\ncommand = true\n"
SECRET = "s3cr-t"  # noqa: S105 - not a secret, and must never be shown


def read(text: str, environment: Mapping[str, str] | None = None) -> Settings:
    """Load a file a.ini with this text."""
    Path("a.ini").write_text(text, encoding="utf-8")
    return load(Path("a.ini"), environment or {})


def application(text: str) -> Application:
    """Load the application `one` with this text in its section."""
    return read(f"[application:one]\n{text}\n").applications["one"]


def refused(text: str, environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the problems of a file by location."""
    with pytest.raises(SettingsError) as caught:
        read(text, environment)
    assert str(caught.value) == "\n".join(map(str, caught.value.problems))
    return {each.where: each.what for each in caught.value.problems}
