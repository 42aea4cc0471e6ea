"""Pieces of output as text."""

import codecs
from collections.abc import Iterable, Mapping

from pacifica.dispatcher.execution.capture import Piece
from pacifica.dispatcher.rest.parameters import STREAMS

_decoder = codecs.getincrementaldecoder("utf-8")


class Transcript:
    """A decoder of consecutive pieces that keeps multi-byte characters whole.

    Invalid UTF-8 is replaced, and gaps are marked with a note.
    """

    def __init__(self, begin: Mapping[str, int]) -> None:
        """Start at the given position of each stream."""
        self.ends = dict(begin)
        self._decoders = {name: _decoder("replace") for name in begin}

    def position(self, stream: str) -> int:
        """Return the number of bytes of a stream that were converted to text."""
        return self.ends[stream] - len(self._decoders[stream].getstate()[0])

    def add(self, piece: Piece) -> str:
        """Return the complete characters of a piece that are new."""
        missing = piece.position - self.ends[piece.stream]
        decoder = self._decoders[piece.stream]
        gap = ""
        if missing > 0:
            gap = f"{decoder.decode(b'', final=True)}\n"
            gap += f"[… {missing} bytes of {piece.stream} were not kept …]\n"
        self.ends[piece.stream] = max(self.ends[piece.stream], piece.position + len(piece.data))
        return gap + decoder.decode(piece.data[max(0, -missing) :])

    def end(self) -> dict[str, str]:
        """Return the undecoded rest of each stream, if any."""
        left = {name: each.decode(b"", final=True) for name, each in self._decoders.items()}
        return {name: text for name, text in left.items() if text}


def beginning() -> dict[str, int]:
    """Return the first position of each stream."""
    return dict.fromkeys(STREAMS, 0)


def parts_of(
    pieces: Iterable[Piece], begin: Mapping[str, int] | None = None
) -> list[tuple[str, str]]:
    """Return output as pairs of stream name and text, from the given position of each stream."""
    transcript = Transcript(begin or beginning())
    parts = [(each.stream, transcript.add(each)) for each in pieces]
    return parts + list(transcript.end().items())
