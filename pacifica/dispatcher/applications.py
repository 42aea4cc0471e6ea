"""An application as a value: which events, how to run, within which limits."""

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pacifica.dispatcher.command import Command
from pacifica.dispatcher.events import Event
from pacifica.dispatcher.filters import Filter


class Keep(enum.Enum):
    """What happens to a working directory when its attempt has ended."""

    FAILED = "failed"
    ALWAYS = "always"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Handler:
    """A Python callable, or a class with `handle`, by its import path."""

    module: str
    name: str


@dataclass(frozen=True, slots=True)
class Application:
    """What an operator configured under one name.

    Attributes:
        name: unique; it stands in URLs.
        way: how to run it.
        rule: filters that an event must all pass.
        dispatch: whether GET /dispatch may run it; without a rule it then gets no other events.
        environment: variables that it gets beside its event's.
        timeout: seconds that one attempt may take; None for no limit.
        kill_after: seconds between asking it to end and killing it.
        keep: what happens to its working directories.
        max_output: bytes of each output stream that are kept.
    """

    name: str
    way: Command | Handler
    rule: tuple[Filter, ...] = ()
    dispatch: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)
    timeout: float | None = None
    kill_after: float = 10.0
    keep: Keep = Keep.FAILED
    max_output: int = 1024**2

    def matches(self, event: Event) -> bool:
        """Whether the event is for this application."""
        if not self.rule:
            return not self.dispatch
        return all(each.matches(event) for each in self.rule)


def matching(applications: Iterable[Application], event: Event) -> tuple[Application, ...]:
    """All applications that the event is for, in the order of the configuration."""
    return tuple(application for application in applications if application.matches(event))


BUILT_IN = tuple(
    Application(name, Handler("pacifica.dispatcher.arithmetic", name), dispatch=True)
    for name in ("add", "mul")
)
"""Applications that are always there, for a first try; a section of the same name replaces one."""
