"""The guard of a worker: ends what the worker runs when the worker's own processes cannot.

It is a process of its own and in a session of its own, so that what kills or stops the others does
not reach it. It reads the worker's uuid and deadline from its standard input, which ends when the
last of the worker's processes has died.
"""

import math
import signal
import sys
import threading
from typing import Final

from pacifica.dispatcher.process import end_family, now

_AGAIN: Final = 1.0


class _Told:
    """What the worker said last."""

    def __init__(self) -> None:
        self.worker = ""
        self.deadline = math.inf
        self.former: list[str] = []
        self.ended = False
        self.changed = threading.Condition()

    def listen(self) -> None:
        """Read until the worker's last process has died."""
        for line in sys.stdin:
            worker, deadline = line.split()
            with self.changed:
                if self.worker not in {"", worker}:
                    self.former.append(self.worker)
                self.worker, self.deadline = worker, float(deadline)
                self.changed.notify()
        with self.changed:
            self.ended = True
            self.changed.notify()


def main(mark: str) -> None:
    """Guard until the worker's last process has died, and see that nothing of it is left.

    Args:
        mark: the variable that has the worker's uuid in its applications' environments.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # meant for the worker, which then ends this process
    told = _Told()
    threading.Thread(target=told.listen, daemon=True).start()
    with told.changed:
        while not told.ended:
            while told.former:
                end_family({mark: told.former.pop()})
            if now() >= told.deadline:
                end_family({mark: told.worker})
                told.changed.wait(_AGAIN)
            else:
                told.changed.wait(min(told.deadline - now(), threading.TIMEOUT_MAX))
    if told.worker:
        end_family({mark: told.worker})


if __name__ == "__main__":
    main(sys.argv[1])
