"""The pages, each rendered from the values that it shows."""

import hashlib
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from importlib import resources
from types import MappingProxyType
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from pacifica.dispatcher import events, orm
from pacifica.dispatcher.applications import Application, Explained
from pacifica.dispatcher.errors import EventError
from pacifica.dispatcher.execution.artifacts import Artifact
from pacifica.dispatcher.page import words
from pacifica.dispatcher.page.terminal import Terminal

_TYPES: Final = {"page.css": "text/css;charset=utf-8", "page.js": "text/javascript;charset=utf-8"}
_OUTCOMES: Final = (*map(str, orm.State), "unmatched")
MAX_OUTPUT: Final = 256 * 1024
"""Maximum length of an output on a page, in characters."""

_NO_FIELDS: Final[Mapping[str, None]] = MappingProxyType({})
_MAX_EVENT: Final = 64 * 1024  # characters of an event or a result on a page
_MAX_WORD: Final = 200  # characters of an attribute in a list or a heading
_MAX_VALUE: Final = 4096  # characters of an attribute on the page of its event
_BAR: Final = 40  # the height of the tallest bar


@dataclass(frozen=True, slots=True)
class Html:
    """A page to render.

    Attributes:
        template: the name of the template.
        values: the values that the template shows.
        now: the time from which ages count; the database's, if the page shows any.
        root: the path under which the browser reaches `/`, in front of every link; "" without one.
    """

    template: str
    values: Mapping[str, Any]
    now: float = field(default_factory=time.time)
    root: str = ""

    def page(self) -> str:
        """Render the whole page."""
        return self._render("layout.html", ages=True)

    def content(self) -> str:
        """Render the content of `main` without ages, which the script in the browser fills in."""
        # Without ages, the content changes only if the data has changed.
        return self._render("content.html", ages=False)

    def _render(self, layout: str, *, ages: bool) -> str:
        template = _environment().get_template(self.template)
        shared = {"layout": layout, "ages": ages, "now": self.now, "root": self.root}
        return template.render(**self.values, **shared)


def event_list(  # noqa: PLR0913 - the values on the page
    found: orm.EventPage,
    *,
    filters: Mapping[str, str],
    following: str | None,
    counts: Mapping[str, int],
    history: Sequence[orm.Minute],
    applications: Sequence[str],
    unconfigured: Sequence[str],
    differing: orm.DifferingTotal,
    url: str,
) -> Html:
    """Show the newest events that match the filters.

    Args:
        found: the events.
        filters: the filters, as given in the address.
        following: the address of the next page, if any.
        counts: numbers of runs by state.
        history: the runs of the last hour.
        applications: the application names to offer as a filter.
        unconfigured: the names of paused or waiting applications that are not configured.
        differing: the events that were received again with other content.
        url: the URL of the server, for the examples on an empty page.
    """
    return _page(
        "events.html",
        found=found.events,
        filters=filters,
        following=following,
        counts=counts,
        bars=_bars(history),
        applications=applications,
        unconfigured=unconfigured,
        differing=differing,
        url=url,
    )


def event(
    view: orm.EventView,
    differing: orm.Differing | None,
    explained: Sequence[Explained],
    url: str,
) -> Html:
    """Show one event as sent, its runs, and why each application matched or did not."""
    parsed = _parsed(view.sent)
    return _page(
        "event.html",
        view=view,
        event=parsed,
        data=parsed and words.payload(parsed, _MAX_EVENT),
        most_sent=_MAX_EVENT,
        differing=differing,
        explained=explained,
        url=url,
    )


def run(  # noqa: PLR0913 - the values on the page
    view: orm.RunView,
    attempts: Sequence[orm.AttemptView],
    *,
    shown: orm.AttemptView | None,
    stream: str | None,
    output: Sequence[tuple[str, str]],
    cut: bool,
    files: Sequence[Artifact],
    why_no_files: str | None,
    ends: Sequence[orm.RunEnd],
    is_orphan: bool,
) -> Html:
    """Show one run and one of its attempts.

    Args:
        view: the run.
        attempts: all of its attempts.
        shown: the attempt to show; None if none has started.
        stream: the stream to show; None for both.
        output: the output as pairs of stream name and text, of which the end is shown.
        cut: True if this is only the end of the output.
        files: the files that the attempt left.
        why_no_files: the reason if there are none or not all.
        ends: the latest ends of runs of the same application.
        is_orphan: True if it waits although its application is not configured.
    """
    last, cut_here = _end(output)
    terminal = Terminal()
    return _page(
        "run.html",
        view=view,
        attempts=attempts,
        shown=shown,
        stream=stream,
        output="".join(terminal.html(name, text) for name, text in last),
        cut=cut or cut_here,
        files=files,
        why_no_files=why_no_files,
        ends=ends,
        is_orphan=is_orphan,
        longest=max((end.duration for end in ends), default=0.0),
    )


def application_list(
    applications: Sequence[Application],
    unconfigured: Sequence[str],
    summaries: Mapping[str, orm.ApplicationSummary],
    paused: Mapping[str, float],
    failures: Sequence[orm.FailureGroup],
) -> Html:
    """Show the applications, those not configured too, and recent failures grouped by cause."""
    return _page(
        "applications.html",
        applications=applications,
        unconfigured=unconfigured,
        summaries=summaries,
        paused=paused,
        failures=failures,
        grouped=orm.MAX_GROUPED,
    )


def worker_list(
    workers: Sequence[orm.WorkerView], waiting: Sequence[orm.WaitingRuns], takers: orm.Takers
) -> Html:
    """Show workers, queues, and waiting runs with the reason."""
    return _page(
        "workers.html",
        workers=workers,
        waiting=[(each, orm.reason(each, takers)) for each in waiting],
        queues=orm.queues(workers, waiting, takers.default),
        default=takers.default,
    )


def edit(uuid: str, text: str, problems: Sequence[str]) -> Html:
    """Show a copy of an event to edit, with its problems above it."""
    return _page("edit.html", uuid=uuid, text=text, problems=problems)


def together(  # noqa: PLR0913 - the parts of the page
    action: str,
    kind: str,
    uuids: Sequence[str],
    more: str | None,
    *,
    fields: Mapping[str, str | None] = _NO_FIELDS,
    only: str = "",
) -> Html:
    """Ask for confirmation of an action on several events or runs.

    Args:
        action: `replay`, `retry` or `cancel`.
        kind: `event` or `run`.
        uuids: the ids of the events or runs.
        more: the address of the same question for the next ones, if any.
        fields: further fields of the form, which select runs of the events.
        only: this selection in words.
    """
    return _page(
        "together.html",
        action=action,
        kind=kind,
        uuids=uuids,
        more=more,
        fields={name: text for name, text in fields.items() if text},
        only=only,
    )


def done(  # noqa: PLR0913 - the parts of the page
    action: str,
    kind: str,
    number: int,
    *,
    applications: Mapping[str, int],
    refused: Sequence[tuple[str, str]],
    more: str | None,
) -> Html:
    """Show how many events or runs an action changed, and why others were skipped."""
    return _page(
        "done.html",
        action=action,
        kind=kind,
        done=number,
        applications=applications,
        refused=refused,
        more=more,
    )


def problem(title: str, detail: str) -> Html:
    """Show a problem."""
    return _page("problem.html", title=title, detail=detail)


def assets() -> tuple[str, ...]:
    """Return the names of the files that pages load."""
    return tuple(_TYPES)


@cache
def asset(name: str) -> tuple[bytes, str, str]:
    """Return a file that pages load: its bytes, its media type, and a tag that changes with it."""
    content = (resources.files(__package__) / "static" / name).read_bytes()
    return content, _TYPES[name], hashlib.sha256(content).hexdigest()[:16]


def _page(template: str, **values: Any) -> Html:  # noqa: ANN401 - the values of templates
    return Html(template, values)


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
        "pretty": partial(words.pretty_beginning, most=_MAX_EVENT),
        "beginning": words.beginning,
        "shell": shlex.join,
    }
    environment.globals |= {
        "ago": words.ago,
        "curl": words.curl,
        "tags": {name: asset(name)[2] for name in _TYPES},
        "outcomes": _OUTCOMES,
        "most": orm.MAX_COUNTED,
        "word": _MAX_WORD,
        "most_value": _MAX_VALUE,
    }
    return environment


def _parsed(sent: str) -> events.Event | None:
    # None if this version is stricter than the one that stored the event.
    try:
        return events.parse_event(sent)
    except EventError:
        return None


def _end(output: Sequence[tuple[str, str]]) -> tuple[list[tuple[str, str]], bool]:
    # The end of an output, and True if the beginning was cut off.
    kept: list[tuple[str, str]] = []
    room = MAX_OUTPUT
    for stream, text in reversed(output):
        if not room:
            break
        kept.append((stream, text[-room:]))
        room -= len(kept[-1][1])
    return kept[::-1], sum(len(text) for _, text in output) > MAX_OUTPUT


def _bars(history: Sequence[orm.Minute]) -> list[dict[str, Any]]:
    # Stacked bars, one unit wide.
    tallest = max([sum(each.numbers.values()) for each in history] or [0]) or 1
    bars = []
    for minute_number, minute in enumerate(history):
        top = float(_BAR)
        for outcome in _OUTCOMES:
            height = _BAR * minute.numbers.get(outcome, 0) / tallest
            if height:
                top -= height
                bars.append(
                    {
                        "x": minute_number,
                        "y": round(top, 2),
                        "height": round(height, 2),
                        "state": outcome,
                    }
                )
    return bars
