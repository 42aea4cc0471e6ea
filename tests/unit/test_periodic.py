"""Threads that call a function periodically."""

import threading

import pytest

from harness import DEADLINE, wait_until
from pacifica.dispatcher.periodic import Periodic

FOREVER = 3600.0


def test_the_function_returns_the_next_wait() -> None:
    waits = iter([0.0, 0.0, FOREVER])
    calls: list[float] = []

    def act() -> float:
        calls.append(wait := next(waits))
        return wait

    thread = Periodic("test", act)
    thread.start()
    wait_until(lambda: calls[-1:] == [FOREVER])
    thread.stop()
    assert calls == [0.0, 0.0, FOREVER]


def test_a_waiting_thread_is_woken() -> None:
    called = threading.Semaphore(0)

    def act() -> float:
        called.release()
        return FOREVER

    thread = Periodic("test", act)
    thread.start()
    assert called.acquire(timeout=DEADLINE)
    thread.wake()
    assert called.acquire(timeout=DEADLINE)
    thread.stop()


def test_the_first_call_may_wait() -> None:
    called = threading.Event()

    def act() -> float:
        called.set()
        return FOREVER

    thread = Periodic("test", act, first=FOREVER)
    thread.start()
    thread.stop()
    assert not called.is_set()


def test_a_stop_ends_a_pause() -> None:
    pausing = threading.Event()

    def act() -> float:
        pausing.set()
        thread.pause(FOREVER)
        return FOREVER

    thread = Periodic("test", act)
    thread.start()
    assert pausing.wait(DEADLINE)
    thread.stop()


def test_an_exception_is_logged_and_does_not_end_the_thread(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pacifica.dispatcher.periodic._AFTER_FAILURE", 0.0)
    again = threading.Event()
    failures = iter([ValueError("once")])

    def act() -> float:
        if failure := next(failures, None):
            raise failure
        again.set()
        return FOREVER

    thread = Periodic("test", act)
    thread.start()
    assert again.wait(DEADLINE)
    thread.stop()
    assert "thread.failed thread=test" in caplog.text


def test_at_end_is_called_once_and_in_the_thread() -> None:
    ends: list[str] = []
    thread = Periodic(
        "test", lambda: FOREVER, at_end=lambda: ends.append(threading.current_thread().name)
    )
    thread.start()
    thread.stop()
    thread.stop()
    assert ends == ["test"]


def test_stopping_a_thread_that_never_started_does_nothing() -> None:
    Periodic("test", lambda: FOREVER).stop()


def test_a_call_that_hangs_does_not_keep_it_from_stopping(
    caplog: pytest.LogCaptureFixture,
) -> None:
    hanging, end = threading.Event(), threading.Event()

    def act() -> float:
        hanging.set()
        end.wait(DEADLINE)
        return FOREVER

    thread = Periodic("test", act)
    thread.start()
    assert hanging.wait(DEADLINE)
    thread.stop(within=0.05)
    assert "thread.left thread=test" in caplog.text
    end.set()
    thread.stop()
