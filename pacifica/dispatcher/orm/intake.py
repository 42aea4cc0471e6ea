"""Accepting events from several threads at once, in common transactions."""

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice

from pacifica.dispatcher.events import Event
from pacifica.dispatcher.orm.accept import Accepted, accept
from pacifica.dispatcher.orm.database import Database


@dataclass(slots=True)
class _Request:
    matched: Sequence[tuple[Event, Sequence[str]]]
    accepted: list[Accepted] = field(default_factory=list)
    error: Exception | None = None
    done: bool = False


class Intake:
    """Stores what threads bring; while one waits for the disk, the others gather and go together.

    The first thread whose turn it is stores for all that wait, in one transaction; the others find
    their work done. What fails in common is tried one by one, so that nobody fails for another.
    """

    def __init__(self, database: Database) -> None:
        """Accept into a database."""
        self._database = database
        self._waiting: deque[_Request] = deque()
        self._turn = threading.Lock()

    def accept(self, matched: Sequence[tuple[Event, Sequence[str]]]) -> list[Accepted]:
        """Store events as `orm.accept` does; all of them, or none.

        Args:
            matched: each event with the names of the applications that it matched.

        Raises:
            DatabaseUnavailableError: nothing was stored.
        """
        request = _Request(matched)
        self._waiting.append(request)
        with self._turn:
            if not request.done:
                self._store([self._waiting.popleft() for _ in range(len(self._waiting))])
        if request.error is not None:
            raise request.error
        return request.accepted

    def _store(self, requests: Sequence[_Request]) -> None:
        try:
            accepted = accept(self._database, [each for one in requests for each in one.matched])
        except Exception as exc:  # noqa: BLE001 - whatever it is, the thread that waits must hear of it
            if len(requests) > 1:
                for request in requests:
                    self._store([request])
            else:
                requests[0].error, requests[0].done = exc, True
            return
        rest = iter(accepted)
        for request in requests:
            request.accepted, request.done = list(islice(rest, len(request.matched))), True
