"""LIKE patterns (CESQL 1.0, section 3.4.3)."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from pacifica.dispatcher.rules import work

_PART = re.compile(r"\\[%_]|.", re.DOTALL)


def compile_like_pattern(pattern: str) -> Callable[[str], bool]:
    """Compile a pattern to a function that returns True for a matching text.

    `%` matches any characters, `_` exactly one; a backslash escapes both, and stands for itself
    before any other character. Between two `%` the leftmost match is as good as any other, so
    there is no backtracking: the time is at most proportional to text length times pattern length.
    The function raises TooMuchWorkError for a text that is too long for the pattern.
    """
    head, *rest = _pieces(pattern)
    begins = re.compile(head.expression, re.DOTALL)
    if not rest:
        return lambda text: begins.fullmatch(text) is not None  # ends at the first difference
    inner = [re.compile(each.expression, re.DOTALL) for each in rest[:-1]]
    ends = re.compile(rest[-1].expression, re.DOTALL)
    length = rest[-1].length
    longest = max((each.length for each in rest[:-1]), default=1)

    def matches(text: str) -> bool:
        work.require(len(text) * longest)
        found = begins.match(text)
        for each in inner:
            if found is None:
                return False
            found = each.search(text, found.end())
        tail = len(text) - length
        return found is not None and tail >= found.end() and ends.match(text, tail) is not None

    return matches


@dataclass(frozen=True, slots=True)
class _Piece:
    """The part between two %: a regular expression that matches a fixed number of characters."""

    expression: str
    length: int


def _pieces(pattern: str) -> list[_Piece]:
    parts: list[list[str]] = [[]]
    for part in _PART.findall(pattern):
        if part == "%":
            parts.append([])
        else:
            parts[-1].append("." if part == "_" else re.escape(part[-1]))
    return [_Piece("".join(each), len(each)) for each in parts]
