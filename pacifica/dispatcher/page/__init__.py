"""The web page: HTML for what was asked of the database. Pure; it knows no HTTP."""

from pacifica.dispatcher.page.render import (
    application_list,
    asset,
    assets,
    done,
    event,
    event_list,
    problem,
    run,
    together,
    worker_list,
)

__all__ = [
    "application_list",
    "asset",
    "assets",
    "done",
    "event",
    "event_list",
    "problem",
    "run",
    "together",
    "worker_list",
]
