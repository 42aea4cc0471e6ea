"""The functions match and search of RFC 9535, with an end to the time that they take.

A pattern such as (a|aa)+b needs, on the wrong text, twice the time for each character more; and the
text comes from whoever sends events.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import regex
from iregexp_check import check
from jsonpath_rfc9535.function_extensions import ExpressionType, FilterFunction

SECONDS = 0.1
"""What all the regular expressions of one query may take on one event."""

_deadline: ContextVar[float] = ContextVar("deadline")
_PART = regex.compile(r"\\.|\[(?:\\.|[^\]\\])*\]|\.|[^.\\\[]+", regex.DOTALL)


class Matches(FilterFunction):
    """Whether a string fits a pattern of RFC 9485 (RFC 9535, sections 2.4.6 and 2.4.7)."""

    def __init__(self, *, whole: bool) -> None:
        """Compare the whole string (match), or look for a part of it (search)."""
        self._compare = regex.fullmatch if whole else regex.search

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
        """
        if not isinstance(string, str) or not isinstance(pattern, str) or not check(pattern):
            return False
        left = _deadline.get() - time.monotonic()
        if left <= 0:
            raise TimeoutError
        try:
            return self._compare(_in_python(pattern), string, timeout=left) is not None
        except regex.error:
            return False


@contextmanager
def limited() -> Iterator[None]:
    """Let the regular expressions of one query take SECONDS in here."""
    token = _deadline.set(time.monotonic() + SECONDS)
    try:
        yield
    finally:
        _deadline.reset(token)


def _in_python(pattern: str) -> str:
    """A pattern of RFC 9485 as the library reads it: a dot is no line feed or carriage return."""
    return "".join(r"[^\n\r]" if part == "." else part for part in _PART.findall(pattern))
