"""The applications that an event matches, and why."""

from collections.abc import Iterable
from dataclasses import dataclass

from pacifica.dispatcher.applications.application import Application
from pacifica.dispatcher.errors import TooMuchWorkError
from pacifica.dispatcher.events import Event, Json
from pacifica.dispatcher.rules import Explanation, work


def matching(applications: Iterable[Application], event: Event) -> tuple[Application, ...]:
    """Return the applications that the event matches, in the order of the configuration.

    Raises:
        TooMuchWorkError: their rules take too long, so the event may match or not.
    """
    with work.limited():
        work.step()
        return tuple(each for each in applications if _matches(each, event))


@dataclass(frozen=True, slots=True)
class Explained:
    """The reasons why an event matches an application, or does not.

    Attributes:
        application: the application's name.
        matched: True if the event matches.
        clauses: the explanation of each filter of its rule.
        note: a remark if it has no rule, if its rule takes too long, or if the event has expired.
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
    with work.limited():
        return tuple(_explain(each, event, expired=expired) for each in applications)


def _explain(application: Application, event: Event, *, expired: bool) -> Explained:
    note = None
    if expired:
        note = "the event has expired (expirytime): no application receives it"
    elif not application.rule:
        note = "runs only by GET /dispatch" if application.dispatch else "no rule: every event"
    try:
        clauses = tuple(each.explain(event) for each in application.rule)
        matched = application.matches(event) and not expired
    except TooMuchWorkError as exc:
        return Explained(application.name, matched=False, clauses=(), note=f"the rule takes {exc}")
    return Explained(application.name, matched, clauses, note)


def _matches(application: Application, event: Event) -> bool:
    try:
        return application.matches(event)
    except TooMuchWorkError as exc:
        raise TooMuchWorkError(
            f"The rule of application {application.name} takes {exc}; nothing was stored. Send "
            "fewer or smaller events per request, or simplify the rule"
        ) from exc
