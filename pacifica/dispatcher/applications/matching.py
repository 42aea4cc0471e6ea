"""The applications that an event matches, and why."""

from collections.abc import Iterable
from dataclasses import dataclass

from pacifica.dispatcher.applications.application import Application
from pacifica.dispatcher.events import Event, Json
from pacifica.dispatcher.rules import Explanation


def matching(applications: Iterable[Application], event: Event) -> tuple[Application, ...]:
    """Return the applications that the event matches, in the order of the configuration."""
    return tuple(application for application in applications if application.matches(event))


@dataclass(frozen=True, slots=True)
class Explained:
    """The reasons why an event matches an application, or does not.

    Attributes:
        application: the application's name.
        matched: True if the event matches.
        clauses: the explanation of each filter of its rule.
        note: a remark if it has no rule, or if the event has expired.
    """

    application: str
    matched: bool
    clauses: tuple[Explanation, ...]
    note: str | None = None

    def document(self) -> dict[str, Json]:
        """Return the explanation as a JSON object."""
        found: dict[str, Json] = {
            "application": self.application,
            "matched": self.matched,
            "clauses": [each.document() for each in self.clauses],
        }
        return found if self.note is None else {**found, "note": self.note}


def explain(
    applications: Iterable[Application], event: Event, now: float | None = None
) -> tuple[Explained, ...]:
    """Explain for each application why the event matches it, or does not.

    Args:
        applications: the applications to consider.
        event: the event.
        now: epoch seconds; an event that has expired by then matches no application. If None,
            only the rules count.
    """
    expired = now is not None and event.expired(now)
    return tuple(_explain(each, event, expired=expired) for each in applications)


def _explain(application: Application, event: Event, *, expired: bool) -> Explained:
    note = None
    if expired:
        note = "the event has expired (expirytime): no application receives it"
    elif not application.rule:
        note = "runs only by GET /dispatch" if application.dispatch else "no rule: every event"
    clauses = tuple(each.explain(event) for each in application.rule)
    return Explained(application.name, application.matches(event) and not expired, clauses, note)
