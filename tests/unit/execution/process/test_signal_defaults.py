"""A program begins with the default action of every signal, whatever the worker ignores."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

_HOST = """
import signal
import subprocess
from pacifica.dispatcher.execution.process import restore_signals, start

for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD}:
    signal.signal(number, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGUSR1})
restore_signals()
signal.raise_signal(signal.SIGINT)  # still ignored
process = start(["grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"])
process.wait()
"""


_RESERVED = 0b11 << 31
"""The signals 32 and 33, which the C library uses itself and lets nobody change."""


def test_no_signal_is_ignored_or_blocked() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _HOST], capture_output=True, check=True, timeout=30, text=True
    )
    sets = dict(line.split(":\t") for line in done.stdout.splitlines())
    assert {name: int(mask, 16) & ~_RESERVED for name, mask in sets.items()} == {
        "SigBlk": 0,
        "SigIgn": 0,
    }
