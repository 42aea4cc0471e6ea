"""The Redis transport: kombu's, which also reconnects after an error response."""

from typing import Any, Final

from kombu.transport import redis
from redis.exceptions import NoPermissionError, ResponseError

from pacifica.dispatcher.broker.rabbitmq import TIMEOUT

OPTIONS: Final = {
    "socket_connect_timeout": TIMEOUT,
    "socket_timeout": TIMEOUT,
    "socket_keepalive": True,
    "health_check_interval": TIMEOUT,
}
"""Options of the transport that limit every wait."""


class Transport(redis.Transport):
    """The transport for `redis://` and `rediss://`.

    kombu takes an error response for the caller's fault, which ends a worker. But a server returns
    it to every client while it is a replica (READONLY, UNBLOCKED, MASTERDOWN), is out of memory
    (OOM) or has changed rights (NOPERM): a later attempt may succeed.
    """

    connection_errors = (*redis.Transport.connection_errors, ResponseError)


def check_rights(channel: Any) -> None:  # noqa: ANN401 - kombu is untyped
    """Make sure that this user may keep wake-ups that are not acknowledged, as a consumer does.

    Raises:
        NoPermissionError: it may not; the message names the key.
    """
    for key in (channel.unacked_key, channel.unacked_index_key, channel.unacked_mutex_key):
        try:
            channel.client.exists(key)
        except NoPermissionError as exc:
            raise NoPermissionError(f"{exc} (key {key!r})") from exc
