"""Parsing of untrusted JSON: strictly RFC 8259, with limits on nesting and number size."""

import json
import math
from collections import Counter
from collections.abc import Iterator
from itertools import count
from typing import Any, NoReturn, cast

from pacifica.dispatcher.errors import EventError, Problem
from pacifica.dispatcher.events.event import Json

MAX_DEPTH = 128
"""Maximum nesting: far above real events, and within the limits of every later reader."""

_WHITESPACE = " \t\n\r"


def _refuse_constant(name: str) -> NoReturn:
    raise EventError(f"Invalid JSON: {name} is not a JSON number (RFC 8259, section 6)")


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise EventError(f"Invalid JSON: number {text[:40]} is too large for a double")
    return value


def _unique(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    members = dict(pairs)
    if len(members) != len(pairs):
        [(name, _)] = Counter(name for name, _ in pairs).most_common(1)
        raise EventError(f"Invalid JSON: duplicate member name {name[:80]!r} in an object")
    return members


_decoder = json.JSONDecoder(
    parse_constant=_refuse_constant, parse_float=_finite, object_pairs_hook=_unique
)


def decode_utf8(body: bytes) -> str:
    """Decode a JSON text (RFC 8259, section 8.1).

    Raises:
        EventError: the body is not UTF-8.
    """
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise EventError(f"Invalid UTF-8: {exc.reason} at byte {exc.start}") from exc


def loads(text: str, depth: int = MAX_DEPTH) -> Json:
    """Parse one JSON value.

    Args:
        text: the whole text, including surrounding white space.
        depth: the maximum nesting.

    Raises:
        EventError: not JSON, nested too deeply, or containing a number out of range.
    """
    value, end = _value_at(text, _skip(text, 0), depth)
    if _skip(text, end) != len(text):
        raise EventError(f"Invalid JSON: unexpected text after the value at character {end}")
    return value


def check_json(body: bytes) -> str:
    """Return the text of a JSON value after validating it.

    Raises:
        EventError: as for `decode_utf8` and `loads`.
    """
    text = decode_utf8(body)
    loads(text)
    return text


def array_elements(text: str) -> Iterator[tuple[Json, str]]:
    """Yield each element of a JSON array with its exact text.

    Raises:
        EventError: as for `loads`, naming the element; or not an array.
    """
    position = _skip(text, 0)
    if text[position : position + 1] != "[":
        raise EventError("A batch must be a JSON array of events")
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
        raise EventError(f"Invalid JSON: expected ',' or ']' at character {end}")


def member_text(text: str, name: str) -> str | None:
    """Return the exact text of a member's value, or None if there is no such member.

    Args:
        text: the text of a JSON object that `loads` has accepted.
        name: the member's name.
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
        raise EventError(f"Invalid JSON: {exc.msg} at {where}") from exc
    except RecursionError as exc:
        raise EventError(f"JSON is nested deeper than {depth} levels") from exc
    except ValueError as exc:  # Python's limit on the digits of an integer
        raise EventError("Invalid JSON: an integer has too many digits") from exc
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
    raise EventError(f"JSON is nested deeper than {depth} levels")
