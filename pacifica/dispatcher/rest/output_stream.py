"""Live output: as text, and as server-sent events (HTML standard, section 9.2)."""

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pacifica.dispatcher import orm
from pacifica.dispatcher.errors import DatabaseUnavailableError
from pacifica.dispatcher.execution.capture import Piece
from pacifica.dispatcher.page import Terminal
from pacifica.dispatcher.rest.output_text import Transcript
from pacifica.dispatcher.rest.parameters import STREAMS

PAUSE: Final = 0.5
"""Seconds between database queries."""

_KEEP_ALIVE: Final = 15.0  # seconds of silence before a comment is sent
_RETRY: Final = 2000  # milliseconds until a browser reconnects
_INTERRUPTED: Final = "\n[… interrupted: the server is stopping; request the output again …]\n"
_CURSOR: Final = re.compile(r"(\d{1,9})\.(\d{1,18})\.(\d{1,18})", re.ASCII)

Again = Callable[[], bool]
"""Waits until the next query; returns False if the response must end."""


@dataclass(frozen=True, slots=True)
class Followed:
    """The output of an attempt.

    Attributes:
        database: the database that stores it.
        run: the id of the run.
        attempt: the number of the attempt.
        streams: the names of the selected streams.
        begin: the first position of each stream, in bytes.
    """

    database: orm.Database
    run: str
    attempt: int
    streams: Sequence[str]
    begin: Mapping[str, int]

    def new_pieces(
        self, transcript: Transcript, again: Again
    ) -> Iterator[tuple[list[Piece], bool]]:
        """Yield new pieces for a transcript, each time with True if the attempt has ended.

        While the database is unavailable, yield no pieces.
        """
        ended = False
        while not ended:
            try:
                pieces, ended = self._query(transcript.ends)
            except DatabaseUnavailableError:
                pieces = []
            yield pieces, ended
            if not ended and not again():
                return

    def _query(self, known: Mapping[str, int]) -> tuple[list[Piece], bool]:
        database, run, attempt = self.database, self.run, self.attempt
        saved, ended = orm.output_saved(database, run, attempt)
        behind = {name: known[name] for name in self.streams if saved.get(name, 0) > known[name]}
        return orm.output_after(database, run, attempt, behind) if behind else [], ended


def as_text(followed: Followed, again: Again) -> Iterator[bytes]:
    """Yield the output as text until the attempt has ended."""
    transcript = Transcript(followed.begin)
    ended = False
    for pieces, ended in followed.new_pieces(transcript, again):  # noqa: B007 - used after the loop
        if text := "".join(map(transcript.add, pieces)):
            yield text.encode()
    yield "".join([*transcript.end().values(), *([] if ended else [_INTERRUPTED])]).encode()


def as_events(followed: Followed, again: Again, terminal: Terminal | None) -> Iterator[bytes]:
    """Yield events `output`, each with an id from which a client can resume, then `end`.

    The response begins with an id, so that a client knows the attempt before its first output.

    Args:
        followed: the output.
        again: waits until the next query.
        terminal: converts the text to HTML, if that is requested.
    """
    transcript = Transcript(followed.begin)
    writer = _Writer(followed, transcript, terminal)
    last_sent = time.monotonic()
    yield f"id: {writer.cursor()}\nretry: {_RETRY}\n\n".encode()
    for pieces, ended in followed.new_pieces(transcript, again):
        now = time.monotonic()
        if pieces:
            yield "".join(map(writer.event, pieces)).encode()
            last_sent = now
        elif now - last_sent >= _KEEP_ALIVE:
            yield b":\n\n"
            last_sent = now
        if ended:
            yield f"{writer.rest()}event: end\ndata: {{}}\n\n".encode()


def cursor(text: str, attempt: int) -> Mapping[str, int] | None:
    """Return the positions in a Last-Event-ID, or None if it does not belong to this attempt."""
    found = _CURSOR.fullmatch(text)
    if found is None or int(found[1]) != attempt:
        return None
    return dict(zip(STREAMS, map(int, found.groups()[1:]), strict=True))


@dataclass(frozen=True, slots=True)
class _Writer:
    """A writer of events `output`."""

    followed: Followed
    transcript: Transcript
    terminal: Terminal | None

    def cursor(self) -> str:
        """Return the id of the last event, from which a client can resume."""
        positions = [str(self.transcript.position(name)) for name in STREAMS]
        return ".".join([str(self.followed.attempt), *positions])

    def event(self, piece: Piece) -> str:
        """Return a piece of output as an event."""
        transcript = self.transcript
        known = transcript.position(piece.stream)
        position = piece.position if piece.position > transcript.ends[piece.stream] else known
        return self._event(piece.stream, position, transcript.add(piece))

    def rest(self) -> str:
        """Return events with the incomplete characters at the end of the output, if any."""
        positions = {name: self.transcript.position(name) for name in STREAMS}
        rests = self.transcript.end().items()
        return "".join(self._event(name, positions[name], text) for name, text in rests)

    def _event(self, stream: str, position: int, text: str) -> str:
        data = {"stream": stream, "position": position, "text": text}
        if self.terminal:
            data["html"] = self.terminal.html(stream, text)
        return f"id: {self.cursor()}\nevent: output\ndata: {json.dumps(data)}\n\n"
