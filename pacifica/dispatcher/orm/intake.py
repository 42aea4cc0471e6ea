"""Accepting events from several threads at once, in common transactions."""

import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from pacifica.dispatcher.errors import DatabaseUnavailableError
from pacifica.dispatcher.orm.accept import Accepted, Matched, accept
from pacifica.dispatcher.orm.database import Database

_PATIENCE: Final = 3.0
_PAUSE: Final = 0.1


@dataclass(slots=True)
class _Request:
    matched: Sequence[Matched]
    accepted: list[Accepted] = field(default_factory=list)
    error: Exception | None = None
    done: bool = False


class Intake:
    """Stores what threads bring; while one waits for the disk, the others gather and go together.

    The first thread whose turn it is stores for all that wait, in one transaction; the others find
    their work done. What fails in common is tried one by one, so that nobody fails for another.
    A database that restarts is waited for a little: a 503 costs some senders their subscription.
    """

    def __init__(self, database: Database) -> None:
        """Accept into a database."""
        self._database = database
        self._waiting: deque[_Request] = deque()
        self._turn = threading.Lock()
        self._patience = _PATIENCE

    def accept(self, matched: Sequence[Matched]) -> list[Accepted]:
        """Store events as `orm.accept` does; all of them, or none.

        Args:
            matched: each event with the applications that it matched.

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
            accepted = self._accept([each for one in requests for each in one.matched])
        except Exception as exc:  # noqa: BLE001 - whatever it is, the thread that waits must hear of it
            if len(requests) > 1 and not isinstance(exc, DatabaseUnavailableError):
                for request in requests:
                    self._store([request])
                return
            for request in requests:
                request.error, request.done = exc, True
            return
        rest = iter(accepted)
        for request in requests:
            request.accepted, request.done = list(islice(rest, len(request.matched))), True

    def _accept(self, matched: Sequence[Matched]) -> list[Accepted]:
        """Store; what was stored by a transaction whose end was not heard of is a repeat then."""
        deadline = time.monotonic() + self._patience
        while True:
            try:
                accepted = accept(self._database, matched)
            except DatabaseUnavailableError:
                if time.monotonic() >= deadline:
                    self._patience = 0.0  # who comes next is answered at once
                    raise
                time.sleep(_PAUSE)
            else:
                self._patience = _PATIENCE
                return accepted
