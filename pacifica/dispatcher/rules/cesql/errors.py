"""Errors of CESQL expressions (CESQL 1.0, section 3.3)."""

import enum

from pacifica.dispatcher.errors import DispatcherError
from pacifica.dispatcher.events import Attribute


class ErrorKind(enum.Enum):
    """The kinds of error, with the names used by the conformance tests."""

    PARSE = "parse"
    MATH = "math"
    CAST = "cast"
    MISSING_ATTRIBUTE = "missingAttribute"
    MISSING_FUNCTION = "missingFunction"
    FUNCTION_EVALUATION = "functionEvaluation"
    GENERIC = "generic"


class CesqlError(DispatcherError):
    """An expression that cannot be compiled, or cannot be evaluated for an event.

    Attributes:
        kind: the kind of error by the specification.
        value: the value returned together with the error, if it is not the zero value of its type;
            None otherwise.
        node: the operator or function that returned this value.
    """

    def __init__(
        self, kind: ErrorKind, message: str, value: Attribute | None = None, node: object = None
    ) -> None:
        """Keep the message and the attributes."""
        super().__init__(message)
        self.kind = kind
        self.value = value
        self.node = node
