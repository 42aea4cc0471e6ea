"""The INI file and the environment as frozen settings; every problem is named at once."""

from pacifica.dispatcher.config.load import load
from pacifica.dispatcher.config.settings import (
    CelerySettings,
    DatabaseSettings,
    ServerSettings,
    Settings,
    WebhookSettings,
    WorkerSettings,
)
from pacifica.dispatcher.config.values import APPLICATION_KEYS, SECTIONS

__all__ = [
    "APPLICATION_KEYS",
    "SECTIONS",
    "CelerySettings",
    "DatabaseSettings",
    "ServerSettings",
    "Settings",
    "WebhookSettings",
    "WorkerSettings",
    "load",
]
