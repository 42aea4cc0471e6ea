"""The functions match and search of RFC 9535, with limits on time and memory.

On adversarial text, a pattern such as (a|aa)+b takes twice as long for each further character; a
pattern such as ((a{9}){9}){9} takes nine times the memory for each further level. The text comes
from untrusted senders, and so does the pattern if the query takes it from the event.
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
"""Time limit for all regular expressions of one query on one event."""

MAX_LENGTH = 4096
"""Maximum length of a pattern, in characters."""

MAX_NESTING = 64
"""Maximum nesting of parentheses in a pattern."""

MAX_SIZE = 10_000
"""Maximum length of a pattern with its counted repetitions expanded, in characters."""

_deadline: ContextVar[float] = ContextVar("deadline")
_PART = re.compile(r"\\[pP]\{[^}]*\}|\\.|\[(?:\\.|[^\]\\])*\]|\{[0-9]+(?:,[0-9]*)?\}|.", re.DOTALL)
_NUMBER = re.compile(r"[0-9]+")


class IRegexpFunction(FilterFunction):
    """Matching of a string against an I-Regexp (RFC 9485; RFC 9535, sections 2.4.6 and 2.4.7)."""

    def __init__(self, *, whole: bool) -> None:
        """Match the whole string (match) or any part of it (search)."""
        self._whole = whole

    @property
    def arg_types(self) -> list[ExpressionType]:
        """Return the types of the string and the pattern."""
        return [ExpressionType.VALUE, ExpressionType.VALUE]

    @property
    def return_type(self) -> ExpressionType:
        """Return the type of the result."""
        return ExpressionType.LOGICAL

    def __call__(self, string: Any, pattern: Any) -> bool:  # noqa: ANN401 - any JSON value
        """Return True if the string matches; False for a non-string or an invalid pattern.

        Raises:
            TimeoutError: the time limit of the query is exceeded.
            JSONPathError: the pattern is too large.
        """
        if not isinstance(string, str) or not isinstance(pattern, str):
            return False
        compiled = _compile_iregexp(pattern)
        if compiled is None:
            return False
        left = _deadline.get() - time.monotonic()
        if left <= 0:
            raise TimeoutError
        compare = compiled.fullmatch if self._whole else compiled.search
        return compare(string, timeout=left) is not None


@contextmanager
def time_limit() -> Iterator[None]:
    """Limit the regular expressions of one query to SECONDS within this context."""
    token = _deadline.set(time.monotonic() + SECONDS)
    try:
        yield
    finally:
        _deadline.reset(token)


@lru_cache(maxsize=64)
def _compile_iregexp(pattern: str) -> "regex.Pattern[str] | None":
    """Return None for a pattern that RFC 9485 does not allow."""
    if len(pattern) > MAX_LENGTH:
        raise JSONPathError(f"regular expression is longer than {MAX_LENGTH} characters")
    parts = _PART.findall(pattern)
    _check_size(parts)
    # iregexp_check accepts only one-digit quantifiers.
    plain = "".join(_NUMBER.sub("1", each) if each[0] == "{" else each for each in parts)
    if not _encodable(plain) or not check(plain):
        return None
    try:
        # In RFC 9485 a dot matches neither a line feed nor a carriage return.
        return regex.compile("".join(r"[^\n\r]" if each == "." else each for each in parts))
    except regex.error:
        return None


def _encodable(text: str) -> bool:
    # A lone surrogate is not a valid character of a pattern.
    return not any("\ud800" <= each <= "\udfff" for each in text)


def _check_size(parts: Sequence[str]) -> None:
    """Compute the expanded size group by group, without expanding anything."""
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
            raise JSONPathError(
                f"regular expression is nested deeper than {MAX_NESTING} levels or expands to "
                f"more than {MAX_SIZE} characters"
            )


def _number(digits: str) -> int:
    # int() refuses thousands of digits; anything above MAX_SIZE will do.
    significant = digits.lstrip("0")
    return int(significant or "0") if len(significant) < len(str(MAX_SIZE)) else 10 * MAX_SIZE
