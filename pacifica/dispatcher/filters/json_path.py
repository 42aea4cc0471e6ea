"""The dialect jsonpath: a query by RFC 9535 on the whole event as JSON."""

import re
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Self

from jsonpath_rfc9535 import (
    JSONPathEnvironment,
    JSONPathError,
    JSONPathQuery,
    JSONPathSyntaxError,
)
from jsonpath_rfc9535.filter_expressions import Expression, IntegerLiteral
from jsonpath_rfc9535.parse import Parser
from jsonpath_rfc9535.tokens import TokenStream

from pacifica.dispatcher.events import Event, Json, strict_json
from pacifica.dispatcher.filters import pacifica_jsonpath, regular
from pacifica.dispatcher.filters.filter import Explanation

MAX_LENGTH = 16 * 1024
"""Characters of a query."""

_DIGITS = re.compile(r"-?[0-9]+")
_COST = 100
_PLACES = 10


class _Parser(Parser):
    """The library's parser, to which every number is one of a double."""

    def parse_integer_literal(self, stream: TokenStream) -> Expression:
        """Read an integer as it is written."""
        token = stream.current
        try:
            found = super().parse_integer_literal(stream)
        except OverflowError as exc:
            raise JSONPathSyntaxError("the number is too large", token=token) from exc
        exact = _DIGITS.fullmatch(token.value)
        return IntegerLiteral(token, value=int(token.value)) if exact else found


class _Environment(JSONPathEnvironment):
    """The library's settings: it descends as deep as an accepted event can be, and ends in time."""

    parser_class = _Parser
    max_recursion_depth = strict_json.MAX_DEPTH + 1

    def setup_function_extensions(self) -> None:
        """Put functions whose time is limited in the place of the library's."""
        super().setup_function_extensions()
        self.function_extensions["match"] = regular.Matches(whole=True)
        self.function_extensions["search"] = regular.Matches(whole=False)


_environment = _Environment()


@dataclass(frozen=True, slots=True)
class JsonPath:
    """The query selects something; the attributes stand at the top, the payload under `data`.

    Attributes:
        text: the query as it was written.
    """

    text: str
    _query: JSONPathQuery = field(compare=False, repr=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a query.

        Raises:
            ValueError: it is empty, none, too long, or one of Pacifica's older ones; of these the
                message has the form to write instead.
        """
        if not text.strip():
            raise ValueError("must not be empty")
        if len(text) > MAX_LENGTH:
            raise ValueError(f"has more than {MAX_LENGTH} characters")
        older = pacifica_jsonpath.translated(text)
        try:
            query = _compiled(text)
        except ValueError as exc:
            if older is None:
                raise
            raise ValueError(_instead(older)) from exc
        if older is not None and older.renamed:
            raise ValueError(_instead(older))
        return cls(text, query)

    @property
    def older(self) -> str | None:
        """What it would be if it were one of Pacifica's older expressions; None when it is none.

        A filter without `=` and `and` may be both: there it tests what it stands behind, and here
        what is in that. Parentheses are what an older one has behind every question mark.
        """
        older = pacifica_jsonpath.translated(self.text)
        form = None if older is None else _form(older)
        return form if form and "[?" in form else None

    @property
    def cost(self) -> int:
        """It may walk the whole event."""
        return _COST

    def document(self) -> dict[str, Json]:
        """The filter in JSON."""
        return {"jsonpath": self.text}

    def matches(self, event: Event) -> bool:
        """Whether the event passes."""
        try:
            with regular.limited():
                return self._query.find_one(event.structured()) is not None
        except (JSONPathError, RecursionError, TimeoutError):
            return False

    def explain(self, event: Event) -> Explanation:
        """Why the event passes, or does not; the value is the first places that are selected."""
        clause = f"{self.text} selects something"
        try:
            with regular.limited():
                found = islice(self._query.finditer(event.structured()), _PLACES)
                places: list[Json] = [each.path() for each in found]
        except TimeoutError:
            error = f"its regular expressions took longer than {regular.SECONDS} s"
            return Explanation(held=False, clause=clause, error=error)
        except (JSONPathError, RecursionError) as exc:
            return Explanation(held=False, clause=clause, error=str(exc))
        return Explanation(bool(places), clause, places)


def _compiled(text: str) -> JSONPathQuery:
    try:
        return _environment.compile(text)
    except (JSONPathError, RecursionError) as exc:
        raise ValueError(f"is no JSONPath by RFC 9535: {exc}") from exc


def _instead(older: pacifica_jsonpath.Translated) -> str:
    """What to say of an older expression."""
    what = "is one of Pacifica's older JSONPath expressions (jsonpath2), not RFC 9535"
    if form := _form(older):
        return f"{what}; write instead: {form}"
    return f"{what}, where it has no direct form; see docs/reference.md"


def _form(older: pacifica_jsonpath.Translated) -> str | None:
    """An older expression by RFC 9535, if it has a form there that can be used as it stands."""
    if older.text is not None:
        with suppress(ValueError):
            _compiled(older.text)
            return older.text
    return None
