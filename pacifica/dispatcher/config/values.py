"""From the text of one setting to its value; a ValueError says what it must be.

No message repeats a URL, which may hold a password.
"""

import re
from collections.abc import Callable, Mapping
from configparser import ConfigParser
from dataclasses import replace
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from pacifica.dispatcher.adapters import ATTRIBUTES, KINDS, Template
from pacifica.dispatcher.applications import PRIORITIES, Handler, Keep, Rate
from pacifica.dispatcher.command import Argument, Command
from pacifica.dispatcher.filters import TEXT_DIALECTS, Filter, parse_filters

T = TypeVar("T")
Keys = Mapping[str, Callable[[str], object]]

_SIZES = {"": 1, "B": 1} | {
    f"{letter}{suffix}": base**power
    for power, letter in enumerate("KMGT", start=1)
    for suffix, base in (("B", 1000), ("iB", 1024))
}
_SECONDS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_QUANTITY = re.compile(r"(\d{1,12}(?:\.\d{1,12})?)\s*([A-Za-z]*)", re.ASCII)
_COMMENT_HINT = " (a ; after a space begins a comment)"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_MIN_LEASE = 5
_MAX_LEASE = 600
_DATABASES = frozenset({"sqlite", "postgres", "postgresql", "psycopg3", "mysql"})
_BROKERS = ("amqp", "amqps", "pyamqp", "redis", "rediss", "redis+socket", "filesystem")


def name(text: str) -> str:
    """The name of an application, an adapter or a queue."""
    if not _NAME.fullmatch(text):
        raise ValueError(
            "must be 1 to 100 letters, digits, dots, hyphens or underscores, "
            f"a letter or digit first, not {text[:100]!r}"
        )
    return text


def variable(name: str, text: str) -> str:
    """A line such as `env.NAME = …`."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ValueError("a variable's name has letters, digits and underscores")
    if name.startswith(("CE_", "DISPATCHER_")):
        raise ValueError("names that begin with CE_ or DISPATCHER_ are the dispatcher's")
    return _no_nul(text)


def peewee_url(text: str) -> str:
    """A database's URL; sqliteext is read as sqlite."""
    scheme, separator, rest = _no_nul(text).partition("://")
    scheme = scheme.lower()
    if scheme == "sqliteext":
        scheme = "sqlite"
    if not separator or scheme.removesuffix("+pool") not in _DATABASES:
        known = ", ".join(sorted(_DATABASES))
        raise ValueError(
            f"must be a URL such as sqlite:///db.sqlite3 that begins with one of {known}"
        )
    return _url(f"{scheme}://{rest}")


def broker_url(text: str) -> str:
    """A broker's URL."""
    scheme = text.partition("://")[0].lower()
    if "://" not in text or scheme not in _BROKERS:
        raise ValueError(f"must be a URL that begins with one of {', '.join(_BROKERS)}")
    if scheme == "filesystem" and not urlsplit(_url(text)).path.strip("/"):
        raise ValueError("names no folder; write filesystem:///folder")
    return _url(text)


def _url(text: str) -> str:
    try:
        urlsplit(text).port  # noqa: B018 - it is parsed when it is asked for
    except ValueError:
        raise ValueError("is no URL: its host or port cannot be read") from None
    return text


def _not_empty(text: str) -> str:
    if not text:
        raise ValueError("must not be empty")
    return text


def _no_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("must not have a NUL character")
    return text


def _path(text: str) -> Path:
    return _with_home(_no_nul(_not_empty(text)))


def _with_home(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError:
        user = text.partition("/")[0][:100]
        raise ValueError(f"begins with {user!r}, and there is no such home directory") from None


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


def _size(least: int, why: str) -> Callable[[str], int]:
    def read(text: str) -> int:
        number, unit = _quantity(text, _SIZES, "a size such as 512 KiB, 1 MiB or 2 GB")
        if number * unit < least:
            raise ValueError(f"must be at least {least // 1024} KiB{why}")
        return int(number * unit)

    return read


def _duration(text: str) -> float:
    number, unit = _quantity(text, _SECONDS, "a duration such as 500ms, 10s, 5m, 1h or 2d")
    return number * unit


def _lease(text: str) -> float:
    seconds = _duration(text)
    if not _MIN_LEASE <= seconds <= _MAX_LEASE:
        raise ValueError(f"must be from {_MIN_LEASE} s to {_MAX_LEASE // 60} minutes")
    return seconds


def _positive_duration(text: str) -> float:
    seconds = _duration(text)
    if not seconds:
        raise ValueError("must be longer than nothing")
    return seconds


def _exit_codes(text: str) -> frozenset[int]:
    read = _whole_number(1, 255)
    return frozenset(map(read, _words(text)))


def _origins(text: str) -> frozenset[str]:
    origins = _words(text)
    if not all(re.fullmatch(r"[!-~]{1,255}", each) for each in origins):
        raise ValueError("must be names such as eventgrid.azure.net, or * for all senders")
    return origins


def _callback_hosts(text: str) -> frozenset[str]:
    hosts = frozenset(each.lower().removesuffix(":443") for each in _words(text))
    if not all(re.fullmatch(r"[a-z0-9_.-]{1,255}(:[1-9]\d{0,4})?", each) for each in hosts):
        raise ValueError("must be hosts such as example.org or example.org:8443")
    return hosts


def _delivery_rate(text: str) -> str:
    return text if text == "*" else str(_whole_number(1, 999_999_999)(text))


def _words(text: str) -> frozenset[str]:
    return frozenset(_not_empty(text).replace(",", " ").split())


def _rate(text: str) -> Rate:
    match = re.fullmatch(r"(\d{1,6})\s*/\s*(s|m|h|d)", text, re.ASCII)
    if not match or not int(match[1]):
        raise ValueError(f"must be a number for each s, m, h or d, such as 10/m, not {text!r}")
    return Rate(int(match[1]), _SECONDS[match[2]])


def _key(text: str) -> Argument:
    try:
        return Argument.parse(_not_empty(text))
    except ValueError as exc:
        raise ValueError(f"cannot be used: {exc}") from exc


def _kind(text: str) -> str:
    if text not in KINDS:
        raise ValueError(f"must be one of {', '.join(KINDS)}, not {text[:100]!r}")
    return text


def _template(attribute: str) -> Callable[[str], Template]:
    def read(text: str) -> Template:
        try:
            template = Template.parse(_not_empty(text))
        except ValueError as exc:
            raise ValueError(f"cannot be used: {exc}") from exc
        if attribute == "id" and template.literal:
            raise ValueError("must be different for each event: write a path such as {data.id}")
        template.check_literal(attribute)
        return template

    return read


def secret_of(file: str) -> str:
    """The secret that a file holds, without the white space around it."""
    try:
        secret = Path(file).read_text(encoding="utf-8").strip()
    except OSError as exc:
        raise ValueError(f"cannot be read: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise ValueError("is not UTF-8") from exc
    return _not_empty(secret)


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
        command = Command.parse(text)
    except ValueError as exc:
        hint = _COMMENT_HINT if "quotation" in str(exc) else ""
        raise ValueError(f"is no command: {exc}{hint}") from exc
    if command.program.startswith("~") and "/" in command.program:
        return replace(command, program=str(_with_home(command.program)))
    return command


def _expression(read: Callable[[str], Filter]) -> Callable[[str], Filter]:
    def read_with_hint(text: str) -> Filter:
        try:
            return read(text)
        except ValueError as exc:
            hint = _COMMENT_HINT if text.count("'") % 2 or text.count('"') % 2 else ""
            raise ValueError(f"{exc}{hint}") from exc

    return read_with_hint


def _handler(text: str) -> Handler:
    if not re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*", text):
        raise ValueError(f"must be package.module:Name, not {text!r}")
    module, _, name = text.partition(":")
    return Handler(module, name)


SECTIONS: Mapping[str, Keys] = {
    "database": {
        "peewee_url": peewee_url,
        "connect_attempts": _whole_number(1, 1_000_000),
        "connect_wait": _duration,
    },
    "celery": {"broker_url": broker_url, "queue": name},
    "server": {
        "address": _not_empty,
        "port": _whole_number(1, 65535),
        "threads": _whole_number(1, 1000),
        "streams": _whole_number(0, 1000),
        "max_event_size": _size(64 * 1024, " (CloudEvents 1.0.2, section 5)"),
    },
    "worker": {"directory": _path, "stop_grace": _duration, "lease": _lease},
    "webhook": {
        "allowed_origins": _origins,
        "rate": _delivery_rate,
        "callback_hosts": _callback_hosts,
    },
}
"""How each key of each section is read."""

APPLICATION_KEYS: Keys = {
    **{dialect: _expression(read) for dialect, read in TEXT_DIALECTS.items()},
    "filters": parse_filters,
    "command": _command,
    "handler": _handler,
    "dispatch": _flag,
    "timeout": _positive_duration,
    "kill_after": _duration,
    "keep": _keep,
    "max_output": _size(1024, ""),
    "retries": _whole_number(0, 1_000_000),
    "retry_delay": _duration,
    "retry_delay_max": _duration,
    "retry_exit_codes": _exit_codes,
    "max_crashes": _whole_number(1, 1_000_000),
    "concurrency": _whole_number(1, 1_000_000),
    "concurrency_key": _key,
    "rate": _rate,
    "priority": _whole_number(PRIORITIES[0], PRIORITIES[-1]),
    "queue": name,
}
"""How each key of a section [application:NAME] is read, beside `exact.…` and the like."""

ADAPTER_KEYS: Keys = {
    "kind": _kind,
    "secret": _not_empty,
    "secret_file": _path,
    **{attribute: _template(attribute) for attribute in ATTRIBUTES},
}
"""How each key of a section [adapter:NAME] is read."""
