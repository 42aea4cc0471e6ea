"""A connection to the broker: send wake-ups, and count those in a queue."""

import ssl
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Final

from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import AuthenticationError, NoPermissionError

from pacifica.dispatcher.broker import redis
from pacifica.dispatcher.broker.configuration import TASK, celery_configuration
from pacifica.dispatcher.broker.rabbitmq import TIMEOUT
from pacifica.dispatcher.config import CelerySettings
from pacifica.dispatcher.errors import (
    BrokerRefusedError,
    BrokerUnavailableError,
    DispatcherError,
)

_NOT_FOUND: Final = 404  # AMQP 0-9-1, section 1.2
_DIFFERS: Final = 406
_REFUSED: Final = (403, 530)  # access refused, not allowed
_REFUSALS: Final = (AuthenticationError, NoPermissionError)
_HEADERS: Final = {"parent_id": None, "group": None, "ignore_result": True}
"""The remaining headers of Celery's message protocol 2; its optional ones would double the cost."""

_BLOCKED: Final = "Broker blocked: RabbitMQ is short of memory or disk space, and takes no messages"


class BrokerConnection:
    """A connection to the broker, for one thread; opened when first needed.

    No call takes longer than a few seconds, whatever the broker does.
    """

    def __init__(self, settings: CelerySettings) -> None:
        """Choose the broker without connecting to it."""
        self._app = Celery(set_as_current=False, fixups=[])
        self._app.conf.update(celery_configuration(settings))
        self._options: dict[str, object] = {}
        scheme = settings.broker_url.partition(":")[0].lower()
        self._is_redis = "redis" in scheme
        if "amqp" in scheme:
            self._options = {
                "confirm_publish": True,
                "on_blocked": self._on_blocked,
                "on_unblocked": self._on_unblocked,
            }
        self._default = settings.queue
        self._declared: set[str] = set()
        self._blocked = False
        self._connection: Any = None
        self._producer: Any = None

    def send(self, run: str, queue: str) -> None:
        """Send the wake-up of a run to a queue; an empty name means the default queue.

        Raises:
            BrokerUnavailableError: the broker did not take it.
        """
        name = queue or self._default

        def publish() -> None:
            self._declare(name)
            self._producer.publish(
                ((run,), {}, {}),  # positional arguments, named arguments, callbacks
                exchange="",
                routing_key=name,
                delivery_mode="transient",
                mandatory=True,
                headers={"lang": "py", "task": TASK, "id": run, "root_id": run, **_HEADERS},
                correlation_id=run,
            )

        self._retry_once(publish)

    def check(self) -> None:
        """Make sure that the broker takes wake-ups again.

        Raises:
            BrokerUnavailableError: it does not.
        """
        self._declared.clear()
        self._retry_once(lambda: self._declare(self._default))

    def prepare(self, queues: Iterable[str]) -> None:
        """Make sure that queues exist, and that a worker may consume them.

        Raises:
            BrokerUnavailableError: the broker did not respond.
            BrokerRefusedError: the broker does not allow it.
        """
        for name in queues:
            self._retry_once(lambda: self._declare(name))  # noqa: B023 - called before the next one
        if self._is_redis:
            self._retry_once(lambda: redis.check_rights(self._channel()))

    def depth(self, queue: str) -> int:
        """Return the number of wake-ups in a queue; an empty name means the default queue.

        Raises:
            BrokerUnavailableError: the broker did not respond.
        """
        name = queue or self._default
        try:
            declared = self._retry_once(lambda: self._channel().queue_declare(name, passive=True))
        except _NoQueueError:
            return 0
        return int(declared.message_count)

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            with suppress(OSError, OperationalError):
                if self._blocked:
                    self._connection.collect()  # without a farewell, which nobody would read
                else:
                    self._connection.release()
        self._connection = self._producer = None
        self._blocked = False
        self._declared.clear()

    def _channel(self) -> Any:  # noqa: ANN401 - kombu is untyped
        return self._producer.channel

    def _declare(self, name: str) -> None:
        if name not in self._declared:
            self._app.amqp.queues[name](self._channel()).declare()
            self._declared.add(name)

    def _retry_once(self, act: Callable[[], Any]) -> Any:  # noqa: ANN401 - kombu is untyped
        # An existing connection may turn out to be dead; try again on a new one.
        self._stop_if_blocked()
        if self._connection is not None:
            with suppress(BrokerUnavailableError):
                return self._try(act)
            self._stop_if_blocked()
        return self._try(act)

    def _try(self, act: Callable[[], Any]) -> Any:  # noqa: ANN401 - kombu is untyped
        connection = self._connection or self._app.connection_for_write(
            connect_timeout=TIMEOUT, heartbeat=0, transport_options=self._options
        )
        errors = (*connection.connection_errors, *connection.channel_errors)
        try:
            if self._connection is None:
                connection.ensure_connection(  # kombu by itself would wait, and try again
                    max_retries=max(0, len(connection.alt) - 1), reraise_as_library_errors=False
                )
                self._connection = connection
                self._producer = self._app.amqp.Producer(connection, auto_declare=False)
            return act()
        except (OSError, OperationalError, *errors) as exc:
            if self._blocked:
                raise BrokerUnavailableError(_BLOCKED) from exc
            self._drop()
            raise _unavailable(exc) from exc

    def _drop(self) -> None:
        if self._connection is not None:
            with suppress(OSError, OperationalError):
                self._connection.collect()
            self._connection = None
        self.close()

    def _on_blocked(self, _reason: str) -> None:
        """Give up on the message: it may arrive once RabbitMQ continues, which does no harm."""
        self._blocked = True
        raise BlockingIOError(_BLOCKED)

    def _on_unblocked(self) -> None:
        self._blocked = False

    def _stop_if_blocked(self) -> None:
        """Keep the connection until RabbitMQ continues: it would not notice the end of this one."""
        if not self._blocked:
            return
        try:
            self._connection.drain_events(timeout=0)
        except TimeoutError:
            raise BrokerUnavailableError(_BLOCKED) from None
        except (OSError, *self._connection.connection_errors) as exc:
            self._drop()
            raise _unavailable(exc) from exc
        self.close()  # a late confirmation must not be taken for another one


class _NoQueueError(DispatcherError):
    """The queue does not exist; Redis deletes one with its last message."""


def _unavailable(exc: Exception) -> DispatcherError:
    causes = list(_chain(exc))
    code = int(getattr(exc, "reply_code", None) or 0)  # a string from kombu's own transports
    if code == _NOT_FOUND:
        return _NoQueueError(str(exc))
    if code == _DIFFERS:
        return BrokerRefusedError(
            f"Queue declared differently: {exc}; delete it, or set another queue in [celery]"
        )
    if any(isinstance(each, ssl.SSLCertVerificationError) for each in causes):
        return BrokerRefusedError(
            f"Certificate of the broker not valid: {exc}; [celery] ca_bundle names its authority"
        )
    if code in _REFUSED or any(isinstance(each, _REFUSALS) for each in causes):
        return BrokerRefusedError(f"Broker refused access: {exc}")
    return BrokerUnavailableError(f"Broker unavailable: {exc or type(exc).__name__}")


def _chain(exc: BaseException | None) -> Iterable[BaseException]:
    while exc is not None:
        yield exc
        exc = exc.__cause__ or exc.__context__
