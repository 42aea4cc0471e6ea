"""Parser from tokens to a syntax tree (CESQL 1.0, sections 2 and 3.6)."""

import re

from pacifica.dispatcher.rules.cesql.errors import CesqlError, ErrorKind
from pacifica.dispatcher.rules.cesql.lexer import Token, TokenKind, tokenize
from pacifica.dispatcher.rules.cesql.nodes import (
    Binary,
    Call,
    Exists,
    Identifier,
    In,
    Like,
    Literal,
    Node,
    Unary,
)

MAX_NESTING = 64
"""Maximum nesting of parentheses, calls, NOT and minus signs."""

MAX_OPERATORS = 256
"""Maximum number of operators and calls, which also limits the depth of the tree."""

INT32 = range(-(2**31), 2**31)
"""The range of an Integer (section 3.1)."""

# The binary operators by precedence, lowest first; all are left-associative.
_LEVELS = (
    frozenset({"AND", "OR", "XOR"}),
    frozenset({"=", "!=", "<>", "<", "<=", ">", ">="}),
    frozenset({"+", "-"}),
    frozenset({"*", "/", "%"}),
)

_DIGITS = len(str(2**31))
_IDENTIFIER = re.compile(r"[A-Za-z0-9]+")
_FUNCTION = re.compile(r"[A-Za-z][A-Za-z_]*")


def parse_expression(text: str) -> Node:
    """Parse an expression.

    Raises:
        CesqlError: not a valid expression, too long, too deep or with too many operators.
    """
    return _Parser(tokenize(text)).parse()


class _Parser:
    """Recursive descent, with precedence climbing for the binary operators."""

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._position = 0
        self._nesting = 0
        self._operators = 0

    def parse(self) -> Node:
        """Parse the whole expression."""
        node = self._expression(0)
        if self._next.kind is not TokenKind.END:
            raise self._unexpected("an operator or the end")
        return node

    def _expression(self, lowest: int) -> Node:
        """Parse operands joined by operators of at least this precedence level."""
        node = self._test()
        while (level := self._level()) >= lowest:
            operator = self._operator()
            node = Binary(operator, node, self._expression(level + 1))
        return node

    def _level(self) -> int:
        """Return the precedence level of the next operator, or -1."""
        if self._next.kind not in {TokenKind.SYMBOL, TokenKind.KEYWORD}:
            return -1
        return next((n for n, each in enumerate(_LEVELS) if self._next.text in each), -1)

    def _test(self) -> Node:
        # LIKE and IN, which follow their operand, bind tighter than any binary operator.
        node = self._unary()
        while True:
            negated = self._took("NOT")
            if self._next_is("LIKE"):
                self._operator()
                node = Like(node, self._pattern(), negated)
            elif self._next_is("IN"):
                self._operator()
                node = In(node, self._set(), negated)
            elif negated:
                raise self._unexpected("LIKE or IN")
            else:
                return node

    def _unary(self) -> Node:
        # NOT and - bind tighter than anything but a call: NOT a = b is (NOT a) = b.
        if (self._next_is("-") or self._next_is("+")) and self._number_follows():
            return self._integer(self._take().text)
        if self._next_is("NOT") or self._next_is("-"):
            operator = self._operator()
            self._enter()
            node = Unary(operator, self._unary())
            self._nesting -= 1
            return node
        return self._primary()

    def _primary(self) -> Node:  # noqa: PLR0911 - one for each kind of operand
        token = self._next
        if self._took("("):
            return self._grouped()
        if self._took("EXISTS"):
            return Exists(self._identifier())
        if self._next_is("TRUE") or self._next_is("FALSE"):
            return Literal(self._take().text == "TRUE")
        if token.kind is TokenKind.INTEGER:
            return self._integer("")
        if token.kind is TokenKind.STRING:
            return Literal(self._take().text)
        if token.kind is TokenKind.WORD and self._is_call():
            return self._call()
        return Identifier(self._identifier())

    def _grouped(self) -> Node:
        self._enter()
        node = self._expression(0)
        self._expect(")")
        self._nesting -= 1
        return node

    def _call(self) -> Node:
        if not _FUNCTION.fullmatch(self._next.text):
            raise self._unexpected("the name of a function")
        function = self._operator().upper()
        self._expect("(")
        if self._took(")"):
            return Call(function, ())
        return Call(function, self._list())

    def _set(self) -> tuple[Node, ...]:
        self._expect("(")
        return self._list()

    def _list(self) -> tuple[Node, ...]:
        """Parse one or more expressions and the closing parenthesis."""
        self._enter()
        found = [self._expression(0)]
        while self._took(","):
            found.append(self._expression(0))
        self._expect(")")
        self._nesting -= 1
        return tuple(found)

    def _pattern(self) -> str:
        if self._next.kind is not TokenKind.STRING:
            raise self._unexpected("a string in quotes")
        return self._take().text

    def _identifier(self) -> str:
        # Attribute names are lower-case, so identifiers in any case refer to them.
        if self._next.kind is not TokenKind.WORD or not _IDENTIFIER.fullmatch(self._next.text):
            raise self._unexpected("a value, an attribute or a function")
        return self._take().text.lower()

    def _integer(self, sign: str) -> Literal:
        digits = self._next.text
        if len(digits.lstrip("0")) > _DIGITS or int(sign + digits) not in INT32:
            raise self._unexpected("a 32-bit integer")
        self._position += 1
        return Literal(int(sign + digits))

    def _number_follows(self) -> bool:
        """Return True if an integer follows the next token, a sign, without a space."""
        following = self._tokens[self._position + 1]
        return following.kind is TokenKind.INTEGER and following.start == self._next.end

    def _is_call(self) -> bool:
        following = self._tokens[self._position + 1]
        return following.kind is TokenKind.SYMBOL and following.text == "("

    @property
    def _next(self) -> Token:
        return self._tokens[self._position]

    def _next_is(self, text: str) -> bool:
        return self._next.text == text and self._next.kind in {TokenKind.SYMBOL, TokenKind.KEYWORD}

    def _take(self) -> Token:
        self._position += 1
        return self._tokens[self._position - 1]

    def _took(self, text: str) -> bool:
        """Take this symbol or keyword if it is next; return True if it was."""
        found = self._next_is(text)
        self._position += found
        return found

    def _operator(self) -> str:
        """Take and count the next operator or function."""
        self._operators += 1
        if self._operators > MAX_OPERATORS:
            raise CesqlError(ErrorKind.PARSE, f"more than {MAX_OPERATORS} operators")
        return self._take().text

    def _enter(self) -> None:
        self._nesting += 1
        if self._nesting > MAX_NESTING:
            raise CesqlError(ErrorKind.PARSE, f"nested deeper than {MAX_NESTING} levels")

    def _expect(self, symbol: str) -> None:
        if not self._took(symbol):
            raise self._unexpected(symbol)

    def _unexpected(self, expected: str) -> CesqlError:
        token = self._next
        found = token.kind.value if token.kind is TokenKind.END else repr(token.text[:40])
        message = f"character {token.start + 1}: expected {expected}, not {found}"
        return CesqlError(ErrorKind.PARSE, message)
