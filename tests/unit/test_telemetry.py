"""Telemetry events as log lines."""

import io
import logging
import re
import threading

import pytest

from pacifica.dispatcher import telemetry
from pacifica.dispatcher.telemetry import Record, bound, emit, log_line


def line(**fields: str | float | bool | None) -> str:
    """Return the fields of a log line."""
    return log_line(Record("subject.verb", logging.INFO, fields, None)).removeprefix("subject.verb")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain", "plain"),
        (7, "7"),
        (0.25, "0.25"),
        (True, "True"),
        ("two words", '"two words"'),
        ("", '""'),
        ('a"b', r'"a\"b"'),
        ("a=b", '"a=b"'),
        ("grün", "grün"),
        ("ein grün", '"ein grün"'),
        ("first\nsecond", r'"first\nsecond"'),
        ("\x1b[31mred", r'"\u001b[31mred"'),
        ("\u202ereversed", r'"\u202ereversed"'),
    ],
)
def test_a_value_cannot_break_a_line(value: str | float, text: str) -> None:
    assert line(key=value) == f" key={text}"


def test_a_field_that_is_none_is_left_out(emitted: list[Record]) -> None:
    emit("a.b", run=None, event="e")
    assert emitted[0].fields == {"event": "e"}


def test_bound_fields_come_first_and_only_within_the_block(emitted: list[Record]) -> None:
    with bound(event="e", run="r"):
        with bound(attempt=2):
            emit("a.b", reason="because")
        emit("a.c")
    emit("a.d")
    assert [log_line(each) for each in emitted] == [
        "a.b event=e run=r attempt=2 reason=because",
        "a.c event=e run=r",
        "a.d",
    ]


def test_another_thread_does_not_see_bound_fields(emitted: list[Record]) -> None:
    with bound(run="r"):
        thread = threading.Thread(target=emit, args=("a.b",))
        thread.start()
        thread.join()
    assert emitted[0].fields == {}


def test_an_exception_is_logged_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    emit("a.failed", telemetry.ERROR, exception=ValueError("unexpected"))
    assert caplog.records[0].levelno == logging.ERROR
    assert "ValueError: unexpected" in caplog.text


@pytest.fixture
def lines() -> io.StringIO:
    """A stream that receives the log lines of the dispatcher."""
    stream = io.StringIO()
    telemetry.log_to(stream)
    return stream


def test_a_log_line_has_a_time_and_a_level(lines: io.StringIO) -> None:
    emit("a.b", telemetry.WARNING, run="r")
    emit("a.c", telemetry.DEBUG)
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} WARNING a\.b run=r\n", lines.getvalue()
    )


def test_a_log_line_has_the_current_time(
    lines: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    for now in (1.0, 1.9996, 2.0005):
        monkeypatch.setattr("pacifica.dispatcher.telemetry.time.time", lambda now=now: now)
        emit("a.b")
    times = [line.split()[1].partition(":")[2] for line in lines.getvalue().splitlines()]
    assert times == ["00:01,000", "00:01,999", "00:02,000"]


def test_an_exception_follows_its_log_line(lines: io.StringIO) -> None:
    emit("a.failed", telemetry.ERROR, exception=ValueError("unexpected"))
    first, *_, last = lines.getvalue().splitlines()
    assert first.endswith("ERROR a.failed")
    assert last == "ValueError: unexpected"


def test_a_failing_stream_does_not_fail_the_caller(lines: io.StringIO) -> None:
    lines.close()
    emit("a.b")
