"""Read values from sections, collecting problems instead of stopping at the first."""

import difflib
from collections.abc import Callable, Collection, Iterator, Mapping
from configparser import ConfigParser
from typing import Any, TypeVar

from pacifica.dispatcher.config.ini import printable, printable_key
from pacifica.dispatcher.config.values import Keys
from pacifica.dispatcher.errors import Problem, RuleError

T = TypeVar("T")


class Reader:
    """The sections of a file, and the problems found in them so far."""

    def __init__(self, file: str, parser: ConfigParser, multiline: Collection[str]) -> None:
        """Wrap a parsed file; only keys in `multiline` may have values of several lines."""
        self.problems: list[Problem] = []
        self._file = file
        self._parser = parser
        self._multiline = multiline

    def parse(self, parser: Callable[[str], T], text: str, where: str, default: T) -> T:
        """Return the parsed text, or record a problem and return the default."""
        try:
            return parser(text)
        except ValueError as exc:
            self.add_problem(where, str(exc))
            return default
        except RuleError as exc:
            for each in exc.problems:
                self.add_problem(f"{where} {each.where}".rstrip(), each.what)
            return default

    def add_problem(self, where: str, what: str) -> None:
        """Record a problem."""
        self.problems.append(Problem(where, what))

    def add_unknown(self, where: str, word: str, known: Collection[str]) -> None:
        """Record an unknown section or key, with the nearest known one."""
        similar = [each for each in known if "." in each] if "." in word else []
        [nearest] = difflib.get_close_matches(word, similar or known, n=1, cutoff=0.0)
        self.add_problem(where, f"is unknown; did you mean {nearest}?")

    def sections(self, prefix: str = "") -> Iterator[str]:
        """Yield the names of all sections with this prefix."""
        return (each for each in self._parser.sections() if each.startswith(prefix))

    def items(self, section: str) -> dict[str, str]:
        """Return the keys and texts of a section; record unexpected continuation lines."""
        if not self._parser.has_section(section):
            return {}
        items = dict(self._parser.items(section))
        for key, text in items.items():
            if "\n" in text and key not in self._multiline:
                what = "must be a single line; remove the indentation of the next line"
                self.add_problem(self.where(section, key), what)
                items[key] = text.partition("\n")[0]
        return items

    def values(
        self,
        section: str,
        items: Mapping[str, str],
        keys: Keys,
        known: Collection[str] | None = None,
    ) -> dict[str, Any]:
        """Return the valid values among the items; record a problem for each other item.

        Args:
            section: the section's name.
            items: keys and texts.
            keys: the keys with their parsers.
            known: the keys to suggest instead of an unknown one; None for `keys`.
        """
        found: dict[str, Any] = {}
        for key, text in items.items():
            where = self.where(section, key)
            if key not in keys:
                self.add_unknown(where, key, known or keys)
            elif (value := self.parse(keys[key], text, where, None)) is not None:
                found[key] = value
        return found

    def where(self, section: str, key: str = "") -> str:
        """Return the place of a section or key, for a problem."""
        return f"{self._file}: [{printable(section)}] {printable_key(key)}".rstrip()
