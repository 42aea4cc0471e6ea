"""The built-in functions (CESQL 1.0, sections 3.5 and 3.7)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pacifica.dispatcher.rules.cesql.casting import CASTS
from pacifica.dispatcher.rules.cesql.errors import CesqlError, ErrorKind
from pacifica.dispatcher.rules.cesql.parser import INT32

# Unicode's property White_Space; str.strip() would also remove four control characters.
_WHITE_SPACE = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)


@dataclass(frozen=True, slots=True)
class Function:
    """A function that expressions can call.

    Attributes:
        parameters: the types that the arguments are cast to; None for any type.
        returns: the type of the result.
        call: the implementation.
        variadic: True if further string arguments may follow.
    """

    parameters: tuple[type[str | int] | None, ...]
    returns: type[str | int]
    call: Callable[..., Any]
    variadic: bool = False

    def takes(self, arguments: int) -> bool:
        """Return True if the function accepts this number of arguments."""
        fixed = len(self.parameters)
        return arguments == fixed or (self.variadic and arguments > fixed)


def _absolute(number: int) -> int:
    if number == INT32[0]:
        raise CesqlError(ErrorKind.MATH, f"ABS({number}) does not fit in 32 bits", INT32[-1])
    return abs(number)


def _left(text: str, length: int) -> str:
    if length < 0:
        raise _negative_length("LEFT", length, text)
    return text[:length]


def _right(text: str, length: int) -> str:
    if length < 0:
        raise _negative_length("RIGHT", length, text)
    return text[max(0, len(text) - length) :]


def _substring(text: str, position: int, length: int | None = None) -> str:
    if abs(position) > len(text):
        message = f"SUBSTRING position {position} is outside the string"
        raise CesqlError(ErrorKind.FUNCTION_EVALUATION, message)
    if length is not None and length < 0:
        raise _negative_length("SUBSTRING", length)
    if position == 0:
        return ""
    start = position - 1 if position > 0 else len(text) + position
    return text[start:] if length is None else text[start : start + length]


def _negative_length(function: str, length: int, value: str | None = None) -> CesqlError:
    message = f"{function} requires a non-negative length, not {length}"
    return CesqlError(ErrorKind.FUNCTION_EVALUATION, message, value)


def _join(delimiter: str, *texts: str) -> str:
    return delimiter.join(texts)


FUNCTIONS: dict[str, tuple[Function, ...]] = {
    "INT": (Function((None,), int, CASTS[int]),),
    "BOOL": (Function((None,), bool, CASTS[bool]),),
    "STRING": (Function((None,), str, CASTS[str]),),
    "LENGTH": (Function((str,), int, len),),
    "CONCAT": (Function((), str, lambda *texts: "".join(texts), variadic=True),),
    "CONCAT_WS": (Function((str,), str, _join, variadic=True),),
    "LOWER": (Function((str,), str, str.lower),),
    "UPPER": (Function((str,), str, str.upper),),
    "TRIM": (Function((str,), str, lambda text: text.strip(_WHITE_SPACE)),),
    "LEFT": (Function((str, int), str, _left),),
    "RIGHT": (Function((str, int), str, _right),),
    "SUBSTRING": (
        Function((str, int), str, _substring),
        Function((str, int, int), str, _substring),
    ),
    "ABS": (Function((int,), int, _absolute),),
}
"""The functions by upper-case name; overloads differ in their number of arguments."""
