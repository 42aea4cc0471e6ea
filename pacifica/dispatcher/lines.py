"""What single lines of an application's output say: how far it is, and what it wrote last."""

import re
from dataclasses import dataclass
from typing import Final

MAX_SHOWN: Final = 200
"""Characters of a line that are kept."""

_MAX_LINE: Final = 4096  # bytes of a line that are looked at
_MARK: Final = b"\n::progress"
_PROGRESS: Final = re.compile(
    rb"::progress[ \t]+(\d{1,3})(?:\.\d{1,20})?%?(?:[ \t]+(.*))?\s*", re.DOTALL
)
_ESCAPE: Final = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])"
)
"""Escape sequences of terminals (ECMA-48): colours, cursor movements, titles."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an application says it is.

    Attributes:
        percent: 0 to 100.
        text: what it said beside that, harmless and at most MAX_SHOWN characters; may be empty.
    """

    percent: int
    text: str


class Lines:
    """Reads the lines of a stream as it comes, in pieces of any size, of lines of any length."""

    def __init__(self) -> None:
        """Nothing was read yet."""
        self._begun = b""
        self._recent = b""

    def write(self, data: bytes) -> Progress | None:
        """Take bytes of the stream.

        Returns:
            what the last line `::progress PERCENT TEXT` said that they ended; None without one.
        """
        self._recent = (self._recent + data[-_MAX_LINE:])[-_MAX_LINE:]
        first = data.find(b"\n")
        if first < 0:
            self._begun = (self._begun + data[:_MAX_LINE])[:_MAX_LINE]
            return None
        last = data.rfind(b"\n")
        begun = self._begun + data[: min(first, _MAX_LINE)]
        self._begun = data[last + 1 : last + 1 + _MAX_LINE]
        return _last_progress(data, first, last) or _progress(begun)

    def end(self) -> Progress | None:
        """The stream has ended: what its last line said, if nothing ended that."""
        return _progress(self._begun)

    def last(self) -> str | None:
        """The last line in which something can be read, harmless and shortened."""
        shown = (_harmless(line) for line in reversed(re.split(rb"[\r\n]+", self._recent)))
        return next(filter(None, shown), None)


def _last_progress(data: bytes, first: int, last: int) -> Progress | None:
    """What the last line between two line ends says that tells of progress."""
    at = last
    while (at := data.rfind(_MARK, first, at)) >= 0:
        end = data.find(b"\n", at + 1, at + 1 + _MAX_LINE)
        if told := _progress(data[at + 1 : end if end > 0 else at + 1 + _MAX_LINE]):
            return told
    return None


def _progress(line: bytes) -> Progress | None:
    found = _PROGRESS.fullmatch(line[:_MAX_LINE])
    if found is None or int(found[1]) > 100:  # noqa: PLR2004 - per cent
        return None
    return Progress(int(found[1]), _harmless(found[2] or b""))


def _harmless(line: bytes) -> str:
    """A line as it may be shown anywhere: nothing in it moves a cursor or hides what follows."""
    text = _ESCAPE.sub("", line.decode(errors="replace"))
    shown = (c if c.isprintable() else " " if c.isspace() else "" for c in text)
    return "".join(shown).strip()[:MAX_SHOWN].rstrip()
