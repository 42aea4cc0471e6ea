"""From one type to another (CESQL 1.0, section 3.7)."""

import re

from pacifica.dispatcher.events import Attribute, canonical
from pacifica.dispatcher.filters.cesql.errors import CesqlError, Kind
from pacifica.dispatcher.filters.cesql.parser import INT32

_INTEGER = re.compile(r"([+-]?)0*([0-9]{1,10})")
_SHOWN = 40


def to_string(value: Attribute) -> str:
    """Any value as a String."""
    return value if isinstance(value, str) else canonical(value)


def to_integer(value: Attribute) -> int:
    """Any value as an Integer.

    Raises:
        CesqlError: it is a string that is no integer of 32 bits.
    """
    if not isinstance(value, str):
        return int(value)
    match = _INTEGER.fullmatch(value)
    if match and (number := int(f"{match[1]}{match[2]}")) in INT32:
        return number
    raise CesqlError(Kind.CAST, f"{value[:_SHOWN]!r} is no integer of 32 bits")


def to_boolean(value: Attribute) -> bool:
    """Any value as a Boolean.

    Raises:
        CesqlError: it is a string other than true and false, whose case does not matter.
    """
    if not isinstance(value, str):
        return bool(value)
    lowered = value.lower() if len(value) <= len("false") else value
    if lowered not in {"true", "false"}:
        raise CesqlError(Kind.CAST, f"{value[:_SHOWN]!r} is neither true nor false")
    return lowered == "true"


CASTS = {str: to_string, int: to_integer, bool: to_boolean}
"""The cast to each type."""
