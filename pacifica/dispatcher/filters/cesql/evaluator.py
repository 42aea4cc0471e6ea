"""From a tree to a function of an event's attributes (CESQL 1.0, sections 3.2 to 3.7).

Evaluation fails fast (section 4.1): an error ends it, as an exception. What an operator costs when
it is used is paid once, when it is compiled.
"""

import operator
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from pacifica.dispatcher.events import Attribute
from pacifica.dispatcher.filters.cesql.casting import (
    CASTS,
    to_boolean,
    to_integer,
    to_string,
)
from pacifica.dispatcher.filters.cesql.errors import CesqlError, Kind
from pacifica.dispatcher.filters.cesql.functions import FUNCTIONS, Function
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
from pacifica.dispatcher.filters.cesql.parser import INT32
from pacifica.dispatcher.filters.cesql.pattern import matcher

Attributes: TypeAlias = Mapping[str, Attribute]
Evaluate: TypeAlias = Callable[[Attributes], Any]


def compiled(node: Node) -> Evaluate:  # noqa: PLR0911 - one for each kind of node
    """Make the function that evaluates a tree; it raises CesqlError on the first error.

    Raises:
        CesqlError: the tree calls a function that is not there.
    """
    match node:
        case Literal(value=value):
            return lambda _: value
        case Identifier(name=name):
            return _identifier(name)
        case Exists(name=name):
            return lambda attributes: name in attributes
        case Unary(operator="NOT"):
            return _not(node, compiled(node.operand))
        case Unary():
            return _minus(compiled(node.operand))
        case Like():
            return _like(compiled(node.operand), matcher(node.pattern), negated=node.negated)
        case In():
            elements = [compiled(each) for each in node.elements]
            return _in(compiled(node.operand), elements, negated=node.negated)
        case Binary():
            return _binary(node.operator, compiled(node.left), compiled(node.right))
        case Call():
            return _call(node, overload(node), [compiled(each) for each in node.arguments])


def returns(node: Node) -> type[str | int]:
    """The type of a tree's value; Boolean where only the event can tell (section 3.2)."""
    match node:
        case Literal(value=value):
            return type(value)
        case Unary(operator="-"):
            return int
        case Binary(operator=name) if name in _ARITHMETIC:
            return int
        case Call():
            return overload(node).returns
        case _:
            return bool


def overload(node: Call) -> Function:
    """The function that is called, by its name and how many arguments there are.

    Raises:
        CesqlError: there is none.
    """
    several = FUNCTIONS.get(node.function, ())
    count = len(node.arguments)
    function = next((each for each in several if each.takes(count)), None)
    if function is None:
        known = f"does not take {count} arguments" if several else "is no function"
        what = f"{node.function[:40]} {known}; there are {', '.join(FUNCTIONS)}"
        raise CesqlError(Kind.MISSING_FUNCTION, what)
    return function


def _identifier(name: str) -> Evaluate:
    def evaluate(attributes: Attributes) -> Attribute:
        value = attributes.get(name)
        if value is None:
            raise CesqlError(Kind.MISSING_ATTRIBUTE, f"the event has no attribute {name[:40]}")
        return value

    return evaluate


def _not(node: Node, operand: Evaluate) -> Evaluate:
    """NOT; an operand that is no Boolean counts as false, and is an error.

    So it is for an Integer too, though section 3.7 can cast one: the compatibility kit has it so.
    """

    def evaluate(attributes: Attributes) -> bool:
        value = operand(attributes)
        if type(value) is int:
            raise CesqlError(Kind.CAST, f"NOT takes no integer: {value}", value=True, node=node)
        try:
            return not to_boolean(value)
        except CesqlError as exc:
            raise CesqlError(exc.kind, str(exc), value=True, node=node) from exc

    return evaluate


def _minus(operand: Evaluate) -> Evaluate:
    return lambda attributes: _in_range(-to_integer(operand(attributes)))


def _like(operand: Evaluate, fits: Callable[[str], bool], *, negated: bool) -> Evaluate:
    return lambda attributes: fits(to_string(operand(attributes))) is not negated


def _in(operand: Evaluate, elements: list[Evaluate], *, negated: bool) -> Evaluate:
    """IN: the elements are cast to the type of the operand, until one is equal (section 3.4.5)."""

    def evaluate(attributes: Attributes) -> bool:
        value = operand(attributes)
        kind = type(value)
        for each in elements:
            element = each(attributes)
            if (element if type(element) is kind else CASTS[kind](element)) == value:
                return not negated
        return negated

    return evaluate


def _binary(name: str, left: Evaluate, right: Evaluate) -> Evaluate:
    if name in _LOGIC:
        return _LOGIC[name](left, right)
    if name in _EQUALITY:
        return _equality(left, right, equal=_EQUALITY[name])
    return _integers(left, right, _ORDER.get(name) or _ARITHMETIC[name])


def _integers(left: Evaluate, right: Evaluate, calculate: Callable[[int, int], int]) -> Evaluate:
    def evaluate(attributes: Attributes) -> int:
        x, y = left(attributes), right(attributes)
        return calculate(to_integer(x), to_integer(y))

    return evaluate


def _equality(left: Evaluate, right: Evaluate, *, equal: bool) -> Evaluate:
    """Equality: the left operand is cast to the type of the right one (section 3.7)."""

    def evaluate(attributes: Attributes) -> bool:
        x, y = left(attributes), right(attributes)
        kind = type(y)
        return ((x if type(x) is kind else CASTS[kind](x)) == y) is equal

    return evaluate


def _and(left: Evaluate, right: Evaluate) -> Evaluate:
    return lambda event: to_boolean(left(event)) and to_boolean(right(event))


def _or(left: Evaluate, right: Evaluate) -> Evaluate:
    return lambda event: to_boolean(left(event)) or to_boolean(right(event))


def _xor(left: Evaluate, right: Evaluate) -> Evaluate:
    return lambda event: to_boolean(left(event)) is not to_boolean(right(event))


def _call(node: Call, function: Function, arguments: list[Evaluate]) -> Evaluate:
    types = [*function.parameters, *[str] * (len(arguments) - len(function.parameters))]
    casts = [None if kind is None else CASTS[kind] for kind in types]
    parts = list(zip(casts, arguments, strict=True))
    call = function.call

    def evaluate(attributes: Attributes) -> Attribute:
        values = [cast(each(attributes)) if cast else each(attributes) for cast, each in parts]
        try:
            value: Attribute = call(*values)
        except CesqlError as exc:
            exc.node = node
            raise
        return value

    return evaluate


def _divide(x: int, y: int) -> int:
    if y == 0:
        raise CesqlError(Kind.MATH, f"{x} is divided by zero")
    quotient = abs(x) // abs(y)
    return _in_range(quotient if (x < 0) is (y < 0) else -quotient)


def _remainder(x: int, y: int) -> int:
    if y == 0:
        raise CesqlError(Kind.MATH, f"{x} is divided by zero")
    return abs(x) % abs(y) * (-1 if x < 0 else 1)


def _in_range(number: int) -> int:
    if number not in INT32:
        raise CesqlError(Kind.MATH, f"{number} has more than 32 bits")
    return number


_LOGIC = {"AND": _and, "OR": _or, "XOR": _xor}
_EQUALITY = {"=": True, "!=": False, "<>": False}
_ORDER: Mapping[str, Callable[[int, int], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_ARITHMETIC: Mapping[str, Callable[[int, int], int]] = {
    "+": lambda x, y: _in_range(x + y),
    "-": lambda x, y: _in_range(x - y),
    "*": lambda x, y: _in_range(x * y),
    "/": _divide,
    "%": _remainder,
}
