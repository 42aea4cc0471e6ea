"""From tokens to a tree (CESQL 1.0, sections 2 and 3.6)."""

import re

from pacifica.dispatcher.filters.cesql.errors import CesqlError, Kind
from pacifica.dispatcher.filters.cesql.lexer import Sort, Token, tokens
from pacifica.dispatcher.filters.cesql.nodes import (
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
"""Parentheses, calls, NOT and minus signs within one another."""

MAX_OPERATORS = 256
"""Operators and calls of an expression: none is deeper than it has of them."""

INT32 = range(-(2**31), 2**31)
"""What an Integer may be (section 3.1)."""

_LEVELS = (
    frozenset({"AND", "OR", "XOR"}),
    frozenset({"=", "!=", "<>", "<", "<=", ">", ">="}),
    frozenset({"+", "-"}),
    frozenset({"*", "/", "%"}),
)
"""The binary operators, those that bind loosest first; those of one level go left to right."""

_DIGITS = len(str(2**31))
_IDENTIFIER = re.compile(r"[A-Za-z0-9]+")
_FUNCTION = re.compile(r"[A-Za-z][A-Za-z_]*")


def parse(text: str) -> Node:
    """Read an expression.

    Raises:
        CesqlError: it is none, or too long, too deep or has too many operators.
    """
    return _Parser(tokens(text)).whole()


class _Parser:
    """Recursive descent, and precedence climbing for the binary operators."""

    def __init__(self, found: list[Token]) -> None:
        self._tokens = found
        self._position = 0
        self._nesting = 0
        self._operators = 0

    def whole(self) -> Node:
        """The expression, up to the end."""
        node = self._expression(0)
        if self._next.sort is not Sort.END:
            raise self._unexpected("an operator or the end")
        return node

    def _expression(self, loosest: int) -> Node:
        """Operands and the operators between them that bind no looser than this level."""
        node = self._tested()
        while (level := self._level()) >= loosest:
            operator = self._operator()
            node = Binary(operator, node, self._expression(level + 1))
        return node

    def _level(self) -> int:
        """The level of the operator that comes next, or -1."""
        if self._next.sort not in {Sort.SYMBOL, Sort.KEYWORD}:
            return -1
        return next((n for n, each in enumerate(_LEVELS) if self._next.text in each), -1)

    def _tested(self) -> Node:
        """An operand with the LIKE and IN behind it, which bind tighter than what is between."""
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
        """NOT and - bind tighter than anything but a call: NOT a = b is (NOT a) = b."""
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
        if token.sort is Sort.INTEGER:
            return self._integer("")
        if token.sort is Sort.STRING:
            return Literal(self._take().text)
        if token.sort is Sort.WORD and self._is_call():
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
        """One expression or several, and the parenthesis that closes them."""
        self._enter()
        found = [self._expression(0)]
        while self._took(","):
            found.append(self._expression(0))
        self._expect(")")
        self._nesting -= 1
        return tuple(found)

    def _pattern(self) -> str:
        if self._next.sort is not Sort.STRING:
            raise self._unexpected("a string in quotes")
        return self._take().text

    def _identifier(self) -> str:
        """An attribute's name; as attributes have no capital letters, none is taken for one."""
        if self._next.sort is not Sort.WORD or not _IDENTIFIER.fullmatch(self._next.text):
            raise self._unexpected("a value, an attribute or a function")
        return self._take().text.lower()

    def _integer(self, sign: str) -> Literal:
        digits = self._next.text
        if len(digits.lstrip("0")) > _DIGITS or int(sign + digits) not in INT32:
            raise self._unexpected("an integer of 32 bits")
        self._position += 1
        return Literal(int(sign + digits))

    def _number_follows(self) -> bool:
        """Whether an integer stands right behind the sign that is next."""
        following = self._tokens[self._position + 1]
        return following.sort is Sort.INTEGER and following.start == self._next.end

    def _is_call(self) -> bool:
        following = self._tokens[self._position + 1]
        return following.sort is Sort.SYMBOL and following.text == "("

    @property
    def _next(self) -> Token:
        return self._tokens[self._position]

    def _next_is(self, text: str) -> bool:
        return self._next.text == text and self._next.sort in {Sort.SYMBOL, Sort.KEYWORD}

    def _take(self) -> Token:
        self._position += 1
        return self._tokens[self._position - 1]

    def _took(self, text: str) -> bool:
        """Whether this symbol or keyword is next; if so it is taken."""
        found = self._next_is(text)
        self._position += found
        return found

    def _operator(self) -> str:
        """The operator or function that is next; it is taken, and counted."""
        self._operators += 1
        if self._operators > MAX_OPERATORS:
            raise CesqlError(Kind.PARSE, f"there are more than {MAX_OPERATORS} operators")
        return self._take().text

    def _enter(self) -> None:
        self._nesting += 1
        if self._nesting > MAX_NESTING:
            raise CesqlError(Kind.PARSE, f"it is nested deeper than {MAX_NESTING} levels")

    def _expect(self, symbol: str) -> None:
        if not self._took(symbol):
            raise self._unexpected(symbol)

    def _unexpected(self, wanted: str) -> CesqlError:
        token = self._next
        found = token.sort.value if token.sort is Sort.END else repr(token.text[:40])
        message = f"at character {token.start + 1} must be {wanted}, not {found}"
        return CesqlError(Kind.PARSE, message)
