"""An expression as a tree, as the parser makes it (CESQL 1.0, section 2)."""

from dataclasses import dataclass
from typing import TypeAlias

from pacifica.dispatcher.events import Attribute


@dataclass(frozen=True, slots=True)
class Literal:
    """An integer, a string or a Boolean that stands in the expression."""

    value: Attribute


@dataclass(frozen=True, slots=True)
class Identifier:
    """The value of an event's attribute."""

    name: str


@dataclass(frozen=True, slots=True)
class Exists:
    """Whether the event has an attribute."""

    name: str


@dataclass(frozen=True, slots=True)
class Unary:
    """NOT or the minus sign, and its operand."""

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
    """Whether a string fits a pattern, or does not."""

    operand: "Node"
    pattern: str
    negated: bool


@dataclass(frozen=True, slots=True)
class In:
    """Whether a value is one of a set, or is not."""

    operand: "Node"
    elements: tuple["Node", ...]
    negated: bool


@dataclass(frozen=True, slots=True)
class Call:
    """A function, its name in capital letters, and its arguments."""

    function: str
    arguments: tuple["Node", ...]


Node: TypeAlias = Literal | Identifier | Exists | Unary | Binary | Like | In | Call
