"""The CloudEvents SQL expression language, version 1.0, whole. Pure."""

from pacifica.dispatcher.filters.cesql.errors import CesqlError, Kind
from pacifica.dispatcher.filters.cesql.expression import Expression, Result
from pacifica.dispatcher.filters.cesql.lexer import MAX_LENGTH
from pacifica.dispatcher.filters.cesql.parser import MAX_NESTING, MAX_OPERATORS

__all__ = [
    "MAX_LENGTH",
    "MAX_NESTING",
    "MAX_OPERATORS",
    "CesqlError",
    "Expression",
    "Kind",
    "Result",
]
