"""A compiled expression and its result for an event."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Self

from pacifica.dispatcher.events import Attribute
from pacifica.dispatcher.rules.cesql.errors import CesqlError
from pacifica.dispatcher.rules.cesql.evaluator import (
    Attributes,
    Evaluate,
    compile_node,
    result_type,
)
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
from pacifica.dispatcher.rules.cesql.parser import parse_expression


@dataclass(frozen=True, slots=True)
class Result:
    """The result of an expression.

    Attributes:
        value: a string, an integer or a Boolean, even in case of an error.
        errors: at most one error, as evaluation fails fast.
    """

    value: Attribute
    errors: tuple[CesqlError, ...] = ()


@dataclass(frozen=True, slots=True)
class Expression:
    """An expression compiled once for any number of events.

    Attributes:
        text: the expression as written.
        attributes: the names of the attributes used, in the order of the text.
    """

    text: str
    attributes: tuple[str, ...] = field(compare=False)
    _root: Node = field(compare=False, repr=False)
    _evaluate: Evaluate = field(compare=False, repr=False)
    _zero: Attribute = field(compare=False, repr=False)

    @classmethod
    def compile(cls, text: str) -> Self:
        """Compile an expression.

        Raises:
            CesqlError: not a valid expression, beyond the limits, or calling an unknown function.
        """
        root = parse_expression(text)
        names = tuple(dict.fromkeys(_attribute_names(root)))
        return cls(text, names, root, compile_node(root), result_type(root)())

    def evaluate(self, attributes: Attributes) -> Result:
        """Return the value and the errors for an event with these attributes."""
        try:
            return Result(self._evaluate(attributes))
        except CesqlError as exc:
            if exc.value is not None and exc.node is self._root:
                return Result(exc.value, (exc,))
            return Result(self._zero, (exc,))

    def is_true(self, attributes: Attributes) -> bool:
        """Return True if the value is true and there is no error (section 1.2)."""
        try:
            return self._evaluate(attributes) is True
        except CesqlError:
            return False


def _attribute_names(node: Node) -> Iterator[str]:
    match node:
        case Identifier(name=name) | Exists(name=name):
            yield name
        case Unary(operand=operand) | Like(operand=operand):
            yield from _attribute_names(operand)
        case Binary(left=left, right=right):
            yield from _attribute_names(left)
            yield from _attribute_names(right)
        case In(operand=operand, elements=elements):
            for each in (operand, *elements):
                yield from _attribute_names(each)
        case Call(arguments=arguments):
            for each in arguments:
                yield from _attribute_names(each)
        case Literal():
            return
