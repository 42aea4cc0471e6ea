"""The baseline of the worker tier: a Celery task that only records the time."""

import json
import os
import struct
import time
from pathlib import Path
from typing import Final

from celery import Celery

CONFIGURATION: Final = "BENCHMARK_CELERY"
TIMES: Final = "BENCHMARK_TIMES"

app = Celery("benchmarks.empty")
app.conf.update(json.loads(os.environ.get(CONFIGURATION, "{}")))
_times = os.open(os.environ.get(TIMES, os.devnull), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


@app.task(name="pacifica.dispatcher.run")
def run(uuid: str) -> None:  # noqa: ARG001 - the dispatcher's message has it
    """Append the time as eight bytes."""
    os.write(_times, struct.pack("d", time.time()))


def times(file: Path) -> list[float]:
    """Return the times at which the tasks ran."""
    recorded = file.read_bytes() if file.exists() else b""
    return [when for (when,) in struct.iter_unpack("d", recorded)]
