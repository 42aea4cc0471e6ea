"""Parsers for the values of settings; each ValueError states the requirement.

No message contains a URL or a secret.
"""

import re
from collections.abc import Callable, Mapping
from configparser import ConfigParser
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
Keys = Mapping[str, Callable[[str], object]]
"""The keys of a section with their parsers."""

SECONDS: Mapping[str, float] = {
    "": 1.0,
    "ms": 0.001,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
    "d": 86400.0,
}
"""The units of durations, in seconds."""

COMMENT_HINT = " (a ; after a space begins a comment)"
"""A hint for errors that a comment may have caused."""

_SIZES = {"": 1, "B": 1} | {
    f"{letter}{suffix}": base**power
    for power, letter in enumerate("KMGT", start=1)
    for suffix, base in (("B", 1000), ("iB", 1024))
}
_QUANTITY = re.compile(r"(\d{1,12}(?:\.\d{1,12})?)\s*([A-Za-z]*)", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


def parse_name(text: str) -> str:
    """Parse the name of an application, an adapter or a queue."""
    if not _NAME.fullmatch(text):
        raise ValueError(
            "must be 1 to 100 letters, digits, dots, hyphens or underscores, beginning with "
            f"a letter or digit, not {text[:100]!r}"
        )
    return text


def require_text(text: str) -> str:
    """Return the text if it is not empty."""
    if not text:
        raise ValueError("must not be empty")
    return text


def reject_nul(text: str) -> str:
    """Return the text if it has no NUL character."""
    if "\0" in text:
        raise ValueError("must not contain a NUL character")
    return text


def parse_path(text: str) -> Path:
    """Parse a path, which may begin with `~`."""
    return expand_home(reject_nul(require_text(text)))


def expand_home(text: str) -> Path:
    """Replace a leading `~` or `~user` with the home directory."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        user = text.partition("/")[0][:100]
        raise ValueError(f"cannot be expanded: no home directory for {user!r}") from None


def whole_number_parser(least: int, most: int) -> Callable[[str], int]:
    """Return a parser for a whole number in this range."""

    def parse_whole_number(text: str) -> int:
        if not re.fullmatch(r"\d{1,9}", text, re.ASCII) or not least <= int(text) <= most:
            raise ValueError(f"must be a whole number from {least} to {most}, not {text[:100]!r}")
        return int(text)

    return parse_whole_number


def size_parser(least: int, why: str = "") -> Callable[[str], int]:
    """Return a parser for a size in bytes of at least this many."""

    def parse_size(text: str) -> int:
        number, unit = _parse_quantity(text, _SIZES, "a size such as 512 KiB, 1 MiB or 2 GB")
        if number * unit < least:
            raise ValueError(f"must be at least {least // 1024} KiB{why}, not {text[:100]!r}")
        return int(number * unit)

    return parse_size


def parse_duration(text: str) -> float:
    """Parse a duration to seconds."""
    number, unit = _parse_quantity(text, SECONDS, "a duration such as 500ms, 10s, 5m, 1h or 2d")
    return number * unit


def parse_positive_duration(text: str) -> float:
    """Parse a duration above zero to seconds."""
    seconds = parse_duration(text)
    if not seconds:
        raise ValueError(f"must be longer than zero, not {text[:100]!r}")
    return seconds


def parse_words(text: str) -> frozenset[str]:
    """Parse words separated by spaces or commas, at least one."""
    return frozenset(require_text(text).replace(",", " ").split())


def parse_boolean(text: str) -> bool:
    """Parse yes or no, or another boolean that ConfigParser supports."""
    try:
        return ConfigParser.BOOLEAN_STATES[text.lower()]
    except KeyError:
        raise ValueError(f"must be yes or no, not {text[:100]!r}") from None


def _parse_quantity(text: str, units: Mapping[str, T], kind: str) -> tuple[float, T]:
    match = _QUANTITY.fullmatch(text)
    if not match or match[2] not in units:
        raise ValueError(f"must be {kind}, not {text[:100]!r}")
    return float(match[1]), units[match[2]]
