"""The syntax tree of an expression (CESQL 1.0, section 2)."""

from dataclasses import dataclass
from typing import TypeAlias

from pacifica.dispatcher.events import Attribute


@dataclass(frozen=True, slots=True)
class Literal:
    """A literal integer, string or Boolean."""

    value: Attribute


@dataclass(frozen=True, slots=True)
class Identifier:
    """The value of an attribute."""

    name: str


@dataclass(frozen=True, slots=True)
class Exists:
    """EXISTS: a test for the presence of an attribute."""

    name: str


@dataclass(frozen=True, slots=True)
class Unary:
    """NOT or a minus sign, and its operand."""

    operator: str
    operand: "Node"


@dataclass(frozen=True, slots=True)
class Binary:
    """An operator between two operands."""

    operator: str
    left: "Node"
    right: "Node"


@dataclass(frozen=True, slots=True)
class Like:
    """LIKE or NOT LIKE: a test of a string against a pattern."""

    operand: "Node"
    pattern: str
    negated: bool


@dataclass(frozen=True, slots=True)
class In:
    """IN or NOT IN: a test for membership of a set."""

    operand: "Node"
    elements: tuple["Node", ...]
    negated: bool


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a function, whose name is in upper case."""

    function: str
    arguments: tuple["Node", ...]


Node: TypeAlias = Literal | Identifier | Exists | Unary | Binary | Like | In | Call
