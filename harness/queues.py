"""Queues of a running broker."""

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kombu import Connection
from kombu.exceptions import OperationalError

from harness.waiting import DEADLINE


def connection_error(url: str) -> Exception | None:
    """Return the error of connecting to a broker; None if it responds."""
    try:
        with Connection(url, connect_timeout=DEADLINE) as connection:
            connection.ensure_connection(max_retries=1, timeout=int(DEADLINE))
    except (OSError, OperationalError) as exc:
        return exc
    return None


def delete_queue(url: str, queue: str) -> None:
    """Delete a dispatcher's queue from RabbitMQ or Redis, with its exchanges."""
    mailbox = f"dispatcher-{queue}.pidbox"
    with Connection(url, connect_timeout=DEADLINE) as connection:
        channel: Any = connection.default_channel
        # Redis deletes only what was declared on this connection.
        channel.exchange_declare(queue, "direct", durable=True, auto_delete=False)
        channel.queue_declare(queue, durable=True, auto_delete=False)
        channel.queue_bind(queue, queue, queue)
        channel.queue_delete(queue)
        for exchange in (queue, mailbox, f"reply.{mailbox}"):
            channel.exchange_delete(exchange)
        if url.startswith("redis"):
            keys = (f"_kombu.binding.{queue}", f"_kombu.binding_permanent.{queue}")
            channel.client.delete(*keys)


def purge(url: str, queue: str) -> int:
    """Delete the messages of a queue; return their number."""
    if url.startswith("filesystem:"):
        return _purge_folder(Path(urlsplit(url).path) / "messages", queue)
    with Connection(url, connect_timeout=DEADLINE) as connection:
        channel: Any = connection.default_channel
        return int(channel.queue_purge(queue) or 0)


def _purge_folder(folder: Path, queue: str) -> int:
    messages = list(folder.glob(f"*.{queue}.msg"))
    for message in messages:
        message.unlink(missing_ok=True)
    return len(messages)
