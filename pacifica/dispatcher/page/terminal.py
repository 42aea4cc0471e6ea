"""Output as HTML: colours become classes, other control sequences are removed.

The sequences are those of ECMA-48. Colours are SGR (section 8.3.117); 256 colours and RGB become
the nearest of the sixteen colours of the style sheet.
"""

import html
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from rich.ansi import AnsiDecoder
from rich.color import Color, ColorSystem
from rich.style import Style

_SEQUENCE: Final = re.compile(
    r"""\x1b(?:
        \[(?P<sgr>[0-9;:]{0,80})m
        |\[[0-?]{0,80}[ -/]{0,4}[@-~]       # other control sequences
        |\][^\x07\x1b\n]{0,2000}(?:\x07|\x1b\\)  # operating system commands: titles, links
        |[ -/]{0,4}[0-~]                    # other escapes
        )""",
    re.VERBOSE,
)
_INCOMPLETE: Final = re.compile(
    r"(?:\x1b(?:\[[0-?]{0,80}[ -/]{0,4}|\][^\x07\x1b\n]{0,2000}|[ -/]{0,4})|\r)\Z"
)
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_WORDS: Final = ("bold", "dim", "italic", "underline", "strike", "reverse")


class Terminal:
    """A converter of streams of text to HTML, piece by piece; colours continue across pieces."""

    def __init__(self) -> None:
        """Start with empty streams."""
        self._styles: dict[str, Style] = {}
        self._kept: dict[str, str] = {}
        self._begun: set[str] = set()  # streams in the middle of a line

    def html(self, stream: str, text: str) -> str:
        """Return the HTML of a piece of text.

        A sequence that is cut off at the end of a piece is kept for the next one. Text that a
        carriage return overwrites in the same piece is dropped; across pieces, a new line starts.

        Args:
            stream: the name of its stream, which becomes a class unless it is `stdout`.
            text: the piece.
        """
        text = self._kept.pop(stream, "") + text
        if incomplete := _INCOMPLETE.search(text):
            self._kept[stream] = incomplete[0]
            text = text[: incomplete.start()]
        shown = "".join(self._spans(stream, "\n".join(self._lines(stream, text))))
        return (
            shown if stream == "stdout" or not shown else f'<span class="{stream}">{shown}</span>'
        )

    def _lines(self, stream: str, text: str) -> list[str]:
        if not text:
            return []
        lines = text.split("\n")
        above = [""] if stream in self._begun and "\r" in lines[0].rstrip("\r") else []
        (self._begun.add if lines[-1] else self._begun.discard)(stream)
        return above + [line.rstrip("\r").rsplit("\r", 1)[-1] for line in lines]

    def _spans(self, stream: str, text: str) -> Iterator[str]:
        style = self._styles.get(stream, Style.null())
        position = 0
        for found in _SEQUENCE.finditer(text):
            yield _span(style, text[position : found.start()])
            position = found.end()
            if found["sgr"] is not None:
                style = _after(style, found[0])
        yield _span(style, text[position:])
        self._styles[stream] = style


@lru_cache(maxsize=1024)
def _after(style: Style, sequence: str) -> Style:
    decoder = AnsiDecoder()
    decoder.style = style
    decoder.decode_line(sequence)
    return decoder.style


def _span(style: Style, text: str) -> str:
    shown = html.escape(_CONTROL.sub("", text))
    classes = _classes(style)
    return f'<span class="{classes}">{shown}</span>' if shown and classes else shown


@lru_cache(maxsize=1024)
def _classes(style: Style) -> str:
    # Style names, then `f` and `b` (foreground, background) with the number of a colour.
    words = [word for word in _WORDS if getattr(style, word)]
    for letter, colour in (("f", style.color), ("b", style.bgcolor)):
        if colour is not None and not colour.is_default:
            words.append(f"{letter}{_nearest(colour)}")
    return " ".join(words)


def _nearest(colour: Color) -> int:
    number = colour.downgrade(ColorSystem.STANDARD).number
    assert number is not None  # noqa: S101 - a standard colour has one
    return number
