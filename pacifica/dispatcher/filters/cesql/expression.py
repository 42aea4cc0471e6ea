"""A compiled expression, and what it comes to on an event."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Self

from pacifica.dispatcher.events import Attribute
from pacifica.dispatcher.filters.cesql.errors import CesqlError
from pacifica.dispatcher.filters.cesql.evaluator import Attributes, Evaluate, compiled, returns
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
from pacifica.dispatcher.filters.cesql.parser import parse


@dataclass(frozen=True, slots=True)
class Result:
    """What an expression comes to.

    Attributes:
        value: a string, an integer or a Boolean; there is one whatever goes wrong.
        errors: what went wrong; as evaluation fails fast, one at the most.
    """

    value: Attribute
    errors: tuple[CesqlError, ...] = ()


@dataclass(frozen=True, slots=True)
class Expression:
    """An expression that was compiled once, for any number of events.

    Attributes:
        text: the expression as it was written.
        attributes: the names of the attributes that it asks for, in the order of the text.
    """

    text: str
    attributes: tuple[str, ...] = field(compare=False)
    _root: Node = field(compare=False, repr=False)
    _evaluate: Evaluate = field(compare=False, repr=False)
    _zero: Attribute = field(compare=False, repr=False)

    @classmethod
    def compile(cls, text: str) -> Self:
        """Read an expression.

        Raises:
            CesqlError: it is none, is beyond the limits, or calls a function that is not there.
        """
        root = parse(text)
        names = tuple(dict.fromkeys(_names(root)))
        return cls(text, names, root, compiled(root), returns(root)())

    def evaluate(self, attributes: Attributes) -> Result:
        """The value and the errors on an event with these attributes."""
        try:
            return Result(self._evaluate(attributes))
        except CesqlError as exc:
            if exc.value is not None and exc.node is self._root:
                return Result(exc.value, (exc,))
            return Result(self._zero, (exc,))

    def holds(self, attributes: Attributes) -> bool:
        """Whether the value is true and nothing went wrong (section 1.2)."""
        try:
            return self._evaluate(attributes) is True
        except CesqlError:
            return False


def _names(node: Node) -> Iterator[str]:
    match node:
        case Identifier(name=name) | Exists(name=name):
            yield name
        case Unary(operand=operand) | Like(operand=operand):
            yield from _names(operand)
        case Binary(left=left, right=right):
            yield from _names(left)
            yield from _names(right)
        case In(operand=operand, elements=elements):
            for each in (operand, *elements):
                yield from _names(each)
        case Call(arguments=arguments):
            for each in arguments:
                yield from _names(each)
        case Literal():
            return
