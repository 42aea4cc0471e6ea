"""Free TCP ports on this machine."""

import random
import socket
from typing import Final

HOST: Final = "127.0.0.1"

# Below the system's range for outgoing connections: a client that keeps connecting to a stopped
# server could otherwise get the server's port as its own, and connect to itself.
_RANGE: Final = range(20_000, 30_000)

_reservations: Final[list[socket.socket]] = []
"""UDP sockets that keep other processes from choosing the ports of this one, as long as it lives.

A port is chosen some time before its server listens, and its server may stop and start again.
"""

_random: Final = random.SystemRandom()  # pytest plugins seed the global generator


def free_port() -> int:
    """Return a port that no process listens on, and that no other call has returned."""
    while True:
        port = _random.choice(_RANGE)
        reservation = socket.socket(type=socket.SOCK_DGRAM)
        with socket.socket() as probe:
            try:
                reservation.bind((HOST, port))
                probe.bind((HOST, port))
            except OSError:
                reservation.close()
                continue
        _reservations.append(reservation)
        return port


def listens(port: int) -> bool:
    """Return True if a process listens on a port."""
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0
