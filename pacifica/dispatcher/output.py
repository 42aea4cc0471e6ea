"""What an application writes, bounded: of each stream the first and the last part are kept."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple


class Piece(NamedTuple):
    """A piece of output; what lies between two pieces of a stream was not kept.

    Attributes:
        stream: "stdout" or "stderr".
        position: of its first byte in the stream.
        written: when it was written, in seconds since the epoch.
        data: the bytes.
    """

    stream: str
    position: int
    written: float
    data: bytes


_INTERVAL: Final = 1.0
_PIECES: Final = 64
_PIECE_SIZE: Final = 1024**2


@dataclass(slots=True)
class _Stream:
    written: int = 0
    tail: bytearray = field(default_factory=bytearray)


@dataclass(slots=True)
class _Growing:
    stream: str
    position: int
    written: float
    data: bytearray

    def piece(self) -> Piece:
        return Piece(self.stream, self.position, self.written, bytes(self.data))


class Capture:
    """Collects output; the first part is saved while the application runs, the last at its end."""

    def __init__(self, limit: int, save: Callable[[list[Piece]], bool]) -> None:
        """Collect nothing yet.

        Args:
            limit: bytes of each stream that are kept.
            save: takes pieces while the application runs; says whether it could keep them.
        """
        self._half = limit // 2
        self._save = save
        self._streams = {"stdout": _Stream(), "stderr": _Stream()}
        self._pending: list[_Growing] = []
        self._saved_at = time.monotonic()

    def write(self, stream: str, data: bytes) -> None:
        """Take bytes of a stream."""
        state = self._streams[stream]
        first = data[: max(0, self._half - state.written)]
        if first:
            self._append(stream, state.written, first)
        rest = memoryview(data)[len(first) :]
        if rest:
            state.tail += rest
            if len(state.tail) > 2 * self._half:
                del state.tail[: len(state.tail) - self._half]
        state.written += len(data)

    def tick(self) -> None:
        """Save what has come, at most once a second."""
        now = time.monotonic()
        if self._pending and now - self._saved_at >= _INTERVAL:
            self._saved_at = now
            if self._save([growing.piece() for growing in self._pending]):
                self._pending.clear()

    def finish(self) -> list[Piece]:
        """The pieces that were not saved yet, the last part of each stream among them."""
        now = time.time()
        pieces = [growing.piece() for growing in self._pending]
        self._pending.clear()
        for name, state in self._streams.items():
            last = bytes(state.tail[max(0, len(state.tail) - self._half) :])
            for start in range(0, len(last), _PIECE_SIZE):
                position = state.written - len(last) + start
                pieces.append(Piece(name, position, now, last[start : start + _PIECE_SIZE]))
        return pieces

    def _append(self, stream: str, position: int, data: bytes) -> None:
        """Add to the stream's last piece, unless the other stream came between."""
        growing = self._pending[-1] if self._pending else None
        if len(self._pending) >= _PIECES:
            growing = next((g for g in reversed(self._pending) if g.stream == stream), growing)
        if growing and growing.stream == stream and len(growing.data) < _PIECE_SIZE:
            growing.data += data
        else:
            self._pending.append(_Growing(stream, position, time.time(), bytearray(data)))
