"""A worker's consumer of wake-ups, without the traffic between workers."""

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from celery.worker.consumer import Consumer

from pacifica.dispatcher.telemetry import WARNING, emit

_PAUSE: Final = 0.5  # seconds before the next attempt: Celery would make it at once
_QUIET: Final = {"without_gossip": True, "without_mingle": True, "without_heartbeat": True}


class QuietConsumer(Consumer):
    """A consumer that does not publish by itself, and logs each reason for failing only once.

    Workers do not need Celery's messages to each other, because leases show which ones are alive;
    and publishing is the first thing that fails when a broker is in trouble.
    """

    def __init__(
        self,
        on_task_request: Callable[..., object],
        *,
        worker_options: Mapping[str, object],
        **options: Any,  # noqa: ANN401 - Celery's
    ) -> None:
        """Create Celery's consumer with its options for less traffic."""
        super().__init__(on_task_request, worker_options={**worker_options, **_QUIET}, **options)
        self._logged = ""

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        """Log the reason and wait: the broker accepted the connection, but not its use."""
        if str(exc) != self._logged:
            self._logged = str(exc)
            emit("worker.waiting", WARNING, reason=f"Broker unavailable: {exc}")
        time.sleep(_PAUSE)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Close the connection, and wait."""
        self._logged = ""
        super().on_connection_error_after_connected(exc)
        time.sleep(_PAUSE)
