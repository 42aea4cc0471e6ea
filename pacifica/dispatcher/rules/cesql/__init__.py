"""The CloudEvents SQL expression language (CESQL), version 1.0, complete. No I/O here."""

from pacifica.dispatcher.rules.cesql.errors import CesqlError, ErrorKind
from pacifica.dispatcher.rules.cesql.expression import Expression, Result
from pacifica.dispatcher.rules.cesql.lexer import MAX_LENGTH
from pacifica.dispatcher.rules.cesql.parser import MAX_NESTING, MAX_OPERATORS

__all__ = [
    "MAX_LENGTH",
    "MAX_NESTING",
    "MAX_OPERATORS",
    "CesqlError",
    "ErrorKind",
    "Expression",
    "Result",
]
