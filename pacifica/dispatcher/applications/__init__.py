"""Applications: the events they receive, how they run, and their limits. No I/O here."""

from pacifica.dispatcher.applications.application import (
    PRIORITIES,
    Application,
    Handler,
    Keep,
    Rate,
    Retry,
)
from pacifica.dispatcher.applications.builtin import BUILT_IN
from pacifica.dispatcher.applications.command_template import CommandTemplate
from pacifica.dispatcher.applications.matching import Explained, explain, matching

__all__ = [
    "BUILT_IN",
    "PRIORITIES",
    "Application",
    "CommandTemplate",
    "Explained",
    "Handler",
    "Keep",
    "Rate",
    "Retry",
    "explain",
    "matching",
]
