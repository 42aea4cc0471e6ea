"""What an application writes, bounded: of each stream the first and the last part are kept."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from pacifica.dispatcher.lines import Lines, Progress


class Piece(NamedTuple):
    """A piece of output; what lies between two pieces of a stream was not kept.

    Attributes:
        stream: "stdout" or "stderr".
        position: of its first byte in the stream.
        written: when it was written, in seconds since the epoch.
        data: the bytes; none when the piece that was saved at this position is no longer kept.
    """

    stream: str
    position: int
    written: float
    data: bytes


_INTERVAL: Final = 1.0
_PIECES: Final = 64
_PIECE_SIZE: Final = 1024**2
_LAST_PIECE_SIZE: Final = 64 * 1024
_LIVE: Final = 256 * 1024
"""Bytes of the last part that one save takes: who writes more in a second is not followed whole."""


@dataclass(slots=True)
class _Growing:
    stream: str
    position: int
    written: float
    data: bytearray
    saved: bool = False

    @property
    def end(self) -> int:
        return self.position + len(self.data)

    def piece(self) -> Piece:
        return Piece(self.stream, self.position, self.written, bytes(self.data))

    def gone(self) -> Piece:
        return Piece(self.stream, self.position, self.written, b"")


@dataclass(slots=True)
class _Stream:
    """A stream's first part, as far as it is not saved yet, and all of its last part."""

    written: int = 0
    first: deque[_Growing] = field(default_factory=deque)
    last: deque[_Growing] = field(default_factory=deque)
    lines: Lines = field(default_factory=Lines)


class Capture:
    """Collects output and saves it while the application runs, of the last part what is newest.

    Attributes:
        progress: what the application said last of how far it is, on either stream.
    """

    def __init__(self, limit: int, save: Callable[[list[Piece], Progress | None], bool]) -> None:
        """Collect nothing yet.

        Args:
            limit: bytes of each stream that are kept.
            save: takes what is new of the pieces, and the progress, while the application runs;
                first after a second, whether there is anything or not. It says whether it could
                keep them.
        """
        self.progress: Progress | None = None
        self._half = limit // 2
        self._save = save
        self._streams = {"stdout": _Stream(), "stderr": _Stream()}
        self._latest: _Growing | None = None
        self._begun = 0
        self._gone: list[Piece] = []
        self._news = True
        self._saved_at = time.monotonic()

    def write(self, stream: str, data: bytes) -> None:
        """Take bytes of a stream."""
        state = self._streams[stream]
        if told := state.lines.write(data):
            self.progress = told
        first = data[: max(0, self._half - state.written)]
        if first:
            self._append(state.first, stream, state.written, first, _PIECE_SIZE)
        last = data[len(first) :][-self._half :] if self._half else b""
        state.written += len(data)
        if last:
            position = state.written - len(last)
            self._append(state.last, stream, position, last, _LAST_PIECE_SIZE)
            self._drop(state)
        self._news = True

    def tick(self) -> None:
        """Save what is new, at most once a second."""
        now = time.monotonic()
        if not self._news or now - self._saved_at < _INTERVAL:
            return
        self._saved_at = now
        for state in self._streams.values():
            self._cut(state, only_new=True)
        new = self._unsaved(_LIVE)
        if self._save([*self._gone, *(each.piece() for each in new)], self.progress):
            for each in new:
                each.saved = True
            for state in self._streams.values():
                state.first.clear()
            self._gone.clear()
            self._begun = 0
            self._news = False

    def finish(self) -> list[Piece]:
        """The pieces that were not saved yet; with them exactly the first and last part is kept."""
        for state in self._streams.values():
            self.progress = state.lines.end() or self.progress
            self._cut(state, only_new=False)
        return [*self._gone, *(each.piece() for each in self._unsaved(self._half))]

    def last_line(self) -> str | None:
        """What the application wrote last on standard error: the last line that is not empty."""
        return self._streams["stderr"].lines.last()

    def _append(
        self, pieces: deque[_Growing], stream: str, position: int, data: bytes, size: int
    ) -> None:
        """Add to the last piece, unless it is large or saved, or the other stream came between."""
        growing = pieces[-1] if pieces else None
        if (
            growing is None
            or growing.saved
            or growing.end != position
            or len(growing.data) >= size
            or (growing is not self._latest and self._begun < _PIECES)
        ):
            growing = _Growing(stream, position, time.time(), bytearray())
            pieces.append(growing)
            self._begun += 1
        growing.data += data
        self._latest = growing

    def _drop(self, state: _Stream) -> None:
        """Drop the pieces that have fallen out of the last part."""
        while state.last[0].end <= state.written - self._half:
            fallen = state.last.popleft()
            if fallen.saved:
                self._gone.append(fallen.gone())

    def _cut(self, state: _Stream, *, only_new: bool) -> None:
        """Cut off what has fallen out of the last part of the piece that reaches into it."""
        first = state.last[0] if state.last else None
        fallen = state.written - self._half - first.position if first else 0
        if first is None or fallen <= 0 or (first.saved and only_new):
            return
        if first.saved:
            self._gone.append(first.gone())
        del first.data[:fallen]
        first.position += fallen
        first.saved = False

    def _unsaved(self, newest: int) -> list[_Growing]:
        """What is not saved yet, in order of writing; of the last parts only so many bytes."""
        found = [
            each
            for state in self._streams.values()
            for each in (
                *state.first,
                *(last for last in state.last if last.end > state.written - newest),
            )
            if not each.saved
        ]
        return sorted(found, key=lambda each: each.written)
