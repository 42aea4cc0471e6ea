"""Translation of Pacifica's legacy JSONPath expressions (the library jsonpath2) to RFC 9535.

The differences: `=` instead of `==`; the words `and`, `or` and `not`, with `or` binding tighter
than `and`; a filter tests the value before it rather than that value's children, so a filter at
the root tests the event itself; and the event has the attribute names of CloudEvents 0.1.
"""

import json
import re
from dataclasses import dataclass

from pacifica.dispatcher.events.version01 import NAMES

MAX_NESTING = 32
"""Maximum nesting of filters and parentheses in an expression to be recognised."""

# The attributes of CloudEvents 0.1 that were renamed in 1.0.
_NAMES = {
    "cloudEventsVersion": "specversion",
    **{old: new for old, new in NAMES.items() if old != new},
}

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<string>"(?:[^"\\\x00-\x1f]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*")
    | (?P<number>-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?)
    | (?P<word>[_A-Za-z][_A-Za-z0-9]*)
    | (?P<symbol>\.\.|!=|<=|>=|[][@$.*=<>:,()?])
    | (?P<end>\Z)
    )""",
    re.VERBOSE,
)
_COMPARISONS = {"=": "==", "!=": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_LITERALS = frozenset({"true", "false", "null"})
_WILDCARDS = frozenset({"[*]", ".*"})


@dataclass(frozen=True, slots=True)
class Translation:
    """A legacy expression in the form of RFC 9535.

    Attributes:
        text: the equivalent query; None if there is no direct equivalent.
        renamed: True if the expression contains a name that only CloudEvents 0.1 has.
    """

    text: str | None
    renamed: bool


@dataclass(frozen=True, slots=True)
class _Step:
    """A segment of a path in RFC 9535 syntax, with its name if it selects a single member."""

    text: str
    name: str | None = None
    singular: bool = False


class _NotLegacyError(Exception):
    """Not a legacy expression."""


def translate(text: str) -> Translation | None:
    """Translate a legacy expression to RFC 9535; return None for any other text."""
    try:
        return _Translator(_tokenize(text)).translate()
    except _NotLegacyError:
        return None


def _tokenize(text: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    position = 0
    while not found or found[-1][0] != "end":
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            raise _NotLegacyError
        found.append((match.lastgroup, match[match.lastgroup]))
        position = match.end()
    return found


class _Translator:
    """Recursive descent by the grammar of jsonpath2 0.4.5; each method returns RFC 9535 text."""

    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens = tokens
        self._position = 0
        self._nesting = 0
        self._current = "@"
        self._renamed = False
        self._untranslatable = False

    def translate(self) -> Translation:
        """Translate the whole expression."""
        self._expect("$")
        text, _ = self._path("$")
        if self._kind != "end":
            raise _NotLegacyError
        return Translation(None if self._untranslatable else text, self._renamed)

    def _path(self, head: str) -> tuple[str, bool]:
        """Return the path after $ or @, and True if it selects at most one value."""
        steps: list[_Step] = []
        while self._kind == "symbol" and self._text in {"..", ".", "["}:
            # RFC 9535 has no path after a filter at the root, which tests the event itself.
            self._untranslatable |= head == "$" and [each.text[:2] for each in steps] == ["[?"]
            descent = self._take() if self._text == ".." else ""
            if self._took("["):
                step = self._bracket(steps, head, descent)
            elif descent or self._took("."):
                step = self._bareword(descent)
            steps.append(step)
        if head == "$":
            steps = self._rename(steps)
        return head + "".join(each.text for each in steps), all(each.singular for each in steps)

    def _rename(self, steps: list[_Step]) -> list[_Step]:
        first = steps[0].name if steps else None
        if first in _NAMES:
            self._renamed = True
            self._untranslatable |= first == "cloudEventsVersion"  # its value differs too
            return [_Step(f".{_NAMES[first]}", singular=True), *steps[1:]]
        if first == "extensions" and len(steps) > 1 and steps[1].name is not None:
            self._renamed = True
            name = re.sub("[^a-z0-9]", "", steps[1].name.lower())
            return [_Step(f'["{name}"]', singular=True), *steps[2:]]
        return steps

    def _bareword(self, descent: str) -> _Step:
        if self._took("*"):
            return _Step(f"{descent}*" if descent else ".*")
        if self._kind != "word":
            raise _NotLegacyError
        word = self._take()
        if self._took("("):
            self._arguments()
        if descent:
            return _Step(f"..{word}")
        return _Step(f".{word}", word, singular=True)

    def _bracket(self, steps: list[_Step], head: str, descent: str) -> _Step:
        if self._took("?"):
            return self._filter(steps, head, descent)
        if self._kind == "string" and self._tokens[self._position + 1][1] == "]":
            quoted = self._take()
            self._expect("]")
            if descent:
                return _Step(f"..[{quoted}]")
            return _Step(f"[{quoted}]", json.loads(quoted), singular=True)
        items = [self._item()]
        while self._took(","):
            items.append(self._item())
        self._expect("]")
        singular = not descent and len(items) == 1 and re.fullmatch("-?[0-9]+", items[0])
        return _Step(f"{descent}[{', '.join(items)}]", singular=bool(singular))

    def _filter(self, steps: list[_Step], head: str, descent: str) -> _Step:
        # A legacy filter tests the values selected by a wildcard before it, or the event.
        at_event = head == "$" and not steps and not descent
        if not descent and steps and steps[-1].text in _WILDCARDS:
            steps.pop()
        elif not descent and not at_event:
            self._untranslatable = True
        outer, self._current = self._current, "$" if at_event else "@"
        self._expect("(")
        condition = self._condition()
        self._expect(")")
        self._expect("]")
        self._current = outer
        return _Step(f"{descent}[?{condition}]")

    def _item(self) -> str:
        if self._kind == "string" or self._text == "*":
            return self._take()
        parts = []
        while self._text == ":" or (
            self._kind == "number" and re.fullmatch("-?[0-9]+", self._text)
        ):
            parts.append(self._take())
        if not parts:
            raise _NotLegacyError
        return "".join(parts)

    def _condition(self) -> str:
        self._nesting += 1
        if self._nesting > MAX_NESTING:
            raise _NotLegacyError
        parts = [self._either()]
        while self._took("and"):
            parts.append(self._either())
        self._nesting -= 1
        if len(parts) == 1:
            return parts[0]
        return " && ".join(f"({each})" if " || " in each else each for each in parts)

    def _either(self) -> str:
        parts = [self._negation()]
        while self._took("or"):
            parts.append(self._negation())
        return " || ".join(parts)

    def _negation(self) -> str:
        negations = ""
        while self._took("not"):
            negations = "" if negations else "!"
        if self._took("("):
            condition = self._condition()
            self._expect(")")
            return f"{negations}({condition})"
        left = self._operand()
        if self._kind != "symbol" or self._text not in _COMPARISONS:
            return f"{negations}{self._tested(*left)}"
        sign = _COMPARISONS[self._take()]
        right = self._operand()
        comparison = f"{self._compared(*left)} {sign} {self._compared(*right)}"
        if sign == "!=":
            # A missing value differs from every value in RFC 9535, and from none in jsonpath2.
            present = [text for text, singular in (left, right) if singular is not None]
            comparison = f"({' && '.join([*present, comparison])})"
        elif negations:
            comparison = f"({comparison})"
        return f"{negations}{comparison}"

    def _operand(self) -> tuple[str, bool | None]:
        """Return a path and True if it selects at most one value, or a literal and None."""
        if self._took("$"):
            return self._path("$")
        if self._took("@"):
            return self._path(self._current)
        if self._kind in {"string", "number"} or self._text in _LITERALS:
            return self._take(), None
        raise _NotLegacyError

    def _tested(self, text: str, singular: bool | None) -> str:  # noqa: FBT001 - an operand
        # RFC 9535 does not allow a bare literal as a test.
        self._untranslatable |= singular is None
        return text

    def _compared(self, text: str, singular: bool | None) -> str:  # noqa: FBT001 - an operand
        # RFC 9535 compares single values only.
        return f"value({text})" if singular is False else text

    def _arguments(self) -> None:
        # RFC 9535 lacks the functions of jsonpath2.
        self._untranslatable = True
        if not self._took(")"):
            self._operand()
            while self._took(","):
                self._operand()
            self._expect(")")

    @property
    def _kind(self) -> str:
        return self._tokens[self._position][0]

    @property
    def _text(self) -> str:
        return self._tokens[self._position][1]

    def _take(self) -> str:
        self._position += 1
        return self._tokens[self._position - 1][1]

    def _took(self, text: str) -> bool:
        found = self._text == text and self._kind in {"symbol", "word"}
        self._position += found
        return found

    def _expect(self, text: str) -> None:
        if not self._took(text):
            raise _NotLegacyError
