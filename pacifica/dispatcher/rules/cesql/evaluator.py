"""Compilation of a syntax tree to a function of attributes (CESQL 1.0, sections 3.2 to 3.7).

Evaluation fails fast (section 4.1): the first error ends it, as an exception. Operators are
resolved once, at compile time.
"""

import operator
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from pacifica.dispatcher.events import Attribute
from pacifica.dispatcher.rules import work
from pacifica.dispatcher.rules.cesql.casting import (
    CASTS,
    to_boolean,
    to_integer,
    to_string,
)
from pacifica.dispatcher.rules.cesql.errors import CesqlError, ErrorKind
from pacifica.dispatcher.rules.cesql.functions import FUNCTIONS, Function
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
from pacifica.dispatcher.rules.cesql.parser import INT32
from pacifica.dispatcher.rules.cesql.pattern import compile_like_pattern

Attributes: TypeAlias = Mapping[str, Attribute]
Evaluate: TypeAlias = Callable[[Attributes], Any]


def compile_node(node: Node) -> Evaluate:  # noqa: PLR0911 - one for each kind of node
    """Return the function that evaluates a tree; it raises CesqlError on the first error.

    Raises:
        CesqlError: the tree calls an unknown function.
    """
    match node:
        case Literal(value=value):
            return lambda _: value
        case Identifier(name=name):
            return _identifier(name)
        case Exists(name=name):
            return lambda attributes: name in attributes
        case Unary(operator="NOT"):
            return _not(node, compile_node(node.operand))
        case Unary():
            return _minus(compile_node(node.operand))
        case Like():
            matches = compile_like_pattern(node.pattern)
            return _like(compile_node(node.operand), matches, negated=node.negated)
        case In():
            elements = [compile_node(each) for each in node.elements]
            return _in(compile_node(node.operand), elements, negated=node.negated)
        case Binary():
            return _binary(node.operator, compile_node(node.left), compile_node(node.right))
        case Call():
            arguments = [compile_node(each) for each in node.arguments]
            return _call(node, resolve_function(node), arguments)


def result_type(node: Node) -> type[str | int]:
    """Return the type of a tree's value; Boolean if it depends on the event (section 3.2)."""
    match node:
        case Literal(value=value):
            return type(value)
        case Unary(operator="-"):
            return int
        case Binary(operator=name) if name in _ARITHMETIC:
            return int
        case Call():
            return resolve_function(node).returns
        case _:
            return bool


def resolve_function(node: Call) -> Function:
    """Return the function called, by its name and number of arguments.

    Raises:
        CesqlError: no such function.
    """
    overloads = FUNCTIONS.get(node.function, ())
    count = len(node.arguments)
    function = next((each for each in overloads if each.takes(count)), None)
    if function is None:
        fault = f"does not take {count} arguments" if overloads else "is not a function"
        what = f"{node.function[:40]} {fault}; functions are {', '.join(FUNCTIONS)}"
        raise CesqlError(ErrorKind.MISSING_FUNCTION, what)
    return function


def _identifier(name: str) -> Evaluate:
    def evaluate(attributes: Attributes) -> Attribute:
        value = attributes.get(name)
        if value is None:
            message = f"the event has no attribute {name[:40]!r}"
            raise CesqlError(ErrorKind.MISSING_ATTRIBUTE, message)
        return value

    return evaluate


def _not(node: Node, operand: Evaluate) -> Evaluate:
    """NOT; an operand that is not a Boolean counts as false, and is an error.

    This includes Integers, although section 3.7 can cast them: the conformance tests require it.
    """

    def evaluate(attributes: Attributes) -> bool:
        value = operand(attributes)
        if type(value) is int:
            message = f"NOT requires a Boolean, not {value}"
            raise CesqlError(ErrorKind.CAST, message, value=True, node=node)
        try:
            return not to_boolean(value)
        except CesqlError as exc:
            raise CesqlError(exc.kind, str(exc), value=True, node=node) from exc

    return evaluate


def _minus(operand: Evaluate) -> Evaluate:
    return lambda attributes: _in_range(-to_integer(operand(attributes)))


def _like(operand: Evaluate, matches: Callable[[str], bool], *, negated: bool) -> Evaluate:
    return lambda attributes: matches(to_string(operand(attributes))) is not negated


def _in(operand: Evaluate, elements: list[Evaluate], *, negated: bool) -> Evaluate:
    """IN; elements are cast to the type of the operand until one is equal (section 3.4.5)."""

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
    """Equality; the left operand is cast to the type of the right one (section 3.7)."""

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
        work.require(sum(len(each) for each in values if isinstance(each, str)))
        try:
            value: Attribute = call(*values)
        except CesqlError as exc:
            exc.node = node
            raise
        return value

    return evaluate


def _divide(x: int, y: int) -> int:
    if y == 0:
        raise CesqlError(ErrorKind.MATH, f"division of {x} by zero")
    quotient = abs(x) // abs(y)
    return _in_range(quotient if (x < 0) is (y < 0) else -quotient)


def _remainder(x: int, y: int) -> int:
    if y == 0:
        raise CesqlError(ErrorKind.MATH, f"division of {x} by zero")
    return abs(x) % abs(y) * (-1 if x < 0 else 1)


def _in_range(number: int) -> int:
    if number not in INT32:
        raise CesqlError(ErrorKind.MATH, f"{number} does not fit in 32 bits")
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
