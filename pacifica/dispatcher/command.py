"""A command line as a value: an argument list with placeholders for parts of an event; no shell."""

import json
import re
import shlex
from dataclasses import dataclass
from typing import Self

from pacifica.dispatcher.errors import ApplicationError
from pacifica.dispatcher.events import ABSENT, Event, Json, canonical

_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_INDEX = re.compile(r"0|[1-9]\d{0,8}", re.ASCII)
_UNSAFE = re.compile(r"""[\s'"\\#]|^$""")
_SHELL = re.compile(r"-[a-z]*c")
_CODE_OPTIONS = {
    **dict.fromkeys(("sh", "bash", "dash", "ash", "zsh", "ksh", "fish"), _SHELL),
    **dict.fromkeys(("python", "pypy"), re.compile(r"-[A-Za-z]*c")),
    **dict.fromkeys(("perl", "ruby"), re.compile(r"-[A-Za-z]*[eE]")),
    **dict.fromkeys(("node", "php"), re.compile(r"-[epr]|--eval|--print|--run")),
    **dict.fromkeys(("pwsh", "powershell"), re.compile(r"-c(ommand)?", re.IGNORECASE)),
    "cmd": re.compile(r"/[ck]", re.IGNORECASE),
}
"""Interpreters, and the options behind which they take code."""

_PATH = re.compile(r"data(\.[^.\s]+)*|[a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Placeholder:
    """A part of the event: an attribute's name, or `data` and the keys and indices below it."""

    path: str

    def __str__(self) -> str:
        """As it is configured."""
        return f"{{{self.path}}}"

    def value(self, event: Event) -> Json | bytes:
        """What the event has there.

        Raises:
            ApplicationError: the event lacks it, or it is null.
        """
        name, *keys = self.path.split(".")
        found = event.data if name == "data" else event.attributes.get(name, ABSENT)
        for key in keys:
            if isinstance(found, dict):
                found = found.get(key, ABSENT)
            elif isinstance(found, list) and _INDEX.fullmatch(key) and int(key) < len(found):
                found = found[int(key)]
            else:
                found = ABSENT
        if found is ABSENT or found is None:
            raise ApplicationError(f"the event has nothing at {{{self.path}}}")
        return found

    def plain(self, event: Event) -> str:
        """The same as text: a string as it is, anything else as its JSON text.

        Raises:
            ApplicationError: the event lacks it, or it is binary.
        """
        value = self.value(event)
        if isinstance(value, bytes):
            raise ApplicationError(f"{{{self.path}}} is binary; read it from $DISPATCHER_EVENT")
        return value if isinstance(value, str) else _as_text(value)

    def text(self, event: Event) -> str:
        """The same as an argument.

        Raises:
            ApplicationError: the event lacks it, or it cannot stand in an argument.
        """
        text = self.plain(event)
        if "\0" in text or not _encodable(text):
            raise ApplicationError(
                f"{{{self.path}}} has characters that no argument can hold; "
                "read it from $DISPATCHER_EVENT"
            )
        return text


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument: literal text and placeholders in turn."""

    parts: tuple[str | Placeholder, ...]

    def __str__(self) -> str:
        """As it is configured."""
        return "".join(
            re.sub("[{}]", r"\g<0>\g<0>", part) if isinstance(part, str) else str(part)
            for part in self.parts
        )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read literal text with placeholders.

        Raises:
            ValueError: braces do not close.
        """
        parts: list[str | Placeholder] = []
        end = 0
        for token in _TOKEN.finditer(text):
            parts.append(text[end : token.start()])
            parts.append(_token(token))
            end = token.end()
        parts.append(text[end:])
        return cls(tuple(part for part in parts if part != ""))

    def text(self, event: Event) -> str:
        """The argument for this event."""
        return "".join(part if isinstance(part, str) else part.text(event) for part in self.parts)

    def plain(self, event: Event) -> str:
        """The same for what is no argument: it may hold any character."""
        return "".join(part if isinstance(part, str) else part.plain(event) for part in self.parts)

    @property
    def literal(self) -> bool:
        """Whether nothing of it comes from the event."""
        return all(isinstance(part, str) for part in self.parts)

    @property
    def begins_with_event(self) -> bool:
        """Whether its first character is the event's to choose."""
        return bool(self.parts) and isinstance(self.parts[0], Placeholder)


@dataclass(frozen=True, slots=True)
class Command:
    """A program and its arguments."""

    program: str
    arguments: tuple[Argument, ...]

    def __str__(self) -> str:
        """A command line that `parse` reads as this one."""
        words = [str(Argument((self.program,))), *map(str, self.arguments)]
        return " ".join(
            shlex.quote(word) if _UNSAFE.search(word) else word or "''" for word in words
        )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a command line; words and quotes are a shell's, nothing else is.

        Raises:
            ValueError: quotes or braces do not close, the program is missing or a placeholder, or
                the event would be a part of what a shell or another interpreter executes.
        """
        if "\0" in text:
            raise ValueError("it has a NUL character")
        words = shlex.split(text)
        if not words or not words[0]:
            raise ValueError("it names no program")
        program, *arguments = (Argument.parse(word) for word in words)
        if not program.literal:
            raise ValueError("the program itself may not come from the event")
        _check_code(program, *arguments)
        return cls("".join(map(str, program.parts)), tuple(arguments))

    def fill(self, event: Event) -> list[str]:
        """The arguments, without the program, for this event.

        Raises:
            ApplicationError: the event lacks a placeholder, or would smuggle in an option.
        """
        filled: list[str] = []
        before: list[Argument] = []
        for argument in self.arguments:
            text = argument.text(event)
            if (
                argument.begins_with_event
                and text.startswith("-")
                and _END_OF_OPTIONS not in before
            ):
                raise ApplicationError(
                    f"argument {len(filled) + 1} comes from the event and begins with '-', which a "
                    "program may take for an option; put -- before it in the command"
                )
            filled.append(text)
            before.append(argument)
        return filled


_END_OF_OPTIONS = Argument(("--",))


def _check_code(*words: Argument) -> None:
    """Let no event stand in the code that an interpreter takes as an argument, such as sh -c.

    Raises:
        ValueError: it would.
    """
    interpreter, code_follows = "", False
    for word in words:
        text = str(word)
        if code_follows and not word.literal:
            raise ValueError(
                f"the event would choose what {interpreter} executes; name it behind the code and "
                "take it from there: sh -c 'convert \"$1\"' convert {data.path}"
            )
        options = _CODE_OPTIONS.get(interpreter)
        code_follows = bool(options and options.fullmatch(text))
        if _name(text) in _CODE_OPTIONS:
            interpreter = _name(text)
        elif not text.startswith(("-", "/")):
            interpreter = ""


def _name(program: str) -> str:
    """The name of a program without its folder, its version and what Windows has behind it."""
    return re.split(r"[/\\]", program)[-1].lower().removesuffix(".exe").rstrip("0123456789.")


def _token(token: re.Match[str]) -> str | Placeholder:
    if token[0] in {"{{", "}}"}:
        return token[0][0]
    if token[1] is None:
        raise ValueError(f"a brace stands alone at {token.start() + 1}; write {{{{ or }}}} for one")
    if not _PATH.fullmatch(token[1]):
        raise ValueError(
            f"{token[0]} names no attribute and no path into the data such as {{data.path}}"
        )
    return Placeholder(token[1])


def _as_text(value: Json) -> str:
    return canonical(value) if isinstance(value, int) else json.dumps(value)


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
