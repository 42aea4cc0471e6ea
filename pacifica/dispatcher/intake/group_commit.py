"""Group commit: store the events of several threads in common transactions."""

import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from pacifica.dispatcher.errors import DatabaseUnavailableError
from pacifica.dispatcher.orm import Accepted, Arrival, Database, accept

_TIMEOUT: Final = 3.0  # seconds
_PAUSE: Final = 0.1  # seconds between attempts


@dataclass(slots=True)
class _Request:
    arrivals: Sequence[Arrival]
    accepted: list[Accepted] = field(default_factory=list)
    error: Exception | None = None
    done: bool = False


class GroupCommit:
    """A queue of events from several threads, stored in common transactions.

    While one thread waits for the disk, the events of others gather; the next thread stores all of
    them in one transaction. If that fails, each request is tried on its own, so that none fails
    because of another. A database that restarts is waited for briefly, because some senders cancel
    a subscription after a 503.
    """

    def __init__(self, database: Database, timeout: float = _TIMEOUT) -> None:
        """Accept events into a database.

        Args:
            database: the database.
            timeout: seconds to wait for a database that restarts.
        """
        self._database = database
        self._waiting: deque[_Request] = deque()
        self._turn = threading.Lock()
        self._timeout = self._left = timeout

    def accept(self, arrivals: Sequence[Arrival]) -> list[Accepted]:
        """Store events as `orm.accept` does: all of them or none.

        Raises:
            DatabaseUnavailableError: nothing was stored.
        """
        request = _Request(arrivals)
        self._waiting.append(request)
        with self._turn:
            if not request.done:
                self._store([self._waiting.popleft() for _ in range(len(self._waiting))])
        if request.error is not None:
            raise request.error
        return request.accepted

    def _store(self, requests: Sequence[_Request]) -> None:
        try:
            accepted = self._accept([each for one in requests for each in one.arrivals])
        except Exception as exc:  # noqa: BLE001 - any error must reach the waiting thread
            if len(requests) > 1 and not isinstance(exc, DatabaseUnavailableError):
                for request in requests:
                    self._store([request])
                return
            for request in requests:
                request.error, request.done = exc, True
            return
        rest = iter(accepted)
        for request in requests:
            request.accepted, request.done = list(islice(rest, len(request.arrivals))), True

    def _accept(self, arrivals: Sequence[Arrival]) -> list[Accepted]:
        # Events of a commit whose reply was lost are duplicates when they are tried again.
        deadline = time.monotonic() + self._left
        while True:
            try:
                accepted = accept(self._database, arrivals)
            except DatabaseUnavailableError:
                if time.monotonic() >= deadline:
                    self._left = 0.0  # the next request fails at once
                    raise
                time.sleep(_PAUSE)
            else:
                self._left = self._timeout
                return accepted
