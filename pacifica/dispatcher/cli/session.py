"""The session of a command: its client and its output."""

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from typing import Final

import click
from rich.console import Console, RenderableType
from rich.progress import track
from rich.status import Status

from pacifica.dispatcher.cli.client import Client, Document, Event, Query, UnreachableError
from pacifica.dispatcher.cli.text import json_line, line

View = Callable[[Document], Iterable[RenderableType]]
"""Renders a document for people."""

TIMEOUT: Final = 60.0
"""Maximum number of seconds that the server may be unavailable during a wait."""

EXIT_CODES: Final = {"succeeded": 0, "failed": 1, "cancelled": 1, "unmatched": 3}
"""Exit codes of the final statuses."""

_RECONNECT: Final = 1.0  # seconds between the end of a stream and the next request
_WAIT: Final = 20  # seconds; proxies often time out after 60
_PAUSES: Final = (0.1, 1.3, 2.0)  # seconds between polls: first, growth factor, maximum
_WIDTH: Final = 10_000  # one line per row, regardless of the width of the terminal


class Session:
    """A session with a server.

    Attributes:
        client: the client of the server.
        as_json: True if documents are printed as JSON, for programs.
    """

    def __init__(self, client: Client, *, as_json: bool) -> None:
        """Use colours if standard output is a terminal."""
        self.client = client
        self.as_json = as_json
        colours = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        self._out = Console(
            width=_WIDTH,
            color_system="auto" if colours else None,
            force_terminal=colours,
            markup=False,
            highlight=False,
            emoji=False,
        )
        self._err = Console(stderr=True, force_terminal=sys.stderr.isatty(), highlight=False)

    def show(self, document: Document, view: View) -> None:
        """Print a document: as a line of JSON for programs, or as a view for people.

        Raises:
            UnreachableError: the document lacks members of the view.
        """
        if self.as_json:
            click.echo(json_line(document))
            return
        try:
            shown = list(view(document))
        except (LookupError, TypeError, ValueError, AttributeError) as exc:
            raise self._unexpected() from exc
        with self._out.capture() as captured:
            self._out.print(*shown, sep="\n")
        click.echo("\n".join(each.rstrip() for each in captured.get().rstrip("\n").split("\n")))

    def report(self, text: str) -> None:
        """Print a line on standard error."""
        click.echo(line(text), err=True)

    def with_progress(self, items: list[str], label: str) -> Iterable[str]:
        """Return the items, with a progress bar if standard error is a terminal."""
        if self._err.is_terminal and not self.as_json:
            return track(items, label, console=self._err)
        return items

    def await_end(self, path: str, timeout: float = TIMEOUT) -> Document:
        """Wait until the event or run at a path has ended, and return its document.

        Retry while the server is unavailable.

        Args:
            path: the path of the event or the run.
            timeout: maximum number of seconds that the server may be unavailable.

        Raises:
            ServerError: the server was unavailable for longer, or refused the request.
        """
        pause, growth, longest = _PAUSES
        outage = _Outage(self, timeout)
        wait = _WAIT
        with Status("waiting", console=self._err) as status:
            while True:
                requested = time.monotonic()
                try:
                    document = self.client.get(path, "status", {"wait": wait})
                    if document["status"] in EXIT_CODES:
                        return document
                    outage.end()
                    status.update(line(str(document["status"])))
                except UnreachableError as exc:
                    outage.report(exc)
                    wait //= 2  # maybe a proxy cuts silent responses
                if (
                    time.monotonic() - requested < pause
                ):  # the server had no free slot and did not wait
                    time.sleep(pause)
                    pause = min(pause * growth, longest)

    def follow(self, path: str, query: Query, timeout: float = TIMEOUT) -> Iterator[str]:
        """Yield the output at a path until its attempt ends.

        When the connection is cut, continue at the same position.

        Args:
            path: the path of the output of a run.
            query: the query parameters.
            timeout: maximum number of seconds that the server may be unavailable.

        Raises:
            ServerError: the server was unavailable for longer, or refused the request.
        """
        outage = _Outage(self, timeout)
        last = ""
        while True:
            try:
                received = ended = False
                with closing(self.client.events(path, query, last)) as events:
                    for event in events:
                        received = True
                        last = event.get("id", last)
                        if event.get("event") == "output":
                            yield self._text_of(event)
                        outage.end()
                        ended = event.get("event") == "end"
                if ended:
                    return
                if not received:
                    raise self._unexpected()
            except UnreachableError as exc:
                outage.report(exc)
            if last:  # a later attempt may have begun
                query = {**query, "attempt": last.partition(".")[0]}
            time.sleep(_RECONNECT)

    def _unexpected(self) -> UnreachableError:
        return UnreachableError(f"{self.client.url} sent an unexpected document; check its version")

    def _text_of(self, event: Event) -> str:
        try:
            return str(json.loads(event["data"])["text"])
        except (LookupError, TypeError, ValueError) as exc:
            raise self._unexpected() from exc


class _Outage:
    """The time for which a server has been unavailable during a command."""

    def __init__(self, session: Session, timeout: float) -> None:
        self._session = session
        self._timeout = timeout
        self._since: float | None = None
        self._reported = False

    def end(self) -> None:
        """Take note of a response."""
        self._since = None

    def report(self, exc: UnreachableError) -> None:
        """Report the first failure of all; raise if the outage takes too long."""
        if not self._reported:
            self._session.report(f"{exc}; retrying for {self._timeout:g} s")
            self._reported = True
        if self._since is None:
            self._since = time.monotonic()
        elif time.monotonic() - self._since > self._timeout:
            raise exc
