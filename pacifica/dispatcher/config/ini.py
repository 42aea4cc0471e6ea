"""The INI file: location, parsing and syntax errors."""

import configparser
import re
from collections.abc import Iterator, Mapping
from configparser import ConfigParser
from contextlib import suppress
from pathlib import Path
from typing import Final

from pacifica.dispatcher.errors import Problem, SettingsError

# configparser takes time quadratic in the length of such a sequence.
_SPACES: Final = re.compile(r"[^\S\n]{1000}")


def find_file(environment: Mapping[str, str]) -> Path | None:
    """Return $DISPATCHER_CONFIG or the first existing file of the default locations."""
    if named := environment.get("DISPATCHER_CONFIG"):
        return Path(named)
    candidates = [Path("config.ini")]
    with suppress(RuntimeError):  # neither $HOME nor an entry of the user's
        candidates.append(Path("~/.pacifica-dispatcher/config.ini").expanduser())
    return next((each for each in candidates if each.is_file()), None)


def parse_file(file: Path | None) -> ConfigParser:
    """Parse a file; return an empty configuration if it is None.

    Raises:
        SettingsError: the file cannot be read, or has syntax errors.
    """
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
        if spaces := _SPACES.search(text):
            line = text.count("\n", 0, spaces.start()) + 1
            what = "must not contain 1000 consecutive spaces"
            raise SettingsError([Problem(f"{file}: line {line}", what)])
        parser.read_string(text, source=str(file))
    except OSError as exc:
        raise SettingsError([Problem(str(file), f"cannot be read: {exc.strerror}")]) from exc
    except UnicodeDecodeError as exc:
        what = f"is not valid UTF-8 at byte {exc.start}"
        raise SettingsError([Problem(str(file), what)]) from exc
    except configparser.Error as exc:
        raise SettingsError(list(_syntax_problems(file, exc))) from exc
    return parser


def _syntax_problems(file: Path, exc: configparser.Error) -> Iterator[Problem]:
    # Do not quote lines of the file: they may contain a password.
    match exc:
        case configparser.DuplicateOptionError(section=section, option=key, lineno=line):
            where = f"{file}: [{section}] {printable_key(key)}"
            yield Problem(where, f"is repeated in line {line}")
        case configparser.DuplicateSectionError(section=section, lineno=line):
            yield Problem(f"{file}: [{section}]", f"is repeated in line {line}")
        case configparser.MissingSectionHeaderError(lineno=line):
            yield Problem(f"{file}: line {line}", "must come after a [section] header")
        case configparser.ParsingError(errors=errors):
            for line, _ in errors:
                what = "must be a [section], a comment or key = value"
                yield Problem(f"{file}: line {line}", what)


def printable(text: str) -> str:
    """Return a section or key in a form that is safe to display on one line."""
    return "".join(
        each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text[:200]
    )


def printable_key(key: str) -> str:
    """Return a printable key up to a colon: `peewee_url: mysql://…` may contain a password."""
    name, colon, _ = key.partition(":")
    return printable(f"{name}{colon and ':…'}")
