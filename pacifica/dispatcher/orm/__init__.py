"""The database: tables, every transition of a run, every query. Nothing else touches it."""

from pacifica.dispatcher.orm.accept import Accepted, accept
from pacifica.dispatcher.orm.database import Database
from pacifica.dispatcher.orm.intake import Intake
from pacifica.dispatcher.orm.queries import (
    AttemptView,
    EventFilter,
    EventView,
    RunView,
    application_counts,
    event,
    events,
    output,
    run,
)
from pacifica.dispatcher.orm.tables import State
from pacifica.dispatcher.orm.transitions import (
    Claim,
    Outcome,
    claim,
    fail,
    oldest_wakeup_before,
    publish,
    release,
    republish_lost,
    save_output,
    succeed,
    unpublish,
)

__all__ = [
    "Accepted",
    "AttemptView",
    "Claim",
    "Database",
    "EventFilter",
    "EventView",
    "Intake",
    "Outcome",
    "RunView",
    "State",
    "accept",
    "application_counts",
    "claim",
    "event",
    "events",
    "fail",
    "oldest_wakeup_before",
    "output",
    "publish",
    "release",
    "republish_lost",
    "run",
    "save_output",
    "succeed",
    "unpublish",
]
