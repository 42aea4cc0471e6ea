"""Free TCP ports on this machine."""

import random
import socket
from contextlib import suppress
from typing import Final

HOST: Final = "127.0.0.1"

# Below the system's range for outgoing connections: a client that keeps connecting to a stopped
# server could otherwise get the server's port as its own, and connect to itself.
_RANGE: Final = range(20_000, 30_000)

_random: Final = random.SystemRandom()  # pytest plugins seed the global generator


def free_port() -> int:
    """Return a port that no process listens on."""
    while True:
        port = _random.choice(_RANGE)
        with socket.socket() as probe, suppress(OSError):
            probe.bind((HOST, port))
            return port


def listens(port: int) -> bool:
    """Return True if a process listens on a port."""
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0
