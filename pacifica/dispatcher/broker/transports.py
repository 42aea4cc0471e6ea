"""The transports that replace those of kombu in this process."""

from typing import Final

from kombu.transport import TRANSPORT_ALIASES

_ROOM: Final = "pacifica.dispatcher.broker"
_TRANSPORTS: Final = {
    "pyamqp": f"{_ROOM}.rabbitmq:Transport",
    "amqps": f"{_ROOM}.rabbitmq:SSLTransport",
    "redis": f"{_ROOM}.redis:Transport",
    "rediss": f"{_ROOM}.redis:Transport",
    "filesystem": f"{_ROOM}.filesystem:Transport",
}


def install() -> None:
    """Register the transports for their URLs."""
    TRANSPORT_ALIASES.update(_TRANSPORTS)
