"""Verdicts and error messages for each end of an attempt."""

import pytest

from pacifica.dispatcher.execution.ended import Cause, Ended
from pacifica.dispatcher.execution.outcome import Outcome, Verdict, decide, error_of, interrupted
from tests.factories import app

INTERRUPTED = {Cause.CANCELLED, Cause.STOPPED, Cause.ORPHANED, Cause.LOST}


def test_no_error_is_success() -> None:
    assert decide(Outcome(exit_code=0), may_retry=True) is Verdict.SUCCEEDED


@pytest.mark.parametrize("cause", [Cause.EXITED, Cause.TIMED_OUT, Cause.NOT_STARTED])
@pytest.mark.parametrize(("may_retry", "verdict"), [(True, Verdict.RETRY), (False, Verdict.FAILED)])
def test_an_error_is_a_failure(cause: Cause, *, may_retry: bool, verdict: Verdict) -> None:
    assert decide(Outcome(cause, error="exit code 1"), may_retry=may_retry) is verdict


@pytest.mark.parametrize("cause", [Cause.STOPPED, Cause.ORPHANED, Cause.LOST, Cause.NO_ROOM])
@pytest.mark.parametrize("may_retry", [True, False])
def test_an_interruption_releases_the_run(cause: Cause, *, may_retry: bool) -> None:
    assert decide(Outcome(cause, error="why"), may_retry=may_retry) is Verdict.RELEASED


@pytest.mark.parametrize("may_retry", [True, False])
def test_a_cancelled_attempt_cancels_the_run(*, may_retry: bool) -> None:
    outcome = Outcome(Cause.CANCELLED, exit_code=3, error="cancelled")
    assert decide(outcome, may_retry=may_retry) is Verdict.CANCELLED


@pytest.mark.parametrize(
    ("ended", "error"),
    [
        (Ended(0, None, Cause.EXITED), None),
        (Ended(3, None, Cause.EXITED), "exit code 3"),
        (Ended(None, "SIGKILL", Cause.EXITED), "killed by SIGKILL"),
        (
            Ended(None, "SIGKILL", Cause.EXITED, oom_kill=True),
            "killed by SIGKILL, because the system ran out of memory",
        ),
        (Ended(None, "SIGSEGV", Cause.EXITED, oom_kill=True), "killed by SIGSEGV"),
        (
            Ended(137, None, Cause.EXITED),
            "exit code 137 (a child was killed by SIGKILL, often for lack of memory)",
        ),
        (
            Ended(137, None, Cause.EXITED, oom_kill=True),
            "exit code 137 (a child was killed by SIGKILL, because the system ran out of memory)",
        ),
        (Ended(143, None, Cause.EXITED), "exit code 143 (a child was killed by SIGTERM)"),
        (Ended(128, None, Cause.EXITED), "exit code 128"),
        (Ended(255, None, Cause.EXITED, oom_kill=True), "exit code 255"),
        (Ended(None, None, Cause.EXITED), None),
        (Ended(0, None, Cause.TIMED_OUT), "timed out after 5 s"),
        (Ended(None, "SIGTERM", Cause.TIMED_OUT), "timed out after 5 s"),
        (Ended(0, None, Cause.CANCELLED), "cancelled"),
        (Ended(3, None, Cause.STOPPED), "the worker stopped; the run is queued again"),
        (Ended(None, None, Cause.ORPHANED), "the worker died; the run is queued again"),
        (Ended(0, None, Cause.LOST), "the worker lost its lease; the run is queued again"),
    ],
)
def test_the_error_of_an_end(ended: Ended, error: str | None) -> None:
    assert error_of(ended, app(timeout=5.0)) == error


_LEFT = "cannot end process 7 (sleep, user nobody): permission denied"


@pytest.mark.parametrize(
    ("cause", "error"),
    [
        (Cause.EXITED, _LEFT),
        (Cause.TIMED_OUT, f"timed out after 5 s; {_LEFT}"),
        (Cause.CANCELLED, f"cancelled; {_LEFT}"),
        (Cause.STOPPED, f"the worker stopped; {_LEFT}"),
    ],
)
def test_the_error_names_the_processes_that_are_left(cause: Cause, error: str) -> None:
    assert error_of(Ended(0, None, cause, _LEFT), app(timeout=5.0)) == error


@pytest.mark.parametrize("cause", [Cause.EXITED, Cause.TIMED_OUT, Cause.STOPPED, Cause.LOST])
def test_no_attempt_follows_one_whose_processes_live_on(cause: Cause) -> None:
    outcome = Outcome(cause, error="why", lives=True)
    assert decide(outcome, may_retry=True) is Verdict.FAILED


@pytest.mark.parametrize("cause", Cause)
def test_only_some_attempts_are_ended_from_outside(cause: Cause) -> None:
    assert interrupted(Ended(None, None, cause)) is (cause in INTERRUPTED)
