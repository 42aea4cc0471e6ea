"""The functions match and search of RFC 9535, in linear time.

The text comes from untrusted senders, and so does the pattern if the query takes it from the
event. RE2 does not backtrack, and limits the memory of a pattern with its repetitions expanded.
"""

import re
from functools import lru_cache
from typing import Any, Final

import re2
from iregexp_check import check
from jsonpath_rfc9535 import JSONPathError
from jsonpath_rfc9535.function_extensions import ExpressionType, FilterFunction

from pacifica.dispatcher.rules import work

MAX_LENGTH: Final = 4096
"""Maximum length of a pattern, in characters."""

MAX_NESTING: Final = 64
"""Maximum nesting of parentheses in a pattern."""

MAX_REPETITIONS: Final = 1000
"""Maximum number in a counted repetition; RE2 takes a larger one for literal text."""

_MAX_MEMORY: Final = 1024**2  # bytes of one pattern, compiled; at most 64 are kept
_PART: Final = re.compile(
    r"\\[pP]\{[^}]*\}|\\.|\[(?:\\.|[^\]\\])*\]|\{[0-9]+(?:,[0-9]*)?\}|.", re.DOTALL
)
_NUMBER: Final = re.compile(r"[0-9]+")


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
            TooMuchWorkError: the string is too long for the pattern, or the time is up.
            JSONPathError: the pattern is too large or not supported.
        """
        if not isinstance(string, str) or not isinstance(pattern, str):
            return False
        compiled = _compile_iregexp(pattern)
        if compiled is None:
            return False
        text = string.encode(errors="surrogatepass")
        work.require(len(text) * compiled.programsize)
        compare = compiled.fullmatch if self._whole else compiled.search
        return compare(text) is not None


def check_pattern(pattern: str) -> None:
    """Check a pattern that a query contains as a literal.

    Raises:
        JSONPathError: not a valid I-Regexp, too large, or not supported.
    """
    if _compile_iregexp(pattern) is None:
        raise JSONPathError(f"{pattern[:80]!r} is not a valid regular expression (RFC 9485)")


@lru_cache(maxsize=64)
def _compile_iregexp(pattern: str) -> Any:  # noqa: ANN401 - re2 is untyped
    """Return None for a pattern that RFC 9485 does not allow."""
    if len(pattern) > MAX_LENGTH:
        raise JSONPathError(f"regular expression is longer than {MAX_LENGTH} characters")
    parts = _PART.findall(pattern)
    _check_nesting(parts)
    _check_repetitions(parts)
    # iregexp_check accepts only one-digit quantifiers.
    plain = "".join(_NUMBER.sub("1", each) if each[0] == "{" else each for each in parts)
    if not _encodable(plain) or not check(plain):
        return None
    # In RFC 9485 a dot matches neither a line feed nor a carriage return.
    own = "".join(r"[^\n\r]" if each == "." else each for each in parts)
    try:
        return re2.compile(own.encode(), _options())
    except re2.error as exc:
        reason = exc.args[0].decode(errors="replace")
        raise JSONPathError(f"regular expression is not supported: {reason}") from exc


def _options() -> Any:  # noqa: ANN401 - re2 is untyped
    options = re2.Options()
    options.max_mem = _MAX_MEMORY
    options.never_capture = True
    options.log_errors = False
    return options


def _encodable(text: str) -> bool:
    # A lone surrogate is not a valid character of a pattern.
    return not any("\ud800" <= each <= "\udfff" for each in text)


def _check_nesting(parts: list[str]) -> None:
    depth = 0  # iregexp_check is recursive
    for part in parts:
        depth += (part == "(") - (part == ")")
        if depth > MAX_NESTING:
            raise JSONPathError(f"regular expression is nested deeper than {MAX_NESTING} levels")


def _check_repetitions(parts: list[str]) -> None:
    longest = len(str(MAX_REPETITIONS))
    for part in parts:
        numbers = _NUMBER.findall(part) if len(part) > 1 and part[0] == "{" else []
        digits = [each.lstrip("0") or "0" for each in numbers]
        if any(len(each) > longest or int(each) > MAX_REPETITIONS for each in digits):
            raise JSONPathError(
                f"regular expression is not supported: more than {MAX_REPETITIONS} repetitions"
            )
