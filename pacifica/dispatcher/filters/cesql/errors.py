"""What can go wrong with an expression, by kind (CESQL 1.0, section 3.3)."""

import enum

from pacifica.dispatcher.errors import DispatcherError
from pacifica.dispatcher.events import Attribute


class Kind(enum.Enum):
    """The kinds of error, by the names that the compatibility kit gives them."""

    PARSE = "parse"
    MATH = "math"
    CAST = "cast"
    MISSING_ATTRIBUTE = "missingAttribute"
    MISSING_FUNCTION = "missingFunction"
    FUNCTION_EVALUATION = "functionEvaluation"
    GENERIC = "generic"


class CesqlError(DispatcherError):
    """An expression cannot be compiled or, on some event, not be evaluated.

    Attributes:
        kind: which of the specification's errors it is.
        value: what the operator or function returns beside the error where that is not the zero
            value of its type; None otherwise.
        node: the operator or function that has this value.
    """

    def __init__(
        self, kind: Kind, message: str, value: Attribute | None = None, node: object = None
    ) -> None:
        """Keep all four."""
        super().__init__(message)
        self.kind = kind
        self.value = value
        self.node = node
