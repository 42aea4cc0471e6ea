"""From an expression's text to its tokens (CESQL 1.0, sections 2.2 to 2.4)."""

import enum
import re
from dataclasses import dataclass

from pacifica.dispatcher.filters.cesql.errors import CesqlError, Kind

MAX_LENGTH = 16 * 1024
"""Characters of an expression."""

KEYWORDS = frozenset({"AND", "OR", "XOR", "NOT", "LIKE", "EXISTS", "IN", "TRUE", "FALSE"})
"""Words that are no attribute; their case does not matter (section 2)."""


class Sort(enum.Enum):
    """What a token is."""

    INTEGER = "an integer"
    STRING = "a string"
    WORD = "a name"
    KEYWORD = "a keyword"
    SYMBOL = "a symbol"
    END = "the end"


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of an expression.

    Attributes:
        sort: what it is.
        text: what it says: a string without its quotes, a keyword in capital letters.
        start: where it begins, in characters from 0.
        end: where it ends.
    """

    sort: Sort
    text: str
    start: int
    end: int


_TOKEN = re.compile(
    r"""[ \t\r\n]+
    | (?P<WORD>[A-Za-z0-9_]+)
    | (?P<STRING>'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")
    | (?P<SYMBOL><>|!=|<=|>=|[-+*/%=<>(),])
    """,
    re.VERBOSE | re.DOTALL,
)
_DIGITS = re.compile(r"[0-9]+")


def tokens(text: str) -> list[Token]:
    """Split an expression.

    Raises:
        CesqlError: it is too long, or something in it is no token.
    """
    if len(text) > MAX_LENGTH:
        raise CesqlError(Kind.PARSE, f"the expression has more than {MAX_LENGTH} characters")
    found: list[Token] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise CesqlError(Kind.PARSE, _strange(text, position))
        if match.lastgroup is not None:
            found.append(_token(Sort[match.lastgroup], match[0], position))
        position = match.end()
    found.append(Token(Sort.END, "", position, position))
    return found


def _token(sort: Sort, text: str, start: int) -> Token:
    end = start + len(text)
    if sort is Sort.STRING:
        # Only the quote that delimits a string is escaped in it; any other backslash stays, for
        # LIKE to read (sections 2.2 and 3.4.3).
        quote = text[0]
        return Token(sort, text[1:-1].replace(f"\\{quote}", quote), start, end)
    if sort is Sort.WORD and _DIGITS.fullmatch(text):
        return Token(Sort.INTEGER, text, start, end)
    if sort is Sort.WORD and text.upper() in KEYWORDS:
        return Token(Sort.KEYWORD, text.upper(), start, end)
    return Token(sort, text, start, end)


def _strange(text: str, position: int) -> str:
    if text[position] in "'\"":
        return f"the string that begins at character {position + 1} is not closed"
    return f"{text[position]!r} at character {position + 1} means nothing here"
