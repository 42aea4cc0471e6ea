"""Views of a server's documents as tables and lines for people."""

import shlex
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Final

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from pacifica.dispatcher.cli.client import Document
from pacifica.dispatcher.cli.text import age, json_text, line, moment, took

_STYLES: Final = {
    "queued": "cyan",
    "running": "blue",
    "retrying": "yellow",
    "succeeded": "green",
    "failed": "red",
    "cancelled": "magenta",
}
_CELL: Final = 60
"""Maximum number of characters in a cell with abbreviated text."""


def accepted(document: Document) -> Iterator[RenderableType]:
    """Render the response to an event that was sent."""
    applications = ", ".join(document["applications"])
    notes = [name for name in ("duplicate", "differs", "expired") if document.get(name)]
    yield _words(document["uuid"], _state(document["status"]), applications, *notes)


def status(document: Document) -> Iterator[RenderableType]:
    """Render the status of an event with its runs, or of a run with its attempts."""
    yield _words(document["uuid"], _state(document["status"]), _expired(document))
    if "attempts" in document:
        yield from _attempts(document)
    elif document["runs"]:
        yield _runs(document["runs"])
    if document["result"] is not None:
        yield _words("result:", json_text(document["result"]))


def events(document: Document, *, header: bool) -> Iterator[RenderableType]:
    """Render events as a table, with or without its header."""
    table = _table("UUID", "AGE", "STATUS", "TYPE", "SUBJECT OR ID", "RUNS", header=header)
    for name, width in zip(table.columns, (36, 4, 9), strict=False):
        name.min_width = width
    now = datetime.now(UTC)
    for each in document["events"]:
        event = each["event"]
        table.add_row(
            line(each["uuid"]),
            age(each["received"], now),
            _state(each["status"]),
            _short(event.get("type", "")),
            _short(event.get("subject") or event.get("id", "")),
            _applications(each["runs"], each["status"]),
        )
    yield table


def event(document: Document) -> Iterator[RenderableType]:
    """Render an event as sent, and its runs."""
    yield _words("event", document["uuid"], _state(document["status"]), _expired(document))
    yield Text()
    sent = document["event"]
    table = _pairs()
    table.add_row("received", moment(document["received"]))
    for name, value in sent.items():
        if name != "data":
            table.add_row(line(name), _attribute(value))
    if differing := document.get("differing"):
        table.add_row("received again", _differing(differing))
    yield table
    if "data" in sent:
        yield Text(f"\n{json_text(sent['data'], 2)}")
    if document["runs"]:
        yield Text()
        yield _runs(document["runs"])


def run(document: Document) -> Iterator[RenderableType]:
    """Render a run and its attempts."""
    yield _words("run", document["uuid"], _state(document["status"]))
    yield Text()
    table = _pairs()
    table.add_row("application", line(document["application"]))
    table.add_row("event", line(document["event"]))
    table.add_row("queued", moment(document["queued"]))
    command = next((each.get("command") for each in reversed(document["attempts"])), None)
    if command:
        table.add_row("command", line(shlex.join(command)))
    yield from (table, Text())
    yield from _attempts(document)
    if document["result"] is not None:
        yield Text(f"\n{json_text(document['result'], 2)}")


def acted_on_run(document: Document) -> Iterator[RenderableType]:
    """Render a run that was retried or cancelled."""
    state = "cancelling" if document["cancelling"] else _state(document["status"])
    yield _words(document["uuid"], state)


def acted_on_event(document: Document) -> Iterator[RenderableType]:
    """Render an event whose runs were replayed, retried or cancelled."""
    number = len(document["runs"])
    yield _words(document["uuid"], _state(document["status"]), f"{number} run{'s' * (number != 1)}")


def applications(document: Document) -> Iterator[RenderableType]:
    """Render applications and groups of recent failures as tables."""
    states = list(_STYLES)
    table = _table("APPLICATION", *(each.upper() for each in states), "PAUSED", "COMMAND")
    for each in document["applications"]:
        counts = each["runs"]
        table.add_row(
            line(each["name"]),
            *(_count(counts.get(state, 0), state) for state in states),
            _since(each.get("paused")),
            _short(each.get("command") or each["way"]),
        )
    yield table
    if document["failures"]:
        table = _table("FAILED", "APPLICATION", "HOW", "LAST LINE", "LATEST RUN", "AGE")
        now = datetime.now(UTC)
        for each in document["failures"]:
            table.add_row(
                str(len(each["runs"])),
                line(each["application"]),
                _short(each["how"]),
                _short(each["last_line"]),
                line(each["runs"][0]),
                age(each["finished"], now),
            )
        yield from (Text(), table)


def paused(document: Document) -> Iterator[RenderableType]:
    """Render an application that was paused or resumed."""
    since = document["paused"]
    yield _words(document["name"], f"paused since {moment(since)}" if since else "not paused")


def workers(document: Document) -> Iterator[RenderableType]:
    """Render workers, queues, and the reasons why runs wait."""
    now = datetime.now(UTC)
    table = _table(
        "WORKER", "HOST", "UP", "SEEN", "CLOCK", "DATABASE", "QUEUES", "PROCESSES", "RUNS"
    )
    for each in document["workers"]:
        table.add_row(
            line(each["uuid"]),
            line(each["host"]),
            age(each["started"], now),
            age(each["renewed"], now),
            _skew(each.get("skew", 0.0)),
            "few connections" if each.get("scarce") else "ok",
            line(", ".join(each["queues"])),
            str(each["processes"]),
            line(", ".join(f"{one['application']} {one['run']}" for one in each["running"])),
        )
    yield table if document["workers"] else Text("no workers; nothing can run")
    if document["queues"]:
        table = _table("QUEUE", "DUE", "PUBLISHED", "WORKERS")
        for each in document["queues"]:
            cells = (each["due"], each["published"], each["workers"])
            table.add_row(line(each["queue"]), *map(str, cells))
        yield from (Text(), table)
    if document["waiting"]:
        table = _table("WAITING", "APPLICATION", "QUEUE", "REASON")
        for each in document["waiting"]:
            table.add_row(
                str(each["number"]),
                line(each["application"]),
                line(each["queue"]),
                line(each["reason"]),
            )
        yield from (Text(), table)


def _skew(seconds: float) -> str:
    return "ok" if abs(seconds) < 1 else f"{seconds:+.0f} s"


def _attempts(document: Document) -> Iterator[RenderableType]:
    attempts = document["attempts"]
    if document["error"] and not (attempts and attempts[-1]["error"] == document["error"]):
        yield Text(line(document["error"]), _STYLES["failed"])
    if attempts:
        table = _table("ATTEMPT", "HOST", "STARTED", "TOOK", "ENDED", "NOTE")
        for each in attempts:
            table.add_row(
                str(each["number"]),
                line(each["host"]),
                moment(each["started"]),
                took(each["started"], each["finished"]),
                _end(each),
                line(_attempt_note(each)),
            )
        yield table


def _runs(runs: Iterable[Document]) -> Table:
    table = _table("RUN", "APPLICATION", "STATE", "ATTEMPT", "TOOK", "NOTE")
    for each in runs:
        table.add_row(
            line(each["uuid"]),
            line(each["application"]),
            _state(each["status"]),
            str(each["attempt"]),
            took(each["started"], each["finished"]) if each["started"] else "",
            _note(each),
            style="dim" if each["superseded"] else None,
        )
    return table


def _note(run: Document) -> str:
    if run["superseded"]:
        return "superseded by a replay"
    if run["cancelling"]:
        return "cancelling"
    if run["status"] == "retrying" and run["due"]:
        return line(f"next attempt at {moment(run['due'])}: {run['error'] or ''}")
    return line(run["error"] or _progress(run))


def _attempt_note(attempt: Document) -> str:
    if attempt["error"] and attempt.get("last_line"):
        return f"{attempt['error']}: {attempt['last_line']}"
    return attempt["error"] or _progress(attempt)


def _progress(document: Document) -> str:
    progress = document.get("progress")
    if not progress or document["finished"]:
        return ""
    return f"{progress['percent']:g} % {progress['text']}"


def _end(attempt: Document) -> str:
    if attempt["signal"]:
        return line(attempt["signal"])
    return "" if attempt["exit_code"] is None else f"exit code {attempt['exit_code']}"


def _applications(runs: Iterable[Document], status: str) -> Text:
    shown = Text()
    for each in runs:
        if not each["superseded"]:
            same = each["status"] == status
            name = line(each["application"] if same else f"{each['application']} {each['status']}")
            shown.append(", " if shown else "").append(name, _STYLES.get(each["status"], ""))
    return shown


def _differing(differing: Document) -> str:
    last = differing["deliveries"][-1]
    number = differing["number"]
    return line(
        f"{number} time{'s' * (number != 1)} with other content, which was dropped; "
        f"last at {moment(last['received'])} from {last['address']}"
    )


def _attribute(value: object) -> str:
    return _short(value if isinstance(value, str) else json_text(value))


def _state(state: str) -> Text:
    return Text(line(state), _STYLES.get(state, "dim"))


def _count(number: int, state: str) -> Text:
    return Text(str(number), _STYLES[state] if number else "dim")


def _since(timestamp: str | None) -> str:
    return f"since {moment(timestamp)}" if timestamp else ""


def _expired(document: Document) -> str:
    return "expired on arrival" if document.get("expired") else ""


def _short(text: str) -> str:
    return line(text if len(text) <= _CELL else f"{text[: _CELL - 1]}…")


def _words(*words: str | Text) -> Text:
    texts = [Text(line(each)) if isinstance(each, str) else each for each in words]
    return Text("  ").join(each for each in texts if each)


def _table(*columns: str, header: bool = True) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=header)
    for each in columns:
        table.add_column(each, no_wrap=True)
    return table


def _pairs() -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(no_wrap=True)
    return table
