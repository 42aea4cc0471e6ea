"""Bounded capture of an application's output: the first and last part of each stream are kept."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from pacifica.dispatcher.execution.progress import Progress, ProgressReader


class Piece(NamedTuple):
    """A piece of output; bytes between two pieces of a stream were not kept.

    Attributes:
        stream: "stdout" or "stderr".
        position: the position of its first byte in the stream.
        written: the time of writing, in epoch seconds.
        data: the bytes; empty if the piece saved at this position is no longer kept.
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
"""Maximum bytes of a last part per save; faster output is not shown completely while it runs."""


@dataclass(slots=True)
class _Buffer:
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

    def dropped(self) -> Piece:
        return Piece(self.stream, self.position, self.written, b"")


@dataclass(slots=True)
class _Stream:
    """The first part of a stream, unless already saved, and its whole last part."""

    written: int = 0
    first: deque[_Buffer] = field(default_factory=deque)
    last: deque[_Buffer] = field(default_factory=deque)
    reader: ProgressReader = field(default_factory=ProgressReader)


class Capture:
    """A collector of output that also saves it while the application runs.

    Attributes:
        progress: the last progress that the application reported, on either stream.
    """

    def __init__(self, limit: int, save: Callable[[list[Piece], Progress | None], bool]) -> None:
        """Start without output.

        Args:
            limit: maximum number of bytes kept of each stream.
            save: called with new pieces and the progress while the application runs, at most once
                a second, the first time even without output; returns True if it stored them.
        """
        self.progress: Progress | None = None
        self._half = limit // 2
        self._save = save
        self._streams = {"stdout": _Stream(), "stderr": _Stream()}
        self._latest: _Buffer | None = None
        self._new_buffers = 0
        self._dropped: list[Piece] = []
        self._changed = True
        self._saved_at = time.monotonic()

    def write(self, stream: str, data: bytes) -> None:
        """Take bytes of a stream."""
        state = self._streams[stream]
        if progress := state.reader.feed(data):
            self.progress = progress
        first = data[: max(0, self._half - state.written)]
        if first:
            self._append(state.first, stream, state.written, first, _PIECE_SIZE)
        last = data[len(first) :][-self._half :] if self._half else b""
        state.written += len(data)
        if last:
            position = state.written - len(last)
            self._append(state.last, stream, position, last, _LAST_PIECE_SIZE)
            self._drop(state)
        self._changed = True

    def tick(self) -> None:
        """Save new output, at most once a second."""
        now = time.monotonic()
        if not self._changed or now - self._saved_at < _INTERVAL:
            return
        self._saved_at = now
        for state in self._streams.values():
            self._cut(state, only_new=True)
        new = self._unsaved(_LIVE)
        if self._save([*self._dropped, *(each.piece() for each in new)], self.progress):
            for each in new:
                each.saved = True
            for state in self._streams.values():
                state.first.clear()
            self._dropped.clear()
            self._new_buffers = 0
            self._changed = False

    def finish(self) -> list[Piece]:
        """Return the unsaved pieces, which complete the first and last part of each stream."""
        for state in self._streams.values():
            self.progress = state.reader.end() or self.progress
            self._cut(state, only_new=False)
        return [*self._dropped, *(each.piece() for each in self._unsaved(self._half))]

    def last_line(self) -> str | None:
        """Return the last non-empty line of standard error."""
        return self._streams["stderr"].reader.last_line()

    def _append(
        self, buffers: deque[_Buffer], stream: str, position: int, data: bytes, size: int
    ) -> None:
        # A new buffer also begins when the other stream was written to in between.
        buffer = buffers[-1] if buffers else None
        if (
            buffer is None
            or buffer.saved
            or buffer.end != position
            or len(buffer.data) >= size
            or (buffer is not self._latest and self._new_buffers < _PIECES)
        ):
            buffer = _Buffer(stream, position, time.time(), bytearray())
            buffers.append(buffer)
            self._new_buffers += 1
        buffer.data += data
        self._latest = buffer

    def _drop(self, state: _Stream) -> None:
        # Drop buffers that lie entirely before the last part.
        while state.last[0].end <= state.written - self._half:
            buffer = state.last.popleft()
            if buffer.saved:
                self._dropped.append(buffer.dropped())

    def _cut(self, state: _Stream, *, only_new: bool) -> None:
        # Trim the first buffer to where the last part begins.
        first = state.last[0] if state.last else None
        excess = state.written - self._half - first.position if first else 0
        if first is None or excess <= 0 or (first.saved and only_new):
            return
        if first.saved:
            self._dropped.append(first.dropped())
        del first.data[:excess]
        first.position += excess
        first.saved = False

    def _unsaved(self, newest: int) -> list[_Buffer]:
        # In order of writing, and at most `newest` bytes of each last part.
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
