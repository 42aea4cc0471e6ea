"""The pages, each from what it shows."""

import hashlib
import shlex
import time
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from pacifica.dispatcher import events, orm
from pacifica.dispatcher.applications import Application, Explained
from pacifica.dispatcher.errors import EventError
from pacifica.dispatcher.leftovers import Leftover
from pacifica.dispatcher.page import words
from pacifica.dispatcher.page.terminal import Terminal

_TYPES: Final = {"page.css": "text/css; charset=utf-8", "page.js": "text/javascript; charset=utf-8"}
_OUTCOMES: Final = (*map(str, orm.State), "unmatched")
_MAX_SHOWN: Final = 256 * 1024  # characters of an output that stand on a page
_BAR: Final = 40  # the height of the tallest bar


def event_list(  # noqa: PLR0913 - what stands on the page
    found: orm.Found,
    *,
    asked: Mapping[str, str],
    following: str | None,
    counts: Mapping[str, int],
    history: Sequence[orm.Minute],
    applications: Sequence[str],
    url: str,
) -> str:
    """The newest events that were asked for.

    Args:
        found: they.
        asked: the filters, as they stand in the address.
        following: the address of the next page, if there is one.
        counts: runs by state.
        history: the last hour.
        applications: the names that can be asked for.
        url: where events are sent to, for the first one.
    """
    return _page(
        "events.html",
        found=[(view, _parsed(view.sent)) for view in found.events],
        asked=asked,
        following=following,
        counts=counts,
        bars=_bars(history),
        applications=applications,
        url=url,
    )


def event(view: orm.EventView, explained: Sequence[Explained], url: str) -> str:
    """One event: as it was sent, why each application matched or did not, its runs."""
    parsed = _parsed(view.sent)
    return _page(
        "event.html",
        view=view,
        event=parsed,
        data=parsed and words.payload(parsed),
        explained=explained,
        url=url,
    )


def run(  # noqa: PLR0913 - what stands on the page
    view: orm.RunView,
    attempts: Sequence[orm.AttemptView],
    *,
    shown: orm.AttemptView | None,
    stream: str | None,
    output: Sequence[tuple[str, str]],
    files: Sequence[Leftover],
    why_no_files: str | None,
    ends: Sequence[orm.End],
) -> str:
    """One run and one of its attempts.

    Args:
        view: the run.
        attempts: all of its attempts.
        shown: the one that is shown; None when none has begun.
        stream: the one that is shown of it; None for both.
        output: what that wrote, as the name of a stream and a text, one after the other; the end
            of it is shown.
        files: what that left.
        why_no_files: why there are none, or not all.
        ends: how the last runs of the same application ended.
    """
    last, cut = _end(output)
    terminal = Terminal()
    return _page(
        "run.html",
        view=view,
        attempts=attempts,
        shown=shown,
        stream=stream,
        output="".join(terminal.html(name, text) for name, text in last),
        cut=cut,
        files=files,
        why_no_files=why_no_files,
        ends=ends,
        longest=max((end.duration for end in ends), default=0.0),
    )


def application_list(
    applications: Sequence[Application],
    summaries: Mapping[str, orm.Summary],
    paused: Mapping[str, float],
    failures: Sequence[orm.Failures],
) -> str:
    """What is configured, how it does, and what failures have in common."""
    return _page(
        "applications.html",
        applications=applications,
        summaries=summaries,
        paused=paused,
        failures=failures,
        grouped=orm.GROUPED,
    )


def worker_list(
    workers: Sequence[orm.WorkerView], waiting: Sequence[orm.Waiting], default: str
) -> str:
    """Who works, and what waits and why; `default` is the installation's queue."""
    served = {queue for worker in workers for queue in worker.queues}
    return _page(
        "workers.html",
        workers=workers,
        waiting=[(each, orm.reason(each, served, default)) for each in waiting],
        queues=orm.queues(workers, waiting, default),
        default=default,
    )


def edit(uuid: str, text: str, problems: Sequence[str]) -> str:
    """A copy of an event to be changed and sent; what is wrong with it stands above."""
    return _page("edit.html", uuid=uuid, text=text, problems=problems)


def together(action: str, kind: str, uuids: Sequence[str], more: str | None) -> str:
    """Whether something is to be done with so many events or runs.

    Args:
        action: what.
        kind: `event` or `run`.
        uuids: they.
        more: the address of this question about the next ones, if there are more.
    """
    return _page("together.html", action=action, kind=kind, uuids=uuids, more=more)


def done(
    action: str, kind: str, number: int, refused: Sequence[tuple[str, str]], more: str | None
) -> str:
    """What was done with how many events or runs, which refused it and why, and where to go on."""
    return _page("done.html", action=action, kind=kind, done=number, refused=refused, more=more)


def problem(title: str, detail: str) -> str:
    """What went wrong."""
    return _page("problem.html", title=title, detail=detail)


def assets() -> tuple[str, ...]:
    """The names of the files that pages load."""
    return tuple(_TYPES)


@cache
def asset(name: str) -> tuple[bytes, str, str]:
    """A file that pages load: its bytes, its media type, and a tag that changes with it."""
    content = (resources.files(__package__) / "static" / name).read_bytes()
    return content, _TYPES[name], hashlib.sha256(content).hexdigest()[:16]


def _page(template: str, **values: Any) -> str:  # noqa: ANN401 - what templates show
    return _environment().get_template(template).render(**values, now=time.time())


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("pacifica.dispatcher.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "duration": words.duration,
        "exact": words.exact,
        "rule": words.rule,
        "pretty": words.pretty,
        "shell": shlex.join,
    }
    environment.globals |= {
        "ago": words.ago,
        "curl": words.curl,
        "tags": {name: asset(name)[2] for name in _TYPES},
        "outcomes": _OUTCOMES,
        "most": orm.MOST,
    }
    return environment


def _parsed(sent: str) -> events.Event | None:
    """The event; None when a later version of ours can no longer read it."""
    try:
        return events.parse(sent)
    except EventError:
        return None


def _end(output: Sequence[tuple[str, str]]) -> tuple[list[tuple[str, str]], bool]:
    """The last of an output, and whether that is not all of it."""
    kept: list[tuple[str, str]] = []
    room = _MAX_SHOWN
    for stream, text in reversed(output):
        if not room:
            break
        kept.append((stream, text[-room:]))
        room -= len(kept[-1][1])
    return kept[::-1], sum(len(text) for _, text in output) > _MAX_SHOWN


def _bars(history: Sequence[orm.Minute]) -> list[dict[str, Any]]:
    """The last hour as bars of one unit's width: for each part its outcome, top and height."""
    tallest = max([sum(each.numbers.values()) for each in history] or [0]) or 1
    bars = []
    for place, minute in enumerate(history):
        top = float(_BAR)
        for outcome in _OUTCOMES:
            height = _BAR * minute.numbers.get(outcome, 0) / tallest
            if height:
                top -= height
                bars.append(
                    {"x": place, "y": round(top, 2), "height": round(height, 2), "state": outcome}
                )
    return bars
