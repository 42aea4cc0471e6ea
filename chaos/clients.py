"""Clients that post events steadily and record the accepted ones."""

import json
import random
import threading
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException
from typing import Any, Final
from urllib.error import URLError
from urllib.request import Request

from chaos.journal import now
from chaos.tiers import KINDS
from harness import Response
from harness.client import send

RATE: Final = 4.0
"""Events per second of all clients combined: half of what one worker can run, so that recovered
runs find a free pool process at once even while the other workers are away."""

_CLIENTS: Final = 12
_TIMEOUT: Final = 5.0
_SINGLE: Final = "application/cloudevents+json"
_BATCH: Final = "application/cloudevents-batch+json"
_KINDS: Final = {"plain": 50, "stubborn": 15, "stray": 20, "flaky": 8, "pair": 7}
_DURATIONS: Final = {(0.0, 0.5): 83.0, (0.5, 3.0): 12.0, (4.0, 6.0): 3.0, (9.0, 12.0): 2.0}
"""Bounds in seconds, and their percentages; the longest outlive a lease."""


@dataclass(slots=True)
class AcceptedEvent:
    """An accepted event.

    Attributes:
        id: its id, chosen by the client.
        kind: the last word of its type.
        uuid: its uuid, assigned by the dispatcher.
        at: the time it was accepted.
        in_burst: True if it was posted in a burst.
    """

    id: str
    kind: str
    uuid: str
    at: float
    in_burst: bool = False

    @property
    def applications(self) -> tuple[str, ...]:
        """The applications that match it."""
        return KINDS[self.kind]


class Clients:
    """Threads that post events.

    Attributes:
        accepted: the events that got a 202 response.
        errors: the count of each kind of error; each was retried.
        unexpected: responses that no client should ever get.
    """

    def __init__(self, urls: Sequence[str], rng: random.Random) -> None:
        """Create the threads; `start` starts them."""
        self.accepted: list[AcceptedEvent] = []
        self.errors: Counter[str] = Counter()
        self.unexpected: list[str] = []
        self._urls = urls
        self._rng = rng
        self._stopping = threading.Event()
        self._giving_up = threading.Event()
        self._threads = [threading.Thread(target=self._post_steadily) for _ in range(_CLIENTS)]

    def start(self) -> None:
        """Start posting."""
        for thread in self._threads:
            thread.start()

    def stop(self, timeout: float) -> None:
        """Post no new events; retry the last ones until they are accepted or the time is up."""
        self._stopping.set()
        end = now() + timeout
        for thread in self._threads:
            thread.join(max(0.0, end - now()))
        waiting = sum(thread.is_alive() for thread in self._threads)
        self._giving_up.set()
        for thread in self._threads:
            thread.join()
        if waiting and timeout:
            self.unexpected.append(f"{waiting} events were not accepted within {timeout:g} s")

    def burst(self, count: int) -> None:
        """Post a batch of events whose applications exit at once."""
        events = [self._event("plain", 0.0) for _ in range(count)]
        document = self._post(_BATCH, json.dumps(events).encode())
        if document is not None:
            for event, stored in zip(events, document["events"], strict=True):
                accepted = AcceptedEvent(event["id"], "plain", stored["uuid"], now(), in_burst=True)
                self.accepted.append(accepted)

    def get(self, path: str) -> Any:  # noqa: ANN401 - JSON
        """Return the JSON of a GET to a random web server; None without a 200 response."""
        response = self._request(path)
        return response.json if response and response.status == HTTPStatus.OK else None

    def _post_steadily(self) -> None:
        while not self._stopping.wait(self._rng.uniform(0.5, 1.5) * _CLIENTS / RATE):
            [kind] = self._rng.choices(list(_KINDS), list(_KINDS.values()))
            [bounds] = self._rng.choices(list(_DURATIONS), list(_DURATIONS.values()))
            event = self._event(kind, round(self._rng.uniform(*bounds), 3))
            document = self._post(_SINGLE, json.dumps(event).encode())
            if document is not None:
                self.accepted.append(AcceptedEvent(event["id"], kind, document["uuid"], now()))

    def _post(self, content_type: str, body: bytes) -> Any:  # noqa: ANN401 - JSON
        """Post until the response is 202; the dispatcher recognises repeated events."""
        while not self._giving_up.is_set():
            response = self._request("/receive", body, content_type)
            if response and response.status == HTTPStatus.ACCEPTED:
                return response.json
            if response and response.status != HTTPStatus.SERVICE_UNAVAILABLE:
                text = response.body[:300].decode(errors="replace")
                self.unexpected.append(f"{response.status}: {text}")
            self._giving_up.wait(self._rng.uniform(0.1, 0.4))
        return None

    def _request(
        self, path: str, body: bytes | None = None, content_type: str = ""
    ) -> Response | None:
        headers = {"Content-Type": content_type} if body else {}
        url = self._rng.choice(self._urls)
        request = Request(f"{url}{path}", body, headers)  # noqa: S310 - our own server
        try:
            response = send(request, _TIMEOUT)
        except (OSError, HTTPException) as exc:
            self.errors[_name(exc)] += 1
            return None
        if response.status == HTTPStatus.SERVICE_UNAVAILABLE:
            self.errors["503"] += 1
        return response

    def _event(self, kind: str, seconds: float) -> dict[str, Any]:
        return {
            "specversion": "1.0",
            "id": uuid.uuid4().hex,
            "source": "/chaos",
            "type": f"chaos.{kind}",
            "data": {"seconds": seconds},
        }


def _name(exc: Exception) -> str:
    reason = exc.reason if isinstance(exc, URLError) else exc
    if isinstance(reason, ConnectionRefusedError):
        return "refused"
    return "timeout" if isinstance(reason, TimeoutError) else "hung up"
