"""The limit on repeated log lines."""

import io
import logging
from collections.abc import Iterator

import pytest

from pacifica.dispatcher import telemetry
from pacifica.dispatcher.log_limit import LogLimit
from pacifica.dispatcher.telemetry import ERROR, INFO, WARNING, bound, emit


class Clock:
    """A clock that the test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_repeated_line_is_left_out_and_counted() -> None:
    clock = Clock()
    limit = LogLimit(clock)
    assert [limit.note("a") for _ in range(4)] == [""] * 4
    assert limit.note("a") == " [repeated; further lines like this one are left out for 60 s]"
    assert [limit.note("a") for _ in range(100)] == [None] * 100
    assert limit.note("b") == ""
    clock.now = 60
    assert limit.note("a") == " [100 lines like this one were left out]"
    assert limit.note("a") == ""


def test_a_rare_line_is_never_left_out() -> None:
    clock = Clock()
    limit = LogLimit(clock)
    for second in range(0, 1000, 13):
        clock.now = second
        assert limit.note("a") is not None


def test_the_kinds_are_bounded() -> None:
    limit = LogLimit()
    for number in range(5000):
        assert limit.note(number) == ""
    assert len(limit._seen) <= 1000  # noqa: SLF001


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """A stream that receives the log lines of the dispatcher and of libraries."""
    stream = io.StringIO()
    root = logging.getLogger()
    previous, root.handlers = root.handlers, []
    telemetry.log_to(stream)
    yield stream
    root.handlers = previous


def fail(number: int) -> None:
    """Raise an exception with a message of its own."""
    raise OSError(24, f"Too many open files ({number})")


def emit_failure(number: int) -> None:
    """Emit an internal error of a request of its own."""
    try:
        fail(number)
    except OSError as exc:
        with bound(request=str(number)):
            emit("request.failed", ERROR, exception=exc, path=f"/{number}")


def test_one_fault_in_many_requests_writes_few_tracebacks(lines: io.StringIO) -> None:
    for number in range(1000):
        emit_failure(number)
    assert lines.getvalue().count("Traceback") == 5


def test_runs_that_crash_are_all_named(lines: io.StringIO) -> None:
    for number in range(100):
        emit("run.crashed", WARNING, run=f"run-{number}")
    assert len(lines.getvalue().splitlines()) == 100


def test_ordinary_lines_are_not_limited(lines: io.StringIO) -> None:
    for _ in range(100):
        emit("event.accepted", INFO, event="e")
    assert len(lines.getvalue().splitlines()) == 100


@pytest.mark.parametrize("name", ["cherrypy.error", "celery.worker", "kombu"])
def test_the_tracebacks_of_libraries_are_limited(lines: io.StringIO, name: str) -> None:
    for number in range(100):
        try:
            fail(number)
        except OSError:
            logging.getLogger(name).exception("[25/Nov/2026:10:27:%02d] failed", number % 60)
    assert lines.getvalue().count("Traceback") == 5
    assert "further lines like this one are left out" in lines.getvalue()
