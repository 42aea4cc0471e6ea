"""A command's dealings with a server, and with whoever reads what it prints."""

import os
import sys
import time
from collections.abc import Callable, Iterable
from typing import Final

import click
from rich.console import Console, RenderableType
from rich.progress import track
from rich.status import Status

from pacifica.dispatcher.cli.client import Client, Document, UnreachableError
from pacifica.dispatcher.cli.text import json_line, line

View = Callable[[Document], Iterable[RenderableType]]
"""What people are shown of a document."""

PATIENCE: Final = 60.0  # seconds
"""How long a server may be away while something is waited for."""

EXIT_CODES: Final = {"succeeded": 0, "failed": 1, "cancelled": 1, "unmatched": 3}
"""What a command ends with for a status; 0 for one that is not the last."""

_PAUSES: Final = (0.1, 1.3, 2.0)  # seconds between two looks: at first, the growth, at the most
_WIDTH: Final = 10_000  # a row is a line, however wide the terminal is


class Session:
    """A server, and standard output and error.

    Attributes:
        client: the server.
        as_json: whether what is printed is for programs.
    """

    def __init__(self, client: Client, *, as_json: bool) -> None:
        """Find out whether there is a terminal, which alone gets colours."""
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
        """Print a document: as one line of JSON for programs, else a view of it.

        Raises:
            UnreachableError: it lacks what a view shows.
        """
        if self.as_json:
            click.echo(json_line(document))
            return
        try:
            shown = list(view(document))
        except (LookupError, TypeError, ValueError, AttributeError) as exc:
            raise UnreachableError(
                f"{self.client.url} answers in words that are not understood: another version?"
            ) from exc
        with self._out.capture() as captured:
            self._out.print(*shown, sep="\n")
        click.echo("\n".join(each.rstrip() for each in captured.get().rstrip("\n").split("\n")))

    def say(self, text: str) -> None:
        """Say something on standard error."""
        click.echo(line(text), err=True)

    def in_turn(self, things: list[str], what: str) -> Iterable[str]:
        """Give one thing after the other, with a progress bar on a terminal."""
        if self._err.is_terminal and not self.as_json:
            return track(things, what, console=self._err)
        return things

    def ended(self, path: str, patience: float = PATIENCE) -> Document:
        """Wait for the end of what stands at a path: an event, or a run.

        A server that is away meanwhile is asked again, with a word on standard error.

        Args:
            path: its address.
            patience: seconds for which the server may be away.

        Raises:
            ServerError: it was away for longer, or knows nothing of it.
        """
        pause, growth, longest = _PAUSES
        away_since = None
        with Status("waiting", console=self._err) as status:
            while True:
                try:
                    document = self.client.get(path, "status")
                    if document["status"] in EXIT_CODES:
                        return document
                    away_since = None
                    status.update(line(str(document["status"])))
                except UnreachableError as exc:
                    if away_since is None:
                        away_since = time.monotonic()
                        self.say(f"{exc}; trying again for {patience:g} s")
                    elif time.monotonic() - away_since > patience:
                        raise
                time.sleep(pause)
                pause = min(pause * growth, longest)
