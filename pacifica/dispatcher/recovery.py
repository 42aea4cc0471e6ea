"""Makes runs due again whose wake-up was lost: by evidence, not by the mere passing of time."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from pacifica.dispatcher import orm
from pacifica.dispatcher.errors import BrokerUnavailableError, DatabaseUnavailableError

_log = logging.getLogger(__name__)

_INTERVAL: Final = 1.0
_AGE: Final = 2.0


class Recovery:
    """A thread that looks for lost wake-ups every few seconds."""

    def __init__(self, database: orm.Database, depth: Callable[[], int]) -> None:
        """Prepare the thread; `start` starts it.

        Args:
            database: where runs are looked for.
            depth: how many wake-ups lie in the broker's queue; only the thread calls it.
        """
        self._database = database
        self._depth = depth
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="recovery", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()
        self._thread.join()

    def _loop(self) -> None:
        while not self._stopping.wait(_INTERVAL):
            try:
                recover_wakeups(self._database, self._depth, _AGE)
            except (BrokerUnavailableError, DatabaseUnavailableError) as exc:
                _log.debug("recovery waits: %s", exc)
        self._database.close()


def recover_wakeups(database: orm.Database, depth: Callable[[], int], age: float) -> int:
    """Make runs due again whose wake-up is neither in the queue nor was taken from it.

    Args:
        database: where runs are looked for.
        depth: how many wake-ups lie in the broker's queue.
        age: seconds for which a wake-up must have been on its way.

    Returns:
        how many runs were made due.
    """
    before = time.time() - age
    if not orm.oldest_wakeup_before(database, before) or depth():
        return 0
    recovered = orm.republish_lost(database, before)
    _log.warning("%d wake-ups were lost; their runs are due again", recovered)
    return recovered
