"""The sections [application:NAME]."""

import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from pacifica.dispatcher.applications import (
    PRIORITIES,
    Application,
    CommandTemplate,
    Handler,
    Keep,
    Rate,
    Retry,
)
from pacifica.dispatcher.applications.command_template import Argument
from pacifica.dispatcher.config.reader import Reader
from pacifica.dispatcher.config.values import (
    COMMENT_HINT,
    SECONDS,
    Keys,
    expand_home,
    parse_boolean,
    parse_duration,
    parse_name,
    parse_positive_duration,
    parse_words,
    reject_nul,
    require_text,
    size_parser,
    whole_number_parser,
)
from pacifica.dispatcher.rules import (
    ATTRIBUTE_DIALECTS,
    COMPOSITE_DIALECTS,
    TEXT_DIALECTS,
    Filter,
    cheapest_first,
    make_comparison,
    parse_filters,
)

PREFIX: Final = "application:"
MULTILINE: Final = frozenset({"command", "filters", *TEXT_DIALECTS})
"""The keys whose values may continue on indented lines."""

_RETRY = {
    "retries": "retries",
    "retry_delay": "delay",
    "retry_delay_max": "delay_max",
    "retry_exit_codes": "exit_codes",
}
_parse_exit_code = whole_number_parser(1, 255)


def read_applications(reader: Reader, home: Path) -> Iterator[Application]:
    """Yield the application of every usable section.

    Args:
        reader: the configuration file; records problems.
        home: the directory that relative program paths refer to.
    """
    for section in reader.sections(PREFIX):
        application = _read_application(reader, section, home)
        if application is not None:
            yield application


def _read_application(reader: Reader, section: str, home: Path) -> Application | None:
    rule, environment, plain = _sort_items(reader, section)
    where = reader.where(section)
    name = reader.parse(parse_name, section.removeprefix(PREFIX), where, "")
    dotted = [f"{family}.NAME" for family in (*ATTRIBUTE_DIALECTS, "env")]
    found = reader.values(section, plain, APPLICATION_KEYS, [*APPLICATION_KEYS, *dotted])
    if ("command" in plain) == ("handler" in plain):
        reader.add_problem(where, "must have either a command or a handler, not both")
    targets = [found.pop(key) for key in ("command", "handler") if key in found]
    if (file := _hidden_module(targets, home)) is not None:
        what = f"must not name {file}: Python has a module of that name; rename the file"
        reader.add_problem(reader.where(section, "handler"), what)
    if not targets:
        return None
    rule += [found.pop(dialect) for dialect in TEXT_DIALECTS if dialect in found]
    rule += found.pop("filters", ())
    if "concurrency_key" in found:
        found.setdefault("concurrency", 1)
    retry = Retry(**{field: found.pop(key) for key, field in _RETRY.items() if key in found})
    return Application(
        name,
        _resolve_program(targets[0], home),
        rule=cheapest_first(rule),
        environment=environment,
        retry=retry,
        **found,
    )


def _sort_items(
    reader: Reader, section: str
) -> tuple[list[Filter], dict[str, str], dict[str, str]]:
    """Return the filters of dotted keys, the variables of `env.…` keys, and all other items."""
    rule: list[Filter] = []
    environment: dict[str, str] = {}
    plain: dict[str, str] = {}
    for key, text in reader.items(section).items():
        family, dot, subject = key.partition(".")
        where = reader.where(section, key)
        if dot and family in ATTRIBUTE_DIALECTS:
            make = partial(make_comparison, family, subject)
            if (comparison := reader.parse(make, text, where, None)) is not None:
                rule.append(comparison)
        elif dot and family == "env":
            environment[subject] = reader.parse(partial(_parse_variable, subject), text, where, "")
        elif family in COMPOSITE_DIALECTS:
            reader.add_problem(where, f'is only supported in filters = [{{"{family}": …}}]')
        else:
            plain[key] = text
    return rule, environment, plain


def _hidden_module(targets: list[CommandTemplate | Handler], home: Path) -> Path | None:
    """Return the file of a handler that Python would not import: its own module comes first."""
    for target in targets:
        if isinstance(target, Handler) and target.module in sys.stdlib_module_names:
            file = home / f"{target.module}.py"
            return file if file.exists() else None
    return None


def _resolve_program(target: CommandTemplate | Handler, home: Path) -> CommandTemplate | Handler:
    # A program that is a path is relative to the configuration file.
    if isinstance(target, CommandTemplate) and "/" in target.program:
        return replace(target, program=str(home / target.program))
    return target


def _parse_variable(name: str, text: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ValueError("must name a variable of letters, digits and underscores")
    if name.startswith(("CE_", "DISPATCHER_")):
        raise ValueError("must not name a variable with the reserved prefix CE_ or DISPATCHER_")
    return reject_nul(text)


def _parse_command(text: str) -> CommandTemplate:
    try:
        command = CommandTemplate.parse(text)
    except ValueError as exc:
        hint = COMMENT_HINT if "quotation" in str(exc) else ""
        raise ValueError(f"is not a valid command: {exc}{hint}") from exc
    if command.program.startswith("~") and "/" in command.program:
        return replace(command, program=str(expand_home(command.program)))
    return command


def _parse_handler(text: str) -> Handler:
    if not re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*", text):
        raise ValueError(f"must be package.module:Name, not {text[:100]!r}")
    module, _, name = text.partition(":")
    return Handler(module, name)


def _with_comment_hint(parser: Callable[[str], Filter]) -> Callable[[str], Filter]:
    def parse_with_hint(text: str) -> Filter:
        try:
            return parser(text)
        except ValueError as exc:
            hint = COMMENT_HINT if text.count("'") % 2 or text.count('"') % 2 else ""
            raise ValueError(f"{exc}{hint}") from exc

    return parse_with_hint


def _parse_keep(text: str) -> Keep:
    try:
        return Keep(text)
    except ValueError:
        raise ValueError(f"must be failed, always or never, not {text[:100]!r}") from None


def _parse_exit_codes(text: str) -> frozenset[int]:
    return frozenset(map(_parse_exit_code, parse_words(text)))


def _parse_rate(text: str) -> Rate:
    match = re.fullmatch(r"(\d{1,6})\s*/\s*(s|m|h|d)", text, re.ASCII)
    if not match or not int(match[1]):
        raise ValueError(f"must be a number per s, m, h or d such as 10/m, not {text[:100]!r}")
    return Rate(int(match[1]), SECONDS[match[2]])


def _parse_concurrency_key(text: str) -> Argument:
    try:
        return Argument.parse(require_text(text))
    except ValueError as exc:
        raise ValueError(f"is not a valid template: {exc}") from exc


APPLICATION_KEYS: Keys = {
    **{dialect: _with_comment_hint(parser) for dialect, parser in TEXT_DIALECTS.items()},
    "filters": parse_filters,
    "command": _parse_command,
    "handler": _parse_handler,
    "dispatch": parse_boolean,
    "timeout": parse_positive_duration,
    "kill_after": parse_duration,
    "keep": _parse_keep,
    "max_output": size_parser(1024),
    "retries": whole_number_parser(0, 1_000_000),
    "retry_delay": parse_duration,
    "retry_delay_max": parse_duration,
    "retry_exit_codes": _parse_exit_codes,
    "max_crashes": whole_number_parser(1, 1_000_000),
    "concurrency": whole_number_parser(1, 1_000_000),
    "concurrency_key": _parse_concurrency_key,
    "rate": _parse_rate,
    "priority": whole_number_parser(PRIORITIES[0], PRIORITIES[-1]),
    "queue": parse_name,
}
"""The parser of each key, except dotted keys such as `exact.NAME`."""
