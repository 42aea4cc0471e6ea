"""The steps of an attempt, with executors that fail in various ways."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import pytest

from pacifica.dispatcher import orm
from pacifica.dispatcher.applications.command_template import Argument, CommandTemplate, Placeholder
from pacifica.dispatcher.errors import ApplicationError
from pacifica.dispatcher.execution.attempt import Attempt
from pacifica.dispatcher.execution.ended import Cause, Ended
from pacifica.dispatcher.execution.outcome import Outcome
from pacifica.dispatcher.execution.perform import perform
from pacifica.dispatcher.execution.process import Life, Sink
from pacifica.dispatcher.execution.workdir import Workdir
from tests.factories import app, make_event

INTERRUPTIONS = [Cause.CANCELLED, Cause.STOPPED, Cause.ORPHANED, Cause.LOST]


@dataclass
class Batch:
    """An executor for remote jobs that records all calls.

    Attributes:
        polls: number of polls until the job has ended.
        act: callback at each poll.
    """

    polls: int = 0
    act: Callable[[], object] = lambda: None
    refusal: str | None = None
    log: list[object] = field(default_factory=list)
    cause: Cause = Cause.EXITED

    def handle(self, run: str, number: int, /) -> str:
        return f"batch:{run}.{number}"

    def start(self, attempt: Attempt, _sink: Sink, /) -> Self:
        if self.refusal:
            raise ApplicationError(self.refusal)
        self.log.append(("start", attempt.run))
        return self

    def inspect(self, _handle: str, /, *, worker_lives: bool) -> Life:
        return Life.ALIVE if worker_lives else Life.UNKNOWN

    def kill(self, handle: str) -> None:
        self.log.append(("kill", handle))

    def sweep(self, worker: str, run: str | None = None, number: int = 0) -> str:
        self.log.append(("sweep", worker, run, number))
        return ""

    def __enter__(self) -> Self:
        """Start polling."""
        return self

    def __exit__(self, *_: object) -> None:
        """Record the end."""
        self.log.append("left")

    def poll(self, _timeout: float, /) -> bool:
        self.act()
        self.polls -= 1
        return self.polls < 0

    def cancel(self, cause: Cause) -> None:
        self.cause = cause
        self.log.append(cause)

    def collect(self) -> Ended:
        self.log.append("collect")
        return Ended(0, None, self.cause)


class Silent:
    """A sink for no output."""

    def write(self, _stream: str, _data: bytes, /) -> None:
        raise AssertionError

    def tick(self) -> None:
        raise AssertionError


@pytest.fixture
def attempt(tmp_path: Path) -> Iterator[Attempt]:
    run = orm.new_uuid()
    workdir = Workdir.of(tmp_path, run, 1)
    yield Attempt(run, 1, "worker", app(), make_event(), workdir, tmp_path)
    workdir.remove()


def perform_attempt(attempt: Attempt, batch: Batch, *causes: Cause | None) -> Outcome:
    """Perform an attempt; each check for an interruption returns the next cause."""
    pending = iter(causes)
    return perform(attempt, batch, Silent(), lambda: next(pending, None))


def test_an_attempt_is_polled_until_it_has_ended_and_collected(attempt: Attempt) -> None:
    batch = Batch(polls=3)
    assert perform_attempt(attempt, batch) == Outcome(exit_code=0, command=["true"])
    assert batch.log == [("start", attempt.run), "collect", "left"]


def test_the_files_exist_when_an_attempt_starts(attempt: Attempt) -> None:
    found: list[bool] = []
    perform_attempt(attempt, Batch(act=lambda: found.append(Path(attempt.workdir.event).exists())))
    assert found == [True]


@pytest.mark.parametrize("cause", INTERRUPTIONS)
def test_an_attempt_that_is_interrupted_before_it_starts_is_not_started(
    attempt: Attempt, cause: Cause
) -> None:
    batch = Batch()
    assert perform_attempt(attempt, batch, cause).cause is cause
    assert batch.log == []


@pytest.mark.parametrize("cause", INTERRUPTIONS)
def test_an_interruption_cancels_the_execution(attempt: Attempt, cause: Cause) -> None:
    batch = Batch(polls=3)
    outcome = perform_attempt(attempt, batch, None, None, cause)
    assert (outcome.cause, outcome.error is None) == (cause, False)
    assert batch.log == [("start", attempt.run), cause, "collect", "left"]


def test_the_result_is_read_at_the_end(attempt: Attempt) -> None:
    batch = Batch(act=lambda: Path(attempt.workdir.result).write_text("7", encoding="utf-8"))
    assert perform_attempt(attempt, batch).result == "7"


def test_an_attempt_that_was_interrupted_has_no_result(attempt: Attempt) -> None:
    batch = Batch(act=lambda: Path(attempt.workdir.result).write_text("7", encoding="utf-8"))
    batch.polls = 1
    assert perform_attempt(attempt, batch, None, Cause.STOPPED).result is None


def test_an_executor_that_cannot_start_fails_the_attempt(attempt: Attempt) -> None:
    outcome = perform_attempt(attempt, Batch(refusal="the queue is closed"))
    assert outcome == Outcome(Cause.NOT_STARTED, error="the queue is closed", command=["true"])


def test_a_command_that_cannot_be_filled_is_not_started(tmp_path: Path) -> None:
    command = CommandTemplate("echo", (Argument((Placeholder("data.path"),)),))
    workdir = Workdir.of(tmp_path, "run", 1)
    attempt = Attempt("run", 1, "worker", app(target=command), make_event(), workdir, tmp_path)
    batch = Batch()
    outcome = perform_attempt(attempt, batch)
    assert (outcome.cause, outcome.command, batch.log) == (Cause.NOT_STARTED, None, [])


def test_an_exception_abandons_the_execution(attempt: Attempt) -> None:
    def fail() -> None:
        raise MemoryError

    batch = Batch(act=fail)
    with pytest.raises(MemoryError):
        perform_attempt(attempt, batch)
    assert batch.log == [("start", attempt.run), "left"]
