"""The built-in functions (CESQL 1.0, sections 3.5 and 3.7)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pacifica.dispatcher.filters.cesql.casting import CASTS
from pacifica.dispatcher.filters.cesql.errors import CesqlError, Kind
from pacifica.dispatcher.filters.cesql.parser import INT32

_WHITE_SPACE = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
"""Unicode's property White_Space; Python's own idea of it has four control characters more."""


@dataclass(frozen=True, slots=True)
class Function:
    """A function that expressions can call.

    Attributes:
        parameters: the types that its arguments are cast to; None for any type.
        returns: the type of its result.
        call: what it does.
        variadic: whether further arguments may follow, which are strings.
    """

    parameters: tuple[type[str | int] | None, ...]
    returns: type[str | int]
    call: Callable[..., Any]
    variadic: bool = False

    def takes(self, arguments: int) -> bool:
        """Whether it can be called with so many arguments."""
        fixed = len(self.parameters)
        return arguments == fixed or (self.variadic and arguments > fixed)


def _absolute(number: int) -> int:
    if number == INT32[0]:
        raise CesqlError(Kind.MATH, f"ABS({number}) has more than 32 bits", INT32[-1])
    return abs(number)


def _left(text: str, length: int) -> str:
    if length < 0:
        raise CesqlError(Kind.FUNCTION_EVALUATION, "LEFT takes no negative length", text)
    return text[:length]


def _right(text: str, length: int) -> str:
    if length < 0:
        raise CesqlError(Kind.FUNCTION_EVALUATION, "RIGHT takes no negative length", text)
    return text[max(0, len(text) - length) :]


def _substring(text: str, position: int, length: int | None = None) -> str:
    if abs(position) > len(text):
        raise CesqlError(Kind.FUNCTION_EVALUATION, f"SUBSTRING has no position {position} there")
    if length is not None and length < 0:
        raise CesqlError(Kind.FUNCTION_EVALUATION, "SUBSTRING takes no negative length")
    if position == 0:
        return ""
    start = position - 1 if position > 0 else len(text) + position
    return text[start:] if length is None else text[start : start + length]


def _joined(delimiter: str, *texts: str) -> str:
    return delimiter.join(texts)


FUNCTIONS: dict[str, tuple[Function, ...]] = {
    "INT": (Function((None,), int, CASTS[int]),),
    "BOOL": (Function((None,), bool, CASTS[bool]),),
    "STRING": (Function((None,), str, CASTS[str]),),
    "LENGTH": (Function((str,), int, len),),
    "CONCAT": (Function((), str, lambda *texts: "".join(texts), variadic=True),),
    "CONCAT_WS": (Function((str,), str, _joined, variadic=True),),
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
"""By their names in capital letters; those of one name differ in how many arguments they take."""
