"""Output as text, all of it or as it comes."""

import codecs
from collections.abc import Iterable, Mapping

from pacifica.dispatcher.output import Piece
from pacifica.dispatcher.rest.requests import STREAMS

_decoder = codecs.getincrementaldecoder("utf-8")


class Transcript:
    """Makes text of pieces, one after the other; it tears no character.

    Invalid UTF-8 is replaced; where bytes were not kept, it says how many.
    """

    def __init__(self, begin: Mapping[str, int]) -> None:
        """Begin at a position of each stream."""
        self.ends = dict(begin)
        self._decoders = {name: _decoder("replace") for name in begin}

    def position(self, stream: str) -> int:
        """How much of a stream is text by now, in bytes."""
        return self.ends[stream] - len(self._decoders[stream].getstate()[0])

    def add(self, piece: Piece) -> str:
        """The text of a piece, as far as its characters are whole; of what is known, nothing."""
        missing = piece.position - self.ends[piece.stream]
        decoder = self._decoders[piece.stream]
        gap = ""
        if missing > 0:
            gap = f"{decoder.decode(b'', final=True)}\n"
            gap += f"[… {missing} bytes of {piece.stream} were not kept …]\n"
        self.ends[piece.stream] = max(self.ends[piece.stream], piece.position + len(piece.data))
        return gap + decoder.decode(piece.data[max(0, -missing) :])

    def end(self) -> dict[str, str]:
        """What is left of each stream: nothing more will make its last character whole."""
        left = {name: each.decode(b"", final=True) for name, each in self._decoders.items()}
        return {name: text for name, text in left.items() if text}


def beginning() -> dict[str, int]:
    """Where each stream begins."""
    return dict.fromkeys(STREAMS, 0)


def parts_of(pieces: Iterable[Piece]) -> list[tuple[str, str]]:
    """All of some output: the name of a stream and a text, one after the other."""
    transcript = Transcript(beginning())
    parts = [(each.stream, transcript.add(each)) for each in pieces]
    return parts + list(transcript.end().items())


def text_of(pieces: Iterable[Piece]) -> str:
    """All of some output as text."""
    return "".join(text for _, text in parts_of(pieces))
