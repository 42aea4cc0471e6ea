"""The watchdog of a worker: ends its applications when the worker's own processes cannot.

The watchdog is a separate process in a session of its own, so that signals sent to the others do
not reach it. It reads the worker's uuid and deadline from standard input, which ends when the last
of the worker's processes has died.
"""

import math
import signal
import sys
import threading
from typing import Final

from pacifica.dispatcher.execution.process import end_tree, ignore_hangup, now, use_kill_helper

_INTERVAL: Final = 1.0


class _Orders:
    """The worker's latest message, and the uuids of the leases that it has lost."""

    def __init__(self) -> None:
        self.worker = ""
        self.deadline = math.inf
        self.lost: list[str] = []
        self.ended = False
        self.changed = threading.Condition()

    def listen(self) -> None:
        """Read messages until the worker's last process has died."""
        for line in sys.stdin:
            worker, deadline = line.split()
            with self.changed:
                if self.worker not in {"", worker}:
                    self.lost.append(self.worker)
                self.worker, self.deadline = worker, float(deadline)
                self.changed.notify()
        with self.changed:
            self.ended = True
            self.changed.notify()


def main(mark: str, *helper: str) -> None:
    """Watch until the worker's last process has died, then end its leftover applications.

    Args:
        mark: the environment variable in which its applications have the worker's uuid.
        *helper: the program that signals processes of other users, if there is one.
    """
    use_kill_helper(helper)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # meant for the worker; this process ends after it
    ignore_hangup()
    orders = _Orders()
    threading.Thread(target=orders.listen, daemon=True).start()
    with orders.changed:
        while not orders.ended:
            while orders.lost:
                end_tree({mark: orders.lost.pop()})
            if now() >= orders.deadline:
                end_tree({mark: orders.worker})
                orders.changed.wait(_INTERVAL)
            else:
                orders.changed.wait(min(orders.deadline - now(), threading.TIMEOUT_MAX))
    if orders.worker:
        end_tree({mark: orders.worker})


if __name__ == "__main__":
    main(*sys.argv[1:])
