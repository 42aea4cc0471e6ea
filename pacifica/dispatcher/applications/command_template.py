"""A command line with placeholders for parts of an event, run without a shell."""

import json
import re
import shlex
from dataclasses import dataclass
from typing import Self

from pacifica.dispatcher.errors import ApplicationError
from pacifica.dispatcher.events import ABSENT, Event, Json, canonical
from pacifica.dispatcher.rules import work

_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_INDEX = re.compile(r"0|[1-9]\d{0,8}", re.ASCII)
_UNSAFE = re.compile(r"""[\s'"\\#]|^$""")
_SHELL = re.compile(r"-[a-z]*c")
# Interpreters, and the options after which they take code.
_CODE_OPTIONS = {
    **dict.fromkeys(("sh", "bash", "dash", "ash", "zsh", "ksh", "fish"), _SHELL),
    **dict.fromkeys(("python", "pypy"), re.compile(r"-[A-Za-z]*c")),
    **dict.fromkeys(("perl", "ruby"), re.compile(r"-[A-Za-z]*[eE]")),
    **dict.fromkeys(("node", "php"), re.compile(r"-[epr]|--eval|--print|--run")),
    **dict.fromkeys(("pwsh", "powershell"), re.compile(r"-c(ommand)?", re.IGNORECASE)),
    "cmd": re.compile(r"/[ck]", re.IGNORECASE),
}

_PATH = re.compile(r"data(\.[^.\s]+)*|[a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Placeholder:
    """A part of the event: an attribute's name, or `data` followed by keys and indices."""

    path: str

    def __str__(self) -> str:
        """Return the placeholder as configured."""
        return f"{{{self.path}}}"

    def value(self, event: Event) -> Json | bytes:
        """Return the value in the event.

        Raises:
            ApplicationError: the value is missing or null.
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
            raise ApplicationError(f"the event has no value for {self}")
        return found

    def text(self, event: Event) -> str:
        """Return the value as text: a string unchanged, any other value as its JSON text.

        Raises:
            ApplicationError: the value is missing, null or binary.
        """
        value = self.value(event)
        if isinstance(value, bytes):
            raise ApplicationError(f"{self} is binary; read it from $DISPATCHER_EVENT")
        return value if isinstance(value, str) else _as_text(value)

    def argument(self, event: Event) -> str:
        """Return the value as a command line argument.

        Raises:
            ApplicationError: the value is missing, null or binary, or contains characters that an
                argument cannot.
        """
        text = self.text(event)
        if "\0" in text or not _encodable(text):
            raise ApplicationError(
                f"{self} contains characters that an argument cannot; "
                "read it from $DISPATCHER_EVENT"
            )
        return text


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument: a sequence of literal text and placeholders."""

    parts: tuple[str | Placeholder, ...]

    def __str__(self) -> str:
        """Return the argument as configured."""
        return "".join(
            re.sub("[{}]", r"\g<0>\g<0>", part) if isinstance(part, str) else str(part)
            for part in self.parts
        )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse literal text with placeholders.

        Raises:
            ValueError: unbalanced braces, or an invalid placeholder.
        """
        parts: list[str | Placeholder] = []
        end = 0
        for token in _TOKEN.finditer(text):
            parts.append(text[end : token.start()])
            parts.append(_part(token))
            end = token.end()
        parts.append(text[end:])
        return cls(tuple(part for part in parts if part != ""))

    def fill(self, event: Event) -> str:
        """Return the argument for this event."""
        return "".join(
            part if isinstance(part, str) else part.argument(event) for part in self.parts
        )

    def text(self, event: Event) -> str:
        """Return the text for this event, which may contain characters that an argument cannot.

        Raises:
            ApplicationError: a value is missing, null or binary.
            TooMuchWorkError: the text is too long, or the time of the request is up.
        """
        texts: list[str] = []
        length = 0
        for part in self.parts:
            texts.append(part if isinstance(part, str) else part.text(event))
            length += len(texts[-1])
            work.require(length)
        return "".join(texts)

    @property
    def literal(self) -> bool:
        """Return True if it has no placeholders."""
        return all(isinstance(part, str) for part in self.parts)

    @property
    def begins_with_event(self) -> bool:
        """Return True if it begins with a placeholder."""
        return bool(self.parts) and isinstance(self.parts[0], Placeholder)


@dataclass(frozen=True, slots=True)
class CommandTemplate:
    """A program and its arguments."""

    program: str
    arguments: tuple[Argument, ...]

    def __str__(self) -> str:
        """Return a command line that `parse` turns back into this command."""
        words = [str(Argument((self.program,))), *map(str, self.arguments)]
        return " ".join(
            shlex.quote(word) if _UNSAFE.search(word) else word or "''" for word in words
        )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a command line with the quoting rules of a shell, and no other shell syntax.

        Raises:
            ValueError: unbalanced quotes or braces, a missing program, a placeholder in the
                program, or one in code that a shell or another interpreter would execute.
        """
        if "\0" in text:
            raise ValueError("contains a NUL character")
        words = shlex.split(text)
        if not words or not words[0]:
            raise ValueError("no program given")
        program, *arguments = (Argument.parse(word) for word in words)
        if not program.literal:
            raise ValueError(f"the program must not contain placeholders: {program}")
        _reject_event_in_code(program, *arguments)
        return cls("".join(map(str, program.parts)), tuple(arguments))

    def fill(self, event: Event) -> list[str]:
        """Return the arguments for this event, without the program.

        Raises:
            ApplicationError: the event lacks a value, or would inject an option.
        """
        filled: list[str] = []
        before: list[Argument] = []
        for argument in self.arguments:
            text = argument.fill(event)
            if (
                argument.begins_with_event
                and text.startswith("-")
                and _END_OF_OPTIONS not in before
            ):
                raise ApplicationError(
                    f"argument {len(filled) + 1} ({argument}) begins with '-' in this event, so "
                    "the program may mistake it for an option; put -- before it in the command"
                )
            filled.append(text)
            before.append(argument)
        return filled


_END_OF_OPTIONS = Argument(("--",))


def _reject_event_in_code(*words: Argument) -> None:
    # A placeholder in the code of `sh -c` and the like would let a sender inject code.
    interpreter, code_follows = "", False
    for word in words:
        text = str(word)
        if code_follows and not word.literal:
            raise ValueError(
                f"{word} would let the event choose code for {interpreter}; pass the value as an "
                "argument instead, such as sh -c 'convert \"$1\"' convert {data.path}"
            )
        options = _CODE_OPTIONS.get(interpreter)
        code_follows = bool(options and options.fullmatch(text))
        if _program_name(text) in _CODE_OPTIONS:
            interpreter = _program_name(text)
        elif not text.startswith(("-", "/")):
            interpreter = ""


def _program_name(program: str) -> str:
    # Without directory, version and .exe.
    return re.split(r"[/\\]", program)[-1].lower().removesuffix(".exe").rstrip("0123456789.")


def _part(token: re.Match[str]) -> str | Placeholder:
    if token[0] in {"{{", "}}"}:
        return token[0][0]
    if token[1] is None:
        position = token.start() + 1
        raise ValueError(
            f"unmatched brace at character {position}; write {{{{ or }}}} for a literal brace"
        )
    if not _PATH.fullmatch(token[1]):
        raise ValueError(
            f"{token[0]} is not a valid placeholder; use an attribute name or a path such as "
            "{data.path}"
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
