"""Default signals for programs: a program inherits what this process ignores or blocks."""

import signal
import sys
import threading
from types import FrameType
from typing import Final

if sys.platform != "win32":
    _BY_POPEN: Final = {signal.SIGPIPE, signal.SIGXFSZ}  # which Python ignores, and Popen restores

    def restore_signals() -> None:
        """Let programs begin with the default action of every signal, and none blocked.

        A signal that this process ignores gets a handler that does nothing, because a program
        inherits ignored signals, but not handlers. Only the main thread can do so.
        """
        if threading.current_thread() is not threading.main_thread():
            return
        for number in signal.valid_signals():
            ignored = signal.getsignal(number) is signal.SIG_IGN
            if ignored and number not in _BY_POPEN:
                signal.signal(number, _do_nothing)
                signal.siginterrupt(number, False)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())

    def _do_nothing(_number: int, _frame: FrameType | None) -> None:
        return

else:

    def restore_signals() -> None:
        """Do nothing: programs inherit no signals on Windows."""
