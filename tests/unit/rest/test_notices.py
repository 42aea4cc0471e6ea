"""Notices of ended runs, and the responses that wait for them."""

import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from harness import DEADLINE, wait_until
from pacifica.dispatcher import orm, rest
from pacifica.dispatcher.rest import waiting as of_waiting
from pacifica.dispatcher.rest.notices import Notices
from tests.factories import claimed_run
from tests.unit.rest.factories import UNKNOWN, Client, Response

QUICK = 30.0
"""Seconds: shorter than any wait without a notice."""


@pytest.fixture
def notices(context: rest.Context) -> Iterator[Notices]:
    context.notices.start()
    yield context.notices
    context.notices.stop()


def end(database: orm.Database, claim: orm.Claim) -> None:
    """Finish the run of a claim successfully."""
    assert orm.finish(database, claim, orm.State.SUCCEEDED, orm.Outcome(exit_code=0), [])


def test_the_end_of_a_run_wakes_the_waiter_for_its_event(
    notices: Notices, database: orm.Database
) -> None:
    claim, other = claimed_run(database, 1), claimed_run(database, 2)
    with notices.waiting(claim.event) as waiter, notices.waiting(other.event) as another:
        end(database, claim)
        assert waiter.wait(DEADLINE)
        assert not another.wait(0.0)


def test_the_end_of_any_run_wakes_a_waiter_for_any_run(
    notices: Notices, database: orm.Database
) -> None:
    claim = claimed_run(database)
    with notices.waiting() as waiter:
        end(database, claim)
        assert waiter.wait(DEADLINE)


def test_a_stop_wakes_all_waiters(context: rest.Context) -> None:
    context.notices.start()
    with context.notices.waiting(UNKNOWN) as waiter:
        context.notices.stop()
        assert waiter.wait(DEADLINE)


@pytest.fixture
def waiting(notices: Notices, context: rest.Context) -> Client:
    """A client of a web tier that reads notices."""
    assert context.notices is notices
    return Client(context)


def get_in_thread(client: Client, target: str) -> tuple[threading.Thread, list[Response]]:
    """Send a request in a thread; return the thread, and the list for its response."""
    responses: list[Response] = []
    thread = threading.Thread(target=lambda: responses.append(client.get(target)))
    thread.start()
    return thread, responses


@pytest.mark.parametrize("target", ["/status/{event}?wait=60", "/runs/{run}?wait=60"])
def test_a_response_waits_for_the_end_of_the_run(
    waiting: Client,
    context: rest.Context,
    database: orm.Database,
    target: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(of_waiting, "_PAUSE", 3600.0)
    claim = claimed_run(database)
    address = target.format(event=claim.event, run=claim.run)
    thread, responses = get_in_thread(waiting, address)
    wait_until(lambda: context.slots.taken == 1)
    ended_at = time.monotonic()
    end(database, claim)
    thread.join(DEADLINE)
    assert time.monotonic() - ended_at < QUICK
    assert responses[0].json["status"] == "succeeded"
    assert context.slots.taken == 0


def test_a_wait_has_a_time_limit(waiting: Client, database: orm.Database) -> None:
    claim = claimed_run(database)
    assert waiting.get(f"/status/{claim.event}?wait=1").json["status"] == "running"


def test_an_ended_run_is_not_waited_for(
    waiting: Client, context: rest.Context, database: orm.Database
) -> None:
    claim = claimed_run(database)
    end(database, claim)
    full = replace(context, slots=rest.StreamSlots(0))
    for client in (waiting, Client(full)):
        assert client.get(f"/status/{claim.event}?wait=60").json["status"] == "succeeded"


def test_a_request_without_a_slot_does_not_wait(
    context: rest.Context, database: orm.Database
) -> None:
    claim = claimed_run(database)
    client = Client(replace(context, slots=rest.StreamSlots(0)))
    assert client.get(f"/status/{claim.event}?wait=60").json["status"] == "running"


def test_a_wait_ends_when_the_server_stops(
    waiting: Client, context: rest.Context, database: orm.Database
) -> None:
    claim = claimed_run(database)
    thread, responses = get_in_thread(waiting, f"/status/{claim.event}?wait=60")
    wait_until(lambda: context.slots.taken == 1)
    context.slots.stop()
    context.notices.stop()
    thread.join(DEADLINE)
    assert responses[0].json["status"] == "running"


@pytest.mark.parametrize("text", ["-1", "61", "x", "1.5", ""])
def test_an_invalid_wait_is_refused(client: Client, text: str) -> None:
    assert "wait" in client.get(f"/status/{UNKNOWN}?wait={text}").problem(400)["detail"]
