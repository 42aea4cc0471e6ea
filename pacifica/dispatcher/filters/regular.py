"""The functions match and search of RFC 9535, with an end to the time and memory that they take.

A pattern such as (a|aa)+b needs, on the wrong text, twice the time for each character more; one
such as ((a{9}){9}){9} nine times the memory for each parenthesis more. The text comes from whoever
sends events, and the pattern too where an operator lets it.
"""

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

import regex
from iregexp_check import check
from jsonpath_rfc9535 import JSONPathError
from jsonpath_rfc9535.function_extensions import ExpressionType, FilterFunction

SECONDS = 0.1
"""What all the regular expressions of one query may take on one event."""

MAX_LENGTH = 4096
"""Characters of a pattern."""

MAX_NESTING = 64
"""Parentheses of a pattern within one another."""

MAX_SIZE = 10_000
"""Characters of a pattern when all that it repeats is written out."""

_deadline: ContextVar[float] = ContextVar("deadline")
_PART = re.compile(r"\\[pP]\{[^}]*\}|\\.|\[(?:\\.|[^\]\\])*\]|\{[0-9]+(?:,[0-9]*)?\}|.", re.DOTALL)
_NUMBER = re.compile(r"[0-9]+")


class Matches(FilterFunction):
    """Whether a string fits a pattern of RFC 9485 (RFC 9535, sections 2.4.6 and 2.4.7)."""

    def __init__(self, *, whole: bool) -> None:
        """Compare the whole string (match), or look for a part of it (search)."""
        self._whole = whole

    @property
    def arg_types(self) -> list[ExpressionType]:
        """The string and the pattern."""
        return [ExpressionType.VALUE, ExpressionType.VALUE]

    @property
    def return_type(self) -> ExpressionType:
        """Whether it fits."""
        return ExpressionType.LOGICAL

    def __call__(self, string: Any, pattern: Any) -> bool:  # noqa: ANN401 - whatever is there
        """Whether it fits; what is no string or no pattern does not.

        Raises:
            TimeoutError: the query has had its time.
            JSONPathError: the pattern is too large.
        """
        if not isinstance(string, str) or not isinstance(pattern, str):
            return False
        compiled = _compiled(pattern)
        if compiled is None:
            return False
        left = _deadline.get() - time.monotonic()
        if left <= 0:
            raise TimeoutError
        compare = compiled.fullmatch if self._whole else compiled.search
        return compare(string, timeout=left) is not None


@contextmanager
def limited() -> Iterator[None]:
    """Let the regular expressions of one query take SECONDS in here."""
    token = _deadline.set(time.monotonic() + SECONDS)
    try:
        yield
    finally:
        _deadline.reset(token)


@lru_cache(maxsize=64)
def _compiled(pattern: str) -> "regex.Pattern[str] | None":
    """A pattern of RFC 9485 for the library; None when it is none.

    To the library, a dot is more than any character but a line feed or carriage return.

    Raises:
        JSONPathError: it is too large.
    """
    if len(pattern) > MAX_LENGTH:
        raise JSONPathError(f"a pattern has more than {MAX_LENGTH} characters")
    parts = _PART.findall(pattern)
    _check_size(parts)
    # The checker knows numbers of one digit only.
    plain = "".join(_NUMBER.sub("1", each) if each[0] == "{" else each for each in parts)
    if not _encodable(plain) or not check(plain):
        return None
    try:
        return regex.compile("".join(r"[^\n\r]" if each == "." else each for each in parts))
    except regex.error:
        return None


def _encodable(text: str) -> bool:
    """Whether there is no lone surrogate in a text, which has no place in a pattern."""
    return not any("\ud800" <= each <= "\udfff" for each in text)


def _check_size(parts: Sequence[str]) -> None:
    """Write out in thought what a pattern repeats, group by group."""
    sizes, last = [0], 0
    for part in parts:
        if part == "(":
            sizes.append(0)
        elif part == ")" and len(sizes) > 1:
            last = sizes.pop()
            sizes[-1] += last
        elif len(part) > 1 and part[0] == "{":
            times = max(map(_number, _NUMBER.findall(part)))
            sizes[-1] += last * (times - 1)
            last *= times
        elif part not in {"*", "+", "?"}:
            last = 1
            sizes[-1] += 1
        if len(sizes) > MAX_NESTING or sum(sizes) > MAX_SIZE:
            raise JSONPathError("a pattern repeats or nests too much")


def _number(digits: str) -> int:
    """A number; one that is too large anyway as one that is."""
    significant = digits.lstrip("0")
    return int(significant or "0") if len(significant) < len(str(MAX_SIZE)) else 10 * MAX_SIZE
