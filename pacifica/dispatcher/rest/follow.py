"""Output while it comes: as text, and as server-sent events (HTML standard, section 9.2)."""

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pacifica.dispatcher import orm
from pacifica.dispatcher.errors import DatabaseUnavailableError
from pacifica.dispatcher.output import Piece
from pacifica.dispatcher.page import Terminal
from pacifica.dispatcher.rest.requests import STREAMS
from pacifica.dispatcher.rest.transcript import Transcript

PAUSE: Final = 0.5
"""Seconds between two looks at the database."""

_SIGN_OF_LIFE: Final = 15.0  # seconds after which a silent connection gets one
_RETRY: Final = 2000  # milliseconds after which a browser asks again
_BROKEN_OFF: Final = "\n[… this is not the end: the server stops; ask again …]\n"
_CURSOR: Final = re.compile(r"(\d{1,9})\.(\d{1,18})\.(\d{1,18})", re.ASCII)

Again = Callable[[], bool]
"""Waits until it is time for another look; says whether to have one."""


@dataclass(frozen=True, slots=True)
class Followed:
    """An attempt's output.

    Attributes:
        database: where it is.
        run: the run's uuid.
        attempt: the attempt's number.
        streams: the names of the streams that are wanted.
        begin: where to begin in each stream.
    """

    database: orm.Database
    run: str
    attempt: int
    streams: Sequence[str]
    begin: Mapping[str, int]

    def news(self, transcript: Transcript, again: Again) -> Iterator[tuple[list[Piece], bool]]:
        """What is new to a transcript, and whether it is the last: the attempt has ended.

        A database that is away is waited for.
        """
        ended = False
        while not ended:
            try:
                pieces, ended = self._look(transcript.ends)
            except DatabaseUnavailableError:
                pieces = []
            yield pieces, ended
            if not ended and not again():
                return

    def _look(self, known: Mapping[str, int]) -> tuple[list[Piece], bool]:
        database, run, attempt = self.database, self.run, self.attempt
        saved, ended = orm.output_saved(database, run, attempt)
        behind = {name: known[name] for name in self.streams if saved.get(name, 0) > known[name]}
        return orm.output_after(database, run, attempt, behind) if behind else [], ended


def as_text(followed: Followed, again: Again) -> Iterator[bytes]:
    """Text, until the attempt has ended."""
    transcript = Transcript(followed.begin)
    ended = False
    for pieces, ended in followed.news(transcript, again):  # noqa: B007 - the last one counts
        if text := "".join(map(transcript.add, pieces)):
            yield text.encode()
    yield "".join([*transcript.end().values(), *([] if ended else [_BROKEN_OFF])]).encode()


def as_events(followed: Followed, again: Again, terminal: Terminal | None) -> Iterator[bytes]:
    """Events `output` with an id from which a browser goes on, and `end` after the last.

    Args:
        followed: the output.
        again: waits until it is time for another look.
        terminal: makes HTML of the text, if that is wanted too.
    """
    transcript = Transcript(followed.begin)
    spoken = time.monotonic()
    yield f"retry: {_RETRY}\n\n".encode()
    for pieces, ended in followed.news(transcript, again):
        now = time.monotonic()
        if pieces:
            yield "".join(_event(followed, transcript, terminal, each) for each in pieces).encode()
            spoken = now
        elif now - spoken >= _SIGN_OF_LIFE:
            yield b":\n\n"
            spoken = now
        if ended:
            yield b"event: end\ndata: {}\n\n"


def cursor(text: str, attempt: int) -> Mapping[str, int] | None:
    """Where a browser was, by its Last-Event-ID; None when that is of no use for this attempt."""
    found = _CURSOR.fullmatch(text)
    if found is None or int(found[1]) != attempt:
        return None
    return dict(zip(STREAMS, map(int, found.groups()[1:]), strict=True))


def _event(
    followed: Followed, transcript: Transcript, terminal: Terminal | None, piece: Piece
) -> str:
    known = transcript.position(piece.stream)
    position = piece.position if piece.position > transcript.ends[piece.stream] else known
    text = transcript.add(piece)
    data = {"stream": piece.stream, "position": position, "text": text}
    if terminal:
        data["html"] = terminal.html(piece.stream, text)
    place = ".".join(str(transcript.position(name)) for name in STREAMS)
    return f"id: {followed.attempt}.{place}\nevent: output\ndata: {json.dumps(data)}\n\n"
