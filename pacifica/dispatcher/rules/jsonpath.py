"""The dialect jsonpath: an RFC 9535 query on the whole event as JSON."""

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Self

from jsonpath_rfc9535 import (
    JSONPathEnvironment,
    JSONPathError,
    JSONPathNode,
    JSONPathQuery,
    JSONPathSyntaxError,
)
from jsonpath_rfc9535.filter_expressions import (
    Expression,
    FilterContext,
    FilterExpression,
    FunctionExtension,
    IntegerLiteral,
    StringLiteral,
)
from jsonpath_rfc9535.parse import Parser
from jsonpath_rfc9535.segments import (
    JSONPathChildSegment,
    JSONPathRecursiveDescentSegment,
    JSONPathSegment,
)
from jsonpath_rfc9535.selectors import FilterSelector
from jsonpath_rfc9535.tokens import TokenStream

from pacifica.dispatcher.events import Event, Json, strict_json
from pacifica.dispatcher.rules import iregexp, legacy_jsonpath, work
from pacifica.dispatcher.rules.filter import Explanation, beginning

MAX_LENGTH = 16 * 1024
"""Maximum length of a query, in characters."""

_DIGITS = re.compile(r"-?[0-9]+")
_COST = 100
_MAX_LOCATIONS = 10


class _Children(JSONPathChildSegment):
    """The library's segment, with a step of work for each value it selects."""

    def resolve(self, nodes: Iterable[JSONPathNode]) -> Iterator[JSONPathNode]:
        """Select children of each node."""
        for node in nodes:
            for selector in self.selectors:
                for found in selector.resolve(node):
                    work.step()
                    yield found


class _Descendants(JSONPathRecursiveDescentSegment):
    """The library's segment, with a step of work for each value it visits."""

    def resolve(self, nodes: Iterable[JSONPathNode]) -> Iterator[JSONPathNode]:
        """Select descendants of each node."""
        for node in nodes:
            for visited in self._visit(node):
                work.step()
                for selector in self.selectors:
                    yield from selector.resolve(visited)


class _Condition(FilterExpression):
    """The library's condition, with a step of work for each value it tests."""

    __slots__ = ()

    def evaluate(self, context: FilterContext) -> bool:
        """Test a value."""
        work.step()
        return super().evaluate(context)


class _Parser(Parser):
    """The library's parser, for queries with limited work and with exact integers."""

    def parse_query(
        self, stream: TokenStream, *, in_filter: bool = False
    ) -> Iterator[JSONPathSegment]:
        """Parse the segments of a query."""
        for each in super().parse_query(stream, in_filter=in_filter):
            kind = _Children if isinstance(each, JSONPathChildSegment) else _Descendants
            yield kind(env=each.env, token=each.token, selectors=each.selectors)

    def parse_filter_selector(self, stream: TokenStream) -> FilterSelector:
        """Parse a filter."""
        found = super().parse_filter_selector(stream)
        found.expression = _Condition(found.expression.token, found.expression.expression)
        return found

    def parse_integer_literal(self, stream: TokenStream) -> Expression:
        """Parse an integer without loss of precision."""
        token = stream.current
        try:
            found = super().parse_integer_literal(stream)
        except OverflowError as exc:
            raise JSONPathSyntaxError("number is too large", token=token) from exc
        exact = _DIGITS.fullmatch(token.value)
        return IntegerLiteral(token, value=int(token.value)) if exact else found


class _Environment(JSONPathEnvironment):
    """The library's environment, with our maximum nesting and with limited work."""

    parser_class = _Parser
    max_recursion_depth = strict_json.MAX_DEPTH + 1

    def setup_function_extensions(self) -> None:
        """Replace match and search by functions that take linear time."""
        super().setup_function_extensions()
        self.function_extensions["match"] = iregexp.IRegexpFunction(whole=True)
        self.function_extensions["search"] = iregexp.IRegexpFunction(whole=False)


_environment = _Environment()


@dataclass(frozen=True, slots=True)
class JsonPath:
    """A query that must select something: attributes are top-level, the payload is `data`.

    Attributes:
        text: the query as written.
    """

    text: str
    _query: JSONPathQuery = field(compare=False, repr=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a query.

        Raises:
            ValueError: empty, too long, invalid, or a legacy expression of Pacifica, for which the
                message suggests the RFC 9535 form.
        """
        if not text.strip():
            raise ValueError("must not be empty")
        if len(text) > MAX_LENGTH:
            raise ValueError(f"must be at most {MAX_LENGTH} characters long, not {len(text)}")
        legacy = legacy_jsonpath.translate(text)
        try:
            query = _compile_query(text)
        except ValueError as exc:
            if legacy is None:
                raise
            raise ValueError(_suggestion(legacy)) from exc
        if legacy is not None and legacy.renamed:
            raise ValueError(_suggestion(legacy))
        return cls(text, query)

    @property
    def legacy_translation(self) -> str | None:
        """Return the RFC 9535 form of the query read as a legacy expression, if ambiguous.

        A filter without `=` and `and` can be either: a legacy filter tests the value before it, an
        RFC 9535 filter the children of that value. Every legacy filter has parentheses after `?`.
        """
        legacy = legacy_jsonpath.translate(self.text)
        form = None if legacy is None else _usable_form(legacy)
        return form if form and "[?" in form else None

    @property
    def unusable_patterns(self) -> list[str]:
        """Return the reasons why regular expressions in the query can never match."""
        reasons = []
        for each in _functions(self._query):
            if each.name in {"match", "search"} and isinstance(each.args[1], StringLiteral):
                try:
                    iregexp.check_pattern(each.args[1].value)
                except JSONPathError as exc:
                    reasons.append(str(exc))
        return reasons

    @property
    def cost(self) -> int:
        """Return the cost of walking the whole event."""
        return _COST

    def document(self) -> dict[str, Json]:
        """Return the filter as JSON."""
        return {"jsonpath": self.text}

    def matches(self, event: Event) -> bool:
        """Return True if the event matches.

        Raises:
            TooMuchWorkError: the query takes too long for this event.
        """
        try:
            with work.limited():
                return self._query.find_one(event.structured()) is not None
        except (JSONPathError, RecursionError):
            return False

    def explain(self, event: Event) -> Explanation:
        """Explain the result, with the first locations selected as the value.

        Raises:
            TooMuchWorkError: the query takes too long for this event.
        """
        clause = f"{self.text} selects something"
        try:
            with work.limited():
                found = islice(self._query.finditer(event.structured()), _MAX_LOCATIONS)
                locations: list[Json] = [beginning(each.path()) for each in found]
        except (JSONPathError, RecursionError) as exc:
            return Explanation(held=False, clause=clause, error=str(exc))
        return Explanation(bool(locations), clause, locations)


def _compile_query(text: str) -> JSONPathQuery:
    try:
        return _environment.compile(text)
    except (JSONPathError, RecursionError) as exc:
        raise ValueError(f"is not a valid JSONPath query (RFC 9535): {exc}") from exc


def _functions(part: object) -> Iterator[FunctionExtension]:
    """Find the function calls in a query or in a part of one."""
    if isinstance(part, FunctionExtension):
        yield part
    for name in ("segments", "selectors", "query", "expression", "left", "right", "args"):
        inner = getattr(part, name, ())
        for each in inner if isinstance(inner, list | tuple) else (inner,):
            yield from _functions(each)


def _suggestion(legacy: legacy_jsonpath.Translation) -> str:
    problem = "is a legacy JSONPath expression (jsonpath2), not RFC 9535"
    if form := _usable_form(legacy):
        return f"{problem}; use instead: {form}"
    return f"{problem}, and has no direct equivalent; see docs/reference.md"


def _usable_form(legacy: legacy_jsonpath.Translation) -> str | None:
    if legacy.text is not None:
        with suppress(ValueError):
            _compile_query(legacy.text)
            return legacy.text
    return None
