"""Type casting (CESQL 1.0, section 3.7)."""

import re

from pacifica.dispatcher.events import Attribute, canonical
from pacifica.dispatcher.rules.cesql.errors import CesqlError, ErrorKind
from pacifica.dispatcher.rules.cesql.parser import INT32

_INTEGER = re.compile(r"([+-]?)0*([0-9]{1,10})")
_SHOWN = 40


def to_string(value: Attribute) -> str:
    """Cast any value to String."""
    return value if isinstance(value, str) else canonical(value)


def to_integer(value: Attribute) -> int:
    """Cast any value to Integer.

    Raises:
        CesqlError: a string that is not a 32-bit integer.
    """
    if not isinstance(value, str):
        return int(value)
    match = _INTEGER.fullmatch(value)
    if match and (number := int(f"{match[1]}{match[2]}")) in INT32:
        return number
    raise CesqlError(ErrorKind.CAST, f"{value[:_SHOWN]!r} is not a 32-bit integer")


def to_boolean(value: Attribute) -> bool:
    """Cast any value to Boolean.

    Raises:
        CesqlError: a string other than true and false, in any case.
    """
    if not isinstance(value, str):
        return bool(value)
    lowered = value.lower() if len(value) <= len("false") else value
    if lowered not in {"true", "false"}:
        raise CesqlError(ErrorKind.CAST, f"{value[:_SHOWN]!r} is neither true nor false")
    return lowered == "true"


CASTS = {str: to_string, int: to_integer, bool: to_boolean}
"""The cast function of each type."""
