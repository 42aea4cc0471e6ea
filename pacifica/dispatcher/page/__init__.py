"""The web pages: HTML rendered from views. Pure, without HTTP."""

from pacifica.dispatcher.page.render import (
    MAX_OUTPUT,
    Html,
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
    "MAX_OUTPUT",
    "Html",
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
