"""Tokens of an expression (CESQL 1.0, sections 2.2 to 2.4)."""

import enum
import re
from dataclasses import dataclass

from pacifica.dispatcher.rules.cesql.errors import CesqlError, ErrorKind

MAX_LENGTH = 16 * 1024
"""Maximum length of an expression, in characters."""

KEYWORDS = frozenset({"AND", "OR", "XOR", "NOT", "LIKE", "EXISTS", "IN", "TRUE", "FALSE"})
"""Reserved words, in any case (section 2)."""


class TokenKind(enum.Enum):
    """The kinds of token."""

    INTEGER = "an integer"
    STRING = "a string"
    WORD = "a name"
    KEYWORD = "a keyword"
    SYMBOL = "a symbol"
    END = "the end"


@dataclass(frozen=True, slots=True)
class Token:
    """A token of an expression.

    Attributes:
        kind: its kind.
        text: a string without its quotes, a keyword in upper case, any other token as written.
        start: the offset of its first character, from 0.
        end: the offset after its last character.
    """

    kind: TokenKind
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


def tokenize(text: str) -> list[Token]:
    """Split an expression into tokens, closed by one of the kind END.

    Raises:
        CesqlError: too long, or an unexpected character.
    """
    if len(text) > MAX_LENGTH:
        message = f"longer than {MAX_LENGTH} characters"
        raise CesqlError(ErrorKind.PARSE, message)
    found: list[Token] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise CesqlError(ErrorKind.PARSE, _fault(text, position))
        if match.lastgroup is not None:
            found.append(_token(TokenKind[match.lastgroup], match[0], position))
        position = match.end()
    found.append(Token(TokenKind.END, "", position, position))
    return found


def _token(kind: TokenKind, text: str, start: int) -> Token:
    end = start + len(text)
    if kind is TokenKind.STRING:
        # Only the delimiting quote is unescaped here; any other backslash is left for LIKE
        # (sections 2.2 and 3.4.3).
        quote = text[0]
        return Token(kind, text[1:-1].replace(f"\\{quote}", quote), start, end)
    if kind is TokenKind.WORD and _DIGITS.fullmatch(text):
        return Token(TokenKind.INTEGER, text, start, end)
    if kind is TokenKind.WORD and text.upper() in KEYWORDS:
        return Token(TokenKind.KEYWORD, text.upper(), start, end)
    return Token(kind, text, start, end)


def _fault(text: str, position: int) -> str:
    if text[position] in "'\"":
        return f"character {position + 1}: unterminated string"
    return f"character {position + 1}: unexpected {text[position]!r}"
