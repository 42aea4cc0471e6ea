"""The parameters of paths and queries, with their parsers and schemas."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from pacifica.dispatcher import orm
from pacifica.dispatcher.errors import InvalidIdError, RequestError
from pacifica.dispatcher.rest.schemas import STATUS, STATUSES, STRING, UUID, WHEN_OR_AGO, Node

STREAMS: Final = ("stdout", "stderr")
MAX_LIMIT: Final = 500
DEFAULT_LIMIT: Final = 50
MAX_WAIT: Final = 60

_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_AGO: Final = re.compile(r"(\d{1,5})([smhd])", re.ASCII)
_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a query or a path.

    Attributes:
        name: the name, also of the argument of an operation's method.
        description: the meaning, for people.
        read: parses the text.
        schema: the JSON Schema.
        may_be_empty: True for a flag, which `?name` alone sets.
    """

    name: str
    description: str
    read: Callable[[str], Any] = str
    schema: Node = field(default_factory=lambda: STRING)
    may_be_empty: bool = False


def read_parameters(
    given: Mapping[str, list[str]], known: Mapping[str, Parameter]
) -> dict[str, Any]:
    """Read the parameters of a query.

    Raises:
        RequestError: a parameter is unknown, repeated or invalid.
    """
    read = {}
    for name, texts in given.items():
        if name not in known:
            expected = f"; expected {', '.join(known)}" if known else ""
            raise RequestError(f"Unknown parameter {name[:80]!r}{expected}")
        if len(texts) > 1:
            raise RequestError(f"Repeated parameter {name!r}; give it once")
        read[name] = known[name].read(texts[0])
    return read


def read_event_id(text: str) -> str:
    """Read the id of an event.

    Raises:
        InvalidIdError: not a UUID.
    """
    return _read_id("event", text)


def read_run_id(text: str) -> str:
    """Read the id of a run.

    Raises:
        InvalidIdError: not a UUID.
    """
    return _read_id("run", text)


def _read_id(kind: str, text: str) -> str:
    uuid = text.lower()
    if not _UUID.fullmatch(uuid):
        raise InvalidIdError(f"Invalid {kind} id {text[:80]!r}: expected a UUID")
    return uuid


def _read_limit(text: str) -> int:
    if not re.fullmatch(r"\d{1,4}", text, re.ASCII) or not 1 <= int(text) <= MAX_LIMIT:
        raise RequestError(f"Invalid limit {text[:80]!r}: expected a number from 1 to {MAX_LIMIT}")
    return int(text)


def _read_status(text: str) -> str:
    if text not in STATUSES:
        raise RequestError(f"Invalid status {text[:80]!r}: expected one of {', '.join(STATUSES)}")
    return text


@dataclass(frozen=True, slots=True)
class Ago:
    """A time relative to now, by the database's clock."""

    seconds: float


def event_filter(database: orm.Database, chosen: Mapping[str, Any]) -> orm.EventFilter:
    """Return the filter for values of the parameters `FILTERS`."""
    values: dict[str, Any] = {
        name: database.now() - value.seconds if isinstance(value, Ago) else value
        for name, value in chosen.items()
    }
    return orm.EventFilter(**values)


def _read_moment(text: str) -> float | Ago:
    """Return seconds since the epoch, or before now; a timestamp without a zone is UTC."""
    if ago := _AGO.fullmatch(text):
        return Ago(int(ago[1]) * _SECONDS[ago[2]])
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise RequestError(
            f"Invalid time {text[:80]!r}: expected a timestamp such as 2026-11-23T16:57:37Z, or "
            "2h for two hours ago"
        ) from None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def _read_stream(text: str) -> str:
    if text not in STREAMS:
        raise RequestError(f"Invalid stream {text[:80]!r}: expected {' or '.join(STREAMS)}")
    return text


def _read_flag(text: str) -> bool:
    if text not in {"", "1"}:
        raise RequestError(f"Invalid flag value {text[:80]!r}: expected 1 or nothing")
    return True


def _read_wait(text: str) -> int:
    if not re.fullmatch(r"\d{1,4}", text, re.ASCII) or int(text) > MAX_WAIT:
        raise RequestError(f"Invalid wait {text[:80]!r}: expected a number from 0 to {MAX_WAIT}")
    return int(text)


def _read_attempt(text: str) -> int:
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII):
        raise RequestError(f"Invalid attempt {text[:80]!r}: expected a number from 1")
    return int(text)


EVENT: Final = Parameter("event", "the id of an event", read_event_id, UUID)
RUN: Final = Parameter("run", "the id of a run", read_run_id, UUID)
APPLICATION: Final = Parameter("application", "the name of an application")
ADAPTER: Final = Parameter("adapter", "the name of an adapter")
ARGUMENT: Final = Parameter("arg", "the arguments, separated by slashes", lambda segments: segments)
FILE: Final = Parameter(
    "name", "the name of a file, possibly with slashes", lambda segments: segments
)

STATUS_: Final = Parameter("status", "events with this status", _read_status, STATUS)
STATE: Final = Parameter(
    "state", "events with a run in this state, or without a run: unmatched", _read_status, STATUS
)
LIMIT: Final = Parameter(
    "limit",
    "maximum number of events on a page",
    _read_limit,
    {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
)
FILTERS: Final = (
    STATUS_,
    STATE,
    Parameter("type", "events of this exact type"),
    Parameter("source", "events from this exact source"),
    Parameter("application", "events with a run of this application"),
    Parameter("text", "events with this text in their id or subject, ignoring case"),
    Parameter("since", "events received at or after this time", _read_moment, WHEN_OR_AGO),
    Parameter("until", "events received before this time", _read_moment, WHEN_OR_AGO),
    Parameter("before", "events older than the one with this id", read_event_id, UUID),
)
"""The parameters that filter events, named like the fields of `orm.EventFilter`."""

RUNS: Final = (
    Parameter("application", "only runs of this application"),
    Parameter(
        "state",
        "only runs in this state; unmatched: an event without runs",
        _read_status,
        STATUS,
    ),
)
"""The parameters that select runs of an event, named like the fields of `Selection`."""

WAIT: Final = Parameter(
    "wait",
    "seconds to wait for the end before responding; the response may come earlier",
    _read_wait,
    {"type": "integer", "minimum": 0, "maximum": MAX_WAIT},
)
STREAM: Final = Parameter("stream", "only this stream", _read_stream, {"enum": list(STREAMS)})
ATTEMPT: Final = Parameter(
    "attempt",
    "the number of an attempt; the last one by default",
    _read_attempt,
    {"type": "integer", "minimum": 1, "maximum": 999_999_999},
)


def flag(name: str, description: str) -> Parameter:
    """Declare a parameter that may be given without a value."""
    return Parameter(name, description, _read_flag, {"enum": ["", "1"]}, may_be_empty=True)
