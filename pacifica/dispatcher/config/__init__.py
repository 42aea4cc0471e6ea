"""Settings from the INI file and the environment; all problems are reported at once."""

from pacifica.dispatcher.config.adapters import ADAPTER_KEYS
from pacifica.dispatcher.config.applications import APPLICATION_KEYS
from pacifica.dispatcher.config.load import load
from pacifica.dispatcher.config.sections import SECTIONS
from pacifica.dispatcher.config.settings import (
    CelerySettings,
    DatabaseSettings,
    ServerSettings,
    Settings,
    WebhookSettings,
    WorkerSettings,
)

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
