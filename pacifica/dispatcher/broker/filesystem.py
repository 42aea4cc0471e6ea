"""The file broker: kombu's filesystem transport, made safe for several processes and for kill -9.

kombu writes a message under its final name, so a reader can take it before it is complete; it takes
messages via the system's temporary folder, which may mean copying; and it truncates the table of an
exchange before locking it. Here each of these is one atomic step.

kombu's transport does not support an event loop. Without one, Celery's pool processes read their
tasks from a shared pipe under a lock: one that is killed while it waits keeps the lock forever, and
the worker hangs. Here the folder is read from Celery's event loop.
"""

import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty
from typing import Any

from kombu.transport import filesystem
from kombu.utils.json import dumps, loads


class Channel(filesystem.Channel):
    """A channel that writes and takes messages atomically."""

    def get_table(self, exchange: str) -> Any:  # noqa: ANN401 - kombu's type
        """Return the queues that are bound to an exchange."""
        with self._alone():
            return super().get_table(exchange)

    def _queue_bind(self, exchange: str, routing_key: str, pattern: str | None, queue: str) -> None:
        with self._alone():
            super()._queue_bind(exchange, routing_key, pattern, queue)

    def _put(  # type: ignore[override] # the base classes do not agree either
        self, queue: str, message: object, **_: object
    ) -> None:
        name = f"{time.monotonic_ns() // 1_000_000}_{uuid.uuid4()}.{queue}.msg"
        written = Path(self.control_folder, name)
        written.write_text(dumps(message), encoding="utf-8")
        written.replace(Path(self.data_folder_out, name))

    def _get(self, queue: str, timeout: float | None = None) -> Any:  # noqa: ANN401, ARG002 - kombu's
        for name in sorted(os.listdir(self.data_folder_in)):  # noqa: PTH208 - names only
            if name.partition(".")[2] != f"{queue}.msg":
                continue
            taken = Path(self.control_folder, name)
            try:
                Path(self.data_folder_in, name).replace(taken)
            except FileNotFoundError:
                continue  # another process took it
            payload = taken.read_text(encoding="utf-8")
            taken.unlink()
            return loads(payload)
        raise Empty

    def basic_ack(self, delivery_tag: str, multiple: bool = False) -> None:  # noqa: FBT001, FBT002 - kombu's
        """Acknowledge a message, and make room for another."""
        super().basic_ack(delivery_tag, multiple=multiple)
        transport: Transport = self.connection  # type: ignore[assignment] # kombu's name for the transport
        transport.read_soon()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        Path(self.control_folder).mkdir(exist_ok=True)
        with Path(self.control_folder, "lock").open("wb", buffering=0) as file:
            filesystem.lock(file, filesystem.LOCK_EX)  # type: ignore[attr-defined]
            try:
                yield
            finally:
                filesystem.unlock(file)


class Transport(filesystem.Transport):
    """The transport for `filesystem://`."""

    Channel = Channel
    implements = filesystem.Transport.implements.extend(asynchronous=True)
    _loop: Any = None

    def register_with_event_loop(self, _connection: object, loop: Any) -> None:  # noqa: ANN401 - kombu's
        """Read the folder periodically from Celery's event loop."""
        self._loop = loop
        loop.call_repeatedly(self.polling_interval, self._read)

    def read_soon(self) -> None:
        """Read the folder on the loop's next iteration."""
        if self._loop is not None:
            self._loop.call_soon(self._read)

    def _read(self) -> None:
        """Deliver messages while there are any and the consumers have room."""
        assert self.cycle is not None  # noqa: S101 - kombu makes it
        with suppress(Empty):
            while True:
                self.cycle.get(self._deliver)
