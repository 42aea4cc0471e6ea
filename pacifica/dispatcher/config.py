"""The INI file and the environment as frozen settings; every problem is named at once."""

import configparser
import difflib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from configparser import ConfigParser
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from pacifica.dispatcher.applications import BUILT_IN, Application, Handler, Keep
from pacifica.dispatcher.command import Command
from pacifica.dispatcher.errors import ConfigError, Problem
from pacifica.dispatcher.filters import ATTRIBUTE_DIALECTS, Filter

T = TypeVar("T")
_Keys = Mapping[str, Callable[[str], object]]

_SIZES = {"": 1, "B": 1} | {
    f"{letter}{suffix}": base**power
    for power, letter in enumerate("KMGT", start=1)
    for suffix, base in (("B", 1000), ("iB", 1024))
}
_SECONDS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}")
_NAME_RULE = "1 to 100 letters, digits, dots, hyphens or underscores"
_APPLICATION = "application:"
_BROKERS = ("amqp", "amqps", "pyamqp", "redis", "rediss", "redis+socket", "filesystem")


@dataclass(frozen=True, slots=True)
class DatabaseSettings:
    """Section [database].

    Attributes:
        peewee_url: a peewee connection URL.
        connect_attempts: how often an unreachable database is tried at start.
        connect_wait: seconds between these attempts.
    """

    peewee_url: str = "sqlite:///db.sqlite3"
    connect_attempts: int = 10
    connect_wait: float = 20.0


@dataclass(frozen=True, slots=True)
class CelerySettings:
    """Section [celery].

    Attributes:
        broker_url: a Celery broker URL; `filesystem:///folder` for a folder of this machine.
        queue: the queue that wake-ups go through.
    """

    broker_url: str = "pyamqp://guest:guest@127.0.0.1:5672//"
    queue: str = "default"


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Section [server].

    Attributes:
        address: the address to listen on.
        port: the TCP port; 0 for any free one.
        threads: how many requests are served at once.
        max_event_size: bytes that a request's body may have.
    """

    address: str = "127.0.0.1"
    port: int = 8069
    threads: int = 10
    max_event_size: int = 1024**2


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """Section [worker].

    Attributes:
        directory: where working directories are made.
        stop_grace: seconds that running applications get when the worker is asked to stop.
    """

    directory: Path = Path("runs")
    stop_grace: float = 30.0


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that an operator can set.

    Attributes:
        file: the INI file that was read, None when there is none.
        applications: all applications by name, the built-in ones included.
    """

    file: Path | None
    database: DatabaseSettings
    celery: CelerySettings
    server: ServerSettings
    worker: WorkerSettings
    applications: Mapping[str, Application]

    @property
    def home(self) -> Path:
        """The folder of the configuration file: what it names relatively is looked for here."""
        return (self.file.parent if self.file else Path()).absolute()


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
    reader = _Reader(str(file or "defaults"))
    parser = _parse(file)
    home = (file.parent if file else Path()).absolute()
    settings = Settings(
        file=file,
        database=reader.section(parser, "database", DatabaseSettings, _DATABASE),
        celery=reader.section(parser, "celery", CelerySettings, _CELERY),
        server=reader.section(parser, "server", ServerSettings, _SERVER),
        worker=reader.section(parser, "worker", WorkerSettings, _WORKER),
        applications={each.name: each for each in (*BUILT_IN, *reader.applications(parser, home))},
    )
    settings = _override(settings, environment, reader)
    reader.unknown_sections(parser)
    if reader.problems:
        raise ConfigError(reader.problems)
    return settings


def _find(environment: Mapping[str, str]) -> Path | None:
    if named := environment.get("DISPATCHER_CONFIG"):
        return Path(named)
    places = (Path("config.ini"), Path("~/.pacifica-dispatcher/config.ini").expanduser())
    return next((place for place in places if place.is_file()), None)


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
        parser.read_string(file.read_text(encoding="utf-8"), source=str(file))
    except OSError as exc:
        raise ConfigError([Problem(str(file), f"cannot be read: {exc.strerror}")]) from exc
    except UnicodeDecodeError as exc:
        raise ConfigError([Problem(str(file), f"is not UTF-8 at byte {exc.start}")]) from exc
    except configparser.Error as exc:
        raise ConfigError([Problem(str(file), " ".join(str(exc.message).split()))]) from exc
    return parser


def _override(settings: Settings, environment: Mapping[str, str], reader: "_Reader") -> Settings:
    database, celery = settings.database, settings.celery
    if url := environment.get("PEEWEE_URL"):
        database = replace(
            database, peewee_url=reader.checked(_peewee_url, url, "environment: PEEWEE_URL", url)
        )
    if url := environment.get("BROKER_URL"):
        celery = replace(
            celery, broker_url=reader.checked(_broker_url, url, "environment: BROKER_URL", url)
        )
    return replace(settings, database=database, celery=celery)


class _Reader:
    """Reads sections into settings and collects what is wrong instead of stopping at it."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []

    def checked(self, read: Callable[[str], T], text: str, where: str, default: T) -> T:
        """What `read` makes of the text, or the default and a problem."""
        try:
            return read(text)
        except ValueError as exc:
            self.problems.append(Problem(where, str(exc)))
            return default

    def section(self, parser: ConfigParser, name: str, kind: type[T], keys: _Keys) -> T:
        """A section as settings of its kind."""
        return kind(**self._values(name, _items(parser, name), keys, keys))

    def applications(self, parser: ConfigParser, home: Path) -> Iterator[Application]:
        """Every section [application:NAME] that can be read."""
        for section in parser.sections():
            if section.startswith(_APPLICATION):
                application = self._application(section, _items(parser, section), home)
                if application is not None:
                    yield application

    def unknown_sections(self, parser: ConfigParser) -> None:
        """Every section that nobody reads is a problem."""
        for section in parser.sections():
            if section not in _SECTIONS and not section.startswith(_APPLICATION):
                self._unknown(f"{self.file}: [{section}]", section, [*_SECTIONS, _APPLICATION])

    def _application(
        self, section: str, items: Mapping[str, str], home: Path
    ) -> Application | None:
        name = section.removeprefix(_APPLICATION)
        rule: list[Filter] = []
        environment: dict[str, str] = {}
        plain: dict[str, str] = {}
        for key, text in items.items():
            family, dot, subject = key.partition(".")
            where = self._where(section, key)
            if dot and family in ATTRIBUTE_DIALECTS:
                rule += self.checked(partial(_attribute_filter, family, subject), text, where, [])
            elif dot and family == "env":
                variable = self.checked(partial(_variable, subject), text, where, None)
                environment |= variable or {}
            else:
                plain[key] = text
        dotted = [f"{family}.NAME" for family in (*ATTRIBUTE_DIALECTS, "env")]
        found = self._values(section, plain, _APPLICATION_KEYS, [*_APPLICATION_KEYS, *dotted])
        where = self._where(section, "")
        if not _NAME.fullmatch(name):
            self.problems.append(Problem(where, f"a name has {_NAME_RULE}"))
        if ("command" in plain) == ("handler" in plain):
            self.problems.append(Problem(where, "needs a command or a handler, and not both"))
        way = found.pop("command", None) or found.pop("handler", None)
        if way is None:
            return None
        if isinstance(way, Command) and "/" in way.program:
            way = replace(way, program=str(home / way.program))
        return Application(name, way, rule=tuple(rule), environment=environment, **found)

    def _values(
        self, section: str, items: Mapping[str, str], keys: _Keys, known: Iterable[str]
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
        return f"{self.file}: [{section}] {key}".rstrip()

    def _unknown(self, where: str, word: str, known: Iterable[str]) -> None:
        nearest = difflib.get_close_matches(word, known, n=1, cutoff=0.0)
        self.problems.append(Problem(where, f"is not known; did you mean {nearest[0]}?"))


def _items(parser: ConfigParser, section: str) -> dict[str, str]:
    return dict(parser.items(section)) if parser.has_section(section) else {}


def _not_empty(text: str) -> str:
    if not text:
        raise ValueError("must not be empty")
    return text


def _attribute_filter(dialect: str, attribute: str, text: str) -> list[Filter]:
    if not re.fullmatch(r"[a-z0-9]+", attribute):
        raise ValueError("an attribute's name has only lower-case letters and digits")
    return [ATTRIBUTE_DIALECTS[dialect](attribute, _not_empty(text))]


def _variable(name: str, text: str) -> dict[str, str]:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ValueError("a variable's name has letters, digits and underscores")
    if name.startswith(("CE_", "DISPATCHER_")):
        raise ValueError("names that begin with CE_ or DISPATCHER_ are the dispatcher's")
    return {name: text}


def _whole_number(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not re.fullmatch(r"\d{1,9}", text, re.ASCII) or not least <= int(text) <= most:
            raise ValueError(f"must be a whole number from {least} to {most}, not {text!r}")
        return int(text)

    return read


def _quantity(text: str, units: Mapping[str, T], what: str) -> tuple[float, T]:
    match = _QUANTITY.fullmatch(text)
    if not match or match[2] not in units:
        raise ValueError(f"must be {what}, not {text!r}")
    return float(match[1]), units[match[2]]


def _size(text: str) -> int:
    number, unit = _quantity(text, _SIZES, "a size such as 512 KiB, 1 MiB or 2 GB")
    return int(number * unit)


def _event_size(text: str) -> int:
    size = _size(text)
    if size < 64 * 1024:
        raise ValueError("must be at least 64 KiB (CloudEvents 1.0.2, section 5)")
    return size


def _duration(text: str) -> float:
    number, unit = _quantity(text, _SECONDS, "a duration such as 500ms, 10s, 5m, 1h or 2d")
    return number * unit


def _positive_duration(text: str) -> float:
    seconds = _duration(text)
    if not seconds:
        raise ValueError("must be longer than nothing")
    return seconds


def _flag(text: str) -> bool:
    try:
        return ConfigParser.BOOLEAN_STATES[text.lower()]
    except KeyError:
        raise ValueError(f"must be yes or no, not {text!r}") from None


def _keep(text: str) -> Keep:
    try:
        return Keep(text)
    except ValueError:
        raise ValueError(f"must be failed, always or never, not {text!r}") from None


def _command(text: str) -> Command:
    try:
        return Command.parse(text)
    except ValueError as exc:
        hint = " (a ; after a space begins a comment)" if "quotation" in str(exc) else ""
        raise ValueError(f"is no command: {exc}{hint}") from exc


def _handler(text: str) -> Handler:
    if not re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*", text):
        raise ValueError(f"must be package.module:Name, not {text!r}")
    module, _, name = text.partition(":")
    return Handler(module, name)


def _queue(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError(f"must be {_NAME_RULE}, not {text!r}")
    return text


def _url_scheme(text: str) -> str:
    try:
        return urlsplit(text).scheme
    except ValueError as exc:
        raise ValueError(f"is no URL: {exc}") from exc


def _peewee_url(text: str) -> str:
    scheme = _url_scheme(text)
    if not scheme or "://" not in text:
        raise ValueError(
            "must be a URL such as sqlite:///db.sqlite3 or postgresql://user@host/name"
        )
    return text.replace("sqliteext://", "sqlite://", 1) if scheme == "sqliteext" else text


def _broker_url(text: str) -> str:
    scheme = _url_scheme(text)
    if scheme not in _BROKERS:
        raise ValueError(f"must be a URL that begins with one of {', '.join(_BROKERS)}")
    if scheme == "filesystem" and not urlsplit(text).path.strip("/"):
        raise ValueError("names no folder; write filesystem:///folder")
    return text


_DATABASE = {
    "peewee_url": _peewee_url,
    "connect_attempts": _whole_number(1, 1_000_000),
    "connect_wait": _duration,
}
_CELERY = {"broker_url": _broker_url, "queue": _queue}
_SERVER = {
    "address": _not_empty,
    "port": _whole_number(0, 65535),
    "threads": _whole_number(1, 1000),
    "max_event_size": _event_size,
}
_WORKER: _Keys = {"directory": Path, "stop_grace": _duration}
_SECTIONS = ["database", "celery", "server", "worker"]
_APPLICATION_KEYS = {
    "command": _command,
    "handler": _handler,
    "dispatch": _flag,
    "timeout": _positive_duration,
    "kill_after": _duration,
    "keep": _keep,
    "max_output": _size,
}
