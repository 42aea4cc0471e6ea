"""Live output: as text, and as server-sent events (HTML standard, section 9.2)."""

import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pacifica.dispatcher import orm
from pacifica.dispatcher.errors import DatabaseUnavailableError
from pacifica.dispatcher.execution.capture import Piece
from pacifica.dispatcher.page import Terminal
from pacifica.dispatcher.rest.output_text import Transcript
from pacifica.dispatcher.rest.parameters import STREAMS

_PAUSE: Final = 0.5  # seconds between database queries
_PART: Final = 256 * 1024  # bytes that are read from the database at once
_CHUNK: Final = 64 * 1024  # bytes, or characters, that are converted or sent at once
_KEEP_ALIVE: Final = 15.0  # seconds of silence before a comment is sent
_RETRY: Final = 2000  # milliseconds until a browser reconnects
_INTERRUPTED: Final = "\n[… interrupted: the server is stopping; request the output again …]\n"
_CURSOR: Final = re.compile(r"(\d{1,9})\.(\d{1,18})\.(\d{1,18})", re.ASCII)

Again = Callable[[float], bool]
"""Waits for some seconds before the next query; returns False if the response must end."""


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
        """Yield new pieces for a transcript, and True when the attempt has ended and all are known.

        The transcript must have them before the next ones are read. While there are none, or the
        database is unavailable, yield no pieces.
        """
        ended = False
        while not ended:
            try:
                saved, ended = self.saved()
                for pieces in self.pieces(transcript, saved):
                    yield pieces, False
                    if not again(0.0):
                        return
            except DatabaseUnavailableError:
                ended = False
            yield [], ended
            if not ended and not again(_PAUSE):
                return

    def saved(self) -> tuple[Mapping[str, int], bool]:
        """Return the end of what is stored of each stream, and True if the attempt has ended."""
        saved, ended = orm.output_saved(self.database, self.run, self.attempt)
        return {name: saved.get(name, 0) for name in self.streams}, ended

    def pieces(self, transcript: Transcript, ends: Mapping[str, int]) -> Iterator[list[Piece]]:
        """Yield the pieces that a transcript lacks up to these ends, some at a time."""
        known = transcript.ends
        while lacking := {
            name: (known[name], end) for name, end in ends.items() if known[name] < end
        }:
            pieces = orm.output_part(self.database, self.run, self.attempt, lacking, _PART)
            if not pieces:  # they are no longer kept
                return
            yield pieces


def stored_text(followed: Followed) -> Iterator[bytes]:
    """Yield the output that is stored now as text.

    Raises:
        DatabaseUnavailableError: the database cannot be reached, maybe any more.
    """
    transcript = Transcript(followed.begin)
    ends, _ = followed.saved()
    for pieces in followed.pieces(transcript, ends):
        yield from _chunks(map(transcript.add, _slices(pieces)))
    yield "".join(transcript.end().values()).encode()


def as_text(followed: Followed, again: Again) -> Iterator[bytes]:
    """Yield the output as text until the attempt has ended."""
    transcript = Transcript(followed.begin)
    ended = False
    for pieces, ended in followed.new_pieces(transcript, again):  # noqa: B007 - used after the loop
        yield from _chunks(map(transcript.add, _slices(pieces)))
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
        if pieces:
            yield from _chunks(map(writer.event, _slices(pieces)))
            last_sent = time.monotonic()
        elif time.monotonic() - last_sent >= _KEEP_ALIVE:
            yield b":\n\n"
            last_sent = time.monotonic()
        if ended:
            yield f"{writer.rest()}event: end\ndata: {{}}\n\n".encode()


def cursor(text: str, attempt: int) -> Mapping[str, int] | None:
    """Return the positions in a Last-Event-ID, or None if it does not belong to this attempt."""
    found = _CURSOR.fullmatch(text)
    if found is None or int(found[1]) != attempt:
        return None
    return dict(zip(STREAMS, map(int, found.groups()[1:]), strict=True))


def _slices(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """Yield short pieces: HTML can be many times as long."""
    for piece in pieces:
        for begin in range(0, len(piece.data), _CHUNK):
            data = piece.data[begin : begin + _CHUNK]
            yield piece._replace(position=piece.position + begin, data=data)


def _chunks(texts: Iterable[str]) -> Iterator[bytes]:
    """Join short texts."""
    joined: list[str] = []
    size = 0
    for text in texts:
        joined.append(text)
        size += len(text)
        if size >= _CHUNK:
            yield "".join(joined).encode()
            joined.clear()
            size = 0
    if size:
        yield "".join(joined).encode()


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
