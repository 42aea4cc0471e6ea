"""The JSON documents of responses, built from views and values."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Final

from pacifica.dispatcher import orm
from pacifica.dispatcher.applications import Application, Explained
from pacifica.dispatcher.applications.command_template import CommandTemplate
from pacifica.dispatcher.events import Json
from pacifica.dispatcher.execution.artifacts import Artifact

TIMES: Final = frozenset({"queued", "started", "finished", "due", "received"})
"""Members of views that are times."""


def accepted_document(accepted: orm.Accepted) -> Json:
    """Describe an accepted event to its sender."""
    document: dict[str, Json] = {
        "uuid": accepted.uuid,
        "status": accepted.status,
        "duplicate": accepted.duplicate,
        "applications": list(accepted.applications),
    }
    if accepted.expired:
        document["expired"] = True
    if accepted.differs:
        document["differs"] = True
    return document


def status_document(view: orm.EventSummary) -> Json:
    """Describe the status of an event."""
    document: dict[str, Json] = {
        "uuid": view.uuid,
        "status": view.status,
        "result": only_result(view),
        "event": dict(view.attributes),
        "received": timestamp(view.received),
        "runs": [run_document(each) for each in view.runs],
    }
    if not view.runs and view.expired:
        document["expired"] = True
    return document


def event_text(view: orm.EventView, differing: orm.Differing | None) -> str:
    """Return the JSON text of an event exactly as sent, with its runs and differing deliveries."""
    head = dumps({"uuid": view.uuid, "status": view.status, "received": timestamp(view.received)})
    tail: dict[str, Json] = {"runs": [run_document(each) for each in view.runs]}
    if differing is not None:
        deliveries: list[Json] = [_with_times(each) for each in differing.deliveries]
        tail["differing"] = {"number": differing.number, "deliveries": deliveries}
    return f'{head[:-1]}, "event": {view.sent}, {dumps(tail)[1:]}'


def events_document(found: orm.EventPage, total: orm.DifferingTotal) -> Json:
    """Describe one page of events, and how many were received again with other content."""
    return {
        "events": [status_document(view) for view in found.events],
        "differing": {"events": total.events, "deliveries": total.deliveries},
    }


def only_result(view: orm.EventSummary) -> Json:
    """Return the result of an event's only run, or None if it has none or several.

    Superseded runs do not count.
    """
    results = [run.result for run in view.runs if not run.superseded]
    return results[0] if len(results) == 1 else None


def explained_document(explained: Sequence[Explained]) -> Json:
    """Explain why an event matches each application, or does not."""
    return {"applications": [each.document() for each in explained]}


def acted_document(
    uuid: str, status: str, runs: Sequence[str], applications: Mapping[str, int]
) -> Json:
    """List the runs that a replay, retry or cancel of an event created or changed."""
    return {
        "uuid": uuid,
        "status": status,
        "runs": list(runs),
        "applications": dict(applications),
    }


def run_document(view: orm.RunView) -> dict[str, Json]:
    """Describe a run as part of its event."""
    document = _with_times(view)
    del document["event"]
    return document


def attempts_document(view: orm.RunView, attempts: Sequence[orm.AttemptView]) -> Json:
    """Describe a run with its attempts."""
    return {**_with_times(view), "attempts": [_with_times(each) for each in attempts]}


def application_document(
    application: Application, summary: orm.ApplicationSummary, paused: float | None
) -> Json:
    """Describe an application and its runs; durations are in seconds."""
    rate, target = application.rate, application.target
    return {
        **unconfigured_document(application.name, summary, paused),
        "rule": [each.document() for each in application.rule],
        "way": "command" if isinstance(target, CommandTemplate) else "handler",
        "command": str(target),
        "dispatch": application.dispatch,
        "queue": application.queue,
        "priority": application.priority,
        "concurrency": application.concurrency,
        "rate": None if rate is None else {"interval": rate.interval, "burst": rate.burst},
        "timeout": application.timeout,
    }


def unconfigured_document(
    name: str, summary: orm.ApplicationSummary, paused: float | None
) -> dict[str, Json]:
    """Describe the runs of an application that is not configured."""
    return {
        "name": name,
        "rule": [],
        "way": "not configured",
        "command": "",
        "dispatch": False,
        "queue": "",
        "priority": 0,
        "concurrency": None,
        "rate": None,
        "timeout": None,
        "paused": timestamp(paused),
        "runs": dict(summary.runs),
        "failed_today": summary.failed_today,
        "median": summary.median,
        "p95": summary.p95,
        "last_success": timestamp(summary.last_success),
    }


def failures_document(failures: Sequence[orm.FailureGroup]) -> list[Json]:
    """Describe groups of failed runs."""
    return [_with_times(each) for each in failures]


def workers_document(
    workers: Sequence[orm.WorkerView], waiting: Sequence[orm.WaitingRuns], takers: orm.Takers
) -> Json:
    """Describe workers, queues, and waiting runs with the reason."""
    return {
        "workers": [_worker_document(each) for each in workers],
        "queues": [asdict(each) for each in orm.queues(workers, waiting, takers.default)],
        "waiting": [
            {
                "application": each.application,
                "queue": each.queue or takers.default,
                "reason": orm.reason(each, takers),
                "number": each.number,
            }
            for each in waiting
        ],
    }


def _worker_document(worker: orm.WorkerView) -> Json:
    return {
        "uuid": worker.uuid,
        "host": worker.host,
        "started": timestamp(worker.started),
        "renewed": timestamp(worker.renewed),
        "lease": worker.length,
        "queues": list(worker.queues),
        "processes": worker.processes,
        "applications": list(worker.applications),
        "skew": round(worker.skew, 3),
        "scarce": worker.scarce,
        "running": [_with_times(each) for each in worker.running],
    }


def files_document(
    run: str, attempt: int, files: Sequence[Artifact], reason: str | None, root: str
) -> Json:
    """List the files of an attempt; give the reason if there are none, or not all.

    The addresses of the files are below a path, `root`.
    """
    documents: list[Json] = [
        {
            "name": each.name,
            "size": each.size,
            "modified": timestamp(each.modified),
            "url": f"{root}/runs/{run}/files/{each.quoted}?attempt={attempt}",
        }
        for each in files
    ]
    return {"files": documents, "reason": reason}


def timestamp(seconds: float | None) -> str | None:
    """Return seconds since the epoch as an RFC 3339 timestamp in UTC."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def dumps(value: Json) -> str:
    """Return the JSON text of a value."""
    return json.dumps(value, allow_nan=False)


def _with_times(
    view: orm.RunView
    | orm.AttemptView
    | orm.RunningAttempt
    | orm.FailureGroup
    | orm.DifferingDelivery,
) -> dict[str, Json]:
    return {
        name: timestamp(value) if name in TIMES else value for name, value in asdict(view).items()
    }
