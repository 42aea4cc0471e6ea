"""The file broker, with a sender and two takers at the same time."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Empty
from typing import Any

from kombu import Connection

from pacifica.dispatcher import spool

MESSAGES = 1500


def connection(folder: Path) -> Any:  # noqa: ANN401 - kombu's type depends on the transport
    spool.install()
    for each in ("messages", "control"):
        (folder / each).mkdir(exist_ok=True)
    options = {
        "data_folder_in": str(folder / "messages"),
        "data_folder_out": str(folder / "messages"),
        "control_folder": str(folder / "control"),
    }
    return Connection("filesystem://localhost", transport_options=options)


def test_every_message_is_taken_once_and_whole(tmp_path: Path) -> None:
    sent = threading.Event()

    def send() -> None:
        with connection(tmp_path) as sender:
            for number in range(MESSAGES):
                sender.default_channel._put("q", {"number": number, "filling": "x" * 2000})
        sent.set()

    def take() -> list[int]:
        taken = []
        with connection(tmp_path) as taker:
            while True:
                last = sent.is_set()
                try:
                    taken.append(taker.default_channel._get("q")["number"])
                except Empty:
                    if last:
                        return taken

    with ThreadPoolExecutor(3) as pool:
        takers = [pool.submit(take), pool.submit(take)]
        pool.submit(send).result()
        taken = [number for taker in takers for number in taker.result()]
    assert sorted(taken) == list(range(MESSAGES))
    assert list((tmp_path / "messages").iterdir()) == []
    assert [each.name for each in (tmp_path / "control").iterdir()] == []


def test_an_exchange_is_made_by_several_at_once(tmp_path: Path) -> None:
    together = threading.Barrier(8, timeout=30)

    def bind(number: int) -> None:
        with connection(tmp_path) as binder:
            channel = binder.default_channel
            for each in range(30):
                together.wait()
                channel._queue_bind(f"exchange-{each}", "key", "", f"q-{number}")
                assert f"q-{number}" in {q.queue for q in channel.get_table(f"exchange-{each}")}

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(bind, range(8)))
    with connection(tmp_path) as reader:
        tables = [reader.default_channel.get_table(f"exchange-{each}") for each in range(30)]
    assert [len(table) for table in tables] == [8] * 30
