"""Reading the INI file and the environment; what is wrong is collected, not stopped at."""

import configparser
import difflib
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from configparser import ConfigParser
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from pacifica.dispatcher.adapters import (
    ATTRIBUTES,
    GENERIC,
    KINDS,
    NEEDED,
    Adapter,
    Scheme,
    Templates,
    adapter,
)
from pacifica.dispatcher.applications import BUILT_IN, Application, Retry
from pacifica.dispatcher.command import Command
from pacifica.dispatcher.config import values
from pacifica.dispatcher.config.settings import (
    CelerySettings,
    DatabaseSettings,
    ServerSettings,
    Settings,
    WebhookSettings,
    WorkerSettings,
)
from pacifica.dispatcher.errors import ConfigError, Problem, RuleError
from pacifica.dispatcher.filters import (
    ATTRIBUTE_DIALECTS,
    COMPOSITE_DIALECTS,
    TEXT_DIALECTS,
    Filter,
    attribute_filter,
    cheapest_first,
)

T = TypeVar("T")

_APPLICATION = "application:"
_ADAPTER = "adapter:"
_OPEN = "none"
"""The secret of an adapter that takes what anybody sends."""
_LONG = frozenset({"command", "filters", *TEXT_DIALECTS})
"""The keys whose values may go on in further, indented lines."""
_RETRY = {
    "retries": "retries",
    "retry_delay": "delay",
    "retry_delay_max": "delay_max",
    "retry_exit_codes": "exit_codes",
}


def load(file: Path | None = None, environment: Mapping[str, str] = os.environ) -> Settings:
    """Read the configuration.

    Args:
        file: the INI file; None looks at $DISPATCHER_CONFIG, ./config.ini and
            ~/.pacifica-dispatcher/config.ini, and takes the defaults when there is none.
        environment: BROKER_URL and PEEWEE_URL here override the file.

    Raises:
        ConfigError: something is wrong; it holds every problem that was found.
    """
    file = file or _find(environment)
    reader = _Reader(str(file or "defaults"), _parse(file))
    home = (file.parent if file else Path()).absolute()
    settings = Settings(
        file=file,
        database=reader.section("database", DatabaseSettings),
        celery=reader.section("celery", CelerySettings),
        server=reader.section("server", ServerSettings),
        worker=reader.section("worker", WorkerSettings),
        webhook=reader.section("webhook", WebhookSettings),
        applications={each.name: each for each in (*BUILT_IN, *reader.applications(home))},
        adapters={each.name: each for each in reader.adapters(home)},
    )
    if url := environment.get("PEEWEE_URL"):
        url = reader.checked(values.peewee_url, url, "environment: PEEWEE_URL", "")
        settings = replace(settings, database=replace(settings.database, peewee_url=url))
    if url := environment.get("BROKER_URL"):
        url = reader.checked(values.broker_url, url, "environment: BROKER_URL", "")
        settings = replace(settings, celery=replace(settings.celery, broker_url=url))
    reader.unknown_sections()
    if reader.problems:
        raise ConfigError(reader.problems)
    return settings


def _find(environment: Mapping[str, str]) -> Path | None:
    if named := environment.get("DISPATCHER_CONFIG"):
        return Path(named)
    places = (Path("config.ini"), Path("~/.pacifica-dispatcher/config.ini").expanduser())
    return next((place for place in places if place.is_file()), None)


_BLANKS: Final = re.compile(r"[^\S\n]{1000}")
"""What configparser would take a time for that grows with the square of their number."""


def _parse(file: Path | None) -> ConfigParser:
    parser = ConfigParser(
        interpolation=None,
        delimiters=("=",),
        inline_comment_prefixes=(";",),
        default_section="",
        empty_lines_in_values=False,
    )
    parser.optionxform = str  # type: ignore[assignment,method-assign] # keys are case-sensitive
    if file is None:
        return parser
    try:
        text = file.read_text(encoding="utf-8-sig")
        if blanks := _BLANKS.search(text):
            line = text.count("\n", 0, blanks.start()) + 1
            raise ConfigError([Problem(f"{file}: line {line}", "has a thousand blanks in a row")])
        parser.read_string(text, source=str(file))
    except OSError as exc:
        raise ConfigError([Problem(str(file), f"cannot be read: {exc.strerror}")]) from exc
    except UnicodeDecodeError as exc:
        raise ConfigError([Problem(str(file), f"is not UTF-8 at byte {exc.start}")]) from exc
    except configparser.Error as exc:
        raise ConfigError(list(_syntax_problems(file, exc))) from exc
    return parser


def _syntax_problems(file: Path, exc: configparser.Error) -> Iterator[Problem]:
    """What is wrong with the file's form; no line of it is repeated, it may hold a password."""
    match exc:
        case configparser.DuplicateOptionError(section=section, option=key, lineno=line):
            yield Problem(f"{file}: [{section}] {_shown_key(key)}", f"stands again in line {line}")
        case configparser.DuplicateSectionError(section=section, lineno=line):
            yield Problem(f"{file}: [{section}]", f"stands again in line {line}")
        case configparser.MissingSectionHeaderError(lineno=line):
            yield Problem(f"{file}: line {line}", "stands before the first [section]")
        case configparser.ParsingError(errors=errors):
            for line, _ in errors:
                yield Problem(f"{file}: line {line}", "is no [section], no comment, no key = value")


class _Reader:
    """Reads sections into settings."""

    def __init__(self, file: str, parser: ConfigParser) -> None:
        self.problems: list[Problem] = []
        self._file = file
        self._parser = parser

    def checked(self, read: Callable[[str], T], text: str, where: str, default: T) -> T:
        """What `read` makes of the text, or the default and a problem."""
        try:
            return read(text)
        except ValueError as exc:
            self.problems.append(Problem(where, str(exc)))
            return default
        except RuleError as exc:
            found = (Problem(f"{where} {each.where}".rstrip(), each.what) for each in exc.problems)
            self.problems.extend(found)
            return default

    def section(self, name: str, kind: type[T]) -> T:
        """A section as settings of its kind."""
        keys = values.SECTIONS[name]
        return kind(**self._values(name, self._items(name), keys, keys))

    def applications(self, home: Path) -> Iterator[Application]:
        """Every section [application:NAME] that can be read."""
        for section in self._parser.sections():
            if section.startswith(_APPLICATION):
                application = self._application(section, home)
                if application is not None:
                    yield application

    def adapters(self, home: Path) -> Iterator[Adapter]:
        """Every section [adapter:NAME] that can be read."""
        for section in self._parser.sections():
            if section.startswith(_ADAPTER) and (found := self._adapter(section, home)):
                yield found

    def unknown_sections(self) -> None:
        """Every section that nobody reads is a problem."""
        for section in self._parser.sections():
            if section not in values.SECTIONS and not section.startswith((_APPLICATION, _ADAPTER)):
                where = f"{self._file}: [{_shown(section)}]"
                self._unknown(where, section, [*values.SECTIONS, _APPLICATION, _ADAPTER])

    def _application(self, section: str, home: Path) -> Application | None:
        rule: list[Filter] = []
        environment: dict[str, str] = {}
        plain: dict[str, str] = {}
        for key, text in self._items(section).items():
            family, dot, subject = key.partition(".")
            where = self._where(section, key)
            if dot and family in ATTRIBUTE_DIALECTS:
                read = partial(attribute_filter, family, subject)
                if (clause := self.checked(read, text, where, None)) is not None:
                    rule.append(clause)
            elif dot and family == "env":
                read_variable = partial(values.variable, subject)
                environment[subject] = self.checked(read_variable, text, where, "")
            elif family in COMPOSITE_DIALECTS:
                what = f'stands in JSON only: filters = [{{"{family}": …}}]'
                self.problems.append(Problem(where, what))
            else:
                plain[key] = text
        where = self._where(section, "")
        name = self.checked(values.name, section.removeprefix(_APPLICATION), where, "")
        dotted = [f"{family}.NAME" for family in (*ATTRIBUTE_DIALECTS, "env")]
        known = [*values.APPLICATION_KEYS, *dotted]
        found = self._values(section, plain, values.APPLICATION_KEYS, known)
        if ("command" in plain) == ("handler" in plain):
            self.problems.append(Problem(where, "needs a command or a handler, and not both"))
        ways = [found.pop(way) for way in ("command", "handler") if way in found]
        if not ways:
            return None
        rule += [found.pop(dialect) for dialect in TEXT_DIALECTS if dialect in found]
        rule += found.pop("filters", ())
        if "concurrency_key" in found:
            found.setdefault("concurrency", 1)
        retry = Retry(**{ours: found.pop(key) for key, ours in _RETRY.items() if key in found})
        return Application(
            name,
            _from_home(ways[0], home),
            rule=cheapest_first(rule),
            environment=environment,
            retry=retry,
            **found,
        )

    def _adapter(self, section: str, home: Path) -> Adapter | None:
        items = self._items(section)
        where = self._where(section, "")
        name = self.checked(values.name, section.removeprefix(_ADAPTER), where, "")
        found = self._values(section, items, values.ADAPTER_KEYS, values.ADAPTER_KEYS)
        if "kind" not in items:
            self.problems.append(Problem(where, f"needs a kind: one of {', '.join(KINDS)}"))
        if "kind" not in found:
            return None
        kind = found["kind"]
        scheme = self._scheme(section, kind, found, home)
        templates = self._templates(section, kind, found)
        if kind == GENERIC and templates is None:
            return None
        return adapter(name, kind, scheme, templates)

    def _scheme(
        self, section: str, kind: str, found: Mapping[str, Any], home: Path
    ) -> Scheme | None:
        """What proves a delivery to an adapter."""
        given = [key for key in ("secret", "secret_file") if self._parser.has_option(section, key)]
        if len(given) != 1:
            what = "needs a secret or a secret_file, and not both; secret = none takes what"
            where = self._where(section, "")
            self.problems.append(Problem(where, f"{what} anybody sends, without any proof"))
            return None
        [key] = given
        if key not in found or found[key] == _OPEN:
            return None
        where = self._where(section, key)
        secret = found[key]
        if key == "secret_file":
            secret = self.checked(values.secret_of, str(home / secret), where, "")
        return self.checked(KINDS[kind], secret, where, None) if secret else None

    def _templates(self, section: str, kind: str, found: Mapping[str, Any]) -> Templates | None:
        """What an adapter of the kind `generic` makes the attributes of."""
        given = [key for key in ATTRIBUTES if self._parser.has_option(section, key)]
        if kind != GENERIC:
            what = f"is for kind = {GENERIC} only: {kind} knows it"
            self.problems.extend(Problem(self._where(section, key), what) for key in given)
            return None
        if missing := [key for key in NEEDED if key not in given]:
            what = f"needs {', '.join(missing)} too: templates such as {{data.id}}"
            self.problems.append(Problem(self._where(section, ""), what))
        if not found.keys() >= {*given, *NEEDED}:
            return None
        return Templates(**{key: (found[key],) for key in given})

    def _items(self, section: str) -> dict[str, str]:
        """A section's keys and texts; only some of them may go on in further lines."""
        if not self._parser.has_section(section):
            return {}
        items = dict(self._parser.items(section))
        for key, text in items.items():
            if "\n" in text and key not in _LONG:
                what = "goes on in the next line, because that is indented; begin it at the margin"
                self.problems.append(Problem(self._where(section, key), what))
                items[key] = text.partition("\n")[0]
        return items

    def _values(
        self, section: str, items: Mapping[str, str], keys: values.Keys, known: Collection[str]
    ) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, text in items.items():
            where = self._where(section, key)
            if key not in keys:
                self._unknown(where, key, known)
            elif (value := self.checked(keys[key], text, where, None)) is not None:
                found[key] = value
        return found

    def _where(self, section: str, key: str) -> str:
        return f"{self._file}: [{_shown(section)}] {_shown_key(key)}".rstrip()

    def _unknown(self, where: str, word: str, known: Collection[str]) -> None:
        alike = [each for each in known if "." in each] if "." in word else []
        nearest = difflib.get_close_matches(word, alike or known, n=1, cutoff=0.0)
        self.problems.append(Problem(where, f"is not known; did you mean {nearest[0]}?"))


def _shown(text: str) -> str:
    """A section or key as it may be shown, in one line."""
    return "".join(
        each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text[:200]
    )


def _shown_key(key: str) -> str:
    """A key; of `peewee_url: mysql://…`, which is none, only what stands before the colon."""
    name, colon, _ = key.partition(":")
    return _shown(f"{name}{colon and ':…'}")


def _from_home(way: Any, home: Path) -> Any:  # noqa: ANN401 - a command or a handler
    """A command whose program is a path: it counts from the configuration's folder."""
    if isinstance(way, Command) and "/" in way.program:
        return replace(way, program=str(home / way.program))
    return way
