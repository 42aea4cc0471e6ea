"""A worker's connection to the broker, restored quickly when lost."""

from typing import Any

from celery.app.amqp import AMQP
from kombu import Connection


class _Connection(Connection):
    """A connection that retries every half second, for as long as it takes.

    Celery by itself waits two seconds longer after each attempt, up to thirty seconds.
    """

    def _ensure_connection(self, *args: Any, **options: Any) -> Any:  # noqa: ANN401 - kombu is untyped
        quickly = {"interval_start": 0.5, "interval_step": 0.5, "interval_max": 0.5}
        return super()._ensure_connection(*args, **{**quickly, **options})


class ReconnectingAmqp(AMQP):
    """Celery's AMQP layer with such connections."""

    Connection = _Connection
