"""Pacifica's older JSONPath expressions (the library jsonpath2), put in the form of RFC 9535.

They differ in this: `=` is `==`; `and`, `or` and `not` are words, and `or` binds tighter than
`and`; a filter tests the value that it stands behind, not the values in it, so that the filter at
the root tests the event itself; and the event has the names of CloudEvents 0.1.
"""

import json
import re
from dataclasses import dataclass

from pacifica.dispatcher.events.version01 import NAMES

MAX_NESTING = 32
"""Filters and parentheses within one another; a deeper expression is not recognised."""

_NAMES = {
    "cloudEventsVersion": "specversion",
    **{old: new for old, new in NAMES.items() if old != new},
}
"""The attributes of CloudEvents 0.1 that have another name in 1.0."""

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
class Translated:
    """An older expression.

    Attributes:
        text: the same by RFC 9535; None where it has no direct form there.
        renamed: whether it has a name that only CloudEvents 0.1 has.
    """

    text: str | None
    renamed: bool


@dataclass(frozen=True, slots=True)
class _Step:
    """A step of a path as RFC 9535 writes it, and the name when it is a single one."""

    text: str
    name: str | None = None
    singular: bool = False


class _NotOlderError(Exception):
    """The text is none of these expressions."""


def translated(text: str) -> Translated | None:
    """Put an older expression in the form of RFC 9535; None when the text is no such expression."""
    try:
        return _Translator(_tokens(text)).whole()
    except _NotOlderError:
        return None


def _tokens(text: str) -> list[tuple[str, str]]:
    """Pairs of a kind and a text."""
    found: list[tuple[str, str]] = []
    position = 0
    while not found or found[-1][0] != "end":
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            raise _NotOlderError
        found.append((match.lastgroup, match[match.lastgroup]))
        position = match.end()
    return found


class _Translator:
    """Recursive descent by the grammar of jsonpath2 0.4.5; each method returns RFC 9535's text."""

    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens = tokens
        self._position = 0
        self._nesting = 0
        self._current = "@"
        self._renamed = False
        self._hopeless = False

    def whole(self) -> Translated:
        """The expression, up to the end."""
        self._expect("$")
        text, _ = self._path("$")
        if self._kind != "end":
            raise _NotOlderError
        return Translated(None if self._hopeless else text, self._renamed)

    def _path(self, head: str) -> tuple[str, bool]:
        """What stands behind $ or @, and whether it selects one value at the most."""
        steps: list[_Step] = []
        while self._kind == "symbol" and self._text in {"..", ".", "["}:
            # Behind a filter at the root, which tests the event itself, RFC 9535 cannot go on.
            self._hopeless |= head == "$" and [each.text[:2] for each in steps] == ["[?"]
            descent = self._take() if self._text == ".." else ""
            if self._took("["):
                step = self._bracket(steps, head, descent)
            elif descent or self._took("."):
                step = self._bareword(descent)
            steps.append(step)
        if head == "$":
            steps = self._in_new_names(steps)
        return head + "".join(each.text for each in steps), all(each.singular for each in steps)

    def _in_new_names(self, steps: list[_Step]) -> list[_Step]:
        """The first names of a path from the event, as version 1.0 has them."""
        first = steps[0].name if steps else None
        if first in _NAMES:
            self._renamed = True
            self._hopeless |= first == "cloudEventsVersion"  # its value is another one too
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
            raise _NotOlderError
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
        """A filter: it tests the values that a wildcard before it selects, or the event."""
        at_event = head == "$" and not steps and not descent
        if not descent and steps and steps[-1].text in _WILDCARDS:
            steps.pop()
        elif not descent and not at_event:
            self._hopeless = True
        outer, self._current = self._current, "$" if at_event else "@"
        self._expect("(")
        condition = self._condition()
        self._expect(")")
        self._expect("]")
        self._current = outer
        return _Step(f"{descent}[?{condition}]")

    def _item(self) -> str:
        """A name, an index, a slice or a wildcard between brackets."""
        if self._kind == "string" or self._text == "*":
            return self._take()
        parts = []
        while self._text == ":" or (
            self._kind == "number" and re.fullmatch("-?[0-9]+", self._text)
        ):
            parts.append(self._take())
        if not parts:
            raise _NotOlderError
        return "".join(parts)

    def _condition(self) -> str:
        self._nesting += 1
        if self._nesting > MAX_NESTING:
            raise _NotOlderError
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
            # What is not there differs from everything in RFC 9535, and from nothing in jsonpath2.
            there = [text for text, singular in (left, right) if singular is not None]
            comparison = f"({' && '.join([*there, comparison])})"
        elif negations:
            comparison = f"({comparison})"
        return f"{negations}{comparison}"

    def _operand(self) -> tuple[str, bool | None]:
        """A path, and whether it selects one value at the most; or a literal, and None."""
        if self._took("$"):
            return self._path("$")
        if self._took("@"):
            return self._path(self._current)
        if self._kind in {"string", "number"} or self._text in _LITERALS:
            return self._take(), None
        raise _NotOlderError

    def _tested(self, text: str, singular: bool | None) -> str:  # noqa: FBT001 - an operand
        """An operand that must be there; a literal says nothing."""
        self._hopeless |= singular is None
        return text

    def _compared(self, text: str, singular: bool | None) -> str:  # noqa: FBT001 - an operand
        """An operand that is compared, which in RFC 9535 is one value."""
        return f"value({text})" if singular is False else text

    def _arguments(self) -> None:
        """A function of jsonpath2, which RFC 9535 has not."""
        self._hopeless = True
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
            raise _NotOlderError
