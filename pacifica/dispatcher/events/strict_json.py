"""Reading JSON from outside: strictly by RFC 8259, and within limits that keep us safe."""

import json
import math
from collections import Counter
from collections.abc import Iterator
from itertools import count
from typing import Any, NoReturn, cast

from pacifica.dispatcher.errors import EventError, Problem
from pacifica.dispatcher.events.event import Json

MAX_DEPTH = 128
"""Nesting that is accepted; real events stay far below, and every reader after us copes with it."""

_WHITESPACE = " \t\n\r"


def _refuse_constant(name: str) -> NoReturn:
    raise EventError(f"it is not JSON: {name} is no JSON number (RFC 8259, section 6)")


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise EventError(f"it is not JSON: the number {text[:40]} is too large")
    return value


def _unique(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    members = dict(pairs)
    if len(members) != len(pairs):
        [(name, _)] = Counter(name for name, _ in pairs).most_common(1)
        raise EventError(f"it is not JSON: the name {name[:80]!r} stands twice in an object")
    return members


_decoder = json.JSONDecoder(
    parse_constant=_refuse_constant, parse_float=_finite, object_pairs_hook=_unique
)


def decode(body: bytes) -> str:
    """Decode a JSON text, which is UTF-8 (RFC 8259, section 8.1).

    Raises:
        EventError: it is not UTF-8.
    """
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise EventError(f"it is not UTF-8: {exc.reason} at byte {exc.start}") from exc


def loads(text: str, depth: int = MAX_DEPTH) -> Json:
    """Read one JSON value.

    Args:
        text: all of it, white space around it included.
        depth: the nesting that is accepted.

    Raises:
        EventError: it is no JSON, holds a number that is none, or is nested too deeply.
    """
    value, end = _value_at(text, _skip(text, 0), depth)
    if _skip(text, end) != len(text):
        raise EventError(f"it is not JSON: more text after its end, at character {end}")
    return value


def check(body: bytes) -> str:
    """The text of a JSON value.

    Raises:
        EventError: as `decode` and `loads`.
    """
    text = decode(body)
    loads(text)
    return text


def array_elements(text: str) -> Iterator[tuple[Json, str]]:
    """Read a JSON array: each element and the very text of it.

    Raises:
        EventError: as `loads`, and it names the element; or it is no array.
    """
    position = _skip(text, 0)
    if text[position : position + 1] != "[":
        raise EventError("a batch is a JSON array of events")
    position = _skip(text, position + 1)
    if text[position : position + 1] == "]":
        end = position
    else:
        for index in count():
            try:
                value, end = _value_at(text, position)
            except EventError as exc:
                raise EventError(str(exc), [Problem(f"/{index}", str(exc))]) from exc
            yield value, text[position:end]
            end = _skip(text, end)
            if text[end : end + 1] != ",":
                break
            position = _skip(text, end + 1)
    if text[end : end + 1] != "]" or _skip(text, end + 1) != len(text):
        raise EventError(f"it is not JSON: expected , or the array's end at character {end}")


def member(text: str, name: str) -> str | None:
    """The very text of a member of a JSON object, or None when it has none of this name.

    Args:
        text: a JSON text of which `loads` made an object.
        name: which member.
    """
    position = _skip(text, _skip(text, 0) + 1)
    while text[position] != "}":
        key, position = _value_at(text, position)
        position = _skip(text, _skip(text, position) + 1)
        _, end = _value_at(text, position)
        if key == name:
            return text[position:end]
        position = _skip(text, end)
        if text[position] == ",":
            position = _skip(text, position + 1)
    return None


def _skip(text: str, position: int) -> int:
    while text[position : position + 1] and text[position] in _WHITESPACE:
        position += 1
    return position


def _value_at(text: str, position: int, depth: int = MAX_DEPTH) -> tuple[Json, int]:
    try:
        value, end = _decoder.raw_decode(text, position)
    except json.JSONDecodeError as exc:
        where = f"line {exc.lineno} column {exc.colno}"
        raise EventError(f"it is not JSON: {exc.msg} at {where}") from exc
    except RecursionError as exc:
        raise EventError(f"it is nested deeper than {depth} levels") from exc
    except ValueError as exc:  # all that is left is Python's own limit
        raise EventError("it is not JSON: an integer has more digits than can be read") from exc
    _check_depth(value, text[position:end] if (position, end) != (0, len(text)) else text, depth)
    return cast("Json", value), end


def _check_depth(value: Json, text: str, depth: int) -> None:
    if text.count("[") + text.count("{") <= depth:
        return
    level: list[Any] = [value]
    for _ in range(depth + 1):
        level = [each for each in level if isinstance(each, dict | list)]
        if not level:
            return
        level = [
            child
            for parent in level
            for child in (parent.values() if isinstance(parent, dict) else parent)
        ]
    raise EventError(f"it is nested deeper than {depth} levels")
