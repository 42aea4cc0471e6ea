"""Clients that post events steadily, and remember each one that was accepted."""

import http.client
import json
import random
import threading
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from chaos.journal import now
from chaos.tiers import KINDS

RATE: Final = 4.0
"""Events a second, of all clients together: half of what one worker can do, so that what is
recovered finds a free place at once even while the other workers are away."""

_CLIENTS: Final = 4
_TIMEOUT: Final = 10.0
_SINGLE: Final = "application/cloudevents+json"
_BATCH: Final = "application/cloudevents-batch+json"
_ACCEPTED: Final = 202
_TRY_LATER: Final = 503
_KINDS: Final = {"plain": 50, "stubborn": 15, "stray": 20, "flaky": 8, "pair": 7}
_DURATIONS: Final = {(0.0, 0.5): 83.0, (0.5, 3.0): 12.0, (6.0, 10.0): 3.0, (17.0, 22.0): 2.0}
"""Bounds in seconds, and how many in a hundred; the longest outlive a lease."""


@dataclass(slots=True)
class Sent:
    """An event that was accepted.

    Attributes:
        id: as this client chose it.
        kind: the last word of its type.
        uuid: as the dispatcher named it.
        hasty: whether it was one of a burst.
    """

    id: str
    kind: str
    uuid: str
    hasty: bool = False

    @property
    def applications(self) -> tuple[str, ...]:
        """The applications that must run for it."""
        return KINDS[self.kind]


class Clients:
    """The threads that post.

    Attributes:
        accepted: what was answered with 202.
        errors: how often each kind of trouble was met; each was followed by another try.
        unexpected: answers that no client should ever see.
    """

    def __init__(self, ports: Sequence[int], rng: random.Random) -> None:
        """Prepare; `start` starts them."""
        self.accepted: list[Sent] = []
        self.errors: Counter[str] = Counter()
        self.unexpected: list[str] = []
        self._ports = ports
        self._rng = rng
        self._stopping = threading.Event()
        self._giving_up = threading.Event()
        self._threads = [threading.Thread(target=self._post_steadily) for _ in range(_CLIENTS)]

    def start(self) -> None:
        """Start posting."""
        for thread in self._threads:
            thread.start()

    def stop(self, patience: float) -> None:
        """Post no more new events; insist on the last ones for some seconds."""
        self._stopping.set()
        end = now() + patience
        for thread in self._threads:
            thread.join(max(0.0, end - now()))
        waiting = sum(thread.is_alive() for thread in self._threads)
        self._giving_up.set()
        for thread in self._threads:
            thread.join()
        if waiting and patience:
            self.unexpected.append(f"{waiting} events were not accepted within {patience:g} s")

    def burst(self, count: int) -> None:
        """Post a batch of events whose runs take no time."""
        events = [self._event("plain", 0.0) for _ in range(count)]
        answer = self._insist(_BATCH, json.dumps(events).encode())
        if answer is not None:
            for event, stored in zip(events, answer["events"], strict=True):
                self.accepted.append(Sent(event["id"], "plain", stored["uuid"], hasty=True))

    def ask(self, path: str) -> Any:  # noqa: ANN401 - JSON
        """What one of the web servers answers to a GET; None when it does not, or not with 200."""
        status, body = self._request("GET", path)
        return json.loads(body) if status == http.client.OK else None

    def _post_steadily(self) -> None:
        while not self._stopping.wait(self._rng.uniform(0.5, 1.5) * _CLIENTS / RATE):
            [kind] = self._rng.choices(list(_KINDS), list(_KINDS.values()))
            [bounds] = self._rng.choices(list(_DURATIONS), list(_DURATIONS.values()))
            event = self._event(kind, round(self._rng.uniform(*bounds), 3))
            answer = self._insist(_SINGLE, json.dumps(event).encode())
            if answer is not None:
                self.accepted.append(Sent(event["id"], kind, answer["uuid"]))

    def _insist(self, content_type: str, body: bytes) -> Any:  # noqa: ANN401 - JSON
        """Post until it is accepted; the same event again is no second one."""
        while not self._giving_up.is_set():
            status, answer = self._request("POST", "/receive", body, content_type)
            if status == _ACCEPTED:
                return json.loads(answer)
            if status not in {0, _TRY_LATER}:
                self.unexpected.append(f"{status}: {answer[:300].decode(errors='replace')}")
            self._giving_up.wait(self._rng.uniform(0.1, 0.4))
        return None

    def _request(
        self, method: str, path: str, body: bytes | None = None, content_type: str = ""
    ) -> tuple[int, bytes]:
        """The status and body of an answer; 0 when there was none."""
        headers = {"Content-Type": content_type} if body else {}
        port = self._rng.choice(self._ports)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as exc:
            self.errors[_name(exc)] += 1
            return 0, b""
        finally:
            connection.close()
        if answer.status == _TRY_LATER:
            self.errors["503"] += 1
        return answer.status, content

    def _event(self, kind: str, seconds: float) -> dict[str, Any]:
        return {
            "specversion": "1.0",
            "id": uuid.uuid4().hex,
            "source": "/chaos",
            "type": f"chaos.{kind}",
            "data": {"seconds": seconds},
        }


def _name(exc: Exception) -> str:
    if isinstance(exc, ConnectionRefusedError):
        return "refused"
    return "timeout" if isinstance(exc, TimeoutError) else "hung up"
