"""The file broker: concurrent senders and receivers, and reading in an event loop."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Empty
from typing import Any

import pytest
from kombu import Connection, Consumer, Producer, Queue
from kombu.asynchronous import Hub

from harness import DEADLINE, wait_until
from pacifica.dispatcher.broker import transports

MESSAGES = 1500


def connection(folder: Path, interval: float = 0.01) -> Any:  # noqa: ANN401 - kombu is untyped
    transports.install()
    for each in ("messages", "control"):
        (folder / each).mkdir(exist_ok=True)
    options = {
        "data_folder_in": str(folder / "messages"),
        "data_folder_out": str(folder / "messages"),
        "control_folder": str(folder / "control"),
        "polling_interval": interval,
    }
    return Connection("filesystem://localhost", transport_options=options)


def test_every_message_is_received_once_and_complete(tmp_path: Path) -> None:
    sent = threading.Event()

    def send() -> None:
        with connection(tmp_path) as sender:
            for number in range(MESSAGES):
                sender.default_channel._put("q", {"number": number, "padding": "x" * 2000})
        sent.set()

    def take() -> list[int]:
        taken = []
        with connection(tmp_path) as receiver:
            while True:
                last = sent.is_set()
                try:
                    taken.append(receiver.default_channel._get("q")["number"])
                except Empty:
                    if last:
                        return taken

    with ThreadPoolExecutor(3) as pool:
        receivers = [pool.submit(take), pool.submit(take)]
        pool.submit(send).result()
        taken = [number for receiver in receivers for number in receiver.result()]
    assert sorted(taken) == list(range(MESSAGES))
    assert list((tmp_path / "messages").iterdir()) == []
    assert [each.name for each in (tmp_path / "control").iterdir()] == []


def test_an_exchange_can_be_declared_concurrently(tmp_path: Path) -> None:
    barrier = threading.Barrier(8, timeout=DEADLINE)

    def bind(number: int) -> None:
        with connection(tmp_path) as binder:
            channel = binder.default_channel
            for each in range(30):
                barrier.wait()
                channel._queue_bind(f"exchange-{each}", "key", "", f"q-{number}")
                assert f"q-{number}" in {q.queue for q in channel.get_table(f"exchange-{each}")}

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(bind, range(8)))
    with connection(tmp_path) as reader:
        tables = [reader.default_channel.get_table(f"exchange-{each}") for each in range(30)]
    assert [len(table) for table in tables] == [8] * 30


class Reader:
    """A consumer in an event loop, like a worker's; holds at most `room` messages at a time."""

    def __init__(self, folder: Path, interval: float, room: int) -> None:
        """Start to consume; nothing is read until the loop runs."""
        self.taken: list[Any] = []
        self._messages: list[Any] = []
        self.hub: Any = Hub()
        self._connection = connection(folder, interval)
        queue = Queue("q", routing_key="q")
        self._consumer = Consumer(self._connection.default_channel, [queue], accept=["json"])
        self._consumer.register_callback(self._take)
        self._consumer.qos(prefetch_count=room)
        self._consumer.consume()
        self._connection.register_with_event_loop(self.hub)
        self.transport = self._connection.transport

    def _take(self, body: object, message: Any) -> None:  # noqa: ANN401 - kombu is untyped
        self.taken.append(body)
        self._messages.append(message)

    def run_once(self) -> None:
        """Run one iteration of the loop, which sleeps until there is something to do."""
        self.hub.run_once()

    def take(self, number: int) -> list[Any]:
        """Run the loop until this many messages have been received; return them."""

        def all_received() -> bool:
            self.run_once()
            return len(self.taken) >= number

        wait_until(all_received, f"{number} messages", DEADLINE)
        return self.taken

    def acknowledge(self) -> None:
        """Acknowledge the oldest message."""
        self._messages.pop(0).ack()

    def close(self) -> None:
        self._connection.close()
        self.hub.close()


@pytest.fixture
def read(tmp_path: Path) -> Iterator[Callable[..., Reader]]:
    """A factory of readers."""
    readers: list[Reader] = []

    def read(interval: float = 0.01, room: int = 1) -> Reader:
        readers.append(Reader(tmp_path, interval, room))
        return readers[-1]

    yield read
    for reader in readers:
        reader.close()


def send(folder: Path, *bodies: str) -> None:
    with connection(folder) as sender:
        for body in bodies:
            Producer(sender.default_channel).publish(
                body, serializer="json", routing_key="q", declare=[Queue("q")]
            )


def test_the_transport_declares_support_for_an_event_loop(read: Callable[..., Reader]) -> None:
    assert read().transport.implements.asynchronous


def test_messages_are_received_in_the_loop(tmp_path: Path, read: Callable[..., Reader]) -> None:
    reader = read(room=10)
    send(tmp_path, "one", "two")
    assert sorted(reader.take(2)) == ["one", "two"]
    assert list((tmp_path / "messages").iterdir()) == []


def test_a_message_that_is_sent_later_arrives_too(
    tmp_path: Path, read: Callable[..., Reader]
) -> None:
    reader = read(room=10)
    for _ in range(3):
        reader.run_once()
    assert reader.taken == []
    send(tmp_path, "later")
    assert reader.take(1) == ["later"]


def test_no_more_messages_are_delivered_than_there_is_room_for(
    tmp_path: Path, read: Callable[..., Reader]
) -> None:
    reader = read(room=2)
    send(tmp_path, "one", "two", "three")
    reader.take(2)
    for _ in range(5):
        reader.run_once()
    assert len(reader.taken) == 2
    assert len(list((tmp_path / "messages").iterdir())) == 1


def test_an_acknowledgement_makes_room_at_once(tmp_path: Path, read: Callable[..., Reader]) -> None:
    reader = read(interval=3600.0)
    send(tmp_path, "one", "two", "three")
    reader.transport.read_soon()
    reader.take(1)
    reader.acknowledge()
    reader.take(2)
    reader.acknowledge()
    assert sorted(reader.take(3)) == ["one", "three", "two"]


def test_two_readers_receive_each_message_once(tmp_path: Path, read: Callable[..., Reader]) -> None:
    readers = [read(room=100), read(room=100)]
    send(tmp_path, *(str(number) for number in range(50)))

    def all_taken() -> bool:
        for reader in readers:
            reader.run_once()
        return sum(len(reader.taken) for reader in readers) >= 50

    wait_until(all_taken)
    taken = [int(body) for reader in readers for body in reader.taken]
    assert sorted(taken) == list(range(50))


def test_a_message_can_be_acknowledged_without_a_loop(tmp_path: Path) -> None:
    send(tmp_path, "one")
    with connection(tmp_path) as receiver:
        message = Queue("q")(receiver.default_channel).get(accept=["json"])
        assert message is not None
        message.ack()
        assert Queue("q")(receiver.default_channel).get() is None
