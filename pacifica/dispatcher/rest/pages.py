"""The HTML of addresses that also serve JSON, from the same queries."""

import urllib.parse
from dataclasses import replace
from functools import partial
from typing import Any, Final

from pacifica.dispatcher import events, orm, page
from pacifica.dispatcher.applications import explain
from pacifica.dispatcher.errors import EventError, TooManyStreamsError
from pacifica.dispatcher.page import Html
from pacifica.dispatcher.rest import output_text
from pacifica.dispatcher.rest.context import Context
from pacifica.dispatcher.rest.files import files_of, number_of
from pacifica.dispatcher.rest.media_types import EVENT_STREAM
from pacifica.dispatcher.rest.parameters import DEFAULT_LIMIT, event_filter
from pacifica.dispatcher.rest.request import Request
from pacifica.dispatcher.rest.response import Response, html_response, stream_response

_WAITING: Final = frozenset({"queued", "retrying"})
_COMPARED: Final = 20
"""Number of recent runs of the same application shown with a run."""


def page_response(context: Context, request: Request, show: partial[Html]) -> Response:
    """Return a page, or a stream of its content after each change."""

    def shown() -> Html:
        return replace(show(), now=context.database.now(), root=request.root)

    if request.prefers_html:
        return html_response(request, shown())
    filters = sorted((name, texts) for name, texts in request.parameters().items() if any(texts))
    query = urllib.parse.urlencode(filters, doseq=True)
    address = f"{request.url}/{'/'.join(request.segments)}?{query}"  # the page shows the URL
    is_common = not filters and len(request.segments) <= 1
    slot = context.slots.try_take(request)
    known = request.headers.get("last-event-id", "")
    try:
        viewer = context.live.join(address, shown, slot, known, common=is_common)
    except TooManyStreamsError:
        if slot is not None:
            slot.release()
        raise
    return stream_response(viewer.changes(), f"{EVENT_STREAM};charset=utf-8", viewer.leave)


def event_list(
    context: Context,
    request: Request,
    limit: int = DEFAULT_LIMIT,
    **chosen: Any,  # noqa: ANN401 - from FILTERS
) -> Html:
    """Show the newest events that match the filters."""
    database = context.database
    found = orm.search(database, event_filter(database, chosen), limit, brief=True)
    filters = {name: texts[0] for name, texts in request.parameters().items() if texts[0]}
    following = found.before and urllib.parse.urlencode({**filters, "before": found.before})
    return page.event_list(
        found,
        filters={name: text for name, text in filters.items() if name != "before"},
        following=following and f"/?{following}",
        counts=orm.run_counts(database),
        history=orm.history(database),
        applications=list(context.applications),
        unconfigured=context.unconfigured(),
        differing=orm.differing_total(database),
        url=request.url,
    )


def event(context: Context, request: Request, event: str) -> Html:
    """Show one event, why it matched or did not, and its runs."""
    view = orm.event(context.database, event)
    try:
        explained = explain(context.applications.values(), events.parse_event(view.sent))
    except EventError:  # a later version may be stricter
        explained = ()
    differing = orm.differing(context.database, event)
    return page.event(view, differing, explained, request.url)


def run(
    context: Context,
    _: Request,
    run: str,
    attempt: int | None = None,
    stream: str | None = None,
) -> Html:
    """Show one run and one of its attempts."""
    database = context.database
    view, attempts = orm.run(database, run)
    number = number_of(view, attempt)
    pieces, cut = orm.output_end(database, view.uuid, number, stream, page.MAX_OUTPUT)
    begin = {each.stream: each.position for each in reversed(pieces)} if cut else {}
    files, why = files_of(context, view, attempts, number)
    return page.run(
        view,
        attempts,
        shown=attempts[number - 1] if number else None,
        stream=stream,
        output=output_text.parts_of(pieces, {**output_text.beginning(), **begin}),
        cut=cut,
        files=files,
        why_no_files=why,
        ends=orm.recent_ends(database, view.application, _COMPARED),
        is_orphan=view.status in _WAITING and view.application in context.unconfigured(),
    )


def application_list(context: Context, _: Request) -> Html:
    """Show the applications, and recent failures grouped by cause."""
    database, configured = context.database, context.applications
    unconfigured = context.unconfigured()
    return page.application_list(
        list(configured.values()),
        unconfigured,
        orm.summaries(database, [*configured, *unconfigured]),
        orm.paused(database),
        orm.failure_groups(database),
    )


def worker_list(context: Context, _: Request) -> Html:
    """Show the workers, and the waiting runs with the reason."""
    database = context.database
    workers = orm.worker_views(database)
    return page.worker_list(workers, orm.waiting(database), context.takers(workers))
