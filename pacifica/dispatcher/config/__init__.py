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
from pacifica.dispatcher.config.values import ADAPTER_KEYS, APPLICATION_KEYS, SECTIONS

__all__ = [
    "ADAPTER_KEYS",
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
