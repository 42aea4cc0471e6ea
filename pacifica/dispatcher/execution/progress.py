"""Progress reports in an application's output, and its last line."""

import re
from dataclasses import dataclass
from typing import Final

MAX_SHOWN: Final = 200
"""Maximum number of characters kept of a line."""

_MAX_LINE: Final = 4096  # bytes of a line that are examined
_MARK: Final = b"\n::progress"
_PROGRESS: Final = re.compile(
    rb"::progress[ \t]+(\d{1,3})(?:\.\d{1,20})?%?(?:[ \t]+(.*))?\s*", re.DOTALL
)
_ESCAPE: Final = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])"
)
"""Terminal escape sequences (ECMA-48): colours, cursor movements, titles."""


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress that an application reported.

    Attributes:
        percent: 0 to 100.
        text: the text after the percentage, without control characters, at most MAX_SHOWN
            characters; may be empty.
    """

    percent: int
    text: str


class ProgressReader:
    """A reader of a stream's lines, which may be of any length and arrive in pieces of any size."""

    def __init__(self) -> None:
        """Start at the beginning of the stream."""
        self._begun = b""
        self._recent = b""

    def feed(self, data: bytes) -> Progress | None:
        """Take bytes of the stream.

        Returns:
            the progress in the last `::progress PERCENT TEXT` line that they complete, if any.
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
        """Return the progress in the last line of the stream, if it has no line end."""
        return _progress(self._begun)

    def last_line(self) -> str | None:
        """Return the last line with visible text, shortened and without control characters."""
        lines = reversed(re.split(rb"[\r\n]+", self._recent))
        return next(filter(None, map(_visible_text, lines)), None)


def _last_progress(data: bytes, first: int, last: int) -> Progress | None:
    at = last
    while (at := data.rfind(_MARK, first, at)) >= 0:
        end = data.find(b"\n", at + 1, at + 1 + _MAX_LINE)
        if progress := _progress(data[at + 1 : end if end > 0 else at + 1 + _MAX_LINE]):
            return progress
    return None


def _progress(line: bytes) -> Progress | None:
    found = _PROGRESS.fullmatch(line[:_MAX_LINE])
    if found is None or int(found[1]) > 100:  # noqa: PLR2004 - per cent
        return None
    return Progress(int(found[1]), _visible_text(found[2] or b""))


def _visible_text(line: bytes) -> str:
    # Without escape sequences and control characters, which could move the cursor or hide text.
    text = _ESCAPE.sub("", line.decode(errors="replace"))
    shown = (c if c.isprintable() else " " if c.isspace() else "" for c in text)
    return "".join(shown).strip()[:MAX_SHOWN].rstrip()
