"""The limit on repeated log lines, so that a fault that recurs cannot fill a disk."""

import re
import time
from collections.abc import Callable, Hashable
from logging import WARNING, Filter, LogRecord
from typing import Final

_BURST: Final = 5
"""Number of lines of one kind per period."""

_PERIOD: Final = 60.0  # seconds
_MAX_KINDS: Final = 1000
_MAX_COMPARED: Final = 4000  # characters of a message
_NUMBER: Final = re.compile(r"\d+")

_LAST: Final = f" [repeated; further lines like this one are left out for {_PERIOD:g} s]"


class LogLimit:
    """A limit on the lines of each kind.

    It has no lock, which a fork could leave locked; threads may count a line too few.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Start without lines."""
        self._clock = clock
        self._seen: dict[Hashable, tuple[float, int]] = {}

    def note(self, kind: Hashable) -> str | None:
        """Count a line; return a note to add to it, or None to leave it out."""
        now = self._clock()
        since, number = self._seen.get(kind, (now, 0))
        if now - since >= _PERIOD:
            self._seen[kind] = now, 1
            left_out = number - _BURST
            return f" [{left_out} lines like this one were left out]" if left_out > 0 else ""
        self._make_room(now)
        self._seen[kind] = since, number + 1
        if number + 1 > _BURST:
            return None
        return _LAST if number + 1 == _BURST else ""

    def _make_room(self, now: float) -> None:
        if len(self._seen) >= _MAX_KINDS:
            recent = [each for each in list(self._seen.items()) if now - each[1][0] < _PERIOD]
            self._seen = dict(recent) if len(recent) < _MAX_KINDS else {}


def place_of(exception: BaseException) -> Hashable:
    """Return the type of an exception and the line that raised it."""
    frame = exception.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    place = frame and (frame.tb_frame.f_code.co_filename, frame.tb_lineno)
    return type(exception), place


class LimitFilter(Filter):
    """A filter for handlers of `logging`: limits the lines of libraries.

    Messages that differ only in numbers are of one kind.
    """

    def __init__(self, limit: LogLimit, except_for: str) -> None:
        """Limit all lines but those of the logger `except_for`."""
        super().__init__()
        self._limit = limit
        self._except_for = except_for

    def filter(self, record: LogRecord) -> bool:
        """Return False to leave out a line, or add a note to it."""
        if record.levelno < WARNING or record.name == self._except_for:
            return True
        message = record.getMessage()
        error = record.exc_info[1] if record.exc_info else None
        compared = _NUMBER.sub("0", message[:_MAX_COMPARED])
        note = self._limit.note((record.name, compared, error and place_of(error)))
        if note:
            record.msg, record.args = message + note, None
        return note is not None
