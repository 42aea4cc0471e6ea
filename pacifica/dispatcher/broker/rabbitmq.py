"""The RabbitMQ transport: kombu's, with a limit on every wait and with queues of a known type."""

from typing import Any, Final

from kombu.transport import pyamqp

TIMEOUT: Final = 4.0
"""Seconds that any exchange with the broker may take."""

_QUEUE_TYPE: Final = "x-queue-type"


class _Channel(pyamqp.Channel):
    """A channel that declares classic queues, whatever type the server's default is.

    A quorum queue would replicate wake-ups, which may be lost, and does not support the prefetch
    limit that Celery sets for a whole channel.
    """

    def queue_declare(  # type: ignore[override] # all others are passed on
        self,
        queue: str = "",
        *,
        arguments: Any = None,  # noqa: ANN401 - kombu is untyped
        **options: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """Declare a classic queue, or check that there is one."""
        arguments = {_QUEUE_TYPE: "classic", **(arguments or {})}
        return super().queue_declare(queue, arguments=arguments, **options)


class _Connection(pyamqp.Connection):
    """A connection that gives up on a broker that does not respond.

    The limit applies where the caller sets none. It is Python's own, because the options of the
    socket that py-amqp would set have no effect under TLS.
    """

    Channel = _Channel

    def connect(self, callback: Any = None) -> None:  # noqa: ANN401 - kombu is untyped
        """Connect, and limit each later wait."""
        super().connect(callback)
        assert self.sock is not None  # noqa: S101 - connected
        self.sock.settimeout(TIMEOUT)


class Transport(pyamqp.Transport):
    """The transport for `amqp://`."""

    Connection = _Connection


class SSLTransport(pyamqp.SSLTransport):
    """The transport for `amqps://`."""

    Connection = _Connection
