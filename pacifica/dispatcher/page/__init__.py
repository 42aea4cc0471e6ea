"""The web page: HTML for what was asked of the database. Pure; it knows no HTTP."""

from pacifica.dispatcher.page.render import (
    application_list,
    asset,
    assets,
    done,
    edit,
    event,
    event_list,
    problem,
    run,
    together,
    worker_list,
)
from pacifica.dispatcher.page.terminal import Terminal
from pacifica.dispatcher.page.words import pretty

__all__ = [
    "Terminal",
    "application_list",
    "asset",
    "assets",
    "done",
    "edit",
    "event",
    "event_list",
    "pretty",
    "problem",
    "run",
    "together",
    "worker_list",
]
