"""Telemetry: the dispatcher emits named events with fields; handlers turn them into log lines.

An event is named `subject.verb`, such as `run.finished`. Its fields identify the subject by
`event`, `run`, `attempt`, `application`, `worker` and `request`, as far as they are known. Fields
that apply to a whole block of code are bound once (`bound`) and added to all events emitted in it.
"""

import json
import logging
import threading
import time
import traceback
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from logging import DEBUG, ERROR, INFO, WARNING
from types import MappingProxyType
from typing import Final, TextIO, TypeAlias

from pacifica.dispatcher.log_limit import LimitFilter, LogLimit, place_of

__all__ = [
    "DEBUG",
    "ERROR",
    "INFO",
    "WARNING",
    "Record",
    "add_handler",
    "bound",
    "emit",
    "limit_handlers",
    "log_line",
    "log_to",
    "remove_handler",
]

Value: TypeAlias = str | int | float | bool | None

_log = logging.getLogger("pacifica.dispatcher")
_NOTHING: Final[Mapping[str, Value]] = MappingProxyType({})
_bound: Final[ContextVar[Mapping[str, Value]]] = ContextVar("telemetry", default=_NOTHING)
_NEEDS_QUOTES: Final = frozenset(' "=')
_limit: Final = LogLimit()


@dataclass(frozen=True, slots=True)
class Record:
    """One telemetry event.

    Attributes:
        name: `subject.verb`.
        level: a level of the `logging` module.
        fields: its fields, without those that are None.
        exception: an unexpected exception, whose traceback belongs in the log.
    """

    name: str
    level: int
    fields: Mapping[str, Value]
    exception: BaseException | None


Handler: TypeAlias = Callable[[Record], None]


def emit(
    name: str, level: int = INFO, *, exception: BaseException | None = None, **fields: Value
) -> None:
    """Emit an event to every handler.

    Args:
        name: `subject.verb`.
        level: a level of the `logging` module.
        exception: an unexpected exception, whose traceback belongs in the log.
        **fields: its fields in addition to the bound ones; a field that is None is left out.
    """
    given = {key: value for key, value in fields.items() if value is not None}
    record = Record(name, level, {**_bound.get(), **given}, exception)
    for handler in _handlers:
        handler(record)


@contextmanager
def bound(**fields: Value) -> Iterator[None]:
    """Add fields to all events that this thread emits within the block."""
    token = _bound.set({**_bound.get(), **fields})
    try:
        yield
    finally:
        _bound.reset(token)


def log_to(stream: TextIO) -> None:
    """Write log lines to a stream: from INFO up for the dispatcher, from WARNING up for others."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=stream)
    limit_handlers(logging.getLogger())
    _handlers[0] = _LineWriter(stream)


def limit_handlers(logger: logging.Logger) -> None:
    """Limit the repeated lines that the handlers of a logger write for libraries."""
    for each in logger.handlers:
        each.addFilter(LimitFilter(_limit, except_for=_log.name))


class _LineWriter:
    """A handler that writes log lines without the logging module, at a third of its cost."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._second = 0
        self._shown = ""

    def __call__(self, record: Record) -> None:
        note = _note(record)
        if record.level < INFO or note is None:
            return
        line = f"{self._time()} {logging.getLevelName(record.level)} {log_line(record)}{note}\n"
        if record.exception is not None:
            line += "".join(traceback.format_exception(record.exception))
        with self._lock, suppress(OSError, ValueError):  # a full disk, a closed stream
            self._stream.write(line)
            self._stream.flush()

    def _time(self) -> str:
        now = time.time()
        second = int(now)
        if second != self._second:  # each second is formatted only once
            self._shown = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(second))
            self._second = second
        return f"{self._shown},{int((now - second) * 1000):03}"


def add_handler(handler: Handler) -> None:
    """Pass all further events to a handler."""
    _handlers.append(handler)


def remove_handler(handler: Handler) -> None:
    """Stop passing events to a handler."""
    _handlers.remove(handler)


def log_line(record: Record) -> str:
    """Return an event as text: its name, then `key=value` for each field.

    Values with spaces, quotes, equals signs or unprintable characters are written as JSON strings,
    so that external data cannot break a line or forge a field.
    """
    return " ".join([record.name, *(f"{key}={_text(v)}" for key, v in record.fields.items())])


def _text(value: Value) -> str:
    text = (
        value
        if isinstance(value, str)
        else f"{value:g}"
        if isinstance(value, float)
        else str(value)
    )
    if text and text.isprintable() and _NEEDS_QUOTES.isdisjoint(text):
        return text
    return json.dumps(text, ensure_ascii=not text.isprintable())


def _log_handler(record: Record) -> None:
    if _log.isEnabledFor(record.level) and (note := _note(record)) is not None:
        _log.log(record.level, "%s%s", log_line(record), note, exc_info=record.exception)


def _note(record: Record) -> str | None:
    """Return a note to add to a log line, or None if it is left out as a repetition."""
    return "" if record.level < WARNING else _limit.note(_kind(record))


def _kind(record: Record) -> Hashable:
    # Two requests that fail in one place are a repetition; two runs that fail are not.
    if record.exception is not None:
        return record.name, place_of(record.exception)
    return record.name, *(each for each in record.fields.items() if each[0] != "request")


_handlers: Final[list[Handler]] = [_log_handler]  # the first one writes the log
