"""Interrupt each transaction between any two statements with an action of another process."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from pacifica.dispatcher import orm
from pacifica.dispatcher.applications import Application, Rate
from pacifica.dispatcher.errors import ConflictError, DatabaseUnavailableError
from pacifica.dispatcher.execution.capture import Piece
from tests.factories import app, claimant, make_event
from tests.integration.guarantees.rows import (
    FINAL,
    HOST,
    INITIAL,
    by_name,
    check_attempts,
    check_blocked,
    check_form,
    clear,
    concurrency_of,
    read_attempts,
    read_runs,
    record,
    taken,
)


class Scenario:
    """Three runs of one application: running, published and waiting."""

    def __init__(self, database: orm.Database, application: Application) -> None:
        """Create the runs; with a rate limit, none is running."""
        clear(database)
        self.applications = by_name(application)
        self.claim: orm.Claim | None = None
        numbers = range(3 if application.rate is None else 2)
        batch = [orm.Arrival(make_event(number), [application]) for number in numbers]
        events = [orm.event(database, each.uuid) for each in orm.accept(database, batch)]
        *_, self.waiting = runs = [event.runs[0].uuid for event in events]
        if application.rate is None:
            [running] = self._publish(database, 1)
            assert running == runs[0]
            self.claim = orm.claim(database, running, self.claimant)
        [self.published] = self._publish(database, 1)

    @property
    def claimant(self) -> orm.Claimant:
        """A claimant for the worker."""
        return claimant("worker", *self.applications.values(), host=HOST)

    @property
    def cancellable(self) -> str:
        """The run to cancel."""
        return self.published if self.claim is None else self.claim.run

    def _publish(self, database: orm.Database, window: int) -> list[str]:
        return [each.run for each in orm.publish(database, window, self.applications)[0]]

    def perform(self, action: str, database: orm.Database) -> None:
        """Perform an action that is possible at any time."""
        actions: dict[str, Callable[[], object]] = {
            "publish": lambda: self._publish(database, 256),
            "reconsider": lambda: orm.reconsider(database, self.applications),
            "claim": lambda: orm.claim(database, self.published, self.claimant),
            "unpublish": lambda: orm.unpublish(database, [self.published]),
            "republish": lambda: orm.republish_lost(database, "", 1, time.time()),
            "cancel": lambda: self._cancel(database, self.cancellable),
            "cancel published": lambda: self._cancel(database, self.published),
            "cancel waiting": lambda: self._cancel(database, self.waiting),
            "crash": lambda: [
                orm.crash(database, held, "process died", 2)
                for held in orm.attempts_of(database, "worker")
            ],
        }
        if action in actions:
            actions[action]()
        elif self.claim is not None:
            piece = Piece("stdout", 1, 1.0, b"output")
            record(action, database, self.claim, self.applications, piece)

    @staticmethod
    def _cancel(database: orm.Database, run: str) -> None:
        error: str | None = None
        try:
            orm.ask_to_cancel(database, run)
        except ConflictError as exc:
            error = str(exc)
        state = orm.run(database, run)[0].status
        assert error is None or state in FINAL, f"{error}, but the run is {state}"

    def check(self, database: orm.Database) -> None:
        """Check limits, blocked runs, and the form of every run."""
        rows, attempts = read_runs(database), read_attempts(database)
        for run, row in rows.items():
            check_form(row)
            check_attempts(row, attempts.get(run, []))
        for (name, _), number in taken(rows.values()).items():
            concurrency = concurrency_of(self.applications, name)
            assert concurrency is None or number <= concurrency, "concurrency limit exceeded"
            if self.applications[name].rate is not None:
                published = sum(row.published is not None for row in rows.values())
                starts = sum(len(each) for each in attempts.values())
                assert published + starts <= 1, "rate limit exceeded"
        check_blocked(rows.values(), self.applications)


class Interruption:
    """Perform an action just before one of a database's statements."""

    def __init__(self, database: orm.Database, monkeypatch: pytest.MonkeyPatch) -> None:
        """Wrap the database's statements."""
        self._execute = database.peewee.execute_sql
        self._remaining = 0
        self._action: Callable[[], None] | None = None
        monkeypatch.setattr(database.peewee, "execute_sql", self._interrupted)

    def before(self, number: int, action: Callable[[], None]) -> None:
        """Perform an action before the statement with this number, counted from now."""
        self._remaining, self._action = number, action

    def happened(self) -> bool:
        """Return True if the statement was reached, and reset."""
        happened, self._action = self._action is None, None
        return happened

    def _interrupted(self, *arguments: object) -> Any:  # noqa: ANN401 - a DB-API cursor
        if self._action is not None:
            self._remaining -= 1
            if self._remaining < 0:
                action, self._action = self._action, None
                with suppress(DatabaseUnavailableError):  # It would have waited for a lock.
                    action()
        return self._execute(*arguments)


ACTIONS = ("publish", "reconsider", "cancel", "cancel published", "crash", "released")
INTERRUPTING = ("claim", "unpublish", "cancel waiting", "succeeded", "put off")


@pytest.fixture
def databases(postgres_url: str) -> Iterator[tuple[orm.Database, orm.Database]]:
    """Open a database twice; the second time with a short lock timeout."""
    database = orm.Database(postgres_url)
    database.prepare(attempts=1, wait=0)
    no_wait = orm.Database(postgres_url, waits=orm.Waits(lock=0.002))
    yield database, no_wait
    database.close()
    no_wait.close()


APPLICATIONS = (
    INITIAL["plain"],
    INITIAL["pair"],
    app("roomy", concurrency=3),
    app("rated", rate=Rate(1, 3600.0)),
)


@pytest.mark.parametrize("application", APPLICATIONS, ids=lambda application: application.name)
def test_no_interruption_breaks_a_guarantee(
    application: Application,
    databases: tuple[orm.Database, orm.Database],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    database, no_wait = databases
    interruption = Interruption(database, monkeypatch)
    broken: dict[tuple[str, str], str] = {}
    for action in ACTIONS:
        for interrupting in INTERRUPTING:
            number, happened = 0, True
            while happened:
                scenario = Scenario(database, application)
                interruption.before(number, partial(scenario.perform, interrupting, no_wait))
                try:
                    scenario.perform(action, database)
                    happened = interruption.happened()
                    scenario.check(database)
                except AssertionError as exc:
                    problem = str(exc).splitlines()[0]
                    broken[action, interrupting] = f"before statement {number}: {problem}"
                number += 1
    assert not broken
